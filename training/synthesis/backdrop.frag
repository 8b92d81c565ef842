#version 330
in vec2 at;
uniform sampler2D picture;
out vec4 colour;
void main() { colour = vec4(texture(picture, at).rgb, 0.0); }
