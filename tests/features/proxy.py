"""A TCP proxy in front of a Redis that keeps back or loses what goes through, to see what becomes of those who wait."""

from __future__ import annotations

import asyncio
from typing import Self

from features.address import parse_url


class Proxy:
    """`kept` is set once a reply was kept back: what it answers has happened."""

    def __init__(self, upstream: str) -> None:
        self._upstream = parse_url(upstream)
        self._open = asyncio.Event()
        self._open.set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._swallowing = False
        self._before: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._replying: set[asyncio.Task[None]] = set()
        self._clients: list[asyncio.StreamWriter] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.accepted = 0
        self.requests = bytearray()
        self.chunks = 0
        self.arrived = asyncio.Condition()
        self.kept = asyncio.Event()

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
        self.kept.clear()
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def blackhole(self) -> None:
        """From now on requests get nowhere, and no reply comes."""
        self.hold()
        self._swallowing = True

    def come_back(self) -> None:
        """The end of a blackhole: connections that lost something in it are of no more use."""
        self._swallowing = False
        self.cut()
        self.release()

    def hold_requests(self) -> None:
        """From now on requests on the connections there are, and come before the next cut, are kept back."""
        self._passing.clear()

    def release_requests(self) -> None:
        for passing in (*self._before, self._passing):
            passing.set()

    def cut(self) -> None:
        """Breaks all connections with the clients. Replies that were kept back are lost; requests still are."""
        if not self._passing.is_set():
            self._before.append(self._passing)
            self._passing = asyncio.Event()
            self._passing.set()
        for task in self._replying:
            task.cancel()
        self._replying.clear()
        for client in self._clients:
            client.transport.abort()
        self._clients.clear()

    async def seen(self, text: bytes) -> None:
        """Until this has come on its way to Redis."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: text in self.requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if (serving := asyncio.current_task()) is not None:
            self._tasks.add(serving)
        try:
            redis_reader, redis_writer = await asyncio.open_unix_connection(self._upstream.path)
        except OSError:
            writer.close()
            return
        self._clients.append(writer)
        self._writers += [writer, redis_writer]
        replying = asyncio.create_task(self._replies(redis_reader, writer))
        self._replying.add(replying)
        self._tasks |= {replying, asyncio.create_task(self._requests(reader, redis_writer, self._passing))}

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event
    ) -> None:
        try:
            while data := await reader.read(1 << 20):
                async with self.arrived:
                    self.requests += data
                    self.chunks += 1
                    self.arrived.notify_all()
                await passing.wait()
                if not self._swallowing:
                    writer.write(data)
        except ConnectionError:  # cut
            pass
        writer.close()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 20):
                if not self._open.is_set():
                    self.kept.set()
                await self._open.wait()
                writer.write(data)
        except ConnectionError:  # Redis hung up with something unread, as on who sends much without a password
            pass
        writer.close()
