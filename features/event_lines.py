"""Lines of JSON: events as `POST /events` takes them, or with their properties beside the fields of their own."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from features.bulk_coded import coded
from features.columns import BadRow
from features.event_columns import OWN, PROPERTIES, TYPE, EventColumns, no_number
from features.event_slice import Slice, bounded, together
from features.events import NO_MORE
from features.rows import unrepeated
from rules.types import shown

_decode = json.JSONDecoder(object_pairs_hook=unrepeated, parse_constant=no_number).decode


def json_slices(path: Path, columns: EventColumns, after: int, size: int) -> Iterator[Slice]:
    """The lines behind the first `after`, at most `size` in a slice."""
    with path.open("rb") as file:
        lines = enumerate(file, start=1)
        for _ in islice(lines, after):
            pass
        while part := list(islice(lines, size)):
            yield _slice(part, columns)


def _slice(part: list[tuple[int, bytes]], columns: EventColumns) -> Slice:
    found = Slice([], {}, len(part), properties=[])
    own: list[dict[str, Any]] = []
    for line, text in part:
        if not text.strip():
            continue
        try:
            cells, properties = _row(text, columns)
        except (ValueError, RecursionError) as error:
            found.bad.append(BadRow(line, str(error)))
            continue
        found.lines.append(line)
        own.append(cells)
        if found.properties is not None:
            found.properties.append(properties)
    given = set[str]().union(*own)
    found.columns = {name: coded([row.get(name) for row in own]) for name in OWN if name in given}
    return found


def _row(text: bytes, columns: EventColumns) -> tuple[dict[str, Any], dict[str, Any]]:
    """An event's own cells, and its properties. Raises ValueError."""
    try:
        cells = _decode(text.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(cells, dict):
        raise ValueError(f"expected an object, got {shown(cells)}")
    named = {columns.name(key): value for key, value in cells.items()} if columns.mapping else dict(cells)
    if len(named) < len(cells):
        raise ValueError("two keys mean the same")
    own = {name: named.pop(name) for name in OWN if name in named}
    try:
        return own, bounded(together(own.pop(PROPERTIES, None), named))
    except ValueError:
        if (columns.kind or own.get(TYPE)) not in NO_MORE:
            raise
        return own, {}  # what takes consent back is never refused for its properties
