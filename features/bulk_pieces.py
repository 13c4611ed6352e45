"""Pieces: the events of a batch cut up by customer, each piece one commit.

A piece is what a customer's commit of several events is online: new state, an entry of the log and the marks of the
events' ids, together. Events with ids of their own are marked each by its id, as if they had been sent; where the file
has none, one mark for the piece says that it was stored. Where the pieces of a file are cut depends on the file alone,
so that a piece stored by an import that was killed is known to the one that goes on.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from catalog.plan import Plan
from features.applying import Sent, apply_events, misplaced
from features.bulk_batch import Batch
from features.bulk_coded import Ints
from features.bulk_series import deltas, readers, too_old
from features.cache import Snapshot
from features.commit import Commit, Committed, Known, Outcome
from features.customer import Customer
from features.encoding import encode
from features.events import NO_MORE, Event, digest, known_as, pack_events
from features.series import Stored, cut, joined
from features.store import CustomerStore

MOST_EVENTS = 2_000  # in an entry of the log
MOST_BYTES = 1_000_000  # in an entry, about: what takes long to pack is late when it comes to be committed
MOST_IDS = 500  # in a commit: while it looks them up, Redis does nothing else


class Pieces:
    """The events of `batch`, cut. `first` is the number of its first row in the file; `source` names the file.

    `tally` counts what becomes of the events: `stored`, `duplicate`, and what there is to note of stored ones.
    """

    def __init__(self, plan: Plan, batch: Batch, source: str, first: int) -> None:
        self.plan = plan
        self.batch = batch
        self.tally: Counter[str] = Counter()
        self.tally["mended"] += len(batch.mended)
        self._mark = None if batch.has_ids else f"{source}:{first}"
        found = readers(batch)
        most = MOST_IDS if batch.has_ids else MOST_EVENTS
        self.size = max(1, min(most, MOST_BYTES // max(1, batch.widest)))
        """Events in a piece at most; it depends on the file alone, as a piece has to be known again."""
        self._pieces = self._cut(self.size)
        self._ids = _objects(batch.event_ids(self.order))
        self._decisions = _objects(batch.decision_ids(self.order))
        self._types = batch.types.objects[batch.kinds.codes[self.order]]
        self._at = batch.at[self.order]
        self._names, self._cells = batch.sent(self.order)
        piece_of = np.full(len(batch.good), -1, dtype=np.int64)
        piece_of[self.order] = self._pieces
        self._deltas = deltas(batch, found, piece_of, self.count)
        self._answering = batch.answering[self.order]
        undecided = batch.undecided[self.order]
        self._notes = {
            "unknown_type": batch.unknown[self.order],
            "too_old": self._late(found)[self.order],
            "no_decision": undecided,
            "decision_in_properties": self._misplaced(undecided),
        }

    def __iter__(self) -> Iterator["Piece"]:
        """The first of each customer, then the second of each, and so on."""
        starts = np.searchsorted(self._pieces, np.arange(self.count + 1)).tolist()
        for number in sorted(range(self.count), key=self._turns.__getitem__):
            if starts[number] < starts[number + 1]:
                yield Piece(self, self._customers[number], number, starts[number], starts[number + 1])

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.order)

    def _cut(self, size: int) -> Ints:
        """Sets `order`, the rows to be stored, piece by piece; of each row in `order`, its piece."""
        batch = self.batch
        rows = np.flatnonzero(batch.identified)
        names, codes = _united(batch.customer_ids.made, batch.customers.codes)
        rows = rows[np.argsort(codes[rows], kind="stable")]
        customers = codes[rows]
        begins = np.flatnonzero(np.diff(customers, prepend=-1))
        rank = np.arange(len(rows)) - np.repeat(begins, np.diff(begins, append=len(rows)))
        cuts = np.flatnonzero(rank % size == 0)
        pieces = np.repeat(np.arange(len(cuts)), np.diff(cuts, append=len(rows)))
        self.count = len(cuts)
        self._customers = [names[code] for code in customers[cuts].tolist()]
        self._turns = (rank[cuts] // size).tolist()
        good = batch.good[rows]
        rows, pieces = rows[good], pieces[good]
        once = batch.once(rows, pieces)
        self.tally["duplicate"] += len(rows) - len(once)
        self.order = rows[once]
        return pieces[once]

    def _late(self, found: list[Any]) -> Any:
        """Events that some series would count, but none any more."""
        fed, in_time = np.zeros(len(self.batch.good), dtype=bool), np.zeros(len(self.batch.good), dtype=bool)
        for _, series, rows in found:
            fed[rows] = True
            in_time[rows[~too_old(series, self.batch.at[rows], self.batch.now)]] = True
        return fed & ~in_time

    def _misplaced(self, undecided: Any) -> Any:
        """Outcomes that name their decision among their properties alone."""
        found = undecided.copy()
        for row in np.flatnonzero(undecided).tolist():
            (properties,) = self._sent(row, row + 1)
            found[row] = misplaced(properties)
        return found

    def sent(self, customer_id: str, begin: int, end: int) -> list[Sent]:
        """Those in `order` from `begin` to `end`, as if each had been sent."""
        columns = (self._ids, self._types, self._at, self._decisions)
        rows = zip(*(column[begin:end].tolist() for column in columns), self._sent(begin, end), strict=True)
        return [Sent(event_id, customer_id, kind, at, sent, named) for event_id, kind, at, named, sent in rows]

    def events(self, begin: int, end: int, now: int) -> list[Event]:
        columns = (self._ids, self._types, self._at, self._decisions)
        rows = zip(*(column[begin:end].tolist() for column in columns), self._sent(begin, end), strict=True)
        return [Event(event_id, kind, at, now, sent, named) for event_id, kind, at, named, sent in rows]

    def _sent(self, begin: int, end: int) -> list[dict[str, Any]]:
        cells = [column[begin:end].tolist() for column in self._cells]
        if not self._names:
            return list(cells[0]) if cells else [{} for _ in range(end - begin)]
        rows = zip(*cells, strict=True)
        names = self._names
        if any(None in column for column in cells):
            return [{name: cell for name, cell in zip(names, row, strict=True) if cell is not None} for row in rows]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def grown(self, customer: Customer, number: int, now: int) -> Customer:
        """`customer` with what the piece's events come to."""
        delta = self._deltas[number]
        if not delta:
            return customer
        kept: dict[int, Stored] = dict(customer.series)
        for series in self.plan.aggregates.series:
            stored, added = kept.pop(series.key, None), delta.get(series.key)
            longer = stored if added is None else joined(series, stored, added)
            longer = None if longer is None else cut(series, longer, now)
            if longer is not None:
                kept[series.key] = longer
        return msgspec.structs.replace(customer, series=kept)

    def answers(self, begin: int, end: int) -> bool:
        return bool(self._answering[begin:end].any())

    def mark(self, customer_id: str, number: int) -> bytes | None:
        """What the piece is known by; None where its events are, each by its id."""
        return None if self._mark is None else digest(f"{self._mark}:{self._turns[number]}:{customer_id}")

    def count_notes(self, begin: int, end: int) -> None:
        for note, noted in self._notes.items():
            self.tally[note] += int(np.count_nonzero(noted[begin:end]))


class Piece:
    """Some events of one customer on their way to be stored. `refuses` says whether any takes a consent back."""

    __slots__ = (
        "_begin", "_end", "_left", "_mark", "_noted", "_number", "_pieces", "customer", "customer_id", "refuses",
    )  # fmt: skip

    def __init__(self, pieces: Pieces, customer_id: str, number: int, begin: int, end: int) -> None:
        self.customer_id = customer_id
        self.customer = Customer()
        self._pieces = pieces
        self._number = number
        self._begin, self._end = begin, end
        self._mark = pieces.mark(customer_id, number)
        self._left: list[Sent] | None = pieces.sent(customer_id, begin, end) if pieces.answers(begin, end) else None
        """The events that are left to be stored one by one; None where they are stored as columns."""
        self.refuses = any(each.type in NO_MORE for each in self._left or ())
        self._noted: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._end - self._begin

    def commit(self, store: CustomerStore, customer_id: str, snapshot: Snapshot, ticket: bytes | None) -> Commit | None:
        """What is to be written for `customer_id`, who is or has become this customer, on `snapshot`.

        None where nothing is left. Raises ClockError.
        """
        now = store.now_for(snapshot)
        self.customer, events = self.applied(snapshot.customer, now)
        if not events:
            return None
        return Commit(
            customer_id,
            snapshot.version,
            now,
            None if self.customer is snapshot.customer else encode(self.customer),
            ttl_ms=store.lifetime_ms(self.customer),
            ids=[self._mark]
            if self._mark is not None
            else [digest(known_as(event.type, event.id)) for event in events],
            events=pack_events(events),
            ticket=ticket,
        )

    def applied(self, customer: Customer, now: int) -> tuple[Customer, Sequence[Event]]:
        """`customer` with the events in them, and what is to be logged. Pure, but for what it keeps to be counted."""
        if self._left is None:
            return self._pieces.grown(customer, self._number, now), self._pieces.events(self._begin, self._end, now)
        applied = apply_events(self._pieces.plan, customer, self._left, now)
        self._noted = Counter(note for result in applied.results for note in result.notes)
        return applied.customer, applied.events

    def learn(self, outcome: Outcome) -> bool:
        """Whether that was all. What it means for the events is counted then."""
        tally = self._pieces.tally
        if isinstance(outcome, Committed):
            tally["stored"] += len(self) if self._left is None else len(self._left)
            if self._left is None:
                self._pieces.count_notes(self._begin, self._end)
            else:
                tally.update(self._noted)
            return True
        if not isinstance(outcome, Known):
            return False
        if self._mark is not None:  # this import stored it before it was cut short
            tally["stored"] += len(self)
            return True
        left = self._pieces.sent(self.customer_id, self._begin, self._end) if self._left is None else self._left
        known = set(outcome.places)
        self._left = [each for place, each in enumerate(left) if place not in known]
        tally["duplicate"] += len(known)
        return not self._left


def _objects(values: list[Any]) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _united(names: list[str | None], codes: Ints) -> tuple[list[str], Ints]:
    """Codes anew, as two different cells (7 and "7") may be the same name."""
    numbers: dict[str | None, int] = {}
    again = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    return [name or "" for name in numbers], again[codes]
