"""The gesture language: YAML files in, checked gestures out. training/gestures/README.md has it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.synthesis.assets import SynthesisError
from training.synthesis.hands import THUMBS
from training.synthesis.located import Located, load
from training.synthesis.values import (
    Range,
    Triple,
    read_bounded,
    read_fingers,
    read_flag,
    read_list,
    read_number,
    read_range,
    read_text,
    read_triple,
)

GESTURES_FOLDER = Path(__file__).parents[1] / "gestures"
COMMON_FILE = "common.yaml"
RESTS = ("lap", "desk", "side")  # poses of the common file
KINDS = ("rest", "raise", "hold", "stroke", "return", "retract")
SPEEDS = ("smooth", "even", "early", "late")
HANDS = ("one", "both", "alternate", "none")
BODY = ("lean", "sway", "turn", "nod", "look", "tilt", "shift", "rise", "talk")
POSE_KEYS = ("at", "point", "palm", "shape", "elbow", "knuckle", "curl", "spread", "thumb")
PROPS = ("phone", "cup")
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Shape:
    """knuckle, curl: a range a finger, index to little. spread: a range. thumb: a name."""

    knuckle: tuple[Range, ...]
    curl: tuple[Range, ...]
    spread: Range
    thumb: str


@dataclass(frozen=True)
class Pose:
    """One hand, in the performer's own units: at (out, up, near), directions point and palm in
    the same axes, shape, elbow 0 hanging to 1 lifted."""

    at: Triple
    point: Triple
    palm: Triple
    shape: Shape
    elbow: Range


@dataclass(frozen=True)
class Motion:
    """What a hand does around its path: kind is circle, shake or drum."""

    kind: str
    cycles: Range
    axis: Triple
    move: Triple
    move_across: Triple
    degrees: Range
    depth: Range


@dataclass(frozen=True)
class Phase:
    """One piece of a performance. time: seconds. to: where the hand is at its end."""

    kind: str
    time: Range
    to: Pose | None
    through: tuple[Pose, ...]
    arc: Triple | None
    motion: Motion | None
    speed: str
    body: dict[str, Range]
    wander: float


@dataclass(frozen=True)
class Style:
    """One way of performing a gesture. event: share of the first stroke after which the gesture
    counts as done. repeat: how often the phases from the first stroke to the last are done."""

    name: str
    weight: float
    held_out: bool
    hands: str
    repeat: tuple[int, int]
    event: float
    phases: tuple[Phase, ...]
    prop: str | None
    size: Range


@dataclass(frozen=True)
class Gesture:
    """A label, the label its mirror image has, and the ways to perform it."""

    label: str
    mirror: str
    background: bool
    styles: tuple[Style, ...]


@dataclass
class _Names:
    """What a file may refer to by name."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    poses: dict[str, Pose] = field(default_factory=dict)


def load_gesture(path: Path, common: Path | None = None) -> Gesture:
    """Read and check one gesture file.

    common: the file with the shapes and poses that all gestures share.
    Raises SynthesisError that names file and line.
    """
    names = _read_common(common or GESTURES_FOLDER / COMMON_FILE)
    data = load(path)
    data.only(("label", "mirror", "background", "poses", "shapes", "styles"))
    label = read_text(data, "label")
    _read_names(data, names)
    styles = data.get("styles")
    if not isinstance(styles, Located) or not styles:
        raise data.error("'styles' must be a list of named styles, `name: {...}`", "styles")
    background = read_flag(data, "background")
    parsed = tuple(_style(styles, name, names) for name in styles)
    for style in parsed:
        if not background and not any(phase.kind == "stroke" for phase in style.phases):
            raise styles.error(f"style '{style.name}' has no stroke, so the gesture never happens",
                               style.name)
    return Gesture(label, read_text(data, "mirror", label), background, parsed)


def load_gestures(folder: Path = GESTURES_FOLDER) -> dict[str, Gesture]:
    """All gesture files of a folder by label, in label order.

    Raises SynthesisError when there is none, when two have one label, when a mirrored label has
    none, or has another one for its own mirror image.
    """
    out: dict[str, Gesture] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name == COMMON_FILE:
            continue
        gesture = load_gesture(path, common_of(folder))
        if gesture.label in out:
            raise SynthesisError(f"{path}: another file already has the label '{gesture.label}'.")
        out[gesture.label] = gesture
    if not out:
        raise SynthesisError(f"{folder} holds no gesture files (NAME.yaml). Is it the right one?")
    for gesture in out.values():
        if gesture.mirror not in out:
            raise SynthesisError(
                f"{folder}: '{gesture.label}' names the mirrored label '{gesture.mirror}', which "
                "no file defines."
            )
        back = out[gesture.mirror].mirror
        if back != gesture.label:
            raise SynthesisError(
                f"{folder}: '{gesture.label}' names the mirrored label '{gesture.mirror}', whose "
                f"own one is '{back}': each must name the other under 'mirror', or the left hand "
                "would perform one and be labelled as the other."
            )
    return dict(sorted(out.items()))


def common_of(folder: Path) -> Path:
    """The file with what the gestures of a folder share: their own, else the shipped one."""
    own = folder / COMMON_FILE
    return own if own.exists() else GESTURES_FOLDER / COMMON_FILE


def resting_poses(folder: Path = GESTURES_FOLDER) -> tuple[Pose, ...]:
    """The poses of an idle hand, from the common file. Raises SynthesisError."""
    path = common_of(folder)
    poses = _read_common(path).poses
    for name in RESTS:
        if name not in poses:
            raise SynthesisError(f"{path} lacks the pose '{name}': a common file of your own "
                                 f"replaces {GESTURES_FOLDER / COMMON_FILE}; begin with a copy.")
    return tuple(poses[name] for name in RESTS)


def _read_common(path: Path) -> _Names:
    data = load(path)
    data.only(("shapes", "poses"))
    names = _Names()
    _read_names(data, names)
    return names


def _read_names(data: Located, names: _Names) -> None:
    for key in ("shapes", "poses"):
        if not isinstance(data.get(key, data), Located):
            raise data.error(f"'{key}' must be named entries, `name: {{...}}`", key)
    for name, entry in data.get("shapes", {}).items():
        if not isinstance(entry, Located):
            raise data["shapes"].error(f"shape '{name}' must be a mapping, `{{curl: ...}}`", name)
        names.shapes[name] = _shape(entry, names.shapes.get("relaxed"))
    for name in data.get("poses", ()):
        names.poses[name] = _pose(data["poses"], name, names)


def _shape(data: Located, base: Shape | None) -> Shape:
    data.only(("knuckle", "curl", "spread", "thumb"))
    thumb = data.get("thumb", base.thumb if base else "side")
    if thumb not in tuple(THUMBS):
        known = ", ".join(THUMBS)
        raise data.error(f"'thumb' is {thumb!r}; known: {known}", "thumb")
    curl = read_fingers(data, "curl", base.curl if base else None)
    knuckle = read_fingers(data, "knuckle", curl if "curl" in data or not base else base.knuckle)
    return Shape(knuckle, curl, read_range(data, "spread", base.spread if base else (0, 0)), thumb)


def _pose(parent: Located, key: str, names: _Names) -> Pose:
    """A pose by name, or `{like: name, ...changes}`, or in full."""
    data = parent[key]
    if isinstance(data, str):
        if data not in names.poses:
            known = ", ".join(names.poses)
            raise parent.error(f"no pose is named '{data}'; known: {known}", key)
        return names.poses[data]
    if not isinstance(data, Located):
        raise parent.error(f"'{key}' must be the name of a pose or a mapping", key)
    return _pose_from(data, names)


def _pose_from(data: Located, names: _Names) -> Pose:
    data.only(("like", *POSE_KEYS))
    base = _pose(data, "like", names) if "like" in data else None
    shape = base.shape if base else names.shapes.get("relaxed")
    if "shape" in data:
        if data["shape"] not in tuple(names.shapes):
            known = ", ".join(names.shapes)
            raise data.error(f"no shape is named '{data['shape']}'; known: {known}", "shape")
        shape = names.shapes[data["shape"]]
    changes = Located({k: data[k] for k in ("knuckle", "curl", "spread", "thumb") if k in data})
    if changes:
        changes.path, changes.line, changes.lines = data.path, data.line, data.lines
        shape = _shape(changes, shape)
    if shape is None:
        raise data.error("a pose needs a 'shape'")
    return Pose(
        read_triple(data, "at", base.at if base else None),
        read_triple(data, "point", base.point if base else None),
        read_triple(data, "palm", base.palm if base else None),
        shape,
        read_range(data, "elbow", base.elbow if base else (0.15, 0.35)),
    )


def _style(styles: Located, name: str, names: _Names) -> Style:
    data = styles[name]
    if not isinstance(data, Located):
        raise styles.error(f"style '{name}' must be a mapping with 'phases'", name)
    data.only(("weight", "held_out", "hands", "repeat", "event", "phases", "prop", "size"))
    hands = data.get("hands", "one")
    if hands not in HANDS:
        raise data.error(f"'hands' is {hands!r}; known: {', '.join(HANDS)}", "hands")
    prop = data.get("prop")
    if prop is not None and prop not in PROPS:
        raise data.error(f"'prop' is {prop!r}; known: {', '.join(PROPS)}", "prop")
    low, high = read_bounded(data, "repeat", (1, 1), 1)
    phases = tuple(_phase(data, entry, names) for entry in read_list(data, "phases"))
    if not phases:
        raise data.error("'phases' is missing")
    return Style(
        name,
        read_number(data, "weight", 1, LEAST_WEIGHT),
        read_flag(data, "held_out"),
        hands,
        (int(low), int(high)),
        read_number(data, "event", 0.6, 0, 1),
        phases,
        prop,
        read_bounded(data, "size", (0.9, 1.1), 0),
    )


def _phase(style: Located, entry: Any, names: _Names) -> Phase:
    """`- stroke: {time: ..., to: ...}`: one key, the kind."""
    if not isinstance(entry, Located) or len(entry) != 1 or next(iter(entry)) not in KINDS:
        where = entry if isinstance(entry, Located) else style
        raise where.error(f"a phase is `- kind: {{...}}` with one of {', '.join(KINDS)}")
    kind = next(iter(entry))
    data = entry[kind]
    if not isinstance(data, Located):
        raise entry.error(f"'{kind}' must be a mapping such as {{time: [0.3, 0.5]}}", kind)
    keys = ("time", "to", "through", "arc", "circle", "shake", "drum", "speed", "body", "wander")
    data.only(keys)
    if data.get("speed", "smooth") not in SPEEDS:
        raise data.error(f"'speed' is {data['speed']!r}; known: {', '.join(SPEEDS)}", "speed")
    time = read_range(data, "time")
    if time[0] < 0:
        raise data.error("'time' is in seconds and cannot be negative", "time")
    through = []
    for item in read_list(data, "through"):
        holder = Located({"through": item})
        holder.path, holder.line, holder.lines = data.path, data.line, dict(data.lines)
        through.append(_pose(holder, "through", names))
    return Phase(
        kind,
        time,
        _pose(data, "to", names) if "to" in data else None,
        tuple(through),
        read_triple(data, "arc") if "arc" in data else None,
        _motion(data),
        str(data.get("speed", "smooth")),
        _body(data),
        read_number(data, "wander", 0, 0),
    )


def _body(phase: Located) -> dict[str, Range]:
    body = phase.get("body")
    if body is None:
        return {}
    if not isinstance(body, Located):
        raise phase.error("'body' must be a mapping such as {nod: 10}", "body")
    body.only(BODY)
    return {key: read_range(body, key) for key in body}


def _motion(phase: Located) -> Motion | None:
    kinds = [kind for kind in ("circle", "shake", "drum") if kind in phase]
    if len(kinds) > 1:
        raise phase.error(f"a phase has one motion, not {' and '.join(kinds)}", kinds[1])
    if not kinds:
        return None
    data = phase[kinds[0]]
    if not isinstance(data, Located):
        raise phase.error(f"'{kinds[0]}' must be a mapping such as {{cycles: 2}}", kinds[0])
    data.only(("cycles", "axis", "move", "across", "degrees", "depth"))
    zero: Triple = ((0, 0), (0, 0), (0, 0))
    return Motion(
        kinds[0],
        read_range(data, "cycles"),
        read_triple(data, "axis", ((0, 0), (0, 0), (1, 1))),
        read_triple(data, "move", zero),
        read_triple(data, "across", zero),
        read_range(data, "degrees", (0, 0)),
        read_range(data, "depth", (0.5, 0.5)),
    )
