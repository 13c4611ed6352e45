"""The nemesis: what is done to the cluster while clients work, in an order that its seed gives.

Each lasts for so many of the clients' operations, and is then over, but for clocks, which stay wrong until they are set
wrong otherwise. So a run tells the same story on a slow machine as on a fast one.
"""

import random
from collections import Counter
from collections.abc import Callable

from tests.history.clients import Clients
from tests.history.cluster import Cluster, Worker
from tests.history.proxy import Mode
from tests.history.worker import Skew

DURING, BETWEEN = 40, 40


class Nemesis:
    """`done` counts what was done, by its name."""

    def __init__(self, cluster: Cluster, clients: Clients, seed: str) -> None:
        self.done: Counter[str] = Counter()
        self._cluster = cluster
        self._clients = clients
        self._chance = random.Random(f"nemesis {seed}")
        self._harms: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "redis killed": self._kill_redis,
            "power lost": self._lose_power,
            "redis slow": lambda: self._meanwhile(Mode.SLOW),
            "replies swallowed": lambda: self._meanwhile(Mode.SWALLOW),
            "blackhole": lambda: self._meanwhile(Mode.HOLD),
            "connections cut": self._cut,
            "clock skewed": self._skew,
            "scripts flushed": cluster.flush_scripts,
        }

    def each_once(self) -> None:
        """Everything, in some order."""
        for name in self._chance.sample(sorted(self._harms), len(self._harms)):
            self._harms[name]()
            self.done[name] += 1
            self._clients.until(BETWEEN)

    def two_at_once(self) -> None:
        """One worker hears nothing, or too late, of what happens to Redis."""
        proxy = self._worker().proxy
        proxy.set(self._chance.choice([Mode.SLOW, Mode.SWALLOW, Mode.HOLD]))
        self._clients.until(DURING // 2)
        self._harms[self._chance.choice(["redis killed", "power lost", "scripts flushed", "clock skewed"])]()
        self._clients.until(DURING // 2)
        proxy.set(Mode.OPEN)
        self.done["two at once"] += 1
        self._clients.until(BETWEEN)

    def heal(self) -> None:
        """Clocks are right again; all else is over by itself."""
        for worker in self._cluster.workers:
            worker.skew(Skew(0.0))

    def _worker(self) -> Worker:
        return self._chance.choice(self._cluster.workers)

    def _kill_worker(self) -> None:
        worker = self._worker()
        worker.kill()
        self._clients.until(DURING)
        worker.start()
        worker.started()

    def _kill_redis(self) -> None:
        self._cluster.kill_redis()
        self._clients.until(self._chance.randrange(3))
        self._cluster.start_redis()

    def _lose_power(self) -> None:
        copy, since = self._cluster.copy_data()
        self._clients.until(DURING)
        self._cluster.lose_power(copy, since)

    def _meanwhile(self, mode: Mode) -> None:
        proxy = self._worker().proxy
        proxy.set(mode)
        self._clients.until(DURING)
        proxy.set(Mode.OPEN)

    def _cut(self) -> None:
        for worker in self._cluster.workers:
            worker.proxy.cut()

    def _skew(self) -> None:
        """By up to five seconds, some ahead and some behind; from then on it runs at any rate up to twice its own, or
        stands still, and all the time jumps ahead and back: a mere jump is put right by the next reply.
        """
        for number, worker in enumerate(self._cluster.workers):
            way = 1 if number % 2 else -1
            rate, strobe = self._chance.uniform(0, 2), self._chance.choice([0.2, 5])
            worker.skew(Skew(way * self._chance.uniform(0.3, 5), rate, strobe))
