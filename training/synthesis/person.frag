#version 330
// The texture in the light that the vertices were given, as a camera answers to it.
in vec3 texel;
in vec3 light;
in vec3 mirror;
uniform sampler2DArray textures;
out vec4 colour;

void main() {
    vec4 base = texture(textures, texel);
    int layer = int(texel.z + 0.5);
    float least = layer == 2 ? 0.45 : layer == 0 ? 0.0 : 0.3;
    if (base.a < least) discard;
    vec3 q = base.rgb * base.rgb * light + mirror;  // textures are stored gamma 2
    q = q * (1.0 + q / 9.0) / (1.0 + q);
    colour = vec4(sqrt(q), 1.0);
}
