"""Events over HTTP: stored before they are acknowledged, and in force for the next decision."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import KEYS
from tests.api.serving import Server, offered, problem

Post = Callable[..., Any]


@pytest.fixture
def server(events: Server) -> Server:
    return events


@pytest.fixture
def client(events: Server) -> httpx.Client:
    return events.client


@pytest.fixture
def post(client: httpx.Client) -> Post:
    def post(body: object, **headers: str) -> Any:
        response = client.post(
            "/events", content=json.dumps(body), headers={"content-type": "application/json"} | headers
        )
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        return response.json()

    return post


def purchase(customer_id: str, number: int = 1, **more: object) -> dict[str, Any]:
    return {"id": f"p-{number}", "customer_id": customer_id, "type": "purchase", "properties": {"amount": 60.0}} | more


def test_an_event_is_in_the_next_decision(server: Server, post: Post, customer_id: str) -> None:
    assert offered(server, customer_id) == "Welcome"
    assert post(purchase(customer_id)) == {"id": "p-1", "status": "stored"}
    assert offered(server, customer_id) == "Welcome"
    assert post(purchase(customer_id, 2)) == {"id": "p-2", "status": "stored"}
    assert offered(server, customer_id) == "Thank you for 120.0"


def test_an_event_counts_once(server: Server, post: Post, customer_id: str) -> None:
    statuses = [post(purchase(customer_id))["status"] for _ in range(3)]
    assert statuses == ["stored", "duplicate", "duplicate"]
    batch = [purchase(customer_id), purchase(customer_id), purchase(customer_id, 2)]
    assert post(batch) == {
        "stored": 1,
        "duplicates": 2,
        "refused": 0,
        "results": [
            {"id": "p-1", "status": "duplicate"},
            {"id": "p-1", "status": "duplicate"},
            {"id": "p-2", "status": "stored"},
        ],
    }
    assert offered(server, customer_id) == "Thank you for 120.0"


def test_lists_and_wrapped_lists_are_the_same(post: Post, customer_id: str) -> None:
    batch = [purchase(f"{customer_id}-{number}", number) for number in range(20)]
    assert post({"events": batch})["stored"] == 20
    assert post(batch)["duplicates"] == 20
    empty = {"stored": 0, "duplicates": 0, "refused": 0, "results": []}
    assert post([]) == empty
    assert post({"events": []}) == empty
    assert post({"batch": []}) == empty


def test_a_broken_item_is_refused_alone(server: Server, post: Post, customer_id: str) -> None:
    batch = [
        purchase(customer_id, 1),
        purchase(customer_id, 2, properties={"amount": "much"}),
        purchase(customer_id, 3, at="2026-01-31"),
        {"customer_id": customer_id, "type": "login"},
        purchase(customer_id, 4, colour="red"),
        purchase(customer_id, 5),
    ]
    answer = post(batch)
    assert [answer[name] for name in ("stored", "duplicates", "refused")] == [2, 0, 4]
    told = [(each["id"], each["status"], each.get("code"), each.get("pointer")) for each in answer["results"]]
    assert told == [
        ("p-1", "stored", None, None),
        ("p-2", "refused", "wrong_type", "/properties/amount"),
        ("p-3", "refused", "invalid_value", "/at"),
        (None, "refused", "missing_field", "/id"),
        ("p-4", "refused", "unknown_field", "/colour"),
        ("p-5", "stored", None, None),
    ]
    assert all(each["detail"] for each in answer["results"] if each["status"] == "refused")
    assert offered(server, customer_id) == "Thank you for 120.0"


SINGLE = [
    ({"at": "2999-01-01T00:00:00Z"}, "from_the_future", "/at"),
    ({"properties": {"amount": "60"}}, "wrong_type", "/properties/amount"),
    ({"decision_id": "mine"}, "invalid_value", "/decision_id"),
    ({"id": ""}, "invalid_value", "/id"),
    ({"id": "a\u0007"}, "invalid_value", "/id"),
    ({"id": "a" * 257}, "invalid_value", "/id"),
    ({"id": 7}, "invalid_value", "/id"),
    ({"customer_id": None}, "invalid_value", "/customer_id"),
    ({"customer_id": "a\u007f"}, "invalid_value", "/customer_id"),
    ({"type": "t" * 129}, "invalid_value", "/type"),
    ({"at": "2026-01-31T09:00:00"}, "invalid_value", "/at"),
    ({"at": 1769850000}, "invalid_value", "/at"),
    ({"sent_at": "now"}, "invalid_value", "/sent_at"),
    ({"properties": []}, "invalid_value", "/properties"),
    ({"properties": None}, "invalid_value", "/properties"),
    ({"properties": {"n": 2**63}}, "invalid_value", "/properties"),
    ({"properties": {"n": [{"m": -(2**63) - 1}]}}, "invalid_value", "/properties"),
    ({"properties": {"text": "é" * 16_400}}, "invalid_value", "/properties"),
    ({"colour": "red"}, "unknown_field", "/colour"),
]


@pytest.mark.parametrize(("wrong", "code", "pointer"), SINGLE)
def test_a_refused_event_is_a_problem(
    client: httpx.Client, customer_id: str, wrong: dict[str, object], code: str, pointer: str
) -> None:
    told = problem(client.post("/events", json=purchase(customer_id) | wrong), 422, code)
    assert told["pointer"] == pointer
    assert told["detail"]
    # Of several, it is the same that is told.
    batch = client.post("/events", json=[purchase(customer_id) | wrong])
    (result,) = batch.json()["results"]
    assert (batch.status_code, result["status"], result["code"], result["pointer"]) == (200, "refused", code, pointer)


@pytest.mark.parametrize("missing", ["id", "customer_id", "type"])
def test_what_is_required(client: httpx.Client, customer_id: str, missing: str) -> None:
    body = purchase(customer_id)
    del body[missing]
    assert problem(client.post("/events", json=body), 422, "missing_field")["pointer"] == f"/{missing}"


def nested(depth: int) -> dict[str, Any]:
    """So many objects and lists within each other."""
    value: Any = {} if depth % 2 else []
    for level in range(1, depth):
        value = {"x": value} if (depth - level) % 2 else [value]
    assert isinstance(value, dict)
    return value


def test_what_is_just_allowed(post: Post, customer_id: str) -> None:
    for number, properties in enumerate(
        (
            nested(16),
            {"n": 2**63 - 1, "m": -(2**63), "x": 1e300},
            {"text": "x" * (32 * 1024 - 11)},
            {"null": None, "list": [1, "a", None, True], "object": {"a": {"b": 1}}, "": "", 'say "hi":': ' "a": :'},
        )
    ):
        body = purchase(customer_id, number, type="t" * 128, id=f"{number}" * 256, properties=properties)
        assert post(body) == {"id": f"{number}" * 256, "status": "stored", "notes": ["unknown_type"]}
    told = post([purchase(customer_id, 9, properties=nested(17))])["results"][0]
    assert (told["code"], told["pointer"]) == ("invalid_value", "/properties")
    assert "16" in told["detail"]
    assert post([purchase(customer_id, 10, at=None, sent_at=None, decision_id=None)])["stored"] == 1


def test_times_in_any_zone_and_of_a_skewed_clock(post: Post, customer_id: str) -> None:
    in_spain = purchase(customer_id, 1, at="2026-01-31T10:00:00+01:00")
    assert post(in_spain)["status"] == "stored"
    ahead = purchase(customer_id, 2, at="2999-01-01T00:00:00Z", sent_at="2999-01-01T00:00:10Z")
    assert post(ahead)["status"] == "stored"


def test_notes(post: Post, customer_id: str) -> None:
    assert post(purchase(customer_id, 1, type="never heard of"))["notes"] == ["unknown_type"]
    assert post(purchase(customer_id, 2, at="2001-01-01T00:00:00Z"))["notes"] == ["too_old"]
    click = {"id": "c-1", "customer_id": customer_id, "type": "click", "decision_id": "0" * 32}
    assert post(click)["notes"] == ["no_contact"]
    of_an_action = {"id": "c-2", "customer_id": customer_id, "type": "click", "properties": {"action": "welcome"}}
    assert post(of_an_action)["notes"] == ["no_decision"]
    assert post({"id": "c-3", "customer_id": customer_id, "type": "dismiss"})["notes"] == ["no_decision"]
    inside = {"id": "c-4", "customer_id": customer_id, "type": "dismiss", "properties": {"decision_id": "0" * 32}}
    assert post(inside)["notes"] == ["no_decision", "decision_in_properties"]
    assert "notes" not in post(
        {"id": "c-5", "customer_id": customer_id, "type": "purchase", "properties": {"decision_id": "x", "amount": 1}}
    )


def test_outcomes_find_their_contact(server: Server, post: Post, customer_id: str) -> None:
    decided = server.ask(customer_id=customer_id, placements=["home-banner"])
    click = {"id": "c-1", "customer_id": customer_id, "type": "click", "decision_id": decided["decision_id"]}
    assert post(click) == {"id": "c-1", "status": "stored"}


@pytest.mark.parametrize("count", [1_001, 10_000])
def test_too_many_events(client: httpx.Client, count: int) -> None:
    for body in (
        [{"id": "a", "customer_id": "b", "type": "c"}] * count,
        {"events": [{"id": "a", "customer_id": "b", "type": "c"}] * count},
        {"batch": [{"messageId": "a"}] * count},
    ):
        content = json.dumps(body, separators=(",", ":"))
        told = problem(
            client.post("/events", content=content, headers={"content-type": "application/json"}),
            400,
            "too_many_events",
        )
        assert "1,000" in told["detail"]


def test_a_thousand_events(post: Post, customer_id: str) -> None:
    batch = [purchase(f"{customer_id}-{number % 7}", number) for number in range(1_000)]
    assert post(batch)["stored"] == 1_000


def test_a_body_has_a_limit_of_its_own(client: httpx.Client, post: Post, customer_id: str) -> None:
    texts = [purchase(customer_id, number, properties={"text": "x" * 31_000}) for number in range(16)]
    assert post(texts)["stored"] == 16  # more than 256 KiB
    response = client.post("/events", json=[*texts, purchase(customer_id, 99, properties={"text": "x" * 31_000})])
    assert "512000" in problem(response, 413, "body_too_large")["detail"]


@pytest.mark.parametrize("body", [b"[1]", b'[{"id": "a", "customer_id": "b", "type": "c"}, null]', b'{"events": {}}'])
def test_no_list_of_events(client: httpx.Client, body: bytes) -> None:
    response = client.post("/events", content=body, headers={"content-type": "application/json"})
    assert problem(response, 422, "invalid_value")["pointer"] in ("/0", "/1", "/events")


def test_nothing_beside_a_list(client: httpx.Client) -> None:
    told = problem(client.post("/events", json={"events": [], "id": "a"}), 422, "unknown_field")
    assert told["pointer"] == "/id"


REPEATED = [
    b'{"id": "a", "customer_id": "b", "type": "c", "id": "d"}',
    b'{"id": "a", "customer_id": "b", "type": "c", "id" : "d"}',
    b'[{"id": "a", "customer_id": "b", "type": "c", "at": null, "at"\n:null}]',
    b'{"id": "a", "customer_id": "b", "type": "c", "properties": {"a": 1, "a": 1}}',
    b'{"id": "a", "customer_id": "b", "type": "c", "properties": {"x": [{"a": 1, "\\u0061": 1}]}}',
    b'{"id": "a", "customer_id": "b", "type": "c", "properties": {}, "properties":{}}',
]


@pytest.mark.parametrize("body", REPEATED)
def test_repeated_keys(client: httpx.Client, body: bytes) -> None:
    response = client.post("/events", content=body, headers={"content-type": "application/json"})
    problem(response, 400, "duplicate_key")


def test_methods_and_media_types(client: httpx.Client) -> None:
    assert problem(client.get("/events"), 405, "method_not_allowed")
    response = client.post("/events", content=b"{}", headers={"content-type": "text/plain"})
    assert "cloudevents" in problem(response, 415, "unsupported_media_type")["detail"]


def test_the_scope_is_ingest(keyed: Server) -> None:
    body = {"id": "a", "customer_id": "b", "type": "c"}
    told = {
        name: keyed.client.post("/events", json=body, headers={"authorization": f"Bearer {KEYS[name]}"}).status_code
        for name in KEYS
    }
    assert told == {"decide": 403, "ingest": 200, "admin": 200, "shop": 200}
    problem(keyed.client.post("/events", json=body), 401, "unauthorized")


def test_events_are_counted(client: httpx.Client, post: Post, customer_id: str) -> None:
    names = [
        'tino_events_total{status="stored"}',
        'tino_events_total{status="duplicate"}',
        'tino_events_total{status="refused"}',
        'tino_events_stored_total{type="purchase"}',
        'tino_events_stored_total{type="other"}',
        'tino_events_refused_total{code="missing_field"}',
        'tino_events_refused_total{code="wrong_type"}',
        "tino_events_seconds_count",
    ]

    def counts() -> list[float]:
        lines = dict(line.rpartition(" ")[::2] for line in client.get("/metrics").text.splitlines())
        return [float(lines.get(name, 0)) for name in names]

    before = counts()
    post([purchase(customer_id), purchase(customer_id), purchase(customer_id, 2, type="made up"), {}])
    client.post("/events", json=purchase(customer_id, 3, properties={"amount": "x"}))
    assert [after - then for after, then in zip(counts(), before, strict=True)] == [2, 1, 2, 1, 1, 1, 1, 2]
    assert "tino_in_flight 0.0" in client.get("/metrics").text
