"""What is archived: decisions and events, each from a stream of its own into files of its own, in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa

from archive import event_rows, rows
from archive.streams import Entry, Source
from archive.tables import Spelled, quarantine_schema
from catalog.retention import Retention
from features.keys import Layout


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` and `quarantine` are folders of the archive. `spell` raises ValueError, saying why it can't.

    `known` are the columns that tell entries apart, as Spelled.known has them; `span` is what a file's name begins
    with, of its entries in order.
    """

    name: str
    quarantine: str
    source: Source
    schema: pa.Schema
    quarantine_schema: pa.Schema
    known: tuple[str, ...]
    spell: Callable[[Entry], Spelled]
    span: Callable[[Sequence[Spelled]], str]
    retention: Callable[[Retention], timedelta | None]


def _moments(spelled: Sequence[Spelled]) -> str:
    """From which to which decision: the first 12 digits of their ids are milliseconds."""
    return f"{spelled[0].key[0][:12]}-{spelled[-1].key[0][:12]}-"


DECISIONS = Kind(
    "decisions",
    "quarantine",
    Source(Layout.decisions, (b"d", b"r")),
    rows.SCHEMA,
    quarantine_schema("decision_id"),
    ("decision_id",),
    rows.spelled_record,
    _moments,
    lambda retention: retention.decisions,
)
EVENTS = Kind(
    "events",
    "quarantine_events",
    Source(Layout.events, (b"c", b"e")),
    event_rows.SCHEMA,
    quarantine_schema("customer_id"),
    ("customer_id", "entry"),
    event_rows.spelled_events,
    lambda spelled: "",
    lambda retention: retention.events,
)
KINDS = (DECISIONS, EVENTS)
FOLDERS = tuple(folder for kind in KINDS for folder in (kind.name, kind.quarantine))
