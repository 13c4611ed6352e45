"""A batch: the events of a slice of a file, column by column, and what is wrong with any of them.

What is refused here is what would be refused of the same events one by one, for the same reasons: features.readings and
features.applying say which, and are asked once per distinct value instead of once per row. What takes consent back is
never refused once its customer is known: it goes without what can't be read.
"""

from collections.abc import Callable, Container, Mapping
from functools import cached_property, partial
from typing import Any

import msgspec
import numpy as np

from catalog.series import Aggregates
from features import event_columns
from features.applying import FUTURE_US
from features.bulk_coded import Coded, Ints, Mapped, Mask, OutOfRange, coded
from features.columns import BadRow
from features.event_columns import AT, CUSTOMER, DECISION, ID, OWN, PROPERTIES, TYPE, EventColumns
from features.event_slice import MOST_PROPERTIES, Slice, bounded, together
from features.events import NO_MORE, known_as
from features.readings import typed
from rules.types import shown

Row = int
_encode = msgspec.msgpack.Encoder().encode


class Batch:
    """The rows of `found`. `now` is the service's time, in microseconds since 1970; `source` names the file in ids.

    `good` says which rows are events that can be stored, `at` when they happened; `bad` are the others.
    """

    def __init__(self, found: Slice, columns: EventColumns, aggregates: Aggregates, now: int, source: str) -> None:
        self.aggregates = aggregates
        self.now = now
        self._found = found
        self._columns = columns
        self._source = source
        self._size = len(found.lines)
        self._refused: dict[Row, str] = {}
        self._sent: dict[str, Any] = {}
        self._of_rows: dict[str, Coded] = {}
        self.good: Mask = np.ones(self._size, dtype=bool)
        self._final: Mask = np.zeros(self._size, dtype=bool)
        self.mended: set[Row] = set()
        """Rows that take consent back, and in which something can't be read."""
        self.customers = self._own(CUSTOMER)
        self.customer_ids = self._mapped(CUSTOMER, self.customers, event_columns.customer_id)
        self.identified: Mask = self.good.copy()
        """Rows that have a customer, good ones or not."""
        self.kinds = Coded(np.zeros(self._size, np.int64), [columns.kind]) if columns.kind else self._own(TYPE)
        self.types = self._mapped(TYPE, self.kinds, event_columns.event_type)
        self._final = self.identified & self._takes_back
        self._ids = self._own(ID)
        self._event_ids = self._mapped(ID, self._ids, event_columns.event_id)
        self._decisions = self._own(DECISION)
        self._decision_ids = self._mapped(DECISION, self._decisions, event_columns.decision_id)
        self.at = self._moments()
        self._properties = self._own_properties()
        self._check_properties()

    @property
    def has_ids(self) -> bool:
        return any(self._event_ids.made)

    @property
    def widest(self) -> int:
        """About how many bytes the properties of an event have at most."""
        if self._properties is not None:
            return max((len(_encode(properties)) for properties in self._properties), default=0)
        columns = [column for name, column in self._found.columns.items() if name not in OWN]
        return sum(column.widest for column in columns)

    @property
    def bad(self) -> list[BadRow]:
        lines = self._found.lines
        rows = [*self._found.bad, *(BadRow(lines[row], reason) for row, reason in self._refused.items())]
        return sorted(rows, key=lambda row: row.line)

    def refuse(self, rows: Ints, reason: str) -> None:
        self.mended.update(rows[self._final[rows]].tolist())
        rows = rows[~self._final[rows]]
        for row in rows.tolist():
            self._refused.setdefault(row, reason)
        self.good[rows] = False

    def leave_out(self, stored: Mapping[str, Container[str]]) -> int:
        """Leaves out what is stored already: what events are known as, by customer. How many there were."""
        rows = np.flatnonzero(self.good)
        who = self.customer_ids.objects[self.customers.codes[rows]]
        names = map(known_as, self.types.objects[self.kinds.codes[rows]], self.event_ids(rows))
        there = [name in stored[customer] for customer, name in zip(who, names, strict=True)]
        self.good[rows[np.array(there, dtype=bool)]] = False
        return sum(there)

    def event_ids(self, rows: Ints) -> list[str]:
        """Their own, else made of the file and the line."""
        lines = self._found.lines
        if not self.has_ids:
            return [f"{self._source}:{lines[row]}" for row in rows.tolist()]
        made, codes = self._event_ids.made, self._ids.codes
        return [made[codes[row]] or f"{self._source}:{lines[row]}" for row in rows.tolist()]

    def once(self, rows: Ints, pieces: Ints) -> Ints:
        """Which of `rows`, in pieces, to keep so that in no piece an event is known as another: of each the first."""
        if not self.has_ids:
            return np.arange(len(rows))
        numbers: dict[str, int] = {}
        again = np.array([numbers.setdefault(made or "", len(numbers)) for made in self._event_ids.made], np.int64)
        kinds = np.array([sorted(NO_MORE).index(kind) + 1 if kind in NO_MORE else 0 for kind in self.types.made])
        codes = again[self._ids.codes[rows]] + len(numbers) * kinds[self.kinds.codes[rows]]
        given = np.array([bool(made) for made in self._event_ids.made], dtype=bool)[self._ids.codes[rows]]
        named = np.flatnonzero(given)
        _, firsts = np.unique(pieces[named] * len(numbers) * (len(NO_MORE) + 1) + codes[named], return_index=True)
        return np.sort(np.concatenate((named[firsts], np.flatnonzero(~given))))

    def decision_ids(self, rows: Ints) -> list[str]:
        if not any(self._decision_ids.made):
            return [""] * len(rows)
        made, codes = self._decision_ids.made, self._decisions.codes
        return [made[code] or "" for code in codes[rows].tolist()]

    @cached_property
    def answering(self) -> Mask:
        """Events that answer a contact, or take a consent back."""
        found: Mask = self._outcomes & (self._takes_back | self._decided)
        return found

    @cached_property
    def _takes_back(self) -> Mask:
        final = np.array([kind in NO_MORE for kind in self.types.made], dtype=bool)
        found: Mask = final[self.kinds.codes]
        return found

    @cached_property
    def undecided(self) -> Mask:
        """Outcomes that name no decision, and so answer no contact."""
        found: Mask = self._outcomes & ~self._decided
        return found

    @cached_property
    def _outcomes(self) -> Mask:
        outcome = np.array([kind in self.aggregates.outcomes for kind in self.types.made], dtype=bool)
        found: Mask = outcome[self.kinds.codes]
        return found

    @cached_property
    def _decided(self) -> Mask:
        named = np.array([bool(decision) for decision in self._decision_ids.made], dtype=bool)
        return named[self._decisions.codes] if len(named) else np.zeros(self._size, dtype=bool)

    @cached_property
    def unknown(self) -> Mask:
        """Events of types that the catalog doesn't know."""
        known = np.array([kind in self.aggregates.declared for kind in self.types.made], dtype=bool)
        found: Mask = ~known[self.kinds.codes]
        return found

    def rows_of(self, event_type: str) -> Ints:
        codes = [code for code, kind in enumerate(self.types.made) if kind == event_type]
        return np.flatnonzero(self.good & np.isin(self.kinds.codes, codes))

    def typed(self, event_type: str, name: str) -> tuple[Coded, Mapped]:
        """The property as its declared type, wherever it is needed."""
        column = self._column(name)
        return column, column.mapped(("typed", event_type, name), partial(self._typed, event_type, name))

    def sent(self, order: Ints) -> tuple[list[str], list[Any]]:
        """The properties of the rows in `order`: names, and for each an array of values, None where it has none.

        Of rows that have their own, no names and one array of dicts.
        """
        if self._properties is not None:
            whole = np.empty(self._size, dtype=object)
            whole[:] = self._properties
            return [], [whole[order]]
        names = [name for name in self._found.columns if name not in OWN]
        return names, [self._sent_column(name)[order] for name in names]

    def _own(self, name: str) -> Coded:
        return self._found.columns.get(name) or Coded(np.zeros(self._size, np.int64), [None])

    def _mapped(self, name: str, column: Coded, make: Callable[[Any], Any]) -> Mapped:
        mapped = column.mapped(name, make)
        self._refuse_errors(name, column, mapped)
        return mapped

    def _refuse_errors(self, name: str, column: Coded, mapped: Mapped, among: Mask | None = None) -> None:
        for code, error in mapped.errors.items():
            with_it = column.codes == code
            reason = str(error).removeprefix(f"{name}: ")
            self.refuse(np.flatnonzero(with_it if among is None else with_it & among), f"{name}: {reason}")

    def _moments(self) -> Ints:
        column, text = self._own(AT), self._found.text
        moments = column.moments
        if moments is None:
            mapped = self._mapped(AT, column, lambda raw: self._columns.moment(raw, text=text))
            moments = np.array([self.now if moment is None else moment for moment in mapped.made], dtype=np.int64)
        at = moments[column.codes]
        ahead = np.flatnonzero(self.good & (at > self.now + FUTURE_US))
        for row in ahead.tolist():
            minutes = (int(at[row]) - self.now) / 60e6
            self.refuse(np.array([row]), f"{AT}: lies {minutes:,.1f} minutes ahead of this service's clock")
        return np.minimum(at, self.now)

    def _own_properties(self) -> list[dict[str, Any]] | None:
        """Of each row, where they come in a column of their own; None where each row has the same."""
        if self._found.properties is not None or PROPERTIES not in self._found.columns:
            return self._found.properties
        column = self._found.columns[PROPERTIES]
        given = self._mapped(PROPERTIES, column, self._columns.properties)
        names = [name for name in self._found.columns if name not in OWN]
        others = zip(*(self._sent_column(name).tolist() for name in names), strict=True) if names else ()
        rows = [_present(names, cells) for cells in others] if names else [{}] * self._size
        found: list[dict[str, Any]] = []
        for row, code in enumerate(column.codes.tolist()):
            try:
                found.append(bounded(together(given.made[code], rows[row])))
            except ValueError as error:
                self.refuse(np.array([row]), str(error))
                found.append({})
        return found

    def _check_properties(self) -> None:
        """Refuses rows with a property that a series needs and can't read, and all that JSON can't hold."""
        if self._properties is None:
            for name in self._found.columns:
                if name not in OWN:
                    self._sent_column(name)
            self._check_sizes([name for name in self._found.columns if name not in OWN])
        for event_type, needed in self.aggregates.needed.items():
            rows = self.rows_of(event_type)
            if not len(rows):
                continue
            among = np.zeros(self._size, dtype=bool)
            among[rows] = True
            for name in sorted(needed):
                self._refuse_errors(name, *self.typed(event_type, name), among)

    def _check_sizes(self, names: list[str]) -> None:
        """Few rows are anywhere near what an event may have: only those with a long value are looked at."""
        most = MOST_PROPERTIES // (4 * len(names) + 1)  # characters, of up to four bytes each
        suspected = np.zeros(self._size, dtype=bool)
        for name in names:
            column = self._found.columns[name]
            suspected |= np.array([_is_long(value, most) for value in column.values], dtype=bool)[column.codes]
        for row in np.flatnonzero(suspected & self.good).tolist():
            try:
                bounded(_present(names, tuple(self._sent[name][row] for name in names)))
            except ValueError as error:
                self.refuse(np.array([row]), str(error))
                for name in names:
                    self._sent[name][row] = None

    def _column(self, name: str) -> Coded:
        if self._properties is None:
            return self._own(name)
        if name not in self._of_rows:
            self._of_rows[name] = coded([properties.get(name) for properties in self._properties])
        return self._of_rows[name]

    def _typed(self, event_type: str, name: str, raw: Any) -> Any:
        if self._properties is None:
            raw = self._columns.property(self.aggregates.declared[event_type][name], raw, text=self._found.text)
        return typed(self.aggregates, event_type, name, raw)

    def _sent_column(self, name: str) -> Any:
        """What the property is in each row, as JSON has it; of which type it is declared may differ by event type."""
        if name in self._sent:
            return self._sent[name]
        column = self._found.columns[name]
        if column.plain and not self._found.text:
            mapped = self._mapped(name, column, _itself)
            self._sent[name] = mapped.objects[column.codes]
            return self._sent[name]
        kinds = [self._columns.kind_of(kind, name) if kind else None for kind in self.types.made]
        found = np.empty(self._size, dtype=object)
        for declared in set(kinds):
            mapped = column.mapped(("sent", declared), partial(self._columns.property, declared, text=self._found.text))
            of_kind = np.array([kind is declared for kind in kinds], dtype=bool)[self.kinds.codes]
            self._refuse_errors(name, column, mapped, of_kind)
            found[of_kind] = mapped.objects[column.codes[of_kind]]
        self._sent[name] = found
        return found


def _itself(raw: Any) -> Any:
    """Raises ValueError for a text that is none."""
    if raw.__class__ is OutOfRange:
        raise ValueError(f"expected what JSON can hold, got {shown(raw)}")
    return raw


def _is_long(value: Any, most: int) -> bool:
    return isinstance(value, list | dict) or (isinstance(value, str) and len(value) > most)


def _present(names: list[str], cells: tuple[Any, ...]) -> dict[str, Any]:
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell is not None}
