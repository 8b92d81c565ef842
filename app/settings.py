"""Every knob of the demo: a dataclass, filled from YAML and from flags (flags win)."""

from __future__ import annotations

import argparse
import dataclasses
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from app.overlay import Mode
from models.fields import known_fields
from models.yaml_text import parse_yaml
from online_tsm.engine import DeviceName, EngineName, Precision
from online_tsm.stream import Preset

Backend = Literal["auto", "any", "dshow", "msmf", "v4l2", "avfoundation", "ffmpeg", "gstreamer"]

AUTO = "auto"
SWITCH = ("on", "off")
PATHS = ("source", "model", "card_file", "labels_file", "out", "record", "events", "predictions",
         "latency", "actions", "teach_dir")
REPORTS = (".json", ".txt", ".png")  # what a latency report can be written as
MOST_THREADS = 256  # engines do not come back from making 100,000


class SettingsError(ValueError):
    """A flag or a configuration file that cannot be used, in one sentence for the user."""


@dataclass
class CameraSettings:
    """What is asked of a camera; None leaves the camera's own default."""

    width: int | None = None  # pixels
    height: int | None = None
    rate: float | None = None  # frames a second
    backend: Backend = "auto"


@dataclass
class Settings:
    """The demo's settings. `None` means: decide by what the machine and the source offer."""

    source: str | None = None
    model: str | None = None
    card: dict[str, Any] = field(default_factory=dict)  # overrides of the model card's fields
    card_file: str | None = None
    labels_file: str | None = None
    trust_checkpoint: bool = False
    engine: EngineName = "auto"
    device: DeviceName = "auto"
    precision: Precision = "fp32"
    threads: int | None = None
    phases: int | None = None
    preset: Preset = "card"
    allow: list[str] = field(default_factory=list)
    deny: list[str] = field(default_factory=list)
    camera: CameraSettings = field(default_factory=CameraSettings)
    fast: bool = False
    display: bool = True
    overlay: Mode = "full"
    mirror: bool | None = None
    fullscreen: bool = False
    out: str = "runs"
    record: str | None = None  # a path, "auto" (in the run folder) or "off"
    events: str | None = None
    predictions: str | None = None
    latency: str | None = None
    actions: str | None = None
    dry_run: bool = False
    teach: bool = False
    teach_dir: str | None = None  # None: the user's folder of this application
    personal: bool = True  # whether a taught model is used where it fits the model asked for
    max_frames: int | None = None
    max_seconds: float | None = None
    verbose: bool = False


def from_flags(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line. `.settings` is the result of flags over --config over defaults.

    Contradictions and bad values end in a sentence on stderr and exit code 2.
    """
    parser = _parser()
    flags = parser.parse_args(argv)
    given = {k: v for k, v in vars(flags).items() if v is not None}
    try:
        values = (read_config(Path(os.path.expanduser(given["config"])))
                  if "config" in given else {})
        flags.settings = build(_flags_over(values, given))
    except SettingsError as error:
        parser.exit(2, f"error: {error}\n")
    return flags


def read_config(path: Path) -> dict[str, Any]:
    """A YAML file of settings as plain values. SettingsError names line and column."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot read the configuration {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read the configuration {path}: it is not UTF-8 text; save it "
                            "as that") from error
    data = parse_yaml(text, str(path), SettingsError)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: expected keys and values, got {type(data).__name__}")
    known_fields(Settings, data, str(path), SettingsError)
    for key in ("camera", "card"):  # flags are laid over them
        if not isinstance(data.get(key), dict | None):
            raise SettingsError(f"{path}: {key}: expected keys and values, got {data[key]!r}")
    return data


def build(values: Mapping[str, Any]) -> Settings:
    """Settings from plain values. SettingsError names the key, its value and what is allowed."""
    values = known_fields(Settings, values, "settings", SettingsError)
    for key in ("phases", "mirror"):
        if values.get(key) == AUTO:
            values[key] = None
    if values.get("personal") in SWITCH:
        values["personal"] = values["personal"] == SWITCH[0]
    for key in ("overlay", "record"):
        if values.get(key) is False:  # YAML reads a bare `off` as false
            values[key] = "off"
    if type(values.get("source")) is int:
        values["source"] = str(values["source"])
    for key in PATHS:
        if isinstance(values.get(key), str):  # a shell leaves the ~ of --out=~/x, and YAML any
            values[key] = os.path.expanduser(values[key])
    camera = known_fields(CameraSettings, values.pop("camera", None) or {}, "settings: camera",
                          SettingsError)
    settings = Settings(**{k: v for k, v in values.items() if v is not None},
                        camera=CameraSettings(**camera))
    _check(settings)
    return settings


def _flags_over(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of a file with the flags that were given laid over them."""
    names = {f.name for f in dataclasses.fields(Settings)}
    merged = {**values, **{k: v for k, v in given.items() if k in names}}
    if "colour" in given:
        merged["card"] = {**(merged.get("card") or {}), "colour": given["colour"]}
    camera = {k.removeprefix("camera_"): v for k, v in given.items() if k.startswith("camera_")}
    if "size" in camera:
        camera["width"], camera["height"] = camera.pop("size")
    if camera:
        merged["camera"] = {**(merged.get("camera") or {}), **camera}
    return merged


def _check(settings: Settings) -> None:
    for key, kind in (("engine", EngineName), ("device", DeviceName), ("precision", Precision),
                      ("overlay", Mode), ("preset", Preset), ("camera.backend", Backend)):
        allowed = get_args(kind)
        _require(settings, key, allowed.__contains__, f"one of {', '.join(allowed)}")
    for key in ("trust_checkpoint", "fast", "display", "fullscreen", "dry_run", "verbose",
                "teach"):
        _require(settings, key, lambda v: isinstance(v, bool), "true or false")
    _require(settings, "personal", lambda v: isinstance(v, bool), "on or off")
    _require(settings, "phases", lambda v: v is None or (type(v) is int and v >= 1),
             "auto or a whole number of at least 1")
    _require(settings, "threads",
             lambda v: v is None or (type(v) is int and 1 <= v <= MOST_THREADS),
             f"a whole number from 1 to {MOST_THREADS}")
    for key in ("max_frames", "camera.width", "camera.height"):
        _require(settings, key, lambda v: v is None or (type(v) is int and v >= 1),
                 "a whole number of at least 1")
    for key in ("max_seconds", "camera.rate"):
        _require(settings, key, lambda v: v is None or (type(v) in (int, float) and v > 0),
                 "a number above 0")
    for key in PATHS:
        _require(settings, key, lambda v: v is None or (isinstance(v, str) and v != ""),
                 "text, and not empty")
    for key in ("allow", "deny"):
        _require(settings, key,
                 lambda v: isinstance(v, list) and all(isinstance(name, str) for name in v),
                 "a list of gesture names")
    _require(settings, "mirror", lambda v: v is None or isinstance(v, bool), "auto, true or false")
    _require(settings, "card", lambda v: isinstance(v, dict), "keys and values of the model card")
    _require(settings, "latency", lambda v: v is None or Path(v).suffix in REPORTS,
             "a file ending in .json, .txt or .png")
    if settings.events == settings.predictions == "-":
        raise SettingsError("--events - and --predictions - would mix on stdout; "
                            "give one of them a file")
    if settings.teach and not settings.display:
        raise SettingsError("--teach needs the window, which --no-display leaves out; "
                            "`python -m training.teach FOLDER` learns without one")


def _require(settings: Settings, key: str, holds: Callable[[Any], bool], words: str) -> None:
    value = operator.attrgetter(key)(settings)
    if not holds(value):
        raise SettingsError(f"{key} is {value!r}; it must be {words}")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(text) < 16
            and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 640x480")
    return int(width), int(height)


def _phases(text: str) -> int | str:
    if text == AUTO or text.isdecimal():
        return text if text == AUTO else int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'auto'")


def _parser() -> argparse.ArgumentParser:
    """Flags default to None, so that only what was given overrides the file."""
    parser = argparse.ArgumentParser(
        prog="run_demo.py",
        usage="%(prog)s [flags]  (--help lists them)",  # all of them would hide what is wrong
        description="Recognise gestures from a webcam with an online Temporal Shift Module. "
                    "Without flags: the first camera, the shipped model, a window.",
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="YAML of settings (see configs/); flags win over it")
    add("--source", metavar="S", help="camera number or name, video file, folder of images, "
                                      "rtsp:// or http(s):// URL (default: camera 0, or "
                                      "without a camera the bundled sample)")
    add("--verbose", action="store_true", default=None, help="say more on stderr")
    _model_flags(parser.add_argument_group("model"))
    _camera_flags(parser.add_argument_group("camera and playback"))
    _output_flags(parser.add_argument_group("window and outputs"))
    _teach_flags(parser.add_argument_group("your own gestures"))
    listing = parser.add_argument_group("lists (print and end)").add_mutually_exclusive_group()
    listing.add_argument("--list-cameras", action="store_true", help="cameras of this machine")
    listing.add_argument("--list-labels", action="store_true",
                         help="the model's labels, one a line, in the order of the logits")
    listing.add_argument("--list-models", action="store_true",
                         help="models known by name, and where they come from")
    listing.add_argument("--list-recordings", action="store_true",
                         help="what was recorded to teach gestures, and what was learned from it")
    listing.add_argument("--delete-recording", metavar="LABEL[/NAME]",
                         help="delete a gesture's recordings, one of them, or personal.safetensors")
    return parser


def _model_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--model", metavar="M", help="a checkpoint or ONNX file, or a name of --list-models")
    add("--card", dest="card_file", metavar="FILE", help="YAML card of the model")
    add("--labels", dest="labels_file", metavar="FILE", help="text file, one label a line")
    add("--colour", choices=("rgb", "bgr"), help="channel order that the network expects")
    add("--trust-checkpoint", action="store_true", default=None,
        help="let a checkpoint run code of its maker while it loads")
    add("--engine", choices=get_args(EngineName), help="what runs the network")
    add("--device", choices=get_args(DeviceName), help="where it runs")
    add("--precision", choices=get_args(Precision),
        help="faster and less exact: bf16 with --engine openvino, fp16 with --engine tensorrt, "
             "both with --engine torch or compiled, --device cuda (default: fp32)")
    add("--threads", type=int, metavar="N", help="threads of the network on a CPU "
        "(default: 1, with --engine torch or compiled its own choice)")
    add("--phases", type=_phases, metavar="N|auto", help="interleaved caches (default: auto)")
    add("--preset", choices=get_args(Preset), help="smoothing by the card, or as the official demo")
    add("--allow", nargs="+", metavar="LABEL",
        help="only these gestures and the background; all: every one")
    add("--deny", nargs="+", metavar="LABEL", help="never these gestures")


def _camera_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--camera-size", type=_size, metavar="WxH", help="ask the camera for this size")
    add("--camera-rate", type=float, metavar="FPS", help="ask the camera for this rate")
    add("--camera-backend", choices=get_args(Backend), help="OpenCV's way to the camera")
    add("--fast", action="store_true", default=None,
        help="play a file as fast as possible, skipping no frame")
    add("--max-frames", type=int, metavar="N", help="end after N frames")
    add("--max-seconds", type=float, metavar="S", help="end after S seconds of video")


def _output_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--no-display", dest="display", action="store_false", default=None, help="no window")
    add("--fullscreen", action="store_true", default=None, help="start in full screen")
    add("--mirror", action=argparse.BooleanOptionalAction, default=None,
        help="mirror the picture for the person (default: cameras yes, files no)")
    add("--overlay", choices=get_args(Mode), help="how much is drawn (default: full)")
    add("--out", metavar="FOLDER", help="where run folders are made (default: runs)")
    recording = group.add_mutually_exclusive_group()
    recording.add_argument("--record", nargs="?", const=AUTO, metavar="FILE",
                           help="record the annotated video (default without a window)")
    recording.add_argument("--no-record", dest="record", action="store_const", const="off",
                           help="record no video")
    add("--events", metavar="FILE|-", help="write events as JSON Lines")
    add("--predictions", metavar="FILE|-", help="write every frame's prediction as JSON Lines")
    add("--latency", metavar="FILE", help="write the latency report (.json, .txt or .png)")
    add("--actions", metavar="FILE", help="YAML map from gestures to actions")
    add("--dry-run", action="store_true", default=None, help="print actions instead of acting")


def _teach_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--teach", action="store_true", default=None, help="begin by recording gestures (key t)")
    add("--teach-dir", metavar="FOLDER", help="where recordings and what was learned from them lie")
    add("--personal", choices=SWITCH,
        help="use the model taught here, if it comes from the one asked for (default: on)")
