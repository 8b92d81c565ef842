"""YAML whose mappings remember their lines, so that an error can name file and line."""

import difflib
from pathlib import Path
from typing import Any

import yaml

from models.yaml_text import check_keys
from training.synthesis.assets import SynthesisError


class Located(dict[str, Any]):
    """A mapping that knows its file and the line of each key (1-based)."""

    path: Path
    line: int
    lines: dict[str, int]

    def error(self, message: str, key: str | None = None) -> SynthesisError:
        """An error to raise about this mapping, or about one of its keys."""
        line = self.lines.get(key, self.line) if key is not None else self.line
        return SynthesisError(f"{self.path}, line {line}: {message}")

    def only(self, allowed: tuple[str, ...]) -> None:
        """Raise for any key that is not allowed, naming the nearest one that is."""
        for key in self:
            if key not in allowed:
                near = difflib.get_close_matches(str(key), allowed, 1)
                hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(allowed)}."
                raise self.error(f"unknown key '{key}'; {hint}", key)


# The compiled parser is ten times faster, and not everywhere.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    path: Path


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Located:
    loader.flatten_mapping(node)
    out = Located()
    out.path, out.line, out.lines = loader.path, node.start_mark.line + 1, {}
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        out[key] = loader.construct_object(value_node, deep=True)
        out.lines[key] = key_node.start_mark.line + 1
    return out


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _document(text: str, path: Path) -> Any:
    loader = _Loader(text)  # raises, too: it looks for letters that YAML does not know
    loader.path = path
    try:
        node = loader.get_single_node()
        check_keys(node)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def load(path: Path) -> Located:
    """Read one YAML file whose top level is a mapping.

    Raises SynthesisError when the file is missing, is no YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SynthesisError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SynthesisError(f"{path} is no text in UTF-8; save it as that.") from error
    try:
        data = _document(text, path)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SynthesisError(f"{path}, line {line}: not valid YAML ({error.problem}).") from error
    # ValueError: 2024-02-30 is no date; RecursionError: lists in lists without an end
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SynthesisError(f"{path}: not valid YAML ({error}).") from error
    if not isinstance(data, Located):
        raise SynthesisError(f"{path}, line 1: expected `key: value` lines at the top level.")
    return data
