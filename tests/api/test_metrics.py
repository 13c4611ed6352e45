from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from api.event_answers import EventAnswer
from api.metrics import Metrics
from decision.deciding import Answer
from decision.reasons import Degradation, Reason, Status
from features.cache import UNKNOWN, Cache
from tests.api.serving import Server

ROOT = Path(__file__).parents[2]


def value(text: str, name: str) -> float:
    found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(found[0].split()[-1]) if found else 0.0


def test_what_is_counted() -> None:
    metrics = Metrics()
    cache = Cache(1)
    metrics.watch(cache)
    decided = Answer(b"", Status.DECIDED, Reason.RANKED)
    metrics.answered(decided, False, 0.001)
    metrics.answered(decided, False, 0.3)
    metrics.answered(decided, True, 0.3)
    metrics.answered(Answer(b"", Status.DECIDED, Reason.RANKED, lost=2, repeated=True), False, 0.3)
    metrics.answered(Answer(b"", Status.NOTHING, Reason.DEGRADED, (Degradation.CLOCK,)), False, 9.0)
    metrics.refused("invalid_json")
    for name in ("a", "b"):
        cache.get(name)
        cache.put(name, UNKNOWN)
    cache.get("b")
    metrics.in_flight = 3
    for _ in range(2):  # asked twice, nothing is counted twice
        text = metrics.text().decode()
    for name, expected in {
        'tino_decisions_total{reason="ranked",status="decided"}': 2,
        'tino_decisions_total{reason="degraded",status="nothing"}': 1,
        'tino_degraded_total{kind="clock"}': 1,
        'tino_problems_total{code="invalid_json"}': 1,
        "tino_lost_commits_total": 2,
        "tino_repeated_total": 1,
        "tino_dry_runs_total": 1,
        "tino_next_action_seconds_count": 5,
        'tino_next_action_seconds_bucket{le="0.001"}': 1,
        'tino_next_action_seconds_bucket{le="2.0"}': 4,
        "tino_cache_hits_total": 1,
        "tino_cache_misses_total": 2,
        "tino_cache_evictions_total": 1,
        "tino_cache_customers": 1,
        "tino_in_flight": 3,
    }.items():
        assert value(text, name) == expected, name


def test_what_was_seen_too_late_is_counted() -> None:
    metrics = Metrics()
    told = [EventAnswer(str(n), "stored", notes=notes) for n, notes in enumerate([(), ("late",), ("too_old", "late")])]
    metrics.events.answered(told, ["impression"] * 3, 0.001)
    for _ in range(2):
        assert value(metrics.text().decode(), "tino_events_late_total") == 2


def test_outcomes_that_answer_no_contact_are_counted() -> None:
    metrics = Metrics()
    notes = [(), ("no_contact",), ("too_old", "no_decision"), ("no_decision",), ("unknown_type",)]
    metrics.events.answered([EventAnswer(str(n), "stored", notes=each) for n, each in enumerate(notes)], ["x"] * 5, 0.1)
    for _ in range(2):
        text = metrics.text().decode()
        assert value(text, 'tino_events_unanswering_total{note="no_contact"}') == 1
        assert value(text, 'tino_events_unanswering_total{note="no_decision"}') == 2


def test_requests_are_counted(server: Server, client: httpx.Client, customer_id: str) -> None:
    name = 'tino_decisions_total{reason="ranked",status="decided"}'
    before = value(client.get("/metrics").text, name)
    for _ in range(3):
        server.ask(customer_id=customer_id)
    server.ask(customer_id=customer_id, dry_run=True)
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert value(response.text, name) == before + 3
    assert value(response.text, "tino_in_flight") == 0


COUNT = """
import sys
from api.metrics import Metrics
from decision.deciding import Answer
from decision.reasons import Reason, Status
metrics = Metrics()
metrics.in_flight = 1
metrics.answered(Answer(b"", Status.DECIDED, Reason.RANKED), False, 0.001)
metrics.refresh()
if sys.argv[1] == "leave":
    metrics.leave()
print(metrics.text().decode())
"""


def test_any_worker_answers_for_all(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for number, way in enumerate(("leave", "leave", "stay"), 1):
        text = subprocess.run(
            [sys.executable, "-c", COUNT, way], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        ).stdout
        assert value(text, 'tino_decisions_total{reason="ranked",status="decided"}') == number
        # Levels are those of the workers that are there.
        assert value(text, "tino_in_flight") == (0 if way == "leave" else 1)
