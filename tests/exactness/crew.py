"""Worker processes, seen from the test."""

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.reduction import DupFd
from types import TracebackType

import msgspec

from tests.exactness.messages import Command, Done, Heard, Report, Told
from tests.exactness.worker import obey
from tests.forked import forked

_SILENCE = 60.0
UNREAD = 200
IN_PIPE = 64 * 1024 // 200
"""A worker that nobody listens to stops after so many reports more: a report is longer than 200 bytes."""


class Worker:
    """A process of `worker.py`. A thread reads its pipe ahead, up to `UNREAD` reports: enough to race at full speed,
    and few enough that a test which listens to some of a long command's reports knows it to be still under way.
    """

    def __init__(self) -> None:
        (obeys, commands), (reports, tells) = os.pipe(), os.pipe()
        self._process = forked(obey, DupFd(obeys), DupFd(tells))
        for theirs in (obeys, tells):
            os.close(theirs)
        self._stdin, self._stdout = os.fdopen(commands, "wb", buffering=0), os.fdopen(reports, "rb")
        self._reports: queue.Queue[Report | None] = queue.Queue(UNREAD)
        self._killed = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def send(self, command: Command) -> None:
        line = memoryview(msgspec.json.encode(command) + b"\n")
        while line:
            line = line[self._stdin.write(line) :]

    def reports(self) -> Iterator[Heard]:
        """What the command under way reports until it is done; of a killed process, what it still said."""
        while not isinstance(report := self._reports.get(timeout=_SILENCE), Done):
            if report is None:
                self._reports.put(None)
                assert self._killed, "a worker died"
                return
            yield report

    def run(self, command: Command) -> list[Heard]:
        self.send(command)
        return list(self.reports())

    def may_die(self) -> None:
        """It was told to kill itself some time."""
        self._killed = True

    def kill(self) -> None:
        """As `kill -9`; returns once it is gone."""
        self._killed = True
        self._process.kill()
        self._process.join()

    def end(self) -> None:
        self._stdin.close()
        while self._reports.get(timeout=_SILENCE) is not None:
            pass
        self._process.join(_SILENCE)
        self._reader.join()
        self._stdout.close()

    def _read(self) -> None:
        for line in self._stdout:
            if line.endswith(b"\n"):  # of a killed process, the last one may be torn
                self._reports.put(msgspec.json.decode(line, type=Report))
        self._reports.put(None)


class Crew:
    """Some workers that are given the same commands."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = workers

    @classmethod
    def of(cls, count: int) -> "Crew":
        return cls([Worker() for _ in range(count)])

    def first(self, count: int) -> "Crew":
        return Crew(self.workers[:count])

    def run(self, command: Command) -> list[Heard]:
        """All at once: everybody has done the command before by now, so all start together."""
        for worker in self.workers:
            worker.send(command)
        return [report for worker in self.workers for report in worker.reports()]

    def told(self, command: Command) -> list[Told]:
        """As `run`, where nothing may be refused."""
        reports = self.run(command)
        told = [report for report in reports if isinstance(report, Told)]
        assert len(told) == len(reports), "a request was refused"
        return told

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self.workers:
            worker.end()
