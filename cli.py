"""The `tino` command."""

import asyncio
import hashlib
import re
import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer
from rich.table import Table

from archive.again import replay_ids, replay_period
from archive.drain import HOUR_MS, MARGIN_MS, Terms
from archive.running import EVERY_SECONDS, Place, archive_once, keep_archiving, told
from catalog.building import build_plan
from catalog.bundle import bundle_of
from catalog.loading import LoadedCatalog, check_catalog, load_catalog
from catalog.report import counted
from cli_data import data_of, looked_into, misused, opened_store, redis_at, redis_of, refuse_strangers, there
from cli_deliver import deliver_command
from cli_events import backfill_command, import_events_command
from cli_pressure import pressure_command
from cli_serve import reload_command, serve_command
from commands import (
    MOST_REPORTED,
    CatalogArgument,
    CatalogOption,
    DataOption,
    NowOption,
    WhoseOption,
    column_pair,
    failing_plainly,
    loaded_catalog,
    moment_of,
    out,
    period_of,
    print_diagnostics,
    progress_bar,
    say,
    try_models,
)
from decision.batch import Summary, decide_all
from decision.engine import Engine
from decision.request import NextActionRequest, resolve
from features.catalogs import CatalogStore
from features.columns import BadRow, Columns
from features.customer import micros
from features.importing import import_customers
from features.rows import count_rows, read_rows
from features.while_in_force import WhileInForce
from features.workers import Lease, LeasedStore
from models.command import train_command
from models.errors import ModelError
from rules.types import AttributeType, coerce
from settings import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Tino decides.")
importing = typer.Typer(no_args_is_help=True, help="Import customers and events from files.")
app.add_typer(importing, name="import")
app.command("train")(train_command)
importing.command("events")(import_events_command)
app.command("backfill")(backfill_command)
app.command("deliver")(deliver_command)
app.command("pressure")(pressure_command)
app.command("serve")(serve_command)
app.command("reload")(reload_command)

SECONDS = 5.0


def _print_version(asked: bool) -> None:
    if asked:
        out.print(f"tino {version('tino-decide')}")
        raise typer.Exit


@app.callback()
def tino(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    pass


@app.command()
def check(catalog: CatalogArgument, now: NowOption = None) -> None:
    """Print every error and warning of a catalog; fails if there is an error."""
    found = check_catalog(catalog, moment_of(now))
    print_diagnostics(found)
    errors = sum(diagnostic.severity == "error" for diagnostic in found)
    warnings = len(found) - errors
    if not errors:
        try:
            try_models(load_catalog(catalog, moment_of(now)))
        except ModelError as error:
            say.print(f"{catalog}: error: {error}")
            errors = 1
    out.print(f"{catalog}: {counted(errors, 'error')}, {counted(warnings, 'warning')}")
    raise typer.Exit(code=1 if errors else 0)


@importing.command("customers")
def import_customers_command(
    file: Annotated[Path, typer.Argument(help="CSV, JSON Lines or Parquet, by its ending.")],
    catalog: CatalogOption = None,
    mapping: Annotated[list[str] | None, typer.Option("--map", help="column=attribute, may be repeated.")] = None,
    consents_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When the file's consents were given, RFC 3339 with a zone. Default: unknown, before any refusal.",
        ),
    ] = None,
    data: DataOption = None,
    now: NowOption = None,
) -> None:
    """Import customers: good rows are stored, bad ones reported with line and reason."""
    place = data_of(catalog, data)
    if catalog is None:
        misused("by which catalog are the columns to be read? Name it: --catalog (or TINO_CATALOG)")
    loaded = loaded_catalog(catalog, now)
    plan = build_plan(loaded)
    columns = Columns(plan.customer_types, plan.purposes, dict(map(column_pair, mapping or ())), plan.zone)
    agreed_at = None if consents_at is None else _agreed_at(consents_at)
    bad: list[BadRow] = []

    async def run(url: str) -> int:
        await refuse_strangers(url, loaded)
        async with opened_store(url, now) as store:
            if agreed_at is not None and agreed_at > store.clock.now():
                raise ValueError(f"--consents-at {consents_at}: lies ahead of now")
            store.lives_ms(plan.lifetime_ms)
            store.counts(plan.aggregates)
            with progress_bar() as progress:
                rows = read_rows(file, columns)
                task = progress.add_task(f"importing {file.name}", total=count_rows(file))
                return await import_customers(
                    store,
                    rows,
                    f"import {file.name}",
                    bad.append,
                    lambda count: progress.advance(task, count),
                    agreed_at,
                )

    with failing_plainly(), redis_at(place) as url:
        stored = asyncio.run(run(url))
    for row in bad[:MOST_REPORTED]:
        say.print(f"{file}:{row.line}: {row.reason}")
    if len(bad) > MOST_REPORTED:
        say.print(f"... and {counted(len(bad) - MOST_REPORTED, 'more bad row')}")
    out.print(f"{counted(stored, 'customer')} stored, {counted(len(bad), 'row')} left out")
    raise typer.Exit(code=1 if bad else 0)


def _agreed_at(raw: str) -> int:
    try:
        at = coerce(AttributeType.TIMESTAMP, raw)
    except ValueError as error:
        misused(f"--consents-at: {error}")
    return micros(cast(datetime, at))


@app.command()
def decide(
    catalog: CatalogArgument,
    customer: Annotated[list[str] | None, typer.Argument(help="Customer ids.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Decide for every customer there is.")] = False,
    commit: Annotated[bool, typer.Option("--commit", help="Record and count, not a dry run.")] = False,
    channel: Annotated[list[str] | None, typer.Option(help="Only these channels; default: all.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Actions per customer.")] = 1,
    data: DataOption = None,
    now: NowOption = None,
) -> None:
    """Decide for customers through the engine that serves requests; a dry run unless --commit."""
    if every == bool(customer):
        raise typer.BadParameter("name customers, or --all for every one")
    place = data_of(catalog, data)
    loaded = loaded_catalog(catalog, now)
    plan = build_plan(loaded)
    if not there(place):
        if every:
            misused(f"there is no data in {place.resolve()}, and so nobody to decide for")
        say.print(f"{place}: there is no data here yet; nothing is known of any customer")
    request = NextActionRequest("", channels=channel or list(plan.channels), limit=limit, dry_run=not commit)

    @asynccontextmanager
    async def deciding(url: str) -> AsyncIterator[tuple[Engine, WhileInForce | None]]:
        async with opened_store(url, now, keep_clock=commit) as store:
            if not commit:
                yield Engine(store, plan), None
                return
            link, lease = store.ledger.link, Lease()
            async with WhileInForce(link, lease, plan.digest).entered() as by:
                yield Engine(LeasedStore(store.ledger, store.cache, store.clock, lease), plan), by

    async def some(url: str) -> tuple[int, bool]:
        async with deciding(url) as (engine, by):
            ids, count = _named(customer or ()), 0
            async for customer_id in ids if by is None else by.each(ids):
                named = msgspec.structs.replace(request, customer_id=customer_id)
                out.print((await engine.next_action(named, "batch", SECONDS)).body.decode())
                count += 1
        return count, by is not None and by.cut_short

    async def all_of_them(url: str) -> tuple[int, bool]:
        async with deciding(url) as (engine, by):
            with progress_bar() as progress:
                task = progress.add_task("deciding", total=None)
                every_id = engine.store.customer_ids(SECONDS)
                ids = every_id if by is None else by.each(every_id)
                summary = await decide_all(engine, ids, request, SECONDS, lambda count: progress.advance(task, count))
        _print_summary(summary, dry=not commit)
        return summary.customers, by is not None and by.cut_short

    with failing_plainly(), redis_at(place) as url:
        resolve(request, plan)
        put = f"tino reload {catalog} --data {place}"
        asyncio.run(_keep_to_the_one_in_force(url, loaded, put, commit=commit))
        count, cut_short = asyncio.run(all_of_them(url) if every else some(url))
        if cut_short:
            raise ValueError(
                f"stopped, as another catalog than {loaded.digest} is in force by now: {counted(count, 'customer')} "
                "decided for before, by this one, and the rest left out"
            )


async def _named(ids: Sequence[str]) -> AsyncIterator[str]:
    for each in ids:
        yield each


async def _keep_to_the_one_in_force(url: str, loaded: LoadedCatalog, put: str, *, commit: bool) -> None:
    """What is committed counts in limits: by another catalog than the one in force it would exceed that one's.

    Where none is yet, this one is from now on.

    `put` is the command that puts this one in force. Raises ValueError, StoreError.
    """
    async with looked_into(url) as store:
        catalogs = CatalogStore(store.ledger.link)
        pointer = await catalogs.in_force()
        if commit and not pointer.digest:
            await catalogs.keep(loaded.digest, bundle_of(loaded))
            pointer = await catalogs.put_in_force(loaded.digest, pointer) or await catalogs.in_force()
        if pointer.digest in ("", loaded.digest):
            return
        name = await catalogs.name_of(pointer.digest)
    by, instead = f"{loaded.spec.name} ({loaded.digest})", f"{name or 'one that is unreadable here'} ({pointer.digest})"
    if not commit:
        say.print(f"decided by {by}, though in force is {instead}")
        return
    named = "" if name == loaded.spec.name else " --replace-catalog"
    raise ValueError(
        f"in force is {instead}, and what is committed has to keep to its limits, but this is {by}. Put that in force "
        f"first (`{put}{named}`, or `tino serve` it where nobody serves), or leave --commit for a dry run"
    )


@app.command("archive")
def archive_command(
    catalog: WhoseOption = None,
    data: DataOption = None,
    once: Annotated[bool, typer.Option("--once", help="One run, instead of again and again.")] = False,
    every: Annotated[float, typer.Option(min=1, max=86_400, help="Seconds from run to run.")] = EVERY_SECONDS,
    min_age: Annotated[int, typer.Option(min=0, max=86_400, help="Leave records younger than so many seconds.")] = 60,
    keep_hours: Annotated[
        int, typer.Option(min=0, max=24 * 365, help="Archived records stay in Redis for so long; see operations.md.")
    ] = 24,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Be the archive of this Redis, as the one before is gone.")
    ] = False,
) -> None:
    """Write decisions and events to Parquet under DATA/archive and trim them from Redis; remove days past retention."""
    directory = data_of(catalog, data)
    terms = Terms(min_age_ms=min_age * 1000, keep_ms=keep_hours * HOUR_MS + MARGIN_MS)
    with failing_plainly(), redis_of(directory) as url:
        place = Place(url, directory, load_settings().partitions)
        if once:
            out.print(told(asyncio.run(archive_once(place, terms, take_over=take_over))))
        else:
            asyncio.run(_until_stopped(place, terms, every, take_over))


async def _until_stopped(place: Place, terms: Terms, every: float, take_over: bool) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await keep_archiving(place, terms, every, say.print, stop, take_over=take_over)


@app.command()
def replay(
    decision_ids: Annotated[list[str] | None, typer.Argument(help="Decision ids.")] = None,
    since: Annotated[str | None, typer.Option(help="Every decision from then on, such as 2026-01-31T09:00.")] = None,
    until: Annotated[str | None, typer.Option(help="With --since: only those before.")] = None,
    catalog: WhoseOption = None,
    data: DataOption = None,
) -> None:
    """Make recorded decisions again, from their records alone; fails if one doesn't come out the same."""
    if (since is None) == (not decision_ids) or (until is not None and since is None):
        raise typer.BadParameter("name decisions, or a period by --since")
    begin, end = period_of(since, until)
    directory = data_of(catalog, data)
    with failing_plainly(), redis_of(directory) as url:
        place = Place(url, directory, load_settings().partitions)
        if begin is None:
            tally = asyncio.run(replay_ids(place, decision_ids or (), out.print))
        else:
            tally = asyncio.run(replay_period(place, begin, end, out.print))
    out.print(str(tally))
    raise typer.Exit(code=0 if tally.sound else 1)


@app.command("key")
def make_key(
    scope: Annotated[list[str], typer.Option(help="decide, ingest or admin; may be repeated.")],
    name: Annotated[
        str | None, typer.Option(help="The caller's name, which keeps its request ids apart; default: from the key.")
    ] = None,
) -> None:
    """Make an API key: prints it once, and the line that TINO_API_KEYS takes, which holds only its hash."""
    unknown = next((given for given in scope if given not in ("decide", "ingest", "admin")), None)
    if unknown is not None:
        raise typer.BadParameter(f"{unknown!r} is no scope: decide, ingest or admin")
    if name is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise typer.BadParameter(f"{name!r}: a name is up to 64 of A-Z, a-z, 0-9, dot, dash and underscore")
    key = f"tino_{secrets.token_urlsafe(32)}"
    out.print(f"key    {key}")
    named = "" if name is None else f":{name}"
    out.print(f"entry  {hashlib.sha256(key.encode()).hexdigest()}:{'+'.join(scope)}{named}")


def _print_summary(summary: Summary, *, dry: bool) -> None:
    channels = sorted({channel for _, channel in summary.chosen})
    table = Table("action", *channels, title="actions x channels")
    for action in sorted({action for action, _ in summary.chosen}):
        table.add_row(action, *(str(summary.chosen[action, channel]) for channel in channels))
    out.print(table)
    reasons = Table("status", "reason", "customers")
    for (status, reason), count in summary.reasons.most_common():
        reasons.add_row(status, reason, str(count))
    out.print(reasons)
    if summary.degraded:
        out.print("degraded: " + ", ".join(f"{why} {count}" for why, count in summary.degraded.items()))
    kind, customers = "dry run" if dry else "committed", counted(summary.customers, "customer")
    out.print(f"{customers} in {summary.seconds:.2f} s, {summary.per_second:,.0f}/s ({kind})")


if __name__ == "__main__":
    app()
