"""The worker: what the answering of requests shares, from start to end."""

from dataclasses import dataclass, field

from api.auth import Door
from api.defaults import BODY_LIMIT, BODY_SECONDS, MOST_WAITING, SECONDS
from api.exports import Exports
from api.metrics import Metrics
from api.problems import Problem
from api.reloading import Following
from archive.running import Place
from catalog.plan import Plan
from decision.engine import Engine
from features.deadline import Deadline


@dataclass(slots=True)
class Worker:
    """`engine` is None, and `waiting_for` says why, until the store is open and the plan loaded; `place` is where the
    records are.

    `seconds` is how long a caller waits who doesn't say, `body_limit` the longest body in bytes, `body_seconds` how
    long one may take to arrive, `most_waiting` how many requests for a decision may wait at a time.
    """

    door: Door
    metrics: Metrics = field(default_factory=Metrics)
    seconds: float = SECONDS
    body_limit: int = BODY_LIMIT
    body_seconds: float = BODY_SECONDS
    most_waiting: int = MOST_WAITING
    engine: Engine | None = None
    following: Following | None = None
    place: Place | None = None
    exports: Exports = field(default_factory=Exports)
    waiting_for: str = "not started"

    @property
    def ready_engine(self) -> Engine:
        """Raises Problem before there is one."""
        if self.engine is None:
            raise Problem("not_ready", f"starting: {self.waiting_for}")
        return self.engine

    def serves(self, plan: Plan) -> None:
        self.metrics.serves(plan.digest, plan.name)

    def deadline(self) -> Deadline:
        return Deadline(self.seconds)
