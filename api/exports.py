"""Exports: few at a time, as each is a process of a hundred megabytes, and takes as long as whoever reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.problems import Problem

MOST = 2
WITHIN = 10.0
_HEADERS = {"Content-Disposition": 'attachment; filename="customer.json"'}


class Exports:
    """`most` may be under way at a time; who has waited `within` seconds for one to end is refused."""

    def __init__(self, most: int = MOST, within: float = WITHIN) -> None:
        self.within = within
        self._room = asyncio.Semaphore(most)

    async def begin(self) -> None:
        """Raises Problem; else `end` is to follow."""
        try:
            async with asyncio.timeout(self.within):
                await self._room.acquire()
        except TimeoutError:
            raise Problem("overloaded", "others are being exported, which takes as long as they are read") from None

    def end(self) -> None:
        self._room.release()


class Download(StreamingResponse):
    """A document of JSON as it comes; `ended` is called in the end, also where nobody was there for its first byte."""

    def __init__(self, body: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        super().__init__(body, media_type="application/json", headers=_HEADERS)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()
