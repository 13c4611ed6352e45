"""Whatever is sent to /events, the answer says what is wrong, and is never an error of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.serving import Server, problem
from tests.api.test_bad_bodies import NOT_JSON, garbage

pytestmark = pytest.mark.untraced

MEDIA_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
CLOUD_HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/fuzz", "ce-type": "login", "ce-subject": "fuzz"}
each_media_type = pytest.mark.parametrize("media_type", MEDIA_TYPES)
fuzz = settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture
def client(events: Server) -> httpx.Client:
    return events.client


@each_media_type
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_not_json(client: httpx.Client, media_type: str, body: bytes) -> None:
    problem(client.post("/events", content=body, headers={"content-type": media_type}), 400, "invalid_json")


@each_media_type
@pytest.mark.parametrize("body", ["null", '"text"', "1", "true", "[" * 100_000 + "]" * 100_000, "1" * 5_000, "1e999"])
def test_no_event(client: httpx.Client, media_type: str, body: str) -> None:
    response = client.post("/events", content=body, headers={"content-type": media_type})
    problem(response, response.status_code, response.json()["code"])
    assert response.status_code in (400, 422)


def test_a_long_body_of_unknown_length(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(60):
            yield b"a" * 10_000

    try:
        response = client.post("/events", content=chunks(), headers={"content-type": "application/json"})
    except httpx.WriteError:
        return  # the server hung up on the rest
    problem(response, 413, "body_too_large")


def test_a_megabyte_of_properties(client: httpx.Client) -> None:
    event = {"id": "a", "customer_id": "b", "type": "c", "properties": {"text": "x" * 1_000_000}}
    problem(client.post("/events", json=event), 413, "body_too_large")


def test_deep_properties_refuse_their_event_alone(client: httpx.Client) -> None:
    deep = b'{"x":' * 200 + b"1" + b"}" * 200
    body = (
        b'[{"id":"d-1","customer_id":"deep","type":"c","properties":'
        + deep
        + b'},{"id":"d-2","customer_id":"deep","type":"c"}]'
    )
    answer = client.post("/events", content=body, headers={"content-type": "application/json"}).json()
    assert answer["refused"] == 1
    assert answer["results"][0]["pointer"] == "/properties"


texts = st.text(max_size=20) | st.sampled_from(
    ["login", "purchase", "identify", "fuzz", "click", "track", "page", "1.0"]
)
numbers = (
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([2**63, -(2**63) - 1, 1e308])
)
times = st.sampled_from(
    [
        "2026-01-31T09:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2999-01-01T00:00:00Z",
        "now",
        "",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | times,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
properties = st.dictionaries(
    st.sampled_from(["amount", "department", "plan", "decision_id", "visits", "email"]) | texts, values
)


def some_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these fields, mostly as they should be."""
    return st.fixed_dictionaries({}, optional={name: each | values for name, each in fields.items()})


ids = st.text(min_size=1, max_size=4) | st.sampled_from(["f-1", "f-2"])
ours = some_of(
    id=ids, customer_id=ids, type=texts, at=times, properties=properties, decision_id=texts, sent_at=times, more=values
)
segments = some_of(
    messageId=ids, userId=ids, anonymousId=ids, type=texts, event=texts, timestamp=times, originalTimestamp=times,
    sentAt=times, properties=properties, traits=properties, context=values, name=texts,
)  # fmt: skip
clouds = some_of(
    specversion=st.just("1.0"), id=ids, source=ids, type=texts, subject=ids, time=times, data=properties,
    data_base64=texts, decisionid=texts, extension=values,
)  # fmt: skip
items = ours | segments | clouds | values
whole = (
    items
    | st.lists(items, max_size=6)
    | st.fixed_dictionaries({"events": st.lists(items, max_size=4) | values})
    | st.fixed_dictionaries({"batch": st.lists(items, max_size=4) | values, "sentAt": times | values})
)
bodies = garbage | whole.map(lambda body: json.dumps(body).encode())


@fuzz
@given(body=bodies, media_type=st.sampled_from(MEDIA_TYPES), in_headers=st.booleans())
def test_anything_is_answered(client: httpx.Client, body: bytes, media_type: str, in_headers: bool) -> None:
    headers = {"content-type": media_type} | (CLOUD_HEADERS if in_headers else {})
    response = client.post("/events", content=body, headers=headers)
    if response.status_code == 200:
        told = response.json()
        for each in told.get("results", [told]):
            assert each["status"] in ("stored", "duplicate", "refused")
            assert (each["status"] == "refused") == ("code" in each)
        return
    assert response.status_code < 500, response.text
    problem(response, response.status_code, response.json()["code"])


@fuzz
@given(body=st.lists(ours, max_size=6))
def test_sent_again_nothing_is_stored(client: httpx.Client, body: list[dict[str, Any]]) -> None:
    """What was stored is known afterwards, and what was refused is refused again."""
    first, second = (client.post("/events", json=body).json() for _ in range(2))
    if "results" in first:
        assert second["stored"] == 0
        assert second["duplicates"] == first["stored"] + first["duplicates"]
