"""What is counted, for Prometheus.

What every answer counts is kept in plain numbers, which cost far less than counters with their locks, and brought in
when the metrics are asked for; so are counters that live elsewhere (the cache's) and levels. With
PROMETHEUS_MULTIPROC_DIR set, each worker writes its numbers to files there and any of them answers for all; they are
then brought in every second, as another may be asked.
"""

import os
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

from api.budget_metrics import BudgetLevels
from api.durations import Durations
from api.event_metrics import EventCounts
from decision.deciding import Answer
from decision.reasons import Degradation, Reason, Status
from features.cache import Cache
from features.high_water import HighWater
from features.rounds import Rounds

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
REFRESH_SECONDS = 1.0

# A second series for each, with the time it was made: of no use here.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The numbers of one worker. `in_flight` is to be kept by who answers."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._registry = own
        self._decisions = Counter("tino_decisions", "Decisions answered.", ("status", "reason"), registry=own)
        self._degraded = Counter("tino_degraded", "Answers that could not rely on something.", ("kind",), registry=own)
        self._problems = Counter("tino_problems", "Errors told to callers.", ("code",), registry=own)
        self._shed = Counter("tino_shed", "Requests sent away as too many were waiting.", ("path",), registry=own)
        self._lost = Counter("tino_lost_commits", "Commits that found the customer changed.", registry=own)
        self._repeated = Counter("tino_repeated", "Requests answered before under their request id.", registry=own)
        self._dry_runs = Counter("tino_dry_runs", "Decisions that were not to count.", registry=own)
        self._changed = Counter(
            "tino_policy_changed_winner", "Answers that would be different without this contact policy.", ("policy",),
            registry=own,
        )  # fmt: skip
        self._cost = Counter(
            "tino_policy_lost_priority", "Priority lost to this contact policy.", ("policy",), registry=own
        )
        self._durations = Durations("tino_next_action_seconds", "From a request's body to its answer.", own)
        self.events = EventCounts(own)
        self.budgets = BudgetLevels(own)
        self._hits = Counter("tino_cache_hits", "Customers found in memory.", registry=own)
        self._misses = Counter("tino_cache_misses", "Customers loaded from Redis.", registry=own)
        self._evictions = Counter("tino_cache_evictions", "Customers that left memory for others.", registry=own)
        self._size = Gauge("tino_cache_customers", "Customers in memory.", registry=own, multiprocess_mode="livesum")
        self._bytes = Gauge("tino_cache_bytes", "What they take, about.", registry=own, multiprocess_mode="livesum")
        self._flying = Gauge("tino_in_flight", "Requests being answered.", registry=own, multiprocess_mode="livesum")
        self._full = Gauge(
            "tino_high_water", "Workers that leave decisions unwritten, as Redis' memory is nearly full.", registry=own,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._catalog = Gauge(
            "tino_catalog_info", "Workers that serve a catalog.", ("digest", "name"), registry=own,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._serves: tuple[str, str] | None = None
        self._answers: dict[tuple[Status, Reason], int] = {}
        self._degradation: dict[Degradation, Callable[[], None]] = {}
        self._cache: Cache | None = None
        self._high_water: HighWater | None = None
        self._seen = (0, 0, 0)
        self.in_flight = 0

    def watch(self, cache: Cache, high_water: HighWater | None = None) -> None:
        self._cache = cache
        self._high_water = high_water

    def serves(self, digest: str, name: str) -> None:
        if self._serves is not None:
            self._catalog.labels(*self._serves).set(0)
        self._serves = (digest, name)
        self._catalog.labels(digest, name).set(1)

    def answered(self, answer: Answer, dry_run: bool, seconds: float) -> None:
        self._durations.took(seconds)
        if dry_run:
            self._dry_runs.inc()
        elif answer.repeated:
            self._repeated.inc()
        else:
            kind = (answer.status, answer.reason)
            self._answers[kind] = self._answers.get(kind, 0) + 1
        if answer.lost:
            self._lost.inc(answer.lost)
        for policy, lost in answer.pressure:
            self._changed.labels(policy).inc()
            self._cost.labels(policy).inc(lost)
        for why in answer.degraded:
            count = self._degradation.get(why)
            if count is None:
                count = self._degradation[why] = self._degraded.labels(why).inc
            count()

    def refused(self, code: str) -> None:
        self._problems.labels(code).inc()

    def shed(self, path: str) -> None:
        self._shed.labels(path).inc()

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        self.refresh()
        if MULTIPROCESS not in os.environ:
            return generate_latest(self._registry)
        gathered = CollectorRegistry()
        multiprocess.MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]
        return generate_latest(gathered)

    def refresh(self) -> None:
        """Brings in what is counted elsewhere."""
        self._flying.set(self.in_flight)
        self._full.set(self._high_water is not None and self._high_water.reached)
        self.events.refresh()
        self.budgets.refresh()
        for kind, count in self._answers.items():
            self._decisions.labels(*kind).inc(count)
        self._answers.clear()
        self._durations.refresh()
        cache = self._cache
        if cache is None:
            return
        self._size.set(len(cache))
        self._bytes.set(cache.bytes)
        now = (cache.hits, cache.misses, cache.evictions)
        for counter, after, before in zip((self._hits, self._misses, self._evictions), now, self._seen, strict=True):
            counter.inc(after - before)
        self._seen = now

    async def keep_fresh(self) -> None:
        """Runs until cancelled; returns at once where only this process can be asked."""

        async def refresh() -> None:
            self.refresh()

        if MULTIPROCESS in os.environ:
            await Rounds("bringing numbers up to date", refresh, REFRESH_SECONDS).go()

    @staticmethod
    def leave() -> None:
        """This worker's levels end with it."""
        if MULTIPROCESS in os.environ:
            multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
