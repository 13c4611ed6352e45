"""What is declared of aggregates: event types and properties that exist, of fitting types; windows in whole tiles."""

from collections.abc import Mapping
from datetime import timedelta

from catalog.aggregates import MOST_TILES, Aggregate
from catalog.event_types import REPORTED, event_types
from catalog.keeping import OF_EVENT, Resolved, resolved, target
from catalog.nodes import Path
from catalog.report import Report, did_you_mean
from catalog.series import Function
from catalog.spec import Catalog
from rules.types import AttributeType

_NUMBERS = (AttributeType.INT, AttributeType.DOUBLE)
_ORDERED = (*_NUMBERS, AttributeType.TIMESTAMP, AttributeType.STRING)
_SINGLE = (*_ORDERED, AttributeType.BOOL)
_FITTING = {
    Function.SUM: _NUMBERS,
    Function.MEAN: _NUMBERS,
    Function.MIN: _ORDERED,
    Function.MAX: _ORDERED,
    Function.FIRST: _SINGLE,
    Function.LAST: _SINGLE,
    Function.DISTINCT: (AttributeType.STRING, AttributeType.INT, AttributeType.BOOL),
    Function.VALUES: (AttributeType.STRING,),
}
_COUNTED = (Function.DISTINCT, Function.VALUES)


def check_aggregates(spec: Catalog, report: Report) -> dict[str, Resolved]:
    """By name, the aggregates of which a series can be kept."""
    _check_reported(spec, report)
    known = event_types(spec.events, spec.outcomes)
    found = resolved(spec)
    for name, declared in spec.aggregates.items():
        path = ("aggregates", name)
        _check_time(path, declared, report)
        if declared.most is not None and declared.function not in _COUNTED:
            message = f"`most` has no meaning with `{declared.function}`: only {' and '.join(_COUNTED)} keep values"
            report.error("wrong-value", (*path, "most"), message, at_key=True)
        if name in found:
            _check_type((*path, declared.function), found[name], report)
        else:
            _report_target((*path, declared.function), declared, known, report)
    _check_keys(found, report)
    return found


def _check_reported(spec: Catalog, report: Report) -> None:
    """What a deliverer reports must fit, whatever is counted: else a message would be sent, and nobody knew."""
    for event, names in REPORTED.items():
        for name in names:
            kind = spec.events.get(event, {}).get(name, AttributeType.STRING)
            if kind is not AttributeType.STRING:
                message = f"`{name}` of `{event}` must be string, not {kind}: Tino reports its own deliveries with it"
                report.error("wrong-value", ("events", event, name), message)


def _report_target(
    path: Path, declared: Aggregate, known: Mapping[str, Mapping[str, AttributeType]], report: Report
) -> None:
    """What is wrong with the name of an event or a property that nobody declares."""
    raw = report.sources.values
    written = raw["events"] if isinstance(raw.get("events"), dict) else {}
    answers = raw["outcomes"] if isinstance(raw.get("outcomes"), list) else ()
    event, named = target(declared)
    if event not in known and event not in written and event not in answers:
        if declared.function in OF_EVENT:
            hint = did_you_mean(event, known)
        elif declared.of in known:
            hint = f"; `{declared.function}` is of a property, as in `{declared.of}.amount`"
        else:
            hint = did_you_mean(declared.of, (f"{each}.{name}" for each, types in known.items() for name in types))
        report.error("unknown-name", path, f"`{declared.of}` is not declared in `events`{hint}")
    elif event in known and named not in (written.get(event) or ()):
        hint = did_you_mean(str(named), known[event])
        report.error("unknown-name", path, f"`{named}` is not a declared property of `{event}`{hint}")


def _check_type(path: Path, each: Resolved, report: Report) -> None:
    fitting = _FITTING.get(each.function)
    if fitting is not None and each.of not in fitting:
        wanted = ", ".join(fitting[:-1]) + (" or " if fitting[:-1] else "") + fitting[-1]
        message = f"`{each.function}` needs a property of type {wanted}; `{each.event}.{each.reads}` is of {each.of}"
        report.error("wrong-value", path, message)


def _check_time(path: Path, declared: Aggregate, report: Report) -> None:
    def refuse(key: str, message: str) -> None:
        report.error("wrong-value", (*path, key), f"`{key}` {message}")

    window, offset, tile = declared.window, declared.offset, declared.tile
    if declared.function is Function.DAYS_SINCE:
        for key in ("offset", "tile"):
            if getattr(declared, key) is not None:
                refuse(key, "has no meaning with `days_since`, which keeps one exact time")
    elif window is None:
        for key in ("offset", "tile"):
            if getattr(declared, key) is not None:
                refuse(key, "needs a `window`: without one every event counts for ever")
    elif tile is None and declared.step is None:
        message = f"give a `tile` that divides `window` and `offset` into at most {MOST_TILES} tiles; no usual one does"
        report.error("wrong-value", (*path, "window"), message)
    elif tile is not None and window % tile:
        refuse("window", f"must be a multiple of the tile, {_said(tile)}, not {_said(window)}")
    elif tile is not None and offset is not None and offset % tile:
        refuse("offset", f"must be a multiple of the tile, {_said(tile)}, not {_said(offset)}")
    elif tile is not None and (window + (offset or timedelta())) // tile > MOST_TILES:
        tiles = (window + (offset or timedelta())) // tile
        refuse("tile", f"makes {tiles:,} tiles of window and offset; at most {MOST_TILES} are kept: take a longer one")


def _said(span: timedelta) -> str:
    seconds = span // timedelta(seconds=1)
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if not seconds % length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _check_keys(found: Mapping[str, Resolved], report: Report) -> None:
    """Two series can't go by one name in customers' states, unlikely as it is."""
    first: dict[int, Resolved] = {}
    for name, each in found.items():
        other = first.setdefault(each.key, each)
        if other.sharing != each.sharing:
            message = f"would be kept under the same number as `{other.name}`: give it another tile, or a filter"
            report.error("duplicate-name", ("aggregates", name), f"`{name}` {message}", at_key=True)
