"""A small skeleton with the bones that posing moves: no package and no file is needed."""

import numpy as np

from training.synthesis.skeleton import Skeleton

# name, parent, head, tail (metres, the right side; the left one is its mirror image)
MIDDLE = (
    ("root", "", (0, 0.05, 0), (0, 0, 0.05)),
    ("spine03", "root", (0, 0, 0.3), (0, 0, 0.5)),
    ("neck01", "spine03", (0, 0, 0.72), (0, 0, 0.76)),
    ("head", "neck01", (0, -0.03, 0.8), (0, -0.03, 0.97)),
    ("jaw", "head", (0, -0.05, 0.81), (0, -0.1, 0.75)),
)
SIDE = (
    ("eye", "head", (-0.03, -0.12, 0.87), (-0.03, -0.16, 0.87)),
    ("orbicularis03", "head", (-0.03, -0.12, 0.87), (-0.03, -0.16, 0.88)),
    ("clavicle", "spine03", (-0.02, -0.03, 0.66), (-0.11, -0.03, 0.68)),
    ("upperarm01", "clavicle", (-0.19, -0.02, 0.63), (-0.24, -0.02, 0.57)),
    ("upperarm02", "upperarm01", (-0.24, -0.02, 0.57), (-0.38, -0.02, 0.42)),
    ("lowerarm01", "upperarm02", (-0.38, -0.02, 0.42), (-0.45, -0.12, 0.36)),
    ("lowerarm02", "lowerarm01", (-0.45, -0.12, 0.36), (-0.52, -0.22, 0.29)),
    ("wrist", "lowerarm02", (-0.52, -0.22, 0.29), (-0.53, -0.25, 0.27)),
    ("metacarpal2", "wrist", (-0.525, -0.26, 0.28), (-0.547, -0.326, 0.247)),
    ("finger1-1", "wrist", (-0.52, -0.27, 0.28), (-0.49, -0.29, 0.27)),
    ("finger1-2", "finger1-1", (-0.49, -0.29, 0.27), (-0.48, -0.33, 0.26)),
    ("finger1-3", "finger1-2", (-0.48, -0.33, 0.26), (-0.47, -0.35, 0.24)),
)
KNUCKLES = {
    2: (-0.547, -0.326, 0.247),
    3: (-0.56, -0.31, 0.235),
    4: (-0.57, -0.29, 0.225),
    5: (-0.576, -0.266, 0.214),
}
PHALANX = np.array([-0.004, -0.024, -0.018])


def rest_skeleton() -> Skeleton:
    """Torso, head and both arms with all fingers."""
    rows = [(name, parent, np.array(a), np.array(b)) for name, parent, a, b in MIDDLE]
    side = [(name, parent, np.array(a), np.array(b)) for name, parent, a, b in SIDE]
    for finger, knuckle in KNUCKLES.items():
        for joint in (1, 2, 3):
            start = np.array(knuckle) + PHALANX * (joint - 1)
            parent = "wrist" if joint == 1 else f"finger{finger}-{joint - 1}"
            side.append((f"finger{finger}-{joint}", parent, start, start + PHALANX))
    middle = {name for name, *_ in MIDDLE}
    for hand, mirror in (("R", (1, 1, 1)), ("L", (-1, 1, 1))):
        for name, parent, a, b in side:
            up = parent if parent in middle else f"{parent}.{hand}"
            rows.append((f"{name}.{hand}", up, a * mirror, b * mirror))
    names = tuple(row[0] for row in rows)
    parents = np.array([names.index(row[1]) if row[1] else -1 for row in rows])
    heads = np.array([row[2] for row in rows], np.float32)
    tails = np.array([row[3] for row in rows], np.float32)
    return Skeleton(names, parents, heads, tails)
