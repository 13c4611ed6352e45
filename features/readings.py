"""Readings: what events say to the series that they feed. Pure."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from catalog.series import Aggregates, Series
from features.series import LARGEST, Stored, cut, past_until, put_all
from rules.errors import EvaluationError
from rules.programs import Frame
from rules.types import AttributeType, coerce, shown

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # filters see the event alone
_NO_CUSTOMER: dict[str, Any] = {}

Readings = list[tuple[Series, Any]]


class MisfitError(ValueError):
    """A property that a series needs is not of its declared type, or more than can be added up. `code` is stable."""

    def __init__(self, code: str, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.code = code
        self.property = name


class _Reader(NamedTuple):
    """What series want of one type of event: the properties they need, those that are added up, and who reads what."""

    needed: tuple[tuple[str, AttributeType], ...]
    added: frozenset[str]
    fed: tuple[Series, ...]


_NOBODY = _Reader((), frozenset(), ())


def _reader_of(aggregates: Aggregates, kind: str) -> _Reader:
    known: _Reader | None = aggregates.readers.get(kind)
    if known is None:
        fed = aggregates.of_event.get(kind)
        if not fed:
            return _NOBODY  # not remembered: there is no end to types nobody declared
        declared = aggregates.declared[kind]
        added = frozenset(each.property for each in fed if each.sums and each.property is not None)
        needed = tuple((name, declared[name]) for name in sorted(aggregates.needed[kind]))
        known = aggregates.readers[kind] = _Reader(needed, added, fed)
    return known


def readings(aggregates: Aggregates, kind: str, properties: Mapping[str, Any]) -> Readings:
    """The series that an event of type `kind` counts in, each with the value it reads (0 where it reads none).

    An event without a property that a series reads does not count there. Raises MisfitError.
    """
    reader = _reader_of(aggregates, kind)
    values = _typed(reader, properties)
    found: Readings = []
    for series in reader.fed:
        value = 0 if series.property is None else values.get(series.property)
        if value is not None and (series.where is None or holds(series, frame_of(values))):
            found.append((series, value))
    return found


def _typed(reader: _Reader, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that series need, as their declared types. Raises MisfitError."""
    values: dict[str, Any] = {}
    for name, wanted in reader.needed:
        raw = properties.get(name)
        if raw is None:
            continue
        if raw.__class__ is str and wanted is AttributeType.STRING:
            values[name] = raw
            continue
        try:
            value = coerce(wanted, raw)
        except ValueError as error:
            raise MisfitError("wrong_type", name, str(error)) from None
        if value.__class__ is float and not -LARGEST <= value <= LARGEST and name in reader.added:
            message = f"expected a number of at most {LARGEST:,.0f}, to add it up, got {shown(value)}"
            raise MisfitError("out_of_range", name, message)
        values[name] = value
    return values


def typed(aggregates: Aggregates, kind: str, name: str, raw: Any) -> Any:
    """One property that a series of this type needs, as its declared type; None for none. Raises MisfitError."""
    return _typed(_reader_of(aggregates, kind), {name: raw}).get(name)


def frame_of(values: dict[str, Any]) -> Frame:
    """What a filter sees of an event with these properties."""
    return Frame(_NO_CUSTOMER, values, _NO_TIME)


def holds(series: Series, frame: Frame) -> bool:
    """Whether the filter of `series`, which has one, lets an event through."""
    try:
        return series.where is not None and series.where(frame) is True
    except EvaluationError:
        return False


_Open = tuple[Callable[[tuple[int, Any]], None], Series, int]


class Reading:
    """What a batch of events comes to for a customer's series at `now`: collected first, then put in at once."""

    __slots__ = ("_aggregates", "_events", "_now", "_open")

    def __init__(self, aggregates: Aggregates, now: int) -> None:
        self._aggregates = aggregates
        self._now = now
        self._events: list[tuple[Series, list[tuple[int, Any]]]] = []
        self._open: dict[str, tuple[_Reader, list[_Open]]] = {}

    def add(self, kind: str, properties: Mapping[str, Any], at: int) -> bool:
        """Takes in an event of `at` (microseconds); whether it comes too late for all the series it would count in.

        Raises MisfitError.
        """
        known = self._open.get(kind)
        if known is None:
            known = self._open[kind] = self._opened(_reader_of(self._aggregates, kind))
        reader, open_to = known
        if not open_to:
            return False
        values = _typed(reader, properties)
        frame = frame_of(values)
        late = in_time = False
        for put, series, past in open_to:
            value = 0 if series.property is None else values.get(series.property)
            if value is None or (series.where is not None and not holds(series, frame)):
                continue
            if at > past:
                put((at, value))
                in_time = True
            else:
                late = True
        return late and not in_time

    def _opened(self, reader: _Reader) -> tuple[_Reader, list[_Open]]:
        open_to: list[_Open] = []
        for series in reader.fed:
            events: list[tuple[int, Any]] = []
            self._events.append((series, events))
            open_to.append((events.append, series, past_until(series, self._now)))
        return reader, open_to

    def kept(self, stored: dict[int, Stored]) -> dict[int, Stored]:
        """`stored` with all of it, and without what no window sees any more."""
        touched = {series.key: events for series, events in self._events if events}
        if not touched:
            return stored
        changed = dict(stored)
        for series in self._aggregates.series:
            kept, events = changed.get(series.key), touched.get(series.key)
            longer = put_all(series, kept, events) if events else kept
            if longer is not None:
                longer = cut(series, longer, self._now)
            if longer is not None:
                changed[series.key] = longer
            elif kept is not None:
                del changed[series.key]
        return changed
