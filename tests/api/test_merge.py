"""`POST /customers/{id}/merge`, and every path by an id that stands for another customer."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.api.serving import Server, problem


@pytest.fixture
def person(customer_id: str) -> str:
    return f"person of {customer_id}"


def merged(client: httpx.Client, source: str, into: str) -> dict[str, Any]:
    response = client.post(f"/customers/{quote(source)}/merge", json={"into": into})
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def test_both_ids_stand_for_one_customer(client: httpx.Client, customer_id: str, person: str) -> None:
    client.put(f"/customers/{customer_id}", json={"attributes": {"name": "Ada"}, "consents": {"marketing": True}})
    client.put(f"/customers/{person}", json={"attributes": {"visits": 3}, "consents": {"service": True}})
    assert merged(client, customer_id, person) == {"customer_id": person, "merged": [customer_id], "changed": True}
    for pair in ((customer_id, person), (person, customer_id), (person, person)):
        assert merged(client, *pair) == {"customer_id": person, "merged": [customer_id], "changed": False}
    told = client.get(f"/customers/{person}").json()
    assert told["attributes"] == {"name": "Ada", "visits": 3}
    assert {purpose for purpose, found in told["consents"].items() if found["granted"]} == {"marketing", "service"}
    assert client.get(f"/customers/{customer_id}").json() == told


def test_every_path_by_the_old_id_is_the_customers(
    server: Server, keyed: Server, customer_id: str, person: str
) -> None:
    """Also at a worker that has not heard of the merge."""
    client, old, new = server.client, f"/customers/{customer_id}", f"/customers/{person}"
    assert server.ask(customer_id=customer_id)["customer_id"] == customer_id
    merged(client, customer_id, person)
    assert server.ask(customer_id=customer_id)["customer_id"] == person
    for method, body in (("PUT", {"attributes": {"name": "Ada"}}), ("PATCH", {"attributes": {"visits": 1}})):
        told = client.request(method, old, json=body).json()
        assert (told["customer_id"], told["attributes"] | body["attributes"]) == (person, told["attributes"])
    assert client.put(f"{old}/consents/marketing", json={"granted": True}).json()["granted"] is True
    assert client.get(new).json()["consents"]["marketing"]["granted"] is True
    assert len(client.get(f"{old}/contacts").json()["contacts"]) == 2
    assert client.get(f"{old}/contacts").json() == client.get(f"{new}/contacts").json()


def test_ids_never_heard_of(client: httpx.Client, customer_id: str, person: str) -> None:
    assert merged(client, customer_id, person)["changed"] is True
    told = client.get(f"/customers/{customer_id}").json()
    assert (told["customer_id"], told["attributes"], told["consents"]) == (person, {}, {})


def test_a_request_id_is_answered_the_same_by_the_old_id(server: Server, customer_id: str, person: str) -> None:
    body = {"customer_id": customer_id, "request_id": "r", "placements": ["feed"]}
    first = server.ask(**body)
    merged(server.client, customer_id, person)
    assert server.ask(**body) == first
    assert server.ask(customer_id=person, request_id="r", placements=["feed"]) != first


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({}, "missing_field", "/into"),
        ({"into": ""}, "invalid_value", "/into"),
        ({"into": "x" * 257}, "invalid_value", "/into"),
        ({"into": "a\nb"}, "invalid_value", "/into"),
        ({"into": 7}, "invalid_value", "/into"),
        ({"into": None}, "invalid_value", "/into"),
        ({"into": "a", "from": "b"}, "unknown_field", "/from"),
    ],
)
def test_bodies_that_cannot_be_used(client: httpx.Client, body: dict[str, Any], code: str, pointer: str) -> None:
    assert problem(client.post("/customers/a/merge", json=body), 422, code)["pointer"] == pointer


def test_other_ways_to_ask(client: httpx.Client, keyed: Server) -> None:
    assert client.get("/customers/a/merge").headers["allow"] == "POST"
    problem(client.post("/customers/%00/merge", json={"into": "a"}), 422, "invalid_id")
    problem(client.post("/customers/a/merge", content=b"into=b"), 415, "unsupported_media_type")
    headers = {"Authorization": "Bearer decide-key-of-the-tests"}
    problem(keyed.client.post("/customers/a/merge", json={"into": "b"}, headers=headers), 403, "forbidden")


def test_a_hundred_ids_and_no_more(client: httpx.Client, customer_id: str, person: str) -> None:
    for number in range(100):
        merged(client, f"{customer_id}-{number}", person)
    told = problem(client.post(f"/customers/{customer_id}/merge", json={"into": person}), 409, "too_many_merged")
    assert "101" in told["detail"]
    assert merged(client, f"{customer_id}-7", person)["changed"] is False
