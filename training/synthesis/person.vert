#version 330
// Skins one vertex with four bones and lights it. The bones of all frames of a clip lie in one
// float texture: row = frame, three texels a bone. A person's triangles are about as large as
// pixels, so light is needed no oftener than here: a lamp, the room and the screen, and soft shadows
// of hands and forearms, which are taken as four capsules.
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
uniform uint first_arm_bone[4];
uniform vec3 eye;
uniform vec3 lamp_direction;
uniform vec3 lamp_colour;
uniform vec3 room_colour;
uniform vec3 screen_colour;
uniform vec3 tints[7];
uniform float shine;
uniform float shadow_strength;
uniform vec4 capsule_start[4];  // xyz and radius
uniform vec4 capsule_end[4];    // xyz and owner: 1 right arm, 2 left arm
uniform int capsules;           // how many are in use
uniform float exposure;
out vec3 texel;
out vec3 light;   // what the texture's colour is multiplied with
out vec3 mirror;  // light that is thrown back whatever that colour is

mat3x4 bone(uint i) {
    int x = int(i) * 3;
    return mat3x4(texelFetch(pose, ivec2(x, frame), 0), texelFetch(pose, ivec2(x + 1, frame), 0),
                  texelFetch(pose, ivec2(x + 2, frame), 0));
}

// Distance of the ray from p along d to the segment a-b; returns (distance, way along the ray).
vec2 ray_to_segment(vec3 p, vec3 d, vec3 a, vec3 b) {
    vec3 u = b - a;
    vec3 w = p - a;
    float uu = dot(u, u), ud = dot(u, d), uw = dot(u, w), dw = dot(d, w);
    float t = clamp((uw - ud * dw) / max(uu - ud * ud, 1e-6), 0.0, 1.0);
    float s = max(dot(a + t * u - p, d), 0.0);
    return vec2(length(p + s * d - a - t * u), s);
}

float lit_share(vec3 p, float own) {
    float share = 1.0;
    for (int i = 0; i < capsules; ++i) {
        vec2 hit = ray_to_segment(p, lamp_direction, capsule_start[i].xyz, capsule_end[i].xyz);
        float r = capsule_start[i].w;
        float soft = r * 0.4 + hit.y * 0.18;
        float hidden = 1.0 - smoothstep(r - soft * 0.5, r + soft, hit.x);
        share *= 1.0 - hidden * step(0.01, hit.y) * step(0.5, abs(capsule_end[i].w - own));
    }
    return share;
}

float open_share(vec3 p, vec3 n, float own) {
    float share = 1.0;
    for (int i = 0; i < capsules; ++i) {
        vec3 a = capsule_start[i].xyz, u = capsule_end[i].xyz - a;
        float t = clamp(dot(p - a, u) / max(dot(u, u), 1e-6), 0.0, 1.0);
        vec3 to = a + t * u - p;
        float far = length(to), r = capsule_start[i].w;
        float solid = clamp(r * r / (far * far), 0.0, 1.0) * step(0.5, abs(capsule_end[i].w - own));
        share *= 1.0 - 0.75 * solid * clamp(0.3 + dot(n, to) / max(far, 1e-4), 0.0, 1.0);
    }
    return share;
}

void main() {
    mat3x4 m = weights.x * bone(bones.x) + weights.y * bone(bones.y)
             + weights.z * bone(bones.z) + weights.w * bone(bones.w);
    vec3 world = vec4(point, 1.0) * m;
    gl_Position = view_projection * vec4(world, 1.0);
    gl_Position.xy += jitter * gl_Position.w;
    texel = vec3(uv, layer);

    int kind = int(layer + 0.5);
    uint b = bones.x;
    float own = (b >= first_arm_bone[0] && b < first_arm_bone[1]) ? 1.0
              : (b >= first_arm_bone[2] && b < first_arm_bone[3]) ? 2.0 : 0.0;
    vec3 n = normalize(vec4(normal, 0.0) * m);
    vec3 v = normalize(eye - world);
    if (dot(n, v) < 0.0) n = -n;
    float lambert = dot(n, lamp_direction);
    // Skin scatters light around the edge of the shade, and its shade is redder.
    float wrap = kind == 0 ? 0.28 : 0.1;
    float lit = max((lambert + wrap) / (1.0 + wrap), 0.0);
    float shadow = mix(1.0, lit_share(world, own), shadow_strength);
    float open = mix(1.0, open_share(world, n, own), shadow_strength);
    float up = 0.5 + 0.5 * n.z;
    float facing = max(dot(n, v), 0.0);
    vec3 room = room_colour * (0.55 + 0.45 * up) * (0.66 + 0.34 * facing) * open;
    float near = 0.35 / (0.12 + dot(eye - world, eye - world));
    light = room + lamp_colour * lit * shadow + screen_colour * facing * near;
    if (kind == 0) light *= mix(vec3(1.06, 0.97, 0.94), vec3(1.0), clamp(lit * shadow, 0.0, 1.0));
    light *= tints[kind] * exposure;
    vec3 h = normalize(lamp_direction + v);
    float gloss = kind == 0 ? shine : kind == 3 ? 0.5 : kind == 2 ? shine * 0.8 : shine * 0.1;
    float sharp = kind == 3 ? 80.0 : 16.0;
    float thrown = pow(max(dot(n, h), 0.0), sharp) * gloss * shadow * 0.25;
    mirror = lamp_colour * thrown * exposure;
}
