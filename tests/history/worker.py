"""A worker process: the service as `tino serve` runs it, on a port it is given, with a clock that can be set wrong.

A line on stdin sets the clock wrong. The service asks for the time in one place (features.clock); this is what it is
given there. Stdin's end ends the worker.
"""

import functools
import socket
import sys
import threading
import time

import msgspec
import uvicorn

import features.opening
from features.clock import ServerClock
from service import Service

STROBE_NS = 10_000_000


class Skew(msgspec.Struct):
    """The clock jumps by `seconds`, and from then on runs `rate` times as fast and shows `strobe` seconds more in every
    other hundredth of a second.
    """

    seconds: float
    rate: float = 1.0
    strobe: float = 0.0


class SkewedClock:
    """A clock in nanoseconds that jumps, drifts and strobes: not at all the monotonic one it stands for."""

    def __init__(self) -> None:
        self._since = time.monotonic_ns()
        self._shows = self._since
        self._rate, self._strobe = 1.0, 0

    def __call__(self) -> int:
        now = time.monotonic_ns()
        ahead = self._strobe if now // STROBE_NS % 2 else 0
        return self._shows + int((now - self._since) * self._rate) + ahead

    def set(self, skew: Skew) -> None:
        self._strobe = 0
        self._shows, self._since = self() + int(skew.seconds * 1e9), time.monotonic_ns()
        self._rate, self._strobe = skew.rate, int(skew.strobe * 1e9)


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print("started", flush=True)


def main() -> None:
    clock = SkewedClock()
    setattr(features.opening, "ServerClock", functools.partial(ServerClock, clock))  # noqa: B010 - typed as the class
    config = uvicorn.Config(
        Service(),
        http="api.express:ExpressProtocol",
        lifespan="on",
        log_level="error",
        access_log=False,
        proxy_headers=False,
    )
    server = Server(config)

    def obey() -> None:
        for line in sys.stdin:
            clock.set(msgspec.json.decode(line, type=Skew))
            print("set", flush=True)
        server.should_exit = True

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", int(sys.argv[1])))
        listening.listen(256)
        threading.Thread(target=obey, daemon=True).start()
        server.run(sockets=[listening])


if __name__ == "__main__":
    main()
