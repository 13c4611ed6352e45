"""The `tino` command."""

import asyncio
import hashlib
import os
import re
import secrets
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvicorn
from rich.table import Table

from api.making import made_of
from archive.again import replay_ids, replay_period
from archive.beside import Beside, Task
from archive.drain import HOUR_MS, MARGIN_MS, Terms
from archive.running import EVERY_SECONDS, Place, archive_once, keep_archiving, told
from catalog.building import build_plan
from catalog.bundle import bundle_of
from catalog.loading import LoadedCatalog, check_catalog, load_catalog
from cli_deliver import deliver_command
from cli_events import backfill_command, import_events_command
from cli_pressure import pressure_command
from commands import (
    MOST_REPORTED,
    CatalogArgument,
    CatalogOption,
    DataOption,
    NowOption,
    column_pair,
    data_at,
    failing_plainly,
    loaded_catalog,
    moment_of,
    opened_store,
    out,
    period_of,
    print_diagnostics,
    progress_bar,
    redis_at,
    redis_of,
    running_redis,
    say,
    say_if_new,
    try_models,
)
from decision.batch import Summary, decide_all
from decision.engine import Engine
from decision.request import NextActionRequest, resolve
from features.catalogs import CatalogStore
from features.columns import BadRow, Columns
from features.importing import import_customers
from features.link import Link
from features.reload import reload
from features.rows import count_rows, read_rows
from features.store import CustomerStore
from features.workers import Workers
from models.command import train_command
from models.errors import ModelError
from settings import IN_FORCE, load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Tino decides.")
importing = typer.Typer(no_args_is_help=True, help="Import customers and events from files.")
app.add_typer(importing, name="import")
app.command("train")(train_command)
importing.command("events")(import_events_command)
app.command("backfill")(backfill_command)
app.command("deliver")(deliver_command)
app.command("pressure")(pressure_command)

SECONDS = 5.0


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
    out.print(f"{catalog}: {errors} errors, {warnings} warnings")
    raise typer.Exit(code=1 if errors else 0)


@app.command()
def serve(
    catalog: CatalogOption = Path("examples/grocery"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256)] = 1,
    data: DataOption = None,
    now: NowOption = None,
) -> None:
    """Serve decisions over HTTP."""
    loaded = loaded_catalog(catalog, now)
    print_diagnostics(loaded.warnings)
    place, private = data_at(catalog, data), not os.environ.get("REDIS_URL")
    with redis_at(place) as url, ExitStack() as beside:
        metrics = beside.enter_context(tempfile.TemporaryDirectory(prefix="tino-metrics-"))
        _settle(url, now, loaded)
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
        # Workers are processes of their own: what they need to know travels in the environment. One that is started
        # again later takes the catalog that is in force then, not what may stand in the file meanwhile.
        os.environ |= {"REDIS_URL": url, "TINO_CATALOG": str(IN_FORCE), "TINO_DATA": str(place)}
        os.environ.pop("TINO_NOW", None)  # the clock is settled
        _require_free(host, port)
        if private:
            archived = Place(url, place, load_settings().partitions)
            beside.enter_context(Beside(Task(archived, Terms()), say.print))
        say.print(f"Tino serves {loaded.spec.name} on http://{host}:{port}  (docs: http://{host}:{port}/docs)")
        # uvicorn raises the signal that stopped it again when it is done: the redis-server is still to be stopped then.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        # The terminal was closed: an orderly end, too.
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        uvicorn.run(
            "service:app", host=host, port=port, workers=workers, access_log=False, log_level="warning",
            http="api.express:ExpressProtocol",
            timeout_worker_healthcheck=60, timeout_graceful_shutdown=10, proxy_headers=False, server_header=False,
        )  # fmt: skip


@app.command("reload")
def reload_command(
    catalog: Annotated[Path, typer.Argument(envvar="TINO_CATALOG", help="A catalog: a YAML file or a directory.")],
    data: DataOption = None,
    within: Annotated[float, typer.Option(min=1, max=3600, help="Seconds that workers may take.")] = 300.0,
) -> None:
    """Put a catalog in force in every worker that serves; returns once all do. If one can't, none does."""
    if catalog == IN_FORCE:
        raise typer.BadParameter("name the file or directory of the catalog that is to be in force")
    loaded = loaded_catalog(catalog, None)
    print_diagnostics(loaded.warnings)

    async def run(url: str) -> int:
        link = Link(url)
        try:
            catalogs = CatalogStore(link)
            await catalogs.keep(loaded.digest, bundle_of(loaded))
            return len(await reload(catalogs, Workers(link), loaded.digest, within))
        finally:
            await link.close()

    with failing_plainly():
        made_of(loaded)  # its models are loaded too before anybody is told of it
        count = asyncio.run(run(running_redis(data_at(catalog, data))))
    out.print(f"{loaded.spec.name} ({loaded.digest}) is in force: {count} workers serve it")


@importing.command("customers")
def import_customers_command(
    file: Annotated[Path, typer.Argument(help="CSV, JSON Lines or Parquet, by its ending.")],
    catalog: CatalogOption = Path("examples/grocery"),
    mapping: Annotated[list[str] | None, typer.Option("--map", help="column=attribute, may be repeated.")] = None,
    data: DataOption = None,
    now: NowOption = None,
) -> None:
    """Import customers: good rows are stored, bad ones reported with line and reason."""
    plan = build_plan(loaded_catalog(catalog, now))
    columns = Columns(plan.customer_types, plan.purposes, dict(map(column_pair, mapping or ())), plan.zone)
    bad: list[BadRow] = []

    async def run(url: str) -> int:
        async with opened_store(url, now) as store:
            store.lives_ms(plan.lifetime_ms)
            store.counts(plan.aggregates)
            with progress_bar() as progress:
                rows = read_rows(file, columns)
                task = progress.add_task(f"importing {file.name}", total=count_rows(file))
                return await import_customers(
                    store, rows, f"import {file.name}", bad.append, lambda count: progress.advance(task, count)
                )

    with failing_plainly(), redis_at(data_at(catalog, data)) as url:
        stored = asyncio.run(run(url))
    for row in bad[:MOST_REPORTED]:
        say.print(f"{file}:{row.line}: {row.reason}")
    if len(bad) > MOST_REPORTED:
        say.print(f"... and {len(bad) - MOST_REPORTED} more bad rows")
    out.print(f"{stored} customers stored, {len(bad)} rows left out")
    raise typer.Exit(code=1 if bad else 0)


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
    loaded = loaded_catalog(catalog, now)
    plan = build_plan(loaded)
    say_if_new(data_at(catalog, data))
    request = NextActionRequest("", channels=channel or list(plan.channels), limit=limit, dry_run=not commit)

    async def kept(store: CustomerStore) -> None:
        """What is recorded names its catalog, in force or not."""
        if commit:
            await CatalogStore(store.ledger.link).keep(plan.digest, bundle_of(loaded))

    async def some(url: str) -> None:
        async with opened_store(url, now, keep_clock=commit) as store:
            await kept(store)
            engine = Engine(store, plan)
            for customer_id in customer or ():
                named = msgspec.structs.replace(request, customer_id=customer_id)
                out.print((await engine.next_action(named, "batch", SECONDS)).body.decode())

    async def all_of_them(url: str) -> Summary:
        async with opened_store(url, now, keep_clock=commit) as store:
            await kept(store)
            with progress_bar() as progress:
                task = progress.add_task("deciding", total=None)
                ids, engine = store.customer_ids(SECONDS), Engine(store, plan)
                return await decide_all(engine, ids, request, SECONDS, lambda count: progress.advance(task, count))

    with failing_plainly(), redis_at(data_at(catalog, data)) as url:
        resolve(request, plan)
        if every:
            _print_summary(asyncio.run(all_of_them(url)), dry=not commit)
        else:
            asyncio.run(some(url))


@app.command("archive")
def archive_command(
    catalog: CatalogOption = Path("examples/grocery"),
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
    directory = data_at(catalog, data)
    terms = Terms(min_age_ms=min_age * 1000, keep_ms=keep_hours * HOUR_MS + MARGIN_MS)
    say_if_new(directory)
    with failing_plainly(), redis_at(directory) as url:
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
    catalog: CatalogOption = Path("examples/grocery"),
    data: DataOption = None,
) -> None:
    """Make recorded decisions again, from their records alone; fails if one doesn't come out the same."""
    if (since is None) == (not decision_ids) or (until is not None and since is None):
        raise typer.BadParameter("name decisions, or a period by --since")
    begin, end = period_of(since, until)
    directory = data_at(catalog, data)
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


def _require_free(host: str, port: int) -> None:
    """Says at once that a port is taken, before anything looks as if it were served."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with failing_plainly(), socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"can't listen on {host}:{port}: {error.strerror or error}") from None


def _settle(url: str, now: str | None, loaded: LoadedCatalog) -> None:
    """Opens the store once, so that what is wrong is said before any worker starts, and puts the catalog in force."""

    async def open_once() -> None:
        async with opened_store(url, now) as store:
            catalogs = CatalogStore(store.ledger.link)
            await catalogs.keep(loaded.digest, bundle_of(loaded))
            while (pointer := await catalogs.in_force()).digest != loaded.digest:
                await catalogs.put_in_force(loaded.digest, pointer)

    with failing_plainly():
        made_of(loaded)  # a model that can't be loaded is found here, not in every worker
        asyncio.run(open_once())


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
    kind = "dry run" if dry else "committed"
    out.print(f"{summary.customers} customers in {summary.seconds:.2f} s, {summary.per_second:,.0f}/s ({kind})")


if __name__ == "__main__":
    app()
