"""`tino deliver`."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from catalog.building import build_plan
from catalog.plan import Plan
from channels.deliverer import Deliverer
from channels.file import File
from channels.in_force import InForcePlan
from channels.outbox import Outbox
from channels.running import deliver_once, keep_delivering
from channels.tally import Tally
from commands import DataOption, data_at, failing_plainly, loaded_catalog, opened_store, out, redis_of, say
from features.catalogs import CatalogStore

_EXAMPLE = Path("examples/grocery")  # whose data it is where neither --catalog nor --data says


def deliver_command(
    to: Annotated[Path, typer.Option("--to", help="The file that messages are appended to, a line of JSON each.")],
    catalog: Annotated[
        Path | None,
        typer.Option("--catalog", envvar="TINO_CATALOG", help="Whose data it is; and to go by, if none is in force."),
    ] = None,
    data: DataOption = None,
    once: Annotated[bool, typer.Option("--once", help="Deliver what is due, and end.")] = False,
) -> None:
    """Send what waits in the outbox, of all channels, to a file; what may not be sent any more is left out."""
    otherwise = None if catalog is None else build_plan(loaded_catalog(catalog, None))
    with failing_plainly(), redis_of(data_at(catalog or _EXAMPLE, data)) as url:
        out.print(str(asyncio.run(_deliver(url, to, otherwise, once=once))))


async def _deliver(url: str, to: Path, otherwise: Plan | None, *, once: bool) -> Tally:
    async with opened_store(url, None) as store:
        file = File(to)
        try:
            outbox, in_force = Outbox(store.ledger), InForcePlan(CatalogStore(store.ledger.link), otherwise)
            await outbox.check_rights()
            deliverer = Deliverer(store, in_force, file, outbox=outbox, say=say.print)
            if once:
                await deliver_once(deliverer)
            else:
                await keep_delivering(deliverer, _stopping(), say.print)
            return deliverer.tally
        finally:
            file.close()


def _stopping() -> asyncio.Event:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return stop
