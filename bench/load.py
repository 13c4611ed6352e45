"""A load generator light enough not to be what is measured: raw HTTP/1.1 over asyncio, one request in flight a
connection.

Closed loop: each of the connections sends its next request when it has the answer; this finds the throughput. Open
loop: requests are due at fixed times whatever the server does, and latency counts from the time a request was *due*, so
that a stall is felt by every request it delays and not just by one (Gil Tene's "coordinated omission").
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

MARK = "############"


@dataclass(frozen=True, slots=True)
class Load:
    """`seconds` are measured after `warmup` seconds; `rate` in requests a second, 0 for a closed loop.

    Where MARK stands in a body, the number of the request is sent: no two requests are the same.
    """

    host: str
    port: int
    path: str
    bodies: Sequence[str]
    connections: int = 64
    seconds: float = 5.0
    warmup: float = 1.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies in milliseconds."""

    requests: int
    seconds: float
    per_second: float
    errors: int
    p50: float
    p99: float
    worst: float


class _Client(asyncio.Protocol):
    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._buffer = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._run.idle(self)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length_at = buffer.lower().find(b"content-length: ", 0, head)
        length = int(buffer[length_at + 16 : buffer.index(b"\r", length_at)])
        if len(buffer) >= head + 4 + length:
            self._buffer = buffer[head + 4 + length :]
            self._run.answered(self._due, buffer[9:12] == b"200")
            self._run.idle(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._run.lost()


class _Run:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = [_request(load, body) for body in load.bodies]
        self._marked = any(MARK in body for body in load.bodies)
        self._next = 0
        self._idle: deque[_Client] = deque()
        self._due: deque[float] = deque()
        self._latencies: list[float] = []
        self._errors = 0
        self._counting = False
        self._stopped = False

    async def run(self) -> Measured:
        loop = asyncio.get_running_loop()
        load = self._load
        for _ in range(load.connections):
            await loop.create_connection(lambda: _Client(self), load.host, load.port)
        pacing = asyncio.create_task(self._pace()) if load.rate else None
        await asyncio.sleep(load.warmup)
        self._counting = True
        started = time.perf_counter()
        await asyncio.sleep(load.seconds)
        seconds = time.perf_counter() - started
        self._counting, self._stopped = False, True
        if pacing is not None:
            pacing.cancel()
        ordered = sorted(self._latencies) or [0.0]
        rank = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in (0.5, 0.99, 1.0)]
        return Measured(len(self._latencies), seconds, len(self._latencies) / seconds, self._errors, *rank)

    def idle(self, client: _Client) -> None:
        if self._stopped:
            return
        if not self._load.rate:
            self._send(client, time.perf_counter())
        elif self._due:
            self._send(client, self._due.popleft())
        else:
            self._idle.append(client)

    def answered(self, due: float, ok: bool) -> None:
        if self._counting:
            self._latencies.append(time.perf_counter() - due)
            self._errors += not ok

    def lost(self) -> None:
        self._errors += not self._stopped

    def _send(self, client: _Client, due: float) -> None:
        request = self._requests[self._next % len(self._requests)]
        if self._marked:
            request = request.replace(_MARK, b"%012d" % self._next)
        self._next += 1
        client.send(request, due)

    async def _pace(self) -> None:
        interval = 1.0 / self._load.rate
        due = time.perf_counter()
        while True:
            now = time.perf_counter()
            while due <= now:
                if self._idle:
                    self._send(self._idle.popleft(), due)
                else:
                    self._due.append(due)
                due += interval
            await asyncio.sleep(max(0.0, due - time.perf_counter()))


_MARK = MARK.encode()


def _request(load: Load, body: str) -> bytes:
    payload = body.encode()
    head = f"POST {load.path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(payload) + payload


def main() -> None:
    """Reads a Load as JSON from standard input, prints what was measured; the argument names cores to run on."""
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, set(map(int, sys.argv[1].split(","))))
    load = Load(**json.load(sys.stdin))
    print(json.dumps(asdict(uvloop.run(_Run(load).run()))))


if __name__ == "__main__":
    main()
