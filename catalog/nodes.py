"""YAML's nodes with their places in the file, and plain values made from them.

A mapping's keys are always text, exactly as written: an action called `on` or `007` is called that.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

Path: TypeAlias = tuple[str, ...]


class Mark(NamedTuple):
    """A place: `line` and `column` count from 1, `offset` is the character's place in the whole text."""

    file: str
    line: int
    column: int
    offset: int


@dataclass(slots=True)
class Scalar:
    text: str
    style: str  # "" for plain, else the quote or the block indicator
    mark: Mark
    size: int = 1

    @property
    def value(self) -> str | int | float | bool | None:
        return self.text if self.style else resolve_plain(self.text)


@dataclass(slots=True)
class ListNode:
    mark: Mark
    items: list["Node"] = field(default_factory=list)
    size: int = 1


@dataclass(slots=True)
class Entry:
    key: Mark
    node: "Node"


@dataclass(slots=True)
class Mapping:
    mark: Mark
    entries: dict[str, Entry] = field(default_factory=dict)
    size: int = 1


Node: TypeAlias = Scalar | ListNode | Mapping

_KEYWORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FLOATS = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_INT = re.compile(r"[-+]?[0-9]{1,100}")
_PREFIXED = re.compile(r"0(o[0-7]{1,100}|x[0-9a-fA-F]{1,100})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def resolve_plain(text: str) -> str | int | float | bool | None:
    """A plain scalar by YAML 1.2's core schema: `on`, `21:00` and `2026-01-01` are text, as they look."""
    if text in _KEYWORDS:
        return _KEYWORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _FLOATS.get(text.lower())
    return float(special) if special else text


def plain(node: Node) -> Any:
    """`node` as dicts, lists and scalars."""
    match node:
        case Mapping():
            return {key: plain(entry.node) for key, entry in node.entries.items()}
        case ListNode():
            return [plain(item) for item in node.items]
    return node.value


def empty_values(node: Node, path: Path = ()) -> Iterator[tuple[Path, bool]]:
    """(path, whether it is an item of a list) of everything below `node` that has no value, such as `eligible:`."""
    match node:
        case Mapping():
            for key, entry in node.entries.items():
                yield from empty_values(entry.node, (*path, key))
                if _is_empty(entry.node):
                    yield (*path, key), False
        case ListNode():
            for place, item in enumerate(node.items):
                yield from empty_values(item, (*path, str(place)))
                if _is_empty(item):
                    yield (*path, str(place)), True


def _is_empty(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def steps(node: Node, path: Sequence[str]) -> Iterator[Entry]:
    """The entries on the way along `path`, as far as it exists."""
    for step in path:
        if isinstance(node, Mapping) and step in node.entries:
            entry = node.entries[step]
        elif isinstance(node, ListNode) and step.isdigit() and int(step) < len(node.items):
            item = node.items[int(step)]
            entry = Entry(item.mark, item)
        else:
            return
        yield entry
        node = entry.node
