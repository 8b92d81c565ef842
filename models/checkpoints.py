"""A path or a name in, a network and its card out. Imports torch only where tensors are needed."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import jester, zoo
from models.card import CardError, ModelCard
from models.card_files import (
    METADATA_KEY,
    card_beside,
    card_fields,
    card_to_json,
    complete_card,
    read_card_file,
    read_labels,
)
from models.errors import CheckpointError
from models.weight_files import WeightFile, head_of, open_graph_file, open_weights

if TYPE_CHECKING:
    from torch import Tensor

    from models.layouts import Recognised
    from models.network import OnlineNetwork

__all__ = ["DEFAULT_MODEL", "CheckpointError", "load_initial_weights", "load_model", "read_card",
           "resolve", "save_model", "warn_of_lost_future"]

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "mobilenet_v2_rendered"
NAMED_AT_MOST = 5  # tensors, or patterns of their names, that are named to the user
NUMBER = re.compile(r"(?<=[.a-z])\d+(?=\.|$)")  # of a stage, a block or a layer


def resolve(name_or_path: str | Path) -> Path:
    """The file of a path, or of a name in the zoo, which is downloaded if it is not there yet.

    Raises CheckpointError for what is neither.
    """
    # Not by Path's own methods: they raise at an unknown ~user and at a name that is too long.
    path = Path(os.path.expanduser(name_or_path))
    if os.path.isfile(path):
        return path
    if str(name_or_path) in zoo.entries():
        return zoo.fetch(str(name_or_path))
    what = "is a folder" if os.path.isdir(path) else "is no file"
    raise CheckpointError(f"{name_or_path} {what}, and no model has that name; "
                          f"known: {', '.join(zoo.entries())}")


def read_card(name_or_path: str | Path, *, overrides: Mapping[str, Any] | None = None,
              card_file: Path | None = None, trust: bool = False) -> ModelCard:
    """The card of a weight file or an ONNX file, as `load_model` would give it.

    Without torch where the file holds its card, as ours do, and for any ONNX file. Raises
    CheckpointError or CardError.
    """
    path = resolve(name_or_path)
    if path.suffix.lower() == ".onnx":
        return _card_of_graph(path, _given(path, overrides, card_file))
    return _card_of_weights(open_weights(path, trust), _given(path, overrides, card_file))[0]


def load_model(name_or_path: str | Path, device: Any = None, *,
               overrides: Mapping[str, Any] | None = None, card_file: Path | None = None,
               trust: bool = False) -> tuple[OnlineNetwork, ModelCard]:
    """The network, in eval mode on `device` (None: the CPU), and its card.

    The card's fields come from `overrides`, then from `card_file` (None: the YAML file of the same
    stem, if there is one), then from inside the file, then from its layout. `trust` lets a file run
    its pickled objects. Raises CheckpointError or CardError, with the reason.
    """
    path = resolve(name_or_path)
    if path.suffix.lower() == ".onnx":
        raise CheckpointError(f"{path.name} is a graph: an engine runs it, but it has no network "
                              "to load; give the checkpoint it was exported from")
    file = open_weights(path, trust)
    card, recognised = _card_of_weights(file, _given(path, overrides, card_file))
    from models.build import build_network
    network = build_network(card)
    tensors = file.load()
    if recognised is not None:
        tensors = _renamed(tensors, recognised)
    _fill(network, tensors, path)
    return network.to(device or "cpu").eval(), card


def warn_of_lost_future(card: ModelCard, file: str) -> None:
    """Warns where `card`, that of `file`, is of a network that no stream can feed as trained.

    For whoever opens a network for streams, once; loading one says nothing.
    """
    if card.shift.direction == "both":
        logger.warning(
            "%s was trained with a shift both ways. A stream has no future: the half of the shift "
            "that looks ahead keeps the current frame, so expect less than its published accuracy",
            file)


def load_initial_weights(network: OnlineNetwork, path: Path, labels: Sequence[str] = ()
                         ) -> None:
    """Copies a checkpoint into `network`, in place, to train from; its head only where its card
    has these very `labels`.

    This is what ImageNet weights in torchvision's layout are for. Raises CheckpointError.
    """
    from models.layouts import recognise
    file = open_weights(path)
    recognised = recognise(file.shapes, path.name)
    _log_names(recognised, path)
    same = labels and card_fields(file.metadata, path).get("labels") == list(labels)
    head = "(none)" if same else head_of(recognised.architecture) + "."
    tensors = {name: tensor for name, tensor in _renamed(file.load(), recognised).items()
               if not name.startswith(head)}
    own_head = {name: tensor for name, tensor in network.state_dict().items()
                if name.startswith(head)}
    _fill(network, {**tensors, **own_head}, path)


def save_model(network: OnlineNetwork, card: ModelCard, path: Path) -> None:
    """Writes our own format: safetensors with the card inside; whole, or `path` stays as it was.

    Raises CheckpointError.
    """
    from safetensors.torch import save
    tensors = {name: tensor.detach().cpu().contiguous()
               for name, tensor in network.state_dict().items()}
    beside = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(save(tensors, metadata={METADATA_KEY: card_to_json(card)}))
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # half a file fills a disk that is full for nothing
            beside.unlink(missing_ok=True)
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error


def _given(path: Path, overrides: Mapping[str, Any] | None, card_file: Path | None
           ) -> list[dict[str, Any]]:
    """What the user says about the model, the weaker first: the YAML card, the overrides."""
    layers = []
    beside = card_file or card_beside(path)
    if card_file is not None or os.path.isfile(beside):
        layers.append(read_card_file(beside))
        logger.info("%s: card from %s", path.name, beside)
    given = dict(overrides or {})
    if isinstance(given.get("labels"), str | Path):
        given["labels"] = read_labels(Path(given["labels"]))
    return [*layers, given]


def _card_of_weights(file: WeightFile, given: list[dict[str, Any]]
                     ) -> tuple[ModelCard, Recognised | None]:
    """The card, and for a file without one inside its layout."""
    path, inside = file.path, card_fields(file.metadata, file.path)
    if inside:
        shape = file.shapes.get(f"{head_of(str(inside.get('architecture')))}.weight")
        card = complete_card([inside, *given], path, shape[0] if shape else None)
        for field in ("architecture", "width_multiplier"):
            _agree(card, field, inside.get(field), path)
        return card, None
    from models.layouts import recognise
    recognised = recognise(file.shapes, path.name)
    _log_names(recognised, path)
    said = {key for layer in given for key in layer}
    if recognised.refusal and not said.issuperset(("labels", "shift")):
        raise CheckpointError(
            f"{path.name} ({recognised.layout} layout) can initialise a training but not recognise "
            f"gestures: {recognised.refusal}. If that is not so, say how it was trained under "
            f"`labels:` and `shift:` in {card_beside(path).name} beside it")
    if "labels" not in recognised.card and "labels" not in said:
        raise CheckpointError(
            f"{path.name} has {recognised.classes} classes and does not say which; list them "
            f"under `labels:` in {card_beside(path).name} beside it, in the order of the logits")
    card = complete_card([recognised.card, *given], path, recognised.classes)
    _agree(card, "architecture", recognised.architecture, path)
    if "frame_rate" not in said:
        height, width = card.input_size
        _warn_once(
            f"{path.name} does not say how it was trained: {width} x {height} pixels, "
            f"{card.frame_rate:g} frames a second and {card.colour} are assumed, as is usual for "
            f"the {recognised.layout} layout. Say what is right in {card_beside(path).name} "
            "beside it")
    return card, recognised


@functools.cache
def _warn_once(words: str) -> None:
    """For what is found at each reading of a file, of which a start may need two."""
    logger.warning("%s", words)


def _card_of_graph(path: Path, given: list[dict[str, Any]]) -> ModelCard:
    graph = open_graph_file(path)
    inside = card_fields(graph.metadata, path)
    if len(graph.inputs) < 2 or len(graph.inputs) != len(graph.outputs):
        raise CheckpointError(
            f"{path.name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; a "
            "streaming graph takes an image and its state, and gives logits and the new state")
    classes = graph.outputs[0][-1] if graph.outputs[0] else None
    if not inside:
        inside = _said_by_graph(graph.inputs, classes)
        if not any("labels" in layer for layer in (inside, *given)):
            raise CheckpointError(
                f"{path.name} holds no card and has {classes} classes; describe it in "
                f"{card_beside(path).name} beside it (architecture, labels, frame_rate, ...)")
    return complete_card([inside, *given], path, classes)


def _said_by_graph(inputs: tuple[tuple[int | None, ...], ...], classes: int | None
                   ) -> dict[str, Any]:
    """A graph without a card is taken for the official demo's, as far as it looks like it."""
    said: dict[str, Any] = {"architecture": "mobilenet_v2"}
    if len(inputs[0]) == 4 and inputs[0][2] and inputs[0][3]:
        said["input_size"] = list(inputs[0][2:])
    if classes == len(jester.ALPHABETICAL) and len(inputs) == 11:
        said["labels"] = jester.ALPHABETICAL
    return said


def _agree(card: ModelCard, field: str, known: Any, path: Path) -> None:
    said = getattr(card, field)
    if known is not None and said != known:
        raise CardError(f"{path.name}: the card says {field} {said!r}, its tensors are {known!r}")


def _log_names(recognised: Recognised, path: Path) -> None:
    """Says how the file's tensors are named: examples at INFO, every one at DEBUG."""
    new_names = {old: new for old, new in recognised.names.items() if old != new}
    logger.info("%s: layout of the %s; %d of %d tensors renamed, %d left out", path.name,
                recognised.layout, len(new_names), len(recognised.names), len(recognised.spare))
    alike: dict[tuple[str, str], list[str]] = {}  # but for their numbers and their last part
    for old, new in new_names.items():
        layers = old.rpartition(".")[0], new.rpartition(".")[0]
        pattern = NUMBER.sub("*", layers[0]), NUMBER.sub("*", layers[1])
        alike.setdefault(pattern, []).append(old)
        logger.debug("%s: %s -> %s", path.name, old, new)
    common = sorted(alike.values(), key=len, reverse=True)
    for names in common[:NAMED_AT_MOST]:
        logger.info("%s: %s -> %s (%d alike)", path.name, names[0], new_names[names[0]],
                    len(names))
    if len(common) > NAMED_AT_MOST:
        logger.info("%s: and %d more patterns", path.name, len(common) - NAMED_AT_MOST)


def _renamed(tensors: Mapping[str, Tensor], recognised: Recognised) -> dict[str, Tensor]:
    return {new: tensors[old] for old, new in recognised.names.items()}


def _fill(network: OnlineNetwork, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copies `tensors` into `network`; every name and every shape must match. Weights that were
    rounded to whole numbers lack their scale, and sparse or quantised ones cannot be copied."""
    own = network.state_dict()
    # Checkpoints from before torch 0.4.1 lack these counters; nothing here reads them.
    missing = [n for n in own if n not in tensors and not n.endswith("num_batches_tracked")]
    unexpected = [name for name in tensors if name not in own]
    shapes = [f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
              for name in own if name in tensors and tensors[name].shape != own[name].shape]
    kinds = [f"{name} ({tensor.dtype}, {tensor.layout}, {tensor.device})"
             for name, tensor in tensors.items() if name in own and not _plain(tensor, own[name])]
    problems = [_listed(what, names) for what, names in
                (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes),
                 ("that are not plain floating-point numbers", kinds)) if names]
    if problems:
        raise CheckpointError(f"{path.name} does not fit its network. {'. '.join(problems)}")
    network.load_state_dict(dict(tensors), strict=False)


def _plain(tensor: Tensor, own: Tensor) -> bool:
    """Whether it can stand for our `own` one; counters may be of any type."""
    return not own.is_floating_point() or (
        tensor.is_floating_point() and tensor.layout == own.layout and not tensor.is_meta)


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return f"Tensors {what}: {', '.join(names[:NAMED_AT_MOST])}{more}"
