#version 330
in vec2 corner;
out vec2 at;
void main() {
    at = vec2(corner.x * 0.5 + 0.5, 0.5 - corner.y * 0.5);
    gl_Position = vec4(corner, 0.9999, 1.0);
}
