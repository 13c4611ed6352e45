"""Running a deliverer: until nothing is due, or again and again until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib

from catalog.bundle import BundleError
from channels.deliverer import Deliverer, Say
from channels.in_force import NothingInForceError
from features.errors import StoreError

EVERY_SECONDS = 0.2
_PASSING = (StoreError, BundleError, NothingInForceError, OSError)


async def deliver_once(deliverer: Deliverer) -> None:
    """Returns when nothing is due any more. Raises what `deliver_due` raises."""
    while await deliverer.deliver_due():
        pass


async def keep_delivering(deliverer: Deliverer, stop: asyncio.Event, say: Say, every: float = EVERY_SECONDS) -> None:
    """Looks for what is due every so many seconds, until `stop` is set. What fails is said once, and tried again."""
    said = ""
    while not stop.is_set():
        taken = 0
        deliverer.left.clear()
        try:
            taken = await deliverer.deliver_due()
            if said:
                say("delivering goes on")
            said = ""
        except _PASSING as error:
            if str(error) != said:
                say(f"nothing can be delivered, which is tried again: {error}")
            said = str(error)
        if not taken:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), every)
