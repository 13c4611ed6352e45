"""Rounds: what a worker does again and again beside answering, for as long as it is there."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from features.errors import StoreError

_log = structlog.get_logger("tino.rounds")


class Rounds:
    """Does `once` every so many seconds. What fails is done again in the next round, whatever it was.

    Redis being away is no news here: whoever needs it says so. Anything else is logged when it begins, and stands in
    `trouble` until a round has come to its end again.
    """

    def __init__(self, name: str, once: Callable[[], Awaitable[object]], every: float) -> None:
        self.trouble = ""
        self._name = name
        self._once = once
        self._every = every

    async def go(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self._once()
                self.trouble = ""
            except StoreError:
                pass
            except Exception as error:  # noqa: BLE001 - else it would end here, and nobody would know
                if repr(error) != self.trouble:
                    _log.error("what a worker does again and again has failed", what=self._name, exc_info=error)
                self.trouble = repr(error)
            await asyncio.sleep(self._every)
