"""Composing: YAML text into nodes that know their place.

ruamel.yaml's own loaders either forget places or keep comments as well, at several times the cost; its event stream
has what is needed, so the nodes are built here. The pure Python parser is used on purpose: the C one speaks YAML 1.1
and is not everywhere, and a catalog must mean the same on every machine.
"""

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from catalog.diagnostics import Diagnostic
from catalog.nodes import Entry, ListNode, Mapping, Mark, Node, Scalar
from rules.types import encodable

MAX_DEPTH = 32
QUOTE_IT = "; a rule that begins with ! needs quotes round it"
# Aliases are counted as often as they are used: a page of them must not become gigabytes.
MAX_NODES = 2_000_000


class YamlError(Exception):
    """Text that is not YAML, or not the YAML a catalog may use."""

    def __init__(self, code: str, message: str, mark: Mark) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.mark = mark


def compose(file: str, text: str) -> tuple[Node | None, list[Diagnostic]]:
    """The only document in `text` (None if it is empty or not YAML at all) and what is wrong with it."""
    composer = _Composer(file, text)
    try:
        return composer.document(), composer.diagnostics
    except YamlError as error:
        composer.report(error.code, error.message, error.mark)
    except MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        said = " ".join(str(part).strip() for part in (error.context, error.problem) if part)
        composer.report("yaml-syntax", f"not valid YAML: {said}{_unquoted(text, place)}", composer.mark(place))
    except YAMLError as error:
        said = str(getattr(error, "reason", None) or error).splitlines()[0]
        composer.report("yaml-syntax", f"not valid YAML: {said}", _character(file, text, error))
    except (ValueError, IndexError, OverflowError) as error:
        # ruamel's scanner lets a few of these through (a \U escape beyond Unicode, a %YAML directive's numbers).
        composer.report("yaml-syntax", f"not valid YAML: {error}", Mark(file, 1, 1, 0))
    return None, composer.diagnostics


def _unquoted(text: str, place: Any) -> str:
    """What to do where a value on that line begins with !, as rules do and tags."""
    line = text.split("\n")[place.line] if place is not None else ""
    return QUOTE_IT if re.search(r"[:,{\[-]\s+!", line) else ""


def _character(file: str, text: str, error: YAMLError) -> Mark:
    index = getattr(error, "position", 0)
    before = text[: index if isinstance(index, int) else 0]
    return Mark(file, before.count("\n") + 1, len(before) - before.rfind("\n"), len(before))


class _Composer:
    def __init__(self, file: str, text: str) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._file = file
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))
        self._anchors: dict[str, Node | None] = {}

    def mark(self, place: Any) -> Mark:
        if place is None:
            return Mark(self._file, 1, 1, 0)
        return Mark(self._file, place.line + 1, place.column + 1, place.index)

    def report(self, code: str, message: str, mark: Mark, path: str = "") -> None:
        self.diagnostics.append(Diagnostic("error", code, message, self._file, mark.line, mark.column, path))

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    raise YamlError(
                        "yaml-documents", "a second document (---) in one file", self.mark(event.start_mark)
                    )
                root = self._node(next(self._events), ())
            elif isinstance(event, StreamEndEvent):
                break
        return root

    def _node(self, event: Any, path: tuple[str, ...]) -> Node:
        mark = self.mark(event.start_mark)
        if len(path) > MAX_DEPTH:
            raise YamlError("yaml-depth", f"nested more than {MAX_DEPTH} levels deep", mark)
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, mark)
        if event.ctag is not None:
            message = f"tags such as {event.tag} are not supported: write the plain value{QUOTE_IT}"
            self.report("yaml-tag", message, mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._composed(event, mark, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if node.size > MAX_NODES:
            raise YamlError("yaml-size", f"more than {MAX_NODES:,} values, aliases counted as often as used", mark)
        return node

    def _composed(self, event: Any, mark: Mark, path: tuple[str, ...]) -> Node:
        if isinstance(event, ScalarEvent):
            if not encodable(event.value):
                raise YamlError("yaml-syntax", "half of a surrogate pair is no text", mark)
            return Scalar(event.value, event.style or "", mark)
        if isinstance(event, SequenceStartEvent):
            items = ListNode(mark)
            while not isinstance(event := next(self._events), SequenceEndEvent):
                items.items.append(self._node(event, (*path, str(len(items.items)))))
                items.size += items.items[-1].size
            return items
        if isinstance(event, MappingStartEvent):
            return self._mapping(mark, path)
        raise YamlError("yaml-syntax", "not valid YAML here", mark)

    def _mapping(self, mark: Mark, path: tuple[str, ...]) -> Mapping:
        mapping = Mapping(mark)
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._node(event, path)
            place = self.mark(event.start_mark)
            name = key.text if isinstance(key, Scalar) else None
            node = self._node(next(self._events), (*path, name or "?"))
            mapping.size += node.size
            if name is None:
                self.report("yaml-key", "a key must be text", place, ".".join(path))
            elif name in mapping.entries:
                first = mapping.entries[name].key.line
                where = ".".join((*path, name))
                self.report("duplicate-key", f"`{name}` is given twice; first on line {first}", place, where)
            else:
                mapping.entries[name] = Entry(place, node)
        return mapping

    def _alias(self, anchor: str, mark: Mark) -> Node:
        node = self._anchors.get(anchor)
        if node is None:
            inside = anchor in self._anchors
            said = f"*{anchor} stands inside what it names" if inside else f"*{anchor} names no anchor above it"
            raise YamlError("yaml-alias", said, mark)
        return node
