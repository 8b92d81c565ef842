#version 330
// Skins one vertex with four bones. The bones of all frames of a clip lie in one float texture:
// row = frame, three texels a bone.
in vec3 point;
in vec3 normal;
in vec2 uv;
in float layer;
in uvec4 bones;
in vec4 weights;
uniform sampler2D pose;
uniform int frame;
uniform mat4 view_projection;
uniform vec2 jitter;
out vec3 world;
out vec3 world_normal;
out vec3 texel;
out float arm;
uniform uint first_arm_bone[4];

mat3x4 bone(uint i) {
    int x = int(i) * 3;
    return mat3x4(texelFetch(pose, ivec2(x, frame), 0), texelFetch(pose, ivec2(x + 1, frame), 0),
                  texelFetch(pose, ivec2(x + 2, frame), 0));
}

void main() {
    mat3x4 m = weights.x * bone(bones.x) + weights.y * bone(bones.y)
             + weights.z * bone(bones.z) + weights.w * bone(bones.w);
    world = vec4(point, 1.0) * m;
    world_normal = vec4(normal, 0.0) * m;
    texel = vec3(uv, layer);
    uint b = bones.x;
    arm = (b >= first_arm_bone[0] && b < first_arm_bone[1]) ? 1.0
        : (b >= first_arm_bone[2] && b < first_arm_bone[3]) ? 2.0 : 0.0;
    gl_Position = view_projection * vec4(world, 1.0);
    gl_Position.xy += jitter * gl_Position.w;
}
