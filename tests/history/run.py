"""One run of the history check: clients against workers under the nemesis, then the checker; and the table of it."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx

from tests.history.checker import check
from tests.history.client import Workload
from tests.history.clients import Clients
from tests.history.cluster import Cluster
from tests.history.counting import given_back, late
from tests.history.limits import BUDGETED, Limit, write_catalog
from tests.history.log import Log, read_log, whose
from tests.history.nemesis import Nemesis
from tests.history.operations import Operation, Outcome, read_histories
from tests.history.statements import Violation
from tests.replayed import made_again

CUSTOMERS = [f"c-{number}" for number in range(6)]
PROCESSES, THREADS = 2, 3
BEFORE, AFTER = 60, 120


@dataclass
class Story:
    """What happened, and what was found about it."""

    operations: list[Operation] = field(default_factory=list)
    log: Log = field(default_factory=Log)
    conflicts: int = 0
    harms: Counter[str] = field(default_factory=Counter)
    given_back: int = 0
    late: int = 0
    violations: list[Violation] = field(default_factory=list)

    @property
    def table(self) -> list[tuple[str, int]]:
        ended = Counter(each.outcome for each in self.operations)
        return [
            ("operations", len(self.operations)),
            ("  acknowledged", ended[Outcome.OK]),
            ("  ambiguous to the end", ended[Outcome.INFO]),
            ("replies that never came or were ambiguous", sum(each.unanswered for each in self.operations)),
            ("  of these cut by the client", sum(each.cuts for each in self.operations)),
            ("decisions recorded", len(self.log.decisions)),
            ("  contacts granted", self.log.reached.total()),
            ("  of the budget", self.log.reached[BUDGETED]),
            ("  given back, as they failed", self.given_back),
            ("  seen or delivered late", self.late),
            ("ids merged", sum(bool(state.into) for state in self.log.states.values())),
            ("conflicts (lost commits)", self.conflicts),
            *sorted(self.harms.items()),
            ("violations", len(self.violations)),
        ]


def lines_of(table: Sequence[tuple[str, int]]) -> str:
    return "\n".join(f"  {name:<44}{count:>8,}" for name, count in table)


def run(folder: Path, limits: Sequence[Limit], seed: str, workers: int = 2, rounds: int = 1) -> Story:
    """`rounds` is how often everything is done to them. What was decided is made again, and must come out the same."""
    catalog = write_catalog(folder, tuple(limits))
    with Cluster(folder, catalog, workers) as cluster:
        with Clients(workloads(cluster, seed), folder / "clients.log") as clients:
            nemesis = Nemesis(cluster, clients, seed)
            clients.until(BEFORE)
            for _ in range(rounds):
                nemesis.each_once()
                nemesis.two_at_once()
            nemesis.heal()
            clients.until(AFTER)
        story = told(cluster, limits)
        story.harms = nemesis.done
        made_again(cluster.redis.url, cluster.data)
    return story


def workloads(cluster: Cluster, seed: str) -> list[Workload]:
    mine = [CUSTOMERS[number :: PROCESSES * THREADS] for number in range(PROCESSES * THREADS)]
    return [
        Workload(
            name=f"p{number}",
            seed=seed,
            folder=str(cluster.histories),
            ports=list(cluster.ports),
            customers=CUSTOMERS,
            mine=mine[number * THREADS : (number + 1) * THREADS],
        )
        for number in range(PROCESSES)
    ]


def told(cluster: Cluster, limits: Sequence[Limit], customers: Sequence[str] = CUSTOMERS) -> Story:
    """What has happened to these so far, checked."""
    story = Story(read_histories(cluster.histories))
    customers = sorted({*customers, *(each.customer for each in story.operations)})
    story.log = read_log(cluster.redis.url, customers)
    story.log.visits.update(visits(cluster, [each for each in customers if not story.log.states[each].into]))
    for worker in cluster.workers:
        worker.count()
    story.conflicts = sum(worker.lost_commits for worker in cluster.workers)
    story.given_back, story.late = given_back(story.log, limits), late(story.log, limits)
    story.violations = check(story.operations, story.log, limits, cluster.losses, _wall())
    return story


def told_of_each(cluster: Cluster, limits: Sequence[Limit], customers: Sequence[str]) -> list[list[Violation]]:
    """What is violated as far as each of them goes."""
    story, wall = told(cluster, limits, customers), _wall()
    return [
        check(
            [each for each in story.operations if whose(each.customer) == customer],
            story.log.of(customer),
            limits,
            cluster.losses,
            wall,
        )
        for customer in customers
    ]


def _wall() -> int:
    return (time.time_ns() - time.monotonic_ns()) // 1000


def visits(cluster: Cluster, customers: Sequence[str]) -> dict[str, int]:
    """By customer, what the service says that it has counted."""
    with httpx.Client(base_url=f"http://127.0.0.1:{cluster.ports[0]}", timeout=30) as client:
        answers = {customer: client.get(f"/customers/{quote(customer)}") for customer in customers}
    return {
        customer: answer.json()["aggregates"]["visits"]["value"] or 0
        for customer, answer in answers.items()
        if answer.status_code == 200
    }
