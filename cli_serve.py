"""`tino serve` and `tino reload`."""

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from api.making import made_of
from archive.beside import Beside, Task
from archive.drain import Terms
from archive.running import Place
from catalog.bundle import Bundle, bundle_of
from catalog.loading import LoadedCatalog
from catalog.report import counted
from cli_data import data_of, misused, opened_store, redis_at, refuse_strangers, running_redis
from commands import CatalogOption, DataOption, NowOption, failing_plainly, loaded_catalog, out, print_diagnostics, say
from features.catalogs import CatalogStore, Pointer
from features.link import Link
from features.reload import reload
from features.replacing import gone_by, refuse_another_name
from features.workers import Workers
from listening import bound, listen
from settings import IN_FORCE, load_settings, unknown_variables

ReplaceOption = Annotated[
    bool,
    typer.Option("--replace-catalog", envvar="TINO_REPLACE_CATALOG", help="Though another's is in force."),
]


def serve_command(
    catalog: CatalogOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256)] = 1,
    data: DataOption = None,
    now: NowOption = None,
    replace: ReplaceOption = False,
) -> None:
    """Serve decisions over HTTP."""
    place = data_of(catalog, data)
    if catalog is None:
        misused("which catalog is to be served? Name it: --catalog (or TINO_CATALOG)")
    loaded = loaded_catalog(catalog, now)
    print_diagnostics(loaded.warnings)
    private = not os.environ.get("REDIS_URL")
    with failing_plainly():
        listener = bound(host, port)  # before anything is begun that would have to be ended again
    with listener, redis_at(place) as url, ExitStack() as beside:
        metrics = beside.enter_context(tempfile.TemporaryDirectory(prefix="tino-metrics-"))
        _settle(url, now, loaded, replace=replace)
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
        _tell_workers(url, place)
        archiver = None
        if private:
            archived = Place(url, place, load_settings().partitions)
            archiver = beside.enter_context(Beside(Task(archived, Terms()), say.print))
        # uvicorn raises the signal that stopped it again when it is done: the redis-server is still to be stopped then.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        # The terminal was closed: an orderly end, too.
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        at = f"http://{host if ':' not in host else f'[{host}]'}:{listener.getsockname()[1]}"
        listen(
            listener,
            workers,
            started=lambda: say.print(f"Tino serves {loaded.spec.name} on {at}  (docs: {at}/docs)"),
            ending=lambda: None if archiver is None else archiver.let_end(),
        )


def reload_command(
    catalog: Annotated[Path, typer.Argument(envvar="TINO_CATALOG", help="A catalog: a YAML file or a directory.")],
    data: DataOption = None,
    within: Annotated[float, typer.Option(min=1, max=3600, help="Seconds that workers may take.")] = 300.0,
    replace: ReplaceOption = False,
) -> None:
    """Put a catalog in force in every worker that serves; returns once all do. If one can't, none does."""
    if catalog == IN_FORCE:
        raise typer.BadParameter("name the file or directory of the catalog that is to be in force")
    place = data_of(catalog, data)
    loaded = loaded_catalog(catalog, None)
    print_diagnostics(loaded.warnings)

    async def run(url: str) -> int:
        link = Link(url)
        try:
            catalogs, bundle = CatalogStore(link), bundle_of(loaded)
            await catalogs.keep(loaded.digest, bundle)
            before = await catalogs.in_force()
            there = await reload(catalogs, Workers(link), loaded.digest, within, replace=replace)
            await _tell_what_goes(catalogs, bundle, before)
            return len(there)
        finally:
            await link.close()

    with failing_plainly():
        made_of(loaded)  # its models are loaded too before anybody is told of it
        count = asyncio.run(run(running_redis(place)))
    workers = counted(count, "worker") + (" serves" if count == 1 else " serve")
    out.print(f"{loaded.spec.name} ({loaded.digest}) is in force: {workers} it")


async def _tell_what_goes(catalogs: CatalogStore, bundle: Bundle, before: Pointer) -> None:
    for sentence in await gone_by(catalogs, bundle, before):
        say.print(f"warning: {sentence}")


def _tell_workers(url: str, place: Path) -> None:
    """Workers are processes of their own: what they need to know travels in the environment. One that is started again
    later takes the catalog that is in force then, not what may stand in the file meanwhile.
    """
    os.environ |= {"REDIS_URL": url, "TINO_CATALOG": str(IN_FORCE), "TINO_DATA": str(place)}
    os.environ.pop("TINO_NOW", None)  # the clock is settled
    for name in unknown_variables(os.environ):
        os.environ.pop(name)  # it was told of, once


def _settle(url: str, now: str | None, loaded: LoadedCatalog, *, replace: bool) -> None:
    """Opens the store once, so that what is wrong is said before any worker starts, and puts the catalog in force."""

    async def open_once() -> None:
        if not replace:
            await refuse_strangers(url, loaded)  # before the clock is set, as it can't be set back
        async with opened_store(url, now) as store:
            catalogs, bundle = CatalogStore(store.ledger.link), bundle_of(loaded)
            await catalogs.keep(loaded.digest, bundle)
            while (pointer := await catalogs.in_force()).digest != loaded.digest:
                if not replace:
                    await refuse_another_name(catalogs, loaded.spec.name, pointer)
                await _tell_what_goes(catalogs, bundle, pointer)
                await catalogs.put_in_force(loaded.digest, pointer)

    with failing_plainly():
        made_of(loaded)  # a model that can't be loaded is found here, not in every worker
        asyncio.run(open_once())
