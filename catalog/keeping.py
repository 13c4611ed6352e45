"""Keeping: from declared aggregates to the series that are kept for them.

What a series is called in customers' states follows from what it keeps alone, never from what an aggregate is called,
where it stands, or what else is declared: so a catalog that changes goes on from what was kept before, and aggregates
that need the same share it. How far back it reaches is left out, too: a longer window goes on from what there is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import blake2b

from catalog.aggregates import Aggregate as DeclaredAggregate
from catalog.event_types import event_types
from catalog.series import OUTCOMES, Aggregate, Aggregates, Function, Kept, Series
from catalog.spec import Catalog
from rules.programs import Program
from rules.syntax import Node, attributes_in
from rules.types import AttributeType

KEPT = {
    Function.COUNT: Kept.ADDED,
    Function.SUM: Kept.ADDED,
    Function.MEAN: Kept.ADDED,
    Function.MIN: Kept.LEAST,
    Function.MAX: Kept.MOST,
    Function.FIRST: Kept.FIRST,
    Function.LAST: Kept.LAST,
    Function.DISTINCT: Kept.VALUES,
    Function.VALUES: Kept.VALUES,
    Function.DAYS_SINCE: Kept.LATEST,
}
OF_EVENT = (Function.COUNT, Function.DAYS_SINCE)  # these read no property
_KINDS = {
    Function.COUNT: AttributeType.INT,
    Function.MEAN: AttributeType.DOUBLE,
    Function.DISTINCT: AttributeType.INT,
    Function.VALUES: AttributeType.STRING_LIST,
    Function.DAYS_SINCE: AttributeType.INT,
}
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A declared aggregate with its event type and property found.

    `reads` is the property, `of` its type; times are in microseconds, a `tile` of 0 is one for ever.
    """

    name: str
    function: Function
    event: str
    reads: str | None
    of: AttributeType | None
    where: str | None
    window: int
    offset: int
    tile: int
    most: int

    @property
    def kind(self) -> AttributeType:
        return _KINDS.get(self.function) or self.of or AttributeType.INT

    @property
    def kept(self) -> Kept:
        return KEPT[self.function]

    @property
    def newest(self) -> bool:
        return self.kept in (Kept.LAST, Kept.VALUES) and not self.offset

    @property
    def sharing(self) -> str:
        """What it needs kept, as text: aggregates with the same text share a series."""
        values = (self.most, self.function is Function.VALUES) if self.kept is Kept.VALUES else ()
        parts = (self.kept, self.event, self.reads, self.of, self.where, self.tile, self.newest, *values)
        return repr(tuple(part.value if isinstance(part, (Kept, AttributeType)) else part for part in parts))

    @property
    def key(self) -> int:
        """Of the series, in 32 bits."""
        return int.from_bytes(blake2b(self.sharing.encode(), digest_size=4).digest())

    def series(self, where: Program | None, filtered: frozenset[str]) -> Series:
        return Series(
            key=self.key,
            kept=self.kept,
            event=self.event,
            property=self.reads,
            where=where,
            tile=self.tile,
            horizon=self.window and self.window + self.offset,
            sums=self.kept is Kept.ADDED and self.reads is not None,
            newest=self.newest,
            scale=1_000_000 if self.of is AttributeType.DOUBLE else 1,
            most=self.most,
            whole=self.function is Function.VALUES,
            filtered=filtered,
        )


def resolved(spec: Catalog) -> dict[str, Resolved]:
    """By name, the aggregates whose event type and property are declared."""
    known = event_types(spec.events, spec.outcomes)
    found = ((name, _resolved(name, declared, known)) for name, declared in spec.aggregates.items())
    return {name: each for name, each in found if each is not None}


def _resolved(
    name: str, declared: DeclaredAggregate, known: Mapping[str, Mapping[str, AttributeType]]
) -> Resolved | None:
    event, named = target(declared)
    if event not in known or (named is not None and named not in known[event]):
        return None
    kept = KEPT[declared.function]
    return Resolved(
        name=name,
        function=declared.function,
        event=event,
        reads=named,
        of=None if named is None else known[event][named],
        where=None if declared.where is None else declared.where.strip(),
        window=_micros(declared.window),
        offset=_micros(declared.offset),
        tile=0 if kept is Kept.LATEST else _micros(declared.step),
        most=declared.bound,
    )


def target(declared: DeclaredAggregate) -> tuple[str, str | None]:
    """The event type and the property that an aggregate names; names of event types may have dots in them."""
    if declared.function in OF_EVENT:
        return declared.of, None
    event, _, named = declared.of.rpartition(".")
    return event, named


def _micros(span: timedelta | None) -> int:
    return 0 if span is None else span // _MICROSECOND


def kept_of(spec: Catalog, filters: Mapping[str, tuple[Node, Program]]) -> Aggregates:
    """All that is kept; `filters` are the checked `where` of the aggregates that have one, by name."""
    series: dict[int, Series] = {}
    needed: dict[str, set[str]] = {}
    found = resolved(spec).values()
    for each in found:
        tree, program = filters.get(each.name, (None, None))
        filtered = frozenset(name for _, name in (attributes_in(tree) if tree is not None else ()))
        fresh = each.series(program, filtered)
        known = series.setdefault(each.key, fresh)
        series[each.key] = replace(known, horizon=longest((known.horizon, fresh.horizon)))
        names = needed.setdefault(each.event, set())
        names |= filtered if each.reads is None else {*filtered, each.reads}
    places = {key: place for place, key in enumerate(series)}
    values = (
        Aggregate(each.name, each.function, places[each.key], each.window, each.offset, each.kind) for each in found
    )
    return Aggregates(
        series=tuple(series.values()),
        values=tuple(values),
        declared=event_types(spec.events, spec.outcomes),
        needed={event: frozenset(names) for event, names in needed.items()},
        of_event={event: tuple(each for each in series.values() if each.event == event) for event in needed},
        horizon=longest(each.horizon for each in series.values()),
        outcomes=frozenset((*OUTCOMES, *spec.outcomes)),
    )


def longest(horizons: Iterable[int]) -> int:
    """0, which is for ever, where one of them is; also of none."""
    given = tuple(horizons)
    return 0 if 0 in given else max(given, default=0)
