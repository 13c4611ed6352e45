"""What lies between a worker and Redis: a TCP proxy that delays, swallows replies, or lets nothing through.

It runs on a thread of its own, and is told from outside what to do.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

DELAY = 0.012


class Mode(StrEnum):
    OPEN = "open"
    SLOW = "slow"
    """Everything takes a while longer, each way."""
    SWALLOW = "swallow"
    """Requests arrive and are done; their replies are lost."""
    HOLD = "hold"
    """A blackhole, as far as anybody can see; what went in comes out when it ends, however late."""


class Proxy:
    """For one worker. `url` stays the same, whatever becomes of the Redis behind."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._mode = Mode.OPEN
        self._pumps: set[asyncio.Task[None]] = set()
        self._towards: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._passing = asyncio.Event()
        self._passing.set()
        self._held = threading.Condition()
        self._holding = b""
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def set(self, mode: Mode) -> None:
        """From now on. When the worker's way is opened again, its connections of before are cut."""

        async def change() -> None:
            before, self._mode = self._mode, mode
            if before in (Mode.SWALLOW, Mode.HOLD):
                self._cut()
            if mode is Mode.HOLD:
                self._holding = b""
                self._passing.clear()
            else:
                self._passing.set()

        self._call(change())

    def holds(self, text: bytes, within: float = 30.0) -> None:
        """Returns when something with `text` in it is held back."""
        with self._held:
            assert self._held.wait_for(lambda: text in self._holding, within), f"{text!r} never came"

    def cut(self) -> None:
        """All of the worker's connections."""

        async def cut() -> None:
            self._cut()

        self._call(cut())

    def close(self) -> None:
        async def close() -> None:
            self._server.close()
            for task in list(self._pumps):
                task.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

        self._call(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _cut(self) -> None:
        for writer in self._towards:
            writer.transport.abort()
        self._towards.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            redis_reader, redis_writer = await asyncio.open_unix_connection(str(self._path))
        except OSError:
            writer.transport.abort()
            return
        self._towards.add(writer)
        came = asyncio.StreamReader()
        self._spawn(self._take_in(reader, came))
        self._spawn(self._pump(came, redis_writer, self._request))
        self._spawn(self._pump(redis_reader, writer, self._reply))

    async def _take_in(self, reader: asyncio.StreamReader, came: asyncio.StreamReader) -> None:
        """Goes on while nothing is let through: what is held back may stand behind something else that is."""
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(1 << 16):
                    if not self._passing.is_set():
                        with self._held:
                            self._holding += data
                            self._held.notify_all()
                    came.feed_data(data)
        finally:
            came.feed_eof()

    def _spawn(self, pump: Any) -> None:
        task = self._loop.create_task(pump)
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: Callable[[bytes], Awaitable[bool]]
    ) -> None:
        """Ends where either side does; what has come in before is passed on all the same."""
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(1 << 16):
                    if await passes(data):
                        writer.write(data)
                        await writer.drain()
        finally:
            self._towards.discard(writer)
            writer.close()

    async def _request(self, _: bytes) -> bool:
        await self._passing.wait()
        return await self._slowly()

    async def _reply(self, _: bytes) -> bool:
        return self._mode in (Mode.OPEN, Mode.SLOW) and await self._slowly()

    async def _slowly(self) -> bool:
        if self._mode is Mode.SLOW:
            await asyncio.sleep(DELAY)
        return True
