"""An archiver beside the service: a process of its own, so that no request waits for a file to be compressed.

It is told what to do in the first line of its standard input, and stops when that ends: also when whoever started it
was killed. It may be killed itself at any moment (see archive.drain), and is then started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO

import msgspec
import pyarrow as pa

from archive.drain import Terms
from archive.running import EVERY_SECONDS, Place, keep_archiving

STOP_WITHIN = 10.0
RESTART_PAUSE = 10.0
OWN_SIGNAL_WITHIN = 5.0
_FOR_ALL = (-signal.SIGTERM, -signal.SIGHUP)
NICE = 10


class Task(msgspec.Struct, frozen=True):
    """What an archiver is to do."""

    place: Place
    terms: Terms
    every: float = EVERY_SECONDS


class Beside:
    """A running archiver; `told` gets a sentence whenever it had to be started again."""

    def __init__(self, task: Task, told: Callable[[str], None]) -> None:
        self._task = task
        self._told = told
        self._stopping = threading.Event()
        self._ending = False
        self._process = self._launch()
        self._guardian = threading.Thread(target=self._watch, daemon=True)
        self._guardian.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def watched(self) -> bool:
        """Whether it would be started again."""
        return self._guardian.is_alive()

    def let_end(self) -> None:
        """`stop` is about to be called: one that has ended by then isn't missed. For a handler of signals: no lock."""
        self._ending = True

    def stop(self) -> None:
        """Lets it finish its batch, for up to 10 s."""
        self._stopping.set()
        self._end()
        self._guardian.join()

    def _launch(self) -> subprocess.Popen[bytes]:
        # -P: a folder named like one of ours, where the service happens to be started, must not be taken for it.
        command = [sys.executable, "-P", "-m", "archive.beside"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which is seen to as at any other time
            os.write(_pipe(process).fileno(), msgspec.json.encode(self._task, enc_hook=str) + b"\n")
        return process

    def _watch(self) -> None:
        while True:
            status = self._process.wait()
            if self._stopping.is_set():
                return
            _pipe(self._process).close()
            # A signal to all processes, from systemd or a terminal, is for us as well: we may not have come to it yet.
            if self._stopping.wait(OWN_SIGNAL_WITHIN if status in _FOR_ALL else 0) or self._ending:
                return
            self._told(f"the archiver has ended with status {status} and is started again")
            if self._stopping.wait(RESTART_PAUSE) or self._ending:
                return
            self._process = self._launch()
            if self._stopping.is_set():
                self._end()

    def _end(self) -> None:
        _pipe(self._process).close()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdin is None:
        raise RuntimeError("the archiver has no stdin")
    return process.stdin


async def _run(task: Task) -> None:
    stop, loop, told = asyncio.Event(), asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        if not os.read(told, 1024):
            loop.remove_reader(told)
            stop.set()

    loop.add_reader(told, read)
    await keep_archiving(task.place, task.terms, task.every, _say, stop)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    os.nice(NICE)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task, dec_hook=lambda kind, text: kind(text))
    asyncio.run(_run(task))


if __name__ == "__main__":
    main()
