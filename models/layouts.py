"""How checkpoints name their tensors, and what each layout says about its network.

One function a foreign layout, each a pure renaming of one name to ours. Ours are the names of the
official online demo (MobileNetV2) and of torchvision (ResNet). Works on names and shapes alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from models import jester
from models.card import Shift
from models.errors import CheckpointError
from models.mobilenet_v2 import STAGES, widths
from models.resnet import BLOCKS, shifts
from models.weight_files import head_of

Shapes = Mapping[str, tuple[int, ...]]

WIDTHS = (1.0, 1.4, 1.3, 0.75, 0.5, 0.35, 0.25, 0.1)  # width multipliers that are tried
WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")  # of DataParallel and torch.compile
SPARE = re.compile(r"data_preprocessor\.|consensus\.")  # tensors that belong to no network

# What the layouts that were trained along a clip say: 8 segments spread over about 3 s of Jester.
BOTH_WAYS_SHIFT: Mapping[str, Any] = {"direction": "both", "past_fold": "second"}
BOTH_WAYS: Mapping[str, Any] = {
    "shift": BOTH_WAYS_SHIFT,
    "frame_rate": 2.7,
    "warmup_steps": 3,  # trained from empty caches over 8 frames
}


class Layout(NamedTuple):
    """`marker` is found in some name of this layout, and of no other that comes later.
    `rename` takes a name without the prefixes of `WRAPPERS`. `labels` are those of 27 classes."""

    name: str
    marker: str
    rename: Callable[[str], str]
    labels: tuple[str, ...] = ()
    card: Mapping[str, Any] = {}
    refusal: str = ""


@dataclass(frozen=True)
class Recognised:
    """`names` from the file's names to ours; `card` the fields that the layout implies."""

    layout: str
    names: Mapping[str, str]
    spare: tuple[str, ...]
    architecture: str
    classes: int
    card: Mapping[str, Any]
    refusal: str = ""  # why it may only initialise a training


def mit_mobilenet_v2(name: str) -> str:
    """The official training script: base_model.features.3.conv.0.net.weight, new_fc."""
    return _without_wrappers(name).replace("new_fc.", "classifier.")


def mit_resnet(name: str) -> str:
    """The official training script: base_model.layer1.0.conv1.net.weight, new_fc."""
    return _without_wrappers(name).replace("new_fc.", "fc.")


def _without_wrappers(name: str) -> str:
    return name.removeprefix("base_model.").replace(".net.", ".")


def mmaction2_resnet(name: str) -> str:
    """backbone.layer1.0.conv1.conv.net.weight, backbone.layer1.0.conv1.bn.bias, cls_head.fc_cls."""
    name = name.removeprefix("backbone.").replace(".net.", ".").replace("cls_head.fc_cls.", "fc.")
    name = name.replace("downsample.conv.", "downsample.0.").replace(
        "downsample.bn.", "downsample.1.")
    return re.sub(r"conv(\d)\.(conv|bn)\.", r"\2\1.", name)


def mmaction2_mobilenet_v2(name: str) -> str:
    """backbone.layer2.1.conv.0.net.conv.weight: stage, block, convolution and its batch norm."""
    name = name.removeprefix("backbone.").replace(".net.", ".")
    name = name.replace("cls_head.fc_cls.", "classifier.")
    block = re.match(r"layer(\d)\.(\d+)\.conv\.(\d)\.(conv|bn)\.(.+)", name)
    if block:
        before = sum(count for _, _, count, _ in STAGES[: int(block[1]) - 1])
        part = 3 * int(block[3]) + (block[4] == "bn")
        return f"features.{1 + before + int(block[2])}.conv.{part}.{block[5]}"
    ends = {"conv1.conv": "features.0.0", "conv1.bn": "features.0.1",
            "conv2.conv": "features.18.0", "conv2.bn": "features.18.1"}
    return _with_start(name, ends)


def torchvision_mobilenet_v2(name: str) -> str:
    """features.2.conv.0.0.weight: convolutions grouped with their batch norm."""
    if name.startswith("classifier.1."):
        return name.replace("classifier.1.", "classifier.")
    first = re.match(r"features\.1\.conv\.(.+)", name)
    if first:  # the one block without an expansion
        parts = {"0.0": "0", "0.1": "1", "1": "3", "2": "4"}
        return "features.1.conv." + _with_start(first[1], parts)
    block = re.match(r"features\.(\d+)\.conv\.(.+)", name)
    if block:
        parts = {"0.0": "0", "0.1": "1", "1.0": "3", "1.1": "4", "2": "6", "3": "7"}
        return f"features.{block[1]}.conv." + _with_start(block[2], parts)
    return name


def _with_start(name: str, starts: Mapping[str, str]) -> str:
    for old, new in starts.items():
        if name.startswith(old + "."):
            return new + name[len(old):]
    return name


def unchanged(name: str) -> str:
    """Our own names."""
    return name


NO_SHIFT = "its network was trained on single images, without a temporal shift"

LAYOUTS = (
    Layout("mmaction2 TSM-MobileNetV2", r"^backbone\.layer1\.0\.conv\.0\.", mmaction2_mobilenet_v2,
           jester.CSV_ORDER, BOTH_WAYS),
    Layout("mmaction2 TSM-ResNet", r"^backbone\.layer1\.0\.", mmaction2_resnet,
           jester.CSV_ORDER, BOTH_WAYS),
    Layout("official training script, MobileNetV2", r"^base_model\.features\.", mit_mobilenet_v2,
           jester.ALPHABETICAL, BOTH_WAYS),
    Layout("official training script, ResNet", r"^base_model\.layer1\.0\.", mit_resnet,
           jester.ALPHABETICAL, BOTH_WAYS),
    Layout("torchvision MobileNetV2", r"^features\.2\.conv\.0\.0\.", torchvision_mobilenet_v2,
           refusal=NO_SHIFT),
    Layout("official online demo", r"^features\.2\.conv\.0\.weight$", unchanged,
           jester.ALPHABETICAL, {"frame_rate": 15.0}),
    Layout("torchvision ResNet", r"^layer1\.0\.conv1\.weight$", unchanged, refusal=NO_SHIFT),
)


def recognise(shapes: Shapes, file: str) -> Recognised:
    """Which layout the tensors have. Raises CheckpointError, naming `file`, for any other."""
    bare = {name: WRAPPERS.sub("", name) for name in shapes}
    for layout in LAYOUTS:
        if any(re.search(layout.marker, name) for name in bare.values()):
            break
    else:
        some = ", ".join(list(shapes)[:3])
        known = "; ".join(layout.name for layout in LAYOUTS)
        raise CheckpointError(f"{file}: tensors named like {some} belong to no network known here. "
                              f"Known layouts: {known}")
    _refuse_what_cannot_stream(bare.values(), file)
    spare = tuple(old for old, name in bare.items() if SPARE.match(name))
    names = {old: layout.rename(name) for old, name in bare.items() if old not in spare}
    ours = {new: shapes[old] for old, new in names.items()}
    architecture = _architecture(ours, file)
    card = {"architecture": architecture, **layout.card}
    if architecture == "mobilenet_v2":
        card["width_multiplier"] = _width(ours)
    if layout.card is BOTH_WAYS:
        placement = _placement(bare.values(), architecture, file)
        card["shift"] = {**BOTH_WAYS_SHIFT, **_said_by_name(file), "placement": placement}
    classes = _classes(ours, architecture, file)
    if classes == len(layout.labels):
        card["labels"] = layout.labels
    refusal = layout.refusal
    if not refusal and classes == 1000:
        refusal = NO_SHIFT + " (its 1000 classes are ImageNet's)"
    return Recognised(layout.name, names, spare, architecture, classes, card, refusal)


def _refuse_what_cannot_stream(names: Iterable[str], file: str) -> None:
    for name in names:
        if re.search(r"layer\d\.net\.\d", name):
            raise CheckpointError(f"{file}: {name} tells of temporal pooling, which merges frames "
                                  "and cannot stream")
        if re.search(r"layer\d\.\d+\.(block|nl|non_local_block)\.", name):
            raise CheckpointError(f"{file}: {name} tells of non-local blocks, which look along the "
                                  "whole clip and cannot stream")


def _architecture(ours: Shapes, file: str) -> str:
    if "features.2.conv.0.weight" in ours:
        return "mobilenet_v2"
    blocks = tuple(_count(ours, stage) for stage in range(1, 5))
    bottleneck = "layer1.0.conv3.weight" in ours
    for depth, known in BLOCKS.items():
        if blocks == known and bottleneck == (depth >= 50):
            return f"resnet{depth}"
    raise CheckpointError(f"{file}: a ResNet with {blocks} blocks in its stages is not known here; "
                          f"known depths: {', '.join(map(str, BLOCKS))}")


def _count(ours: Shapes, stage: int) -> int:
    found = (re.match(rf"layer{stage}\.(\d+)\.", name) for name in ours)
    return len({match[1] for match in found if match})


def _width(ours: Shapes) -> float:
    """The width multiplier whose channels are the file's; 1.0 if none is, to name what differs."""
    found = [ours.get(name, (0,))[0] for name in
             ("features.0.0.weight", "features.1.conv.3.weight",
              *(f"features.{i}.conv.6.weight" for i in range(2, 18)), "features.18.0.weight")]
    return next((width for width in WIDTHS if widths(width) == found), 1.0)


def _classes(ours: Shapes, architecture: str, file: str) -> int:
    shape = ours.get(f"{head_of(architecture)}.weight", ())
    if len(shape) != 2:
        raise CheckpointError(f"{file}: no tensor {head_of(architecture)}.weight, the layer that "
                              "gives the logits")
    return shape[0]


def _placement(names: Iterable[str], architecture: str, file: str) -> str:
    """Where `.net` in the names says that blocks shift; it must be where our network does."""
    marks = [name for name in names if ".net." in name]
    placement = "block" if any(re.search(r"layer\d\.\d+\.net\.", n) for n in marks) else "blockres"
    found = {re.sub(r"\.(conv|net).*", "", name.partition(".")[2]) for name in marks}
    if not found:
        raise CheckpointError(f"{file}: no tensor has `.net` in its name, so its network was "
                              "trained without a temporal shift (TSN); it cannot follow motion")
    count = _shifted_blocks(architecture, placement)
    if len(found) != count:
        raise CheckpointError(f"{file}: {len(found)} blocks shift by their names, but an "
                              f"{architecture} of this placement ({placement}) shifts {count}")
    return placement


def _shifted_blocks(architecture: str, placement: str) -> int:
    if architecture == "mobilenet_v2":
        return sum(count - 1 for _, _, count, _ in STAGES)
    depth = int(architecture.removeprefix("resnet"))
    shift = Shift(placement="block" if placement == "block" else "blockres")
    return sum(shifts(depth, i, shift) for count in BLOCKS[depth] for i in range(count))


def _said_by_name(file: str) -> dict[str, Any]:
    """The official script writes the fold into the file's name alone: ..._shift8_blockres_..."""
    said = re.search(r"_shift(\d+)_", file)
    return {"fold_div": int(said[1])} if said else {}
