"""What lies in a weight file: names, shapes and metadata, and on demand the tensors.

Only the functions that need tensors, or a file in torch's own format, import torch.
"""

from __future__ import annotations

import json
import logging
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which trainers put the tensors
HEADER_LIMIT = 100_000_000  # bytes of a safetensors header, by its specification


@dataclass(frozen=True)
class WeightFile:
    """`shapes` by tensor name, `metadata` of the file; `tensors` only of a torch file."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    tensors: Mapping[str, Tensor] | None = None

    def load(self) -> Mapping[str, Tensor]:
        """The tensors, on the CPU."""
        if self.tensors is not None:
            return self.tensors
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        try:
            tensors: dict[str, Tensor] = load_file(str(self.path))
        except SafetensorError as error:
            raise _damaged(self.path, error) from error
        return tensors


@dataclass(frozen=True)
class GraphFile:
    """What an ONNX file says about itself; sizes that are not fixed are None."""

    metadata: Mapping[str, str]
    inputs: tuple[tuple[int | None, ...], ...]
    outputs: tuple[tuple[int | None, ...], ...]


def head_of(architecture: str) -> str:
    """What our networks call the layer that gives the logits."""
    return "classifier" if architecture == "mobilenet_v2" else "fc"


def open_weights(path: Path, trust: bool = False) -> WeightFile:
    """A safetensors file (by its suffix) or one of torch. Raises CheckpointError."""
    try:
        if path.suffix.lower() == ".safetensors":
            return _open_safetensors(path)
        return _open_torch(path, trust)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def open_graph_file(path: Path) -> GraphFile:
    """An ONNX file, without its weights. Raises CheckpointError."""
    try:
        import onnx
    except ImportError as error:
        raise CheckpointError(f"{path.name}: reading an ONNX file needs the package onnx: "
                              "pip install onnx") from error
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf has errors of its own for damaged bytes
        raise CheckpointError(f"{path.name} is no ONNX file, or a damaged one: {error}") from error
    if not model.graph.node:
        raise CheckpointError(f"{path.name} is no ONNX file, or a damaged one: it has no graph")
    weights = {tensor.name for tensor in model.graph.initializer}
    return GraphFile(
        {entry.key: entry.value for entry in model.metadata_props},
        tuple(_sizes(value) for value in model.graph.input if value.name not in weights),
        tuple(_sizes(value) for value in model.graph.output),
    )


def _sizes(value: Any) -> tuple[int | None, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def _open_safetensors(path: Path) -> WeightFile:
    """Reads only the header: eight bytes of length, JSON, then the tensors' bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, HEADER_LIMIT):
            raise CheckpointError(f"{path.name} is no safetensors file, or a cut one{_said(start)}")
        try:
            header = json.loads(file.read(length))
            metadata = _texts(header.pop("__metadata__", {}))
            shapes = {name: tuple(map(index, entry["shape"])) for name, entry in header.items()}
            end = max((index(entry["data_offsets"][1]) for entry in header.values()), default=0)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"{path.name} is no safetensors file: its header is broken"
                                  ) from error
    if size < 8 + length + end:
        raise CheckpointError(f"{path.name} is cut: {size:,} bytes of {8 + length + end:,}; "
                              "copy or download it again")
    return WeightFile(path, shapes, metadata)


def _texts(metadata: Any) -> dict[str, str]:
    """The metadata as it must be. Raises TypeError."""
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise TypeError("__metadata__ holds texts by their names")
    return metadata


def _open_torch(path: Path, trust: bool) -> WeightFile:
    tensors = _tensors_of(_unpickle(path, trust), path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return WeightFile(path, shapes, {}, tensors)


def _unpickle(path: Path, trust: bool) -> Any:
    import torch
    with path.open("rb") as file:
        start = file.read(16)
    if not start.startswith((b"PK", b"\x80")):  # a zip archive, or a bare pickle of old versions
        raise CheckpointError(f"{path.name} is no checkpoint{_said(start)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickle protocols; errors say enough
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        blocked = re.search(r"GLOBAL (\S+)", str(error))
        what = f"a pickled {blocked.group(1)}" if blocked else "pickled objects"
        if not trust:
            raise CheckpointError(
                f"{path.name} holds {what}, which could run any program while it loads. "
                "If you trust where the file comes from, pass --trust-checkpoint") from None
        logger.warning("%s holds %s; loading it because it is trusted", path.name, what)
    except Exception as error:  # torch raises almost anything over damaged bytes
        raise _damaged(path, error) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling runs the file's own code
        raise CheckpointError(f"{path.name} does not load even when trusted: "
                              f"{_first_words(error)}") from error


def _tensors_of(loaded: Any, path: Path) -> dict[str, Tensor]:
    import torch
    if isinstance(loaded, torch.nn.Module):
        loaded = loaded.state_dict()
    for key in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    tensors = dict(loaded) if isinstance(loaded, Mapping) else {}
    if not tensors or not all(isinstance(name, str) and isinstance(value, torch.Tensor)
                              for name, value in tensors.items()):
        held = ", ".join(map(str, list(tensors)[:5])) or type(loaded).__name__
        raise CheckpointError(f"{path.name} holds no named tensors (it holds: {held}); "
                              f"expected a state dict, or one under {' or '.join(WRAPPERS)}")
    return tensors


def _damaged(path: Path, error: Exception) -> CheckpointError:
    if "TorchScript" in str(error):
        return CheckpointError(f"{path.name} is a TorchScript archive, which is a program; "
                               "save its state_dict() with torch.save instead")
    return CheckpointError(f"{path.name} is cut or damaged, or no checkpoint "
                           f"({_first_words(error)}); copy or download it again")


def _first_words(error: Exception) -> str:
    """Its first sentence; torch's go on about what to do with other tools."""
    return (str(error).splitlines() or [""])[0].split(". ")[0] or type(error).__name__


def _said(start: bytes) -> str:
    """What a file that is something else begins with, if that is readable."""
    if not start:
        return ": it is empty"
    text = start.decode("ascii", "ignore").strip()
    return f": it begins with {text!r}" if text.isprintable() and len(text) > 3 else ""
