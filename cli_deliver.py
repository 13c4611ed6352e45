"""`tino deliver`."""

import asyncio
import signal
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from channels.deliverer import Deliverer
from channels.file import File
from channels.in_force import InForcePlan
from channels.left import FINE, Left, told, what_is_left
from channels.outbox import Outbox
from channels.running import deliver_once, keep_delivering
from cli_data import data_of, opened_store, redis_of
from commands import DataOption, failing_plainly, out, say
from features.catalogs import CatalogStore

LEFT_BEHIND = 3  # the status it ends with where something is left that should have gone


def deliver_command(
    to: Annotated[Path, typer.Option("--to", help="The file that messages are appended to, a line of JSON each.")],
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", envvar="TINO_CATALOG", help="Whose data it is."),
    ] = None,
    data: DataOption = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Deliver what is due, say what is left, and end: with status 3 where that should have gone."
        ),
    ] = False,
) -> None:
    """Send what waits in the outbox, of all channels, to a file; what may not be sent any more is left out."""
    place = data_of(catalog, data)
    with failing_plainly(), redis_of(place) as url:
        left = asyncio.run(_deliver(url, to, once=once))
    if not FINE.issuperset(left):
        raise typer.Exit(code=LEFT_BEHIND)


async def _deliver(url: str, to: Path, *, once: bool) -> Collection[Left]:
    """Why anything is left, where that is looked at."""
    async with opened_store(url, None) as store:
        file = File(to)
        try:
            outbox, in_force = Outbox(store.ledger), InForcePlan(CatalogStore(store.ledger.link))
            await outbox.check_rights()
            deliverer = Deliverer(store, in_force, file, outbox=outbox, say=say.print)
            if not once:
                await keep_delivering(deliverer, _stopping(), say.print)
                out.print(str(deliverer.tally))
                return ()
            await deliver_once(deliverer)
            left = await what_is_left(store, outbox, deliverer.left)
            out.print(f"{deliverer.tally.done_with}; {told(left)}")
            return left
        finally:
            file.close()


def _stopping() -> asyncio.Event:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return stop
