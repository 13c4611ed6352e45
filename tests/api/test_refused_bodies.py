"""A customer's body that is refused: what it says no to is stored all the same, and nothing else of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import httpx
import pytest

from api.customer_bodies import CustomerPatch, read, stated
from api.customer_changes import Arrival, patched
from api.customer_writes import Write
from features.customer import EMPTY, Consent, Customer
from features.deadline import Deadline
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from features.store import Change
from tests.api.serving import problem
from tests.decision.plans import plan_of

Put = Callable[..., httpx.Response]
BEGIN = 1_790_000_000_000_000
BESIDE = [
    ({"attributes": {"nope": 1}}, "unknown_attribute", "/attributes/nope"),
    ({"attributes": {"name": "Ada", "visits": "3"}}, "wrong_type", "/attributes/visits"),
    ({"attributes": {"timezone": "Mars/Olympus"}}, "unknown_timezone", "/attributes/timezone"),
    ({"attributes": []}, "invalid_value", "/attributes"),
    ({"test": "no"}, "invalid_value", "/test"),
    ({"name": "Ada"}, "unknown_field", "/name"),
    ({"consents": {"spam": True}}, "unknown_purpose", "/consents/spam"),
    ({"consents": {"spam": False}}, "unknown_purpose", "/consents/spam"),
    ({"consents": {"service": "no"}}, "invalid_value", "/consents/service"),
    ({"consents": {"service": None}}, "invalid_value", "/consents/service"),
]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("beside", "code", "pointer"), BESIDE)
def test_a_no_is_stored_whatever_stands_beside_it(
    client: httpx.Client,
    put: Put,
    customer_id: str,
    method: str,
    beside: dict[str, dict[str, object]],
    code: str,
    pointer: str,
) -> None:
    path = f"/customers/{customer_id}"
    put(attributes={"name": "Bea"}, consents={"marketing": True, "service": True})
    body = beside | {"consents": beside.get("consents", {}) | {"marketing": False}}
    told = problem(client.request(method, path, json=body), 422, code)
    assert (told["pointer"], told["stored"]) == (pointer, {"consents": ["marketing"]})
    found = client.get(path).json()
    assert (found["attributes"], found["test"]) == ({"name": "Bea"}, False)
    assert {name: each["granted"] for name, each in found["consents"].items()} == {"marketing": False, "service": True}


@pytest.mark.parametrize("consents", [{"marketing": True}, {"spam": False}, {"marketing": 0}, ["marketing"], False])
def test_nothing_else_is_stored_of_it_nor_said_to_be(client: httpx.Client, customer_id: str, consents: object) -> None:
    path = f"/customers/{customer_id}"
    response = client.patch(path, json={"attributes": {"nope": 1}, "consents": consents})
    assert "stored" not in problem(response, 422, response.json()["code"])
    problem(client.get(path), 404, "unknown_customer")


def test_a_yes_beside_a_no_is_not_stored(client: httpx.Client, customer_id: str) -> None:
    path = f"/customers/{customer_id}"
    body = {"nope": 1, "consents": {"marketing": False, "service": True}}
    problem(client.put(path, json=body), 422, "unknown_field")
    assert list(client.get(path).json()["consents"]) == ["marketing"]


def test_a_body_that_names_a_key_twice_is_stored_nothing_of(client: httpx.Client, customer_id: str) -> None:
    """Which of the two was meant?"""
    path = f"/customers/{customer_id}"
    body = b'{"consents": {"marketing": false}, "consents": {"marketing": false}}'
    response = client.patch(path, content=body, headers={"Content-Type": "application/json"})
    problem(response, 400, "duplicate_key")
    problem(client.get(path), 404, "unknown_customer")


async def remember(url: str, customer_id: str, known: Customer) -> None:
    store = await open_store(url)
    try:
        await store.update(customer_id, lambda *_: known, Deadline(30.0))
    finally:
        await store.ledger.link.close()


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_was_said_of_a_purpose_that_is_gone_may_be_taken_back(
    client: httpx.Client, redis: EmbeddedRedis, customer_id: str, method: str
) -> None:
    path = f"/customers/{customer_id}"
    asyncio.run(remember(redis.url, customer_id, Customer(consents={"partners": Consent(True, 1, "form")})))
    problem(client.request(method, path, json={"consents": {"partners": True}}), 422, "unknown_purpose")
    told = client.request(method, path, json={"consents": {"partners": False}})
    assert told.status_code == 200, told.text
    assert told.json()["consents"]["partners"]["granted"] is False


def test_so_it_may_beside_what_is_refused(client: httpx.Client, redis: EmbeddedRedis, customer_id: str) -> None:
    path = f"/customers/{customer_id}"
    asyncio.run(remember(redis.url, customer_id, Customer(consents={"partners": Consent(True, 1, "form")})))
    response = client.patch(path, json={"nope": 1, "consents": {"partners": False, "spam": False}})
    assert problem(response, 422, "unknown_field")["stored"] == {"consents": ["partners"]}
    assert client.get(path).json()["consents"]["partners"]["granted"] is False


def test_what_is_refused_is_told_by_the_state_that_was_committed() -> None:
    """A change may be tried again, on another state than before."""
    web = "channels: {web: {direction: inbound}}\nactions: {a: {value: 1, treatments: {web: {t: x}}}}\n"
    plan, sent = plan_of(f"purposes: [marketing]\n{web}"), b'{"consents": {"marketing": false, "partners": false}}'
    arrival = Arrival(lambda: 0.0)

    def whole(heard: Collection[str]) -> Change:
        body = read(CustomerPatch, sent)
        return patched(stated(plan, body, removing=True, heard=heard), body, arrival)

    write = Write(plan, sent, arrival, whole)
    assert list(write.change(EMPTY, BEGIN).consents) == ["marketing"]
    assert write.refused is not None
    assert (write.refused.code, write.refused.stored) == ("unknown_purpose", {"consents": ["marketing"]})
    said = Customer(consents={"partners": Consent(True, 1, "form")})
    changed = write.change(said, BEGIN)
    assert {name: each.granted for name, each in changed.consents.items()} == {"partners": False, "marketing": False}
    assert write.refused is None
