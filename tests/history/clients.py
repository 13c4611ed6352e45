"""The client processes, seen from the run: they go on until they are told to stop; what they have done is counted."""

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import msgspec

from tests.history.client import Workload
from tests.history.cluster import ROOT

_SILENCE = 120.0


class Clients:
    """Starts them. `done` is how many things they have done together."""

    def __init__(self, workloads: list[Workload], log: Path) -> None:
        self.done = 0
        self._more = threading.Condition()
        self._ended = 0
        self._log = log.open("ab")
        self._processes = [self._start(workload) for workload in workloads]
        self._readers = [threading.Thread(target=self._read, args=(process,)) for process in self._processes]
        for reader in self._readers:
            reader.start()

    def until(self, more: int) -> None:
        """Returns when they have done so much more than now."""
        with self._more:
            wanted = self.done + more
            reached = self._more.wait_for(lambda: self.done >= wanted or self._ended > 0, _SILENCE)
            assert reached, f"no client has done anything for {_SILENCE:.0f} s"
            assert not self._ended, f"a client has ended: see {self._log.name}"

    def stop(self) -> None:
        """Each finishes what it is doing."""
        for process in self._processes:
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
        for reader in self._readers:
            reader.join()
        failed = [process.wait() for process in self._processes]
        for process in self._processes:
            if process.stdout is not None:
                process.stdout.close()
        self._log.close()
        assert not any(failed), f"a client has failed: see {self._log.name}"

    def _start(self, workload: Workload) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.history.client"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(workload) + b"\n")
        process.stdin.flush()
        return process

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        for _ in process.stdout or ():
            with self._more:
                self.done += 1
                self._more.notify_all()
        with self._more:
            self._ended += 1
            self._more.notify_all()

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
