"""What `GET /customers/{id}` shows, what an export holds, and that deleting leaves none of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from starlette.types import Message

from api.exports import MOST, WITHIN, Download
from archive.drain import Terms
from archive.running import Place, archive_once
from features import redis_probe
from features.redis_server import EmbeddedRedis
from tests.api.conftest import KEYS
from tests.api.serving import Server, problem, serving, settings
from tests.replayed import made_again_under

CATALOG = """
catalog: 1
name: profiles
timezone: UTC
customer: {email: string}
events: {purchase: {amount: double, department: string}, login: {}}
aggregates:
  logins_30d: {count: login, window: 30d}
  spend_90d: {sum: purchase.amount, window: 90d, tile: 1d}
  spend_before: {sum: purchase.amount, window: 90d, offset: 90d, tile: 1d}
  departments: {values: purchase.department}
  days_since_visit: {days_since: purchase, window: 12h}
segments:
  buyers: customer.spend_90d > 0.0
  lost: customer.logins_30d == 0
scores:
  health:
    parts:
      usage: {value: 'double(customer.logins_30d) / 4.0', weight: 60}
      mail: {value: 'customer.email.size() > 3', weight: 40, missing: 0.5}
    bands: {red: 0, amber: 40, green: 70}
purposes: [marketing]
channels: {in_app: {direction: inbound, placements: [top]}}
actions: {welcome: {value: 1, treatments: {in_app: {title: "Welcome"}}}}
contact_policies: {all: {limit: 100000, rolling: 1h}}
"""
ARCHIVE_NOW = Terms(min_age_ms=-60_000, keep_ms=-60_000)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("profiles")
    (data / "catalog.yaml").write_text(CATALOG)
    with EmbeddedRedis.start(data) as own:
        yield Place(own.url, data)


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Server]:
    with serving(settings(redis_url=place.url, data=place.data, catalog=place.data / "catalog.yaml")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> httpx.Client:
    return server.client


def sent(client: httpx.Client, customer_id: str, kind: str, number: int, **properties: object) -> None:
    event = {"id": f"{kind}-{number}", "customer_id": customer_id, "type": kind, "properties": properties}
    response = client.post("/events", json=event)
    assert (response.status_code, response.json()["status"]) == (200, "stored"), response.text


def shown(client: httpx.Client, customer_id: str) -> dict[str, Any]:
    response = client.get(f"/customers/{customer_id}")
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def kept(place: Place, customer_id: str) -> list[str]:
    """The keys in Redis and the files of the archive that name the customer."""
    keys = redis_probe.ask(Path(place.url.removeprefix("unix://")), "KEYS", "*")
    found = [key.decode() for key in keys if key.endswith(f":{customer_id}".encode())]
    files = [str(file) for file in (place.data / "archive").rglob("*.parquet") if customer_id in customers_in(file)]
    return found + files


def customers_in(file: Path) -> set[str]:
    return set(pq.read_table(file, columns=["customer_id"], partitioning=None).column(0).to_pylist())


def test_what_events_come_to(client: httpx.Client, customer_id: str) -> None:
    client.put(f"/customers/{customer_id}", json={"attributes": {"email": "a@b.c"}})
    for number in range(2):
        sent(client, customer_id, "login", number)
    for number, department in enumerate(("PASTRY", "DELI")):
        sent(client, customer_id, "purchase", number, amount=2.5, department=department)
    told = shown(client, customer_id)
    found = told["aggregates"]
    assert {name: each["value"] for name, each in found.items()} == {
        "logins_30d": 2,
        "spend_90d": 5.0,
        "spend_before": 0.0,
        "departments": ["DELI", "PASTRY"],
        "days_since_visit": 0,
    }
    spans = {name: (each["function"], each["window"], each["offset"], each["tile"]) for name, each in found.items()}
    assert spans["spend_before"] == ("sum", "90d", "90d", "1d")
    assert spans["departments"] == ("values", None, None, None)
    assert spans["days_since_visit"] == ("days_since", "12h", None, None)
    assert (found["departments"]["from"], found["departments"]["until"]) == (None, None)
    before, now = found["spend_before"], found["spend_90d"]
    assert before["from"] < before["until"] == now["from"] < now["until"]
    assert before["until"].endswith("T00:00:00Z")
    assert told["segments"] == ["buyers"]
    assert told["scores"] == {
        "health": {
            "value": 70.0,
            "band": "green",
            "parts": {
                "usage": {"value": 0.5, "weight": 60.0, "missing": False},
                "mail": {"value": 1.0, "weight": 40.0, "missing": False},
            },
        }
    }


def test_somebody_of_whom_little_is_known(client: httpx.Client, customer_id: str) -> None:
    client.put(f"/customers/{customer_id}", json={"consents": {"marketing": True}})
    told = shown(client, customer_id)
    assert told["aggregates"]["days_since_visit"]["value"] is None
    assert told["segments"] == ["lost"]
    assert told["scores"]["health"]["parts"]["mail"] == {"value": 0.5, "weight": 40.0, "missing": True}
    assert (told["contacts"], told["next"], told["merged"]) == ([], None, [])


def test_consents_with_their_history(client: httpx.Client, customer_id: str) -> None:
    for year, granted in ((2024, True), (2023, False), (2025, False)):
        body = {"granted": granted, "at": f"{year}-01-01T00:00:00Z", "source": f"letter of {year}"}
        client.put(f"/customers/{customer_id}/consents/marketing", json=body)
    told = shown(client, customer_id)["consents"]["marketing"]
    assert (told["granted"], told["source"]) == (False, "letter of 2025")
    assert [(each["granted"], each["at"]) for each in told["earlier"]] == [
        (False, "2023-01-01T00:00:00Z"),
        (True, "2024-01-01T00:00:00Z"),
    ]


def test_recent_contacts_with_what_came_of_them(server: Server, client: httpx.Client, customer_id: str) -> None:
    decisions = [server.ask(customer_id=customer_id)["decision_id"] for _ in range(23)]
    body = {"id": "x", "customer_id": customer_id, "type": "conversion", "decision_id": decisions[-1]}
    assert client.post("/events", json=body | {"properties": {"value": 9.5}}).json() == {"id": "x", "status": "stored"}
    told = shown(client, customer_id)
    assert [each["decision_id"] for each in told["contacts"]] == decisions[:2:-1]
    (response,) = told["contacts"][0]["responses"]
    assert (response["kind"], response["count"], response["value"]) == ("conversion", 1, 9.5)
    assert told["contacts"][1]["responses"] == []
    page = client.get(f"/customers/{customer_id}/contacts", params={"cursor": told["next"]}).json()
    assert [each["decision_id"] for each in page["contacts"]] == decisions[2::-1]


def exported(client: httpx.Client, customer_id: str) -> dict[str, Any]:
    response = client.get(f"/customers/{customer_id}/export")
    assert response.status_code == 200, response.text
    assert response.headers["content-disposition"].startswith("attachment")
    told: dict[str, Any] = response.json()
    return told


def person(server: Server, place: Place, customer_id: str) -> tuple[str, list[str]]:
    """Somebody with two ids, one event and one decision by each, half of them archived; the decisions' ids."""
    old, client, decisions = f"cookie of {customer_id}", server.client, []
    for name, amount in ((old, 1.25), (customer_id, 2.5)):
        client.put(f"/customers/{name}", json={"attributes": {"email": f"{name}@example.com"}})
        sent(client, name, "purchase", 1 if name == old else 2, amount=amount, department=f"of {name}")
        decisions.append(server.ask(customer_id=name)["decision_id"])
        if name == old:
            asyncio.run(archive_once(place, ARCHIVE_NOW))
    client.post(f"/customers/{old}/merge", json={"into": customer_id})
    return old, decisions


def test_an_export_holds_all_of_it(server: Server, place: Place, customer_id: str) -> None:
    old, decisions = person(server, place, customer_id)
    for name in (customer_id, old):
        told = exported(server.client, name)
        assert (told["customer"]["customer_id"], told["customer"]["merged"]) == (customer_id, [old])
        assert told["customer"]["aggregates"]["spend_90d"]["value"] == 3.75
        assert [each["decision_id"] for each in told["contacts"]] == decisions[::-1]
        assert {(each["customer_id"], each["properties"]["amount"]) for each in told["events"]} == {
            (old, 1.25),
            (customer_id, 2.5),
        }
        assert len(told["events"]) == 2
        assert sorted(each["id"] for each in told["decisions"]) == sorted(decisions)
        assert told["decisions"][0]["answer"]["actions"][0]["action"] == "welcome"


def test_deleting_leaves_nothing_anywhere(server: Server, place: Place, customer_id: str) -> None:
    old, _ = person(server, place, customer_id)
    other = f"neighbour of {customer_id[::-1]}"
    theirs = server.ask(customer_id=other)["decision_id"]
    assert len(kept(place, old)) == 4  # state, ids of events, a decision and an event in the archive
    told = server.client.delete(f"/customers/{old}").json()
    assert (told["customer_id"], set(told["ids"])) == (customer_id, {customer_id, old})
    assert told["erased"]["states"] == 2
    assert [told["erased"][f"archived_{kind}"] for kind in ("events", "decisions")] == [1, 1]
    assert [told["erased"][kind] for kind in ("events", "decisions", "outbox", "unreadable")] == [2, 1, 0, 0]
    for name in (customer_id, old):
        (tombstone,) = kept(place, name)
        assert f":c:{name}" in tombstone
    for name in (customer_id, old):
        problem(server.client.get(f"/customers/{name}"), 404, "unknown_customer")
        problem(server.client.get(f"/customers/{name}/export"), 404, "unknown_customer")
        problem(server.client.delete(f"/customers/{name}"), 404, "unknown_customer")
    assert [each["id"] for each in exported(server.client, other)["decisions"]] == [theirs]
    for name in (customer_id, old):
        server.client.put(f"/customers/{name}", json={"attributes": {"email": "new@example.com"}})
        anew = exported(server.client, name)
        assert (anew["events"], anew["decisions"], anew["contacts"], anew["customer"]["merged"]) == ([], [], [], [])
        assert anew["erased_before"] is not None


def test_an_event_counts_once_whichever_id_it_is_sent_by(client: httpx.Client, customer_id: str) -> None:
    """Before the merge or after it, to one of both or to both."""
    old = f"cookie of {customer_id}"

    def login(name: str, number: int) -> str:
        event = {"id": f"login-{number}", "customer_id": name, "type": "login"}
        return str(client.post("/events", json=event).json()["status"])

    assert [login(old, 1), login(old, 2), login(customer_id, 2), login(customer_id, 3)] == ["stored"] * 4
    client.post(f"/customers/{old}/merge", json={"into": customer_id})
    for name in (old, customer_id):
        assert [login(name, number) for number in (1, 2, 3)] == ["duplicate"] * 3
        assert shown(client, name)["aggregates"]["logins_30d"]["value"] == 3
    assert login(old, 4) == "stored"
    assert shown(client, customer_id)["aggregates"]["logins_30d"]["value"] == 4


def test_who_comes_back_has_still_refused(client: httpx.Client, customer_id: str) -> None:
    path = f"/customers/{customer_id}/consents/marketing"
    client.put(path, json={"granted": False, "at": "2025-01-01T00:00:00Z"})
    assert client.delete(f"/customers/{customer_id}").status_code == 200
    told = client.patch(f"/customers/{customer_id}", json={"attributes": {"email": "a@b.c"}}).json()
    assert told["consents"]["marketing"] == {"granted": False, "at": "2025-01-01T00:00:00Z", "source": "erased"}
    assert client.put(path, json={"granted": True, "at": "2025-06-01T00:00:00Z"}).json()["granted"] is False
    assert client.put(path, json={"granted": True}).json()["granted"] is True


def test_who_is_known_by_events_alone_that_count_nowhere_is_exported(client: httpx.Client, customer_id: str) -> None:
    sent = {"id": "e-1", "customer_id": customer_id, "type": "sauna", "properties": {"email": "a@b.c"}}
    assert client.post("/events", json=sent).json()["notes"] == ["unknown_type"]
    told = client.get(f"/customers/{customer_id}/export").json()
    assert [event["properties"] for event in told["events"]] == [{"email": "a@b.c"}]
    assert client.delete(f"/customers/{customer_id}").json()["erased"]["events"] == 1
    assert client.get(f"/customers/{customer_id}/export").status_code == 404


def test_one_export_too_many_is_refused_and_leaves_room_for_the_next(server: Server, customer_id: str) -> None:
    server.client.put(f"/customers/{customer_id}", json={"attributes": {"email": "c@example.com"}})
    worker = server.service._worker
    assert worker is not None
    exports = worker.exports
    for _ in range(MOST):
        asyncio.run(exports.begin())
    try:
        exports.within = 0.01
        response = server.client.get(f"/customers/{customer_id}/export")
        problem(response, 503, "overloaded")
        assert response.headers["retry-after"] == "1"
    finally:
        exports.within = WITHIN
        for _ in range(MOST):
            exports.end()
    for _ in range(MOST):
        assert exported(server.client, customer_id)["customer"]["customer_id"] == customer_id


def test_who_leaves_before_the_first_byte_leaves_room() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await asyncio.sleep(0)

    ended: list[bool] = []
    download = Download(body(), lambda: ended.append(True))
    asyncio.run(download({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, send))
    assert ended == [True]


def test_a_process_that_complains_at_length_is_listened_to(
    server: Server, customer_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.client.put(f"/customers/{customer_id}", json={"attributes": {"email": "c@example.com"}})
    monkeypatch.setenv("PYTHONVERBOSE", "1")  # more on stderr than a pipe holds
    assert exported(server.client, customer_id)["customer"]["customer_id"] == customer_id
    assert server.client.delete(f"/customers/{customer_id}").json()["erased"]["states"] == 1


def test_only_admins_export(keyed: Server) -> None:
    for scope, status in (("ingest", 403), ("decide", 403), ("admin", 404)):
        headers = {"Authorization": f"Bearer {KEYS[scope]}"}
        assert keyed.client.get("/customers/nobody/export", headers=headers).status_code == status


@pytest.fixture(scope="module", autouse=True)
def _all_made_again(place: Place) -> Iterator[None]:
    yield
    made_again_under(place.data)
