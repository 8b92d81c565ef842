"""YAML that people write: read strictly, and told in a sentence with its line where it is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import yaml


def parse_yaml(text: str, where: str, error: type[Exception]) -> Any:
    """The plain values of a YAML text, None of an empty one.

    Raises `error` with a sentence that begins with `where` and names line and column; also where a
    key stands twice in one mapping: PyYAML would take the last without a word.
    """
    node = compose_yaml(text, where, error)
    with _told(where, error):
        return yaml.SafeLoader("").construct_document(node) if node is not None else None


def compose_yaml(text: str, where: str, error: type[Exception]) -> yaml.Node | None:
    """The same as nodes, which know their lines. Raises as `parse_yaml` does."""
    with _told(where, error):
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        check_keys(node)
        return node


def check_keys(root: yaml.Node | None) -> None:
    """Raises yaml.MarkedYAMLError where a key stands twice in one mapping of the tree."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            _check_mapping(node)
            waiting += [value for _, value in node.value]


def _check_mapping(node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in lines:
            raise yaml.MarkedYAMLError(
                problem=f"{key.value!r} stands here a second time; line {lines[key.value]} has it "
                        "already", problem_mark=key.start_mark)
        lines[key.value] = line


@contextlib.contextmanager
def _told(where: str, error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise error(f"{where}{at}: not valid YAML: {fault.problem}") from fault
    # ValueError: 2024-02-30 is no date; RecursionError: lists in lists without an end
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise error(f"{where}: not valid YAML: {fault}") from fault
