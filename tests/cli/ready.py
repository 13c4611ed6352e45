"""`tino`, imported once and forked for each command: nine tenths of a short command is the start of its interpreter.

What a test calls is a process of its own all the same, with the arguments, folder, environment and pipes it is given,
and it ends as the script does: by sys.exit, through all that Python does at its end. That the installed script itself
starts, and from any folder, is tried by the tests that start it (test_serve.py and what serves for others).
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import msgspec

WITHIN = 60.0
ROOT = Path(__file__).parents[2]


class Call(msgspec.Struct):
    """One command; where its output goes comes with it."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]


class Ready:
    """The process that waits, seen from the test. `environment` is what is imported with."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(WITHIN)
        with theirs:
            command = [sys.executable, "-P", "-m", __name__, str(theirs.fileno())]
            given = environment | {"PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(command, env=given, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        self._readers = ThreadPoolExecutor(2)

    def run(self, call: Call) -> subprocess.CompletedProcess[str]:
        """As subprocess.run with its output captured: waits until nobody holds the pipes. Raises TimeoutExpired."""
        pipes = [os.pipe(), os.pipe()]
        said = [self._readers.submit(_all_of, reading) for reading, _ in pipes]
        try:
            socket.send_fds(self._socket, [msgspec.json.encode(call)], [writing for _, writing in pipes])
        finally:
            for _, writing in pipes:
                os.close(writing)
        pid = int(self._told())
        try:
            status = int(self._told())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._told()
            raise subprocess.TimeoutExpired(call.arguments, WITHIN) from None
        out, err = (each.result(WITHIN) for each in said)
        return subprocess.CompletedProcess(call.arguments, status, out, err)

    def _told(self) -> bytes:
        told = self._socket.recv(64)
        assert told, "the process that forks has ended"
        return told

    def __enter__(self) -> Ready:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        self._readers.shutdown()
        self._process.wait(WITHIN)


def _all_of(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as reading:
        return reading.read()


def _fork(calls: socket.socket) -> Call | None:
    """Returns in each process that is to run a command, with that; with nothing where there are no more."""
    while True:
        body, descriptors, _, _ = socket.recv_fds(calls, 1 << 20, 2)
        if not body:
            return None
        pid = os.fork()
        if pid == 0:
            for descriptor, own in zip(descriptors, (1, 2), strict=True):
                os.dup2(descriptor, own)
                os.close(descriptor)
            calls.close()
            return msgspec.json.decode(body, type=Call)
        for descriptor in descriptors:
            os.close(descriptor)
        calls.send(str(pid).encode())
        calls.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def main() -> None:
    from cli import app  # noqa: PLC0415 - only here: what the test imports this for is the class above

    gc.collect()
    gc.freeze()
    call = _fork(socket.socket(fileno=int(sys.argv[1])))
    if call is None:
        return
    os.chdir(call.folder)
    os.environ.clear()
    os.environ.update(call.environment)
    sys.argv = ["tino", *call.arguments]
    sys.exit(app())


if __name__ == "__main__":
    main()
