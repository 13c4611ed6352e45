"""A TCP proxy in front of a Redis that can swallow replies, to see what becomes of those who wait for them."""

from __future__ import annotations

import asyncio
from typing import Self

from features.address import parse_url


class Proxy:
    def __init__(self, upstream: str) -> None:
        self._upstream = parse_url(upstream)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.accepted = 0
        self.requests = bytearray()
        self.chunks = 0
        self.arrived = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def hold(self) -> None:
        """From now on replies are kept back."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def seen(self, text: bytes) -> None:
        """Until this has come through on its way to Redis."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: text in self.requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        redis_reader, redis_writer = await asyncio.open_unix_connection(self._upstream.path)
        self._writers += [writer, redis_writer]
        for pump in (self._requests(reader, redis_writer), self._replies(redis_reader, writer)):
            self._tasks.add(asyncio.create_task(pump))

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            writer.write(data)
            async with self.arrived:
                self.requests += data
                self.chunks += 1
                self.arrived.notify_all()
        writer.close()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            await self._open.wait()
            writer.write(data)
        writer.close()
