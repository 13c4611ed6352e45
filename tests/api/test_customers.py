from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest

from tests.api.serving import Server, problem

Put = Callable[..., httpx.Response]
ATTRIBUTES = {
    "email": "ada@example.com",
    "timezone": "Europe/Madrid",
    "visits": 2**63 - 1,
    "score": 0.5,
    "vip": False,
    "renewal": "2026-01-31T09:00:00Z",
    "segments": ["a", "b"],
}


def actions(server: Server, customer_id: str) -> list[str]:
    answer = server.ask(customer_id=customer_id, placements=["home-banner"])
    return [action["action"] for action in answer["actions"]]


def test_what_was_put_is_what_is_got(client: httpx.Client, put: Put, customer_id: str) -> None:
    told = put(attributes=ATTRIBUTES, consents={"marketing": True, "service": False}, test=True).json()
    assert (told["customer_id"], told["attributes"], told["test"]) == (customer_id, ATTRIBUTES, True)
    assert [(name, found["granted"], found["source"]) for name, found in told["consents"].items()] == [
        ("marketing", True, "api"),
        ("service", False, "api"),
    ]
    got = client.get(f"/customers/{customer_id}").json()
    for found in got["consents"].values():
        assert found.pop("earlier") == []
    assert got == got | told


def test_put_replaces_attributes_and_leaves_other_consents(put: Put) -> None:
    put(attributes=ATTRIBUTES, consents={"marketing": True}, test=True)
    told = put(attributes={"name": "Ada"}, consents={"service": True}).json()
    assert (told["attributes"], told["test"]) == ({"name": "Ada"}, False)
    assert {name: found["granted"] for name, found in told["consents"].items()} == {"marketing": True, "service": True}


def test_patch_merges_and_null_removes(client: httpx.Client, put: Put, customer_id: str) -> None:
    put(attributes={"name": "Ada", "visits": 3}, test=True)
    body = {"attributes": {"name": None, "vip": True, "score": 1, "never_declared": None}}
    told = client.patch(f"/customers/{customer_id}", json=body).json()
    assert (told["attributes"], told["test"]) == ({"visits": 3, "vip": True, "score": 1.0}, True)
    assert client.patch(f"/customers/{customer_id}", json={"test": False}).json()["test"] is False
    problem(client.put(f"/customers/{customer_id}", json={"attributes": {"name": None}}), 422, "wrong_type")


def test_timestamps_are_kept_in_utc(put: Put) -> None:
    told = put(attributes={"renewal": "2026-01-31T09:00:00.25-06:00"}).json()
    assert told["attributes"] == {"renewal": "2026-01-31T15:00:00.250000Z"}


def test_unknown_customers(client: httpx.Client, customer_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/contacts")):
        problem(client.request(method, f"/customers/{customer_id}{path}"), 404, "unknown_customer")


def test_a_deleted_customer_is_unknown_and_may_come_back(server: Server, put: Put, customer_id: str) -> None:
    put(attributes={"name": "Ada"}, consents={"marketing": True})
    assert actions(server, customer_id) == ["voucher"]
    response = server.client.delete(f"/customers/{customer_id}")
    assert (response.status_code, response.json()["ids"]) == (200, [customer_id])
    problem(server.client.get(f"/customers/{customer_id}"), 404, "unknown_customer")
    problem(server.client.delete(f"/customers/{customer_id}"), 404, "unknown_customer")
    assert actions(server, customer_id) == ["welcome"]
    assert put(attributes={"name": "Eve"}).json()["consents"] == {}


def test_what_a_deleted_customer_was_answered_is_not_decided_again(server: Server, customer_id: str) -> None:
    """The answer went with the customer; that there was one is still known, and said as it is."""
    asked = {"customer_id": customer_id, "request_id": "r-1"}
    assert server.ask(**asked)["status"] == "decided"
    assert server.client.delete(f"/customers/{customer_id}").status_code == 200
    told = problem(server.client.post("/next-action", json=asked), 409, "request_id_spent")
    assert "no longer kept" in told["title"]
    assert "no longer kept" in told["detail"]
    assert "archived" not in told["title"] + told["detail"]
    assert server.ask(**asked | {"request_id": "r-2"})["status"] == "decided"


def test_consent_binds_the_next_decision(server: Server, keyed: Server, customer_id: str) -> None:
    def state(granted: bool) -> dict[str, object]:
        response = server.client.put(f"/customers/{customer_id}/consents/marketing", json={"granted": granted})
        assert response.status_code == 200, response.text
        told: dict[str, object] = response.json()
        return told

    assert actions(server, customer_id) == ["welcome"]
    assert state(True)["granted"] is True
    assert actions(server, customer_id) == ["voucher"]
    assert state(False)["granted"] is False
    assert actions(server, customer_id) == ["welcome"]
    assert server.client.patch(f"/customers/{customer_id}", json={"consents": {"marketing": True}}).status_code == 200
    assert actions(server, customer_id) == ["voucher"]


def test_an_address_and_consent_make_reachable(server: Server, put: Put, customer_id: str) -> None:
    put(attributes={"email": "ada@example.com"}, consents={"marketing": True})
    answer = server.ask(customer_id=customer_id, channels=["email"])
    assert [action["treatment"] for action in answer["actions"]] == ["voucher/email"]


def test_the_newest_statement_is_in_force(client: httpx.Client, customer_id: str) -> None:
    def state(**body: object) -> tuple[bool, str]:
        response = client.put(f"/customers/{customer_id}/consents/marketing", json=body)
        assert response.status_code == 200, response.text
        return response.json()["granted"], response.json()["source"]

    assert state(granted=True, at="2026-02-01T00:00:00Z", source="form") == (True, "form")
    assert state(granted=False, at="2026-01-01T00:00:00Z", source="late letter") == (True, "form")
    assert state(granted=False, at="2026-02-01T00:00:00Z", source="call") == (False, "call")
    assert state(granted=True, at="2026-02-01T00:00:00Z", source="form") == (False, "call")
    assert state(granted=True) == (True, "api")
    assert client.get(f"/customers/{customer_id}").json()["consents"]["marketing"]["granted"] is True


def test_a_statement_ahead_of_time_does_not_silence_an_opt_out(client: httpx.Client, customer_id: str) -> None:
    ahead = (datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    path = f"/customers/{customer_id}/consents/marketing"
    assert client.put(path, json={"granted": True, "at": ahead}).json()["granted"] is True
    assert client.put(path, json={"granted": False}).json()["granted"] is False
    too_far = (datetime.now(UTC) + timedelta(minutes=6)).isoformat()
    told = problem(client.put(path, json={"granted": True, "at": too_far}), 422, "statement_in_future")
    assert told["pointer"] == "/at"


def test_undeclared_purposes(client: httpx.Client, customer_id: str) -> None:
    response = client.put(f"/customers/{customer_id}/consents/spam", json={"granted": True})
    assert problem(response, 422, "unknown_purpose")["parameter"] == "purpose"


@pytest.mark.parametrize("wanted", ["a/b", "a b", "ñandú", "a%2Fb", "..a", "?#", "🦊", "x" * 256, "contacts", "{}"])
def test_ids_of_all_kinds(server: Server, wanted: str) -> None:
    path = f"/customers/{quote(wanted, safe='')}"
    response = server.client.put(path, json={"consents": {"marketing": True}})
    assert (response.status_code, response.json()["customer_id"]) == (200, wanted)
    assert actions(server, wanted) == ["voucher"]
    assert server.client.get(f"{path}/contacts").json()["contacts"][0]["action"] == "voucher"
    assert server.client.delete(path).status_code == 200


@pytest.mark.parametrize("step", ["%00", "a%0Ab", "%7F", "%FF", "%ED%A0%80", "x" * 257, quote("ñ" * 257)])
def test_ids_that_cannot_be_used(client: httpx.Client, step: str) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/contacts"), ("PUT", "/consents/service")):
        response = client.request(method, f"/customers/{step}{path}", json={} if method == "PUT" else None)
        assert problem(response, 422, "invalid_id")["parameter"] == "customer_id"


def test_an_id_is_one_step_of_the_path(client: httpx.Client) -> None:
    for path in ("/customers", "/customers/", "/customers/a/b", "/customers/a/consents", "/customers/a/contacts/"):
        problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/customers/a", "DELETE, GET, PATCH, PUT"),
        ("DELETE", "/customers/a/contacts", "GET"),
        ("GET", "/customers/a/consents/marketing", "PUT"),
        ("POST", "/livez", "GET"),
    ],
)
def test_other_methods(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


def test_contacts_come_in_pages(server: Server, customer_id: str) -> None:
    decisions = [server.ask(customer_id=customer_id, placements=["feed"])["decision_id"] for _ in range(7)]
    path = f"/customers/{customer_id}/contacts"
    seen, cursor = [], None
    for size in (3, 3, 1):
        page = server.client.get(path, params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["contacts"]) == size
        seen += [contact["decision_id"] for contact in page["contacts"]]
        cursor = page["next"]
        # What comes meanwhile is newer than what is left.
        server.ask(customer_id=customer_id, placements=["feed"])
    assert (seen, cursor) == (decisions[::-1], None)
    assert len(server.client.get(path).json()["contacts"]) == 10


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", f"cursor={'x' * 101}"])
def test_parameters_out_of_range(client: httpx.Client, query: str) -> None:
    told = problem(client.get(f"/customers/a/contacts?{query}"), 422, "invalid_parameter")
    assert told["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize("cursor", ["x", "@@@", "MQ", "MS5h", "Li4u", "é"])
def test_other_cursors(client: httpx.Client, put: Put, customer_id: str, cursor: str) -> None:
    put(attributes={"name": "Ada"})
    response = client.get(f"/customers/{customer_id}/contacts", params={"cursor": cursor})
    problem(response, 422, "invalid_cursor")
