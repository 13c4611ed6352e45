"""What is left of budgets, and what was taken from them.

What is left stands in Redis, and every worker would find the same; so each looks from time to time, and whoever is
asked for metrics tells what was seen last. On the way a worker learns that something is left after all.
"""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge

from decision.engine import Engine
from features.deadline import Deadline
from features.errors import StoreError
from features.rounds import Rounds

LOOK_SECONDS = 5.0
WITHIN = 5.0


class BudgetLevels:
    """The numbers of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._left = Gauge(
            "tino_budget_left", "What is left of a budget in its period, over all workers.", ("budget",),
            registry=registry, multiprocess_mode="livemostrecent",
        )  # fmt: skip
        self._granted = Counter("tino_budget_granted", "Contacts taken from a budget.", ("budget",), registry=registry)
        self._engine: Engine | None = None
        self._seen: dict[str, int] = {}
        self._told: set[str] = set()

    def watch(self, engine: Engine) -> None:
        self._engine = engine

    def refresh(self) -> None:
        """Brings in what was taken since."""
        if self._engine is not None:
            for name, count in self._engine.store.budgets.granted.items():
                self._granted.labels(name).inc(count - self._seen.get(name, 0))
                self._seen[name] = count

    async def look(self) -> None:
        """Looks how much is left of each budget of the catalog in force; of others nothing is known any more."""
        engine = self._engine
        if engine is None:
            return
        store, budgets = engine.store, engine.plan.budgets
        for name in self._told - {budget.name for budget in budgets}:
            self._left.labels(name).set(math.nan)
            self._told.discard(name)
        deadline = Deadline(WITHIN)
        for budget in budgets:
            try:
                left = await store.budgets.left(budget, store.clock.now(), deadline)
            except StoreError:
                return  # what was seen last stands
            self._left.labels(budget.name).set(left)
            self._told.add(budget.name)

    async def keep_fresh(self) -> None:
        """Runs until cancelled."""
        await Rounds("looking what is left of budgets", self.look, LOOK_SECONDS).go()
