"""What is tried: a redis-server that writes to disk before it answers, some workers, each behind a proxy, and a folder
for the histories. It can be done every harm to, and puts down when.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import httpx
import msgspec

from features import redis_probe
from features.redis_server import EmbeddedRedis
from tests.history.operations import Loss, now
from tests.history.proxy import Proxy
from tests.history.worker import Skew
from tests.on_disk import copy_log, put_back

ROOT = Path(__file__).parents[2]
_LOST_COMMITS = "tino_lost_commits_total"


class Worker:
    """Killed and started again, it keeps its port, which nobody else gets meanwhile."""

    def __init__(self, proxy: Proxy, folder: Path, environment: dict[str, str]) -> None:
        self.proxy = proxy
        self.lost_commits = 0
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port = int(self._reserved.getsockname()[1])
        self._log = (folder / f"worker-{self.port}.log").open("ab")
        self._environment = environment | {"REDIS_URL": proxy.url}
        self.start()

    def start(self) -> None:
        """Returns at once; `started` waits."""
        # -P: what PYTHONPATH names comes first, not the folder that this runs in.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.history.worker", str(self.port)],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def started(self) -> None:
        self._hear("started")

    def skew(self, skew: Skew) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(skew).decode() + "\n")
        self._process.stdin.flush()
        self._hear("set")

    def kill(self) -> None:
        self.count()
        self._process.kill()
        self._gone()

    def count(self) -> None:
        """Adds up what this process has counted; what it counts afterwards, if it is killed, nobody knows."""
        told = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30).text
        values = [line.split()[1] for line in told.splitlines() if line.startswith(_LOST_COMMITS)]
        self.lost_commits += int(float(values[0])) if values else 0

    def end(self) -> None:
        self._process.kill()  # there is nothing that an orderly end would add
        self._gone()
        self._reserved.close()
        self._log.close()

    def _gone(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _hear(self, word: str) -> None:
        assert self._process.stdout is not None
        heard = self._process.stdout.readline().strip()
        assert heard == word, f"the worker said {heard!r}: see {self._log.name}"


class Cluster:
    """`code` is a folder whose packages take the place of the project's."""

    def __init__(self, folder: Path, catalog: Path, workers: int, code: Path | None = None) -> None:
        self.folder = folder
        self.histories = folder / "histories"
        self.losses: list[Loss] = []
        self.data = folder / "data"
        self._ending = ExitStack()
        self.histories.mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("TINO_", "PYTHON"))}
        environment |= {
            "TINO_CATALOG": str(catalog),
            "TINO_DATA": str(self.data),
            "TMPDIR": str(folder),
            "PYTHONPATH": os.pathsep.join(map(str, (code, ROOT) if code else (ROOT,))),
        }
        with ExitStack() as begun:
            self.redis = self._start_redis()
            begun.callback(self._stop_redis)
            self.workers: list[Worker] = []
            for _ in range(workers):
                proxy = Proxy(self.redis.socket_path)
                begun.callback(proxy.close)
                self.workers.append(Worker(proxy, folder, environment))
                begun.callback(self.workers[-1].end)
            for worker in self.workers:
                worker.started()
            self._ending = begun.pop_all()

    @property
    def ports(self) -> Sequence[int]:
        return [worker.port for worker in self.workers]

    def kill_redis(self) -> None:
        os.kill(self.redis.pid, signal.SIGKILL)
        self.redis.stop()

    def start_redis(self) -> None:
        self.redis = self._start_redis()

    def flush_scripts(self) -> None:
        redis_probe.ask(self.redis.socket_path, "SCRIPT", "FLUSH")

    def copy_data(self) -> tuple[Path, int]:
        """A copy of what is on disk, and a time: all that was acknowledged before is in it."""
        since, copy = now(), self.folder / "older"
        copy_log(self.data, copy)
        return copy, since

    def lose_power(self, copy: Path, since: int) -> None:
        """Redis comes back with what `copy` holds; the workers know nothing of it."""
        self.kill_redis()
        put_back(copy, self.data)
        self.losses.append(Loss(since, now()))
        self.start_redis()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.close()

    def _stop_redis(self) -> None:
        self.redis.stop()  # the one of then, not of now

    def _start_redis(self) -> EmbeddedRedis:
        return EmbeddedRedis.start(self.data, appendfsync="always")
