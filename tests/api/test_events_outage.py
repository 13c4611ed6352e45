"""Events while there is no Redis: nothing is acknowledged that isn't stored, and sent again it counts once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog

from api.application import Api
from api.auth import Door
from api.worker import Worker
from decision.engine import Engine
from features.redis_server import EmbeddedRedis, socket_for
from tests.api.serving import EVENTS_CATALOG, problem, serving, settings
from tests.api.test_edges import call
from tests.api.test_outage import kill_redis, until_ready


def purchases(*numbers: int) -> list[dict[str, Any]]:
    return [
        {"id": f"p-{number}", "customer_id": f"ada-{number % 2}", "type": "purchase", "properties": {"amount": 60.0}}
        for number in numbers
    ]


@pytest.mark.chaos
def test_events_wait_for_redis_at_their_senders(tmp_path: Path, http: str) -> None:
    chosen = {"deadline_ms": 300, "catalog": EVENTS_CATALOG}
    with EmbeddedRedis.start(tmp_path) as mine, serving(settings(redis_url=mine.url, **chosen), http) as server:
        client = server.client
        assert client.post("/events", json=purchases(0, 1)).json()["stored"] == 2
        kill_redis(tmp_path)
        identify = {"type": "identify", "userId": "ada-0", "messageId": "i-1", "traits": {"visits": 3}}
        for body in (purchases(2)[0], purchases(2, 3), purchases(0), [*purchases(2), {}], identify):
            response = client.post("/events", json=body)
            assert "same ids" in problem(response, 503, "store_unavailable")["detail"]
            assert response.headers["retry-after"] == "1"
        with EmbeddedRedis.start(tmp_path):
            until_ready(server)
            assert client.post("/events", json=identify).json()["status"] == "stored"
            told = client.post("/events", json=purchases(0, 1, 2, 3)).json()
            assert told["duplicates"] >= 2
            assert told["stored"] + told["duplicates"] == 4
            assert client.post("/events", json=purchases(0, 1, 2, 3)).json()["duplicates"] == 4
            for customer_id in ("ada-0", "ada-1"):
                title = server.ask(customer_id=customer_id)["actions"][0]["content"]["title"]
                assert title == "Thank you for 120.0"


def test_events_of_before_redis_is_there(tmp_path: Path, http: str) -> None:
    chosen = settings(redis_url=f"unix://{socket_for(tmp_path)}", catalog=EVENTS_CATALOG)
    with serving(chosen, http) as server:
        for body in (purchases(1)[0], purchases(1, 2)):
            response = server.client.post("/events", json=body)
            problem(response, 503, "not_ready")
            assert response.headers["retry-after"] == "1"
        assert "tino_in_flight 0.0" in server.client.get("/metrics").text


def test_errors_of_ours_are_logged_and_told_without_their_text() -> None:
    worker = Worker(Door(()), engine=object.__new__(Engine))
    with structlog.testing.capture_logs() as logs:
        (response,) = call(Api(worker), ("POST", "/events", purchases(1)[0]))
    told = problem(response, 500, "internal")
    assert "plan" not in response.text
    assert [(log["request_id"], log["log_level"]) for log in logs] == [(told["request_id"], "error")]
    assert worker.metrics.in_flight == 0
