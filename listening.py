"""The address that is served on, and the processes that listen there; for `tino serve`.

The address is bound before anything else is begun, and kept: one that is taken is told of at once, and nothing is left
behind. Nobody listens on it until a worker answers, so that clients are refused meanwhile rather than kept waiting.
"""

import contextlib
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

Told = Callable[[], None]


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to the address, on which nobody listens yet; port 0 takes one that is free. Raises OSError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"can't listen on {host}:{port}: {error.strerror or error}") from None
    return listener


def listen(listener: socket.socket, workers: int, *, started: Told, ending: Told) -> None:
    """Serves until a signal ends it. `started` is called once all workers answer, `ending` when the signal comes."""
    config = uvicorn.Config(
        "service:app", workers=workers, access_log=False, log_level="warning", http="api.express:ExpressProtocol",
        timeout_worker_healthcheck=60, timeout_graceful_shutdown=10, proxy_headers=False, server_header=False,
    )  # fmt: skip
    if workers == 1:
        server = _Alone(config, started, ending)
        with contextlib.suppress(KeyboardInterrupt):  # by then it has ended in order
            server.run(sockets=[listener])
        failed = not server.started
    else:
        crew = _Crew(config, listener, started, ending)
        crew.run()
        failed = any(process.exitcode == STARTUP_FAILURE for process in crew.processes)
    if failed:
        sys.exit(STARTUP_FAILURE)


class _Alone(uvicorn.Server):
    """The one worker is this process."""

    def __init__(self, config: uvicorn.Config, started: Told, ending: Told) -> None:
        super().__init__(config)
        self._tell_started = started
        self._tell_ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._tell_ending()
        super().handle_exit(sig, frame)


class _Crew(Multiprocess):
    """Several, which this process watches over twice a second."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, started: Told, ending: Told) -> None:
        super().__init__(config, [listener])
        self._tell_started: Told | None = started
        self._tell_ending = ending

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if self._tell_started is not None and all(process.is_ready() for process in self.processes):
            self._tell_started()
            self._tell_started = None

    def handle_int(self) -> None:
        self._tell_ending()
        super().handle_int()

    def handle_term(self) -> None:
        self._tell_ending()
        super().handle_term()

    def handle_hup(self) -> None:
        """The terminal was closed: an end, where uvicorn would start its workers anew."""
        self.handle_term()
