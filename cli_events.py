"""`tino import events` and `tino backfill`."""

import asyncio
import difflib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from archive.backfill import Backfill, Filled
from archive.events import EventLog
from catalog.building import build_plan
from catalog.loading import LoadedCatalog
from catalog.plan import Plan
from catalog.report import counted
from cli_data import data_of, looked_into, opened_store, redis_at, redis_of
from commands import (
    MOST_REPORTED,
    DataOption,
    NowOption,
    column_pair,
    failing_plainly,
    loaded_catalog,
    out,
    progress_bar,
    say,
)
from features.catalogs import CatalogStore
from features.columns import BadRow
from features.customer import moment
from features.event_columns import EventColumns
from features.events import known_as
from features.importing_events import Import
from features.replacing import refuse_another_name
from features.rows import count_rows
from features.store import CustomerStore
from rules.types import valid_zone

IMPORTS = "imports"
CatalogOrInForce = Annotated[
    Path | None,
    typer.Option("--catalog", envvar="TINO_CATALOG", help="A catalog file or directory. Default: the one in force."),
]
NOTES = {
    "unknown_type": "of types that the catalog doesn't declare",
    "too_old": "older than any window",
    "no_contact": "that answer no known contact",
    "no_decision": "that answer no contact, as they are outcomes and name no decision",
    "decision_in_properties": "that name a decision among their properties, where it means nothing",
    "mended": "that take consent back, stored without what couldn't be read or counted as happening now",
    "not_counted": "that take consent back, and that no aggregate counts, as a property doesn't fit",
    "older_than_consent": "that take consent back, but a yes was said after them, and stays in force",
}


def import_events_command(
    files: Annotated[list[Path], typer.Argument(help="CSV, JSON Lines or Parquet, by their endings.")],
    catalog: CatalogOrInForce = None,
    kind: Annotated[str | None, typer.Option("--type", help="The event type of all rows.")] = None,
    mapping: Annotated[list[str] | None, typer.Option("--map", help="column=name, may be repeated.")] = None,
    zone: Annotated[
        str | None, typer.Option(help="Of times that name none, in CSV. Default: the catalog's time zone.")
    ] = None,
    data: DataOption = None,
    now: NowOption = None,
) -> None:
    """Import events as if each had been sent; bad rows are reported. Goes on where it was cut short."""
    directory = data_of(catalog, data)
    given = None if catalog is None else loaded_catalog(catalog, now)
    left_out = 0
    # Without a catalog there has to be one in force, and so data.
    with failing_plainly(), (redis_of if given is None else redis_at)(directory) as url:
        plan = asyncio.run(_plan(url, given, now))
        declared = plan.aggregates.declared
        if kind is not None and kind not in declared:
            close = difflib.get_close_matches(kind, declared, 1)
            hint = f"; did you mean {close[0]!r}?" if close else f", which has {', '.join(declared)}"
            raise ValueError(f"--type {kind}: the catalog doesn't declare events of this type{hint}")
        columns = EventColumns(
            declared, kind, dict(map(column_pair, mapping or ())), _zone(zone) if zone else plan.zone
        )
        for file in files:
            tally, bad, before = asyncio.run(_import(url, file, columns, plan, directory, now))
            for row in bad[:MOST_REPORTED]:
                say.print(f"{file}:{row.line}: {row.reason}")
            if len(bad) > MOST_REPORTED:
                say.print(f"... and {counted(len(bad) - MOST_REPORTED, 'more bad row')}")
            for note, meaning in NOTES.items():
                if tally[note]:
                    say.print(f"{file}: events {meaning}: {tally[note]}")
            out.print(_summary(file, tally, before=before))
            left_out += tally["left_out"]
    raise typer.Exit(code=1 if left_out else 0)


async def _plan(url: str, given: LoadedCatalog | None, now: str | None) -> Plan:
    async with looked_into(url) as store:  # the clock is set once it is known that the catalog is the right one
        return await _plan_in_force(store, given)


async def _import(
    url: str, file: Path, columns: EventColumns, plan: Plan, data: Path, now: str | None
) -> tuple[Counter[str], list[BadRow], bool]:
    """What became of the rows, those left out by this run, and whether an earlier run had done with all of them."""
    async with opened_store(url, now) as store:
        log = EventLog(store.ledger, data)

        async def logged() -> AsyncIterator[tuple[str, Iterable[str]]]:
            for partition in range(store.ledger.layout.partitions):
                async for customer_id, events in log.by_customer(partition):
                    yield customer_id, [known_as(event.type, event.id) for event in events]

        with progress_bar() as progress:
            run = Import(store, plan, file, columns, data / IMPORTS)
            task = progress.add_task(f"importing {file.name}", total=count_rows(file))
            tally = await run.run(lambda count: progress.advance(task, count), logged)
            return tally, run.bad, run.done_before


def _summary(file: Path, tally: Counter[str], *, before: bool) -> str:
    there = f", {tally['duplicate']} stored before" if tally["duplicate"] else ""
    came_to = f"{counted(tally['stored'], 'event')} stored{there}, {counted(tally['left_out'], 'row')} left out"
    if before:
        return f"{file.name}: was imported before, which came to {came_to}; nothing was stored by this run"
    return f"{file.name}: {came_to}"


def backfill_command(
    aggregates: Annotated[
        list[str] | None,
        typer.Argument(help="Which; default: all, and what isn't declared any more is dropped."),
    ] = None,
    catalog: CatalogOrInForce = None,
    data: DataOption = None,
    now: NowOption = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Forget what the log of events doesn't tell, instead of adding what it does.")
    ] = False,
) -> None:
    """Fill in aggregates from the kept log of events, as if they had been declared before it began."""
    directory = data_of(catalog, data)
    given = None if catalog is None else loaded_catalog(catalog, now)
    with failing_plainly(), redis_of(directory) as url:
        plan, found, at = asyncio.run(_backfill(url, given, aggregates or [], directory, now, anew))
    out.print(
        f"{found.changed} of {counted(found.customers, 'customer')} changed, {counted(found.events, 'event')} read"
        + (f", {found.misfits} of them of no fit" if found.misfits else "")
    )
    if (short := _short(plan, aggregates or [], found, at)) is not None:
        say.print(short)


async def _backfill(
    url: str, given: LoadedCatalog | None, names: list[str], data: Path, now: str | None, anew: bool
) -> tuple[Plan, Filled, int]:
    async with opened_store(url, now) as store:
        plan = await _plan_in_force(store, given)
        chosen = _series_of(plan, names) if names else None
        with progress_bar() as progress:
            task = progress.add_task("backfilling", total=store.ledger.layout.partitions)
            run = Backfill(store, plan, data, chosen, anew=anew)
            return plan, await run.run(lambda: progress.advance(task)), store.clock.now()


async def _plan_in_force(store: CustomerStore, given: LoadedCatalog | None) -> Plan:
    """Raises ValueError, AnotherName, where the one that is given is not in force, or none is."""
    catalogs = CatalogStore(store.ledger.link)
    pointer = await catalogs.in_force()
    if given is not None:
        await refuse_another_name(catalogs, given.spec.name, pointer)
        if pointer.digest not in ("", given.digest):
            raise ValueError(
                f"another catalog is in force, {pointer.digest}: reload this one first, or leave --catalog"
            )
        return build_plan(given)
    if not pointer.digest:
        raise ValueError("no catalog is in force here: name one, --catalog")
    with tempfile.TemporaryDirectory(prefix="tino-catalog-") as folder:
        return build_plan(await catalogs.load(pointer.digest, Path(folder)))


def _series_of(plan: Plan, names: list[str]) -> set[int]:
    """The keys of the series that these aggregates are read from. Raises ValueError."""
    aggregates = plan.aggregates
    series = {each.name: aggregates.series[each.series].key for each in aggregates.values}
    unknown = next((name for name in names if name not in series), None)
    if unknown is not None:
        raise ValueError(f"{unknown!r} is not an aggregate of the catalog, which has {', '.join(series) or 'none'}")
    return {series[name] for name in names}


def _short(plan: Plan, names: list[str], found: Filled, now: int) -> str | None:
    """What the log doesn't reach back to, if anything."""
    if found.oldest is None:
        return "there are no events in the log"
    further = [
        each.name
        for each in plan.aggregates.values
        if (not names or each.name in names) and not 0 < each.window + each.offset <= now - found.oldest
    ]
    begins = moment(found.oldest).isoformat(timespec="seconds")
    return f"the log begins at {begins}; further back look {', '.join(further)}" if further else None


def _zone(name: str) -> ZoneInfo:
    if not valid_zone(name):
        raise typer.BadParameter(f"{name!r} is not an IANA time zone", param_hint="--zone")
    return ZoneInfo(name)
