"""A no is taken in whatever form it comes, as long as it says whose it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.profile import consent
from features.consents import UNDATED
from features.customer import Consent
from tests.api.serving import Send, Server, problem

THEN = "2026-01-31T09:00:00Z"


@pytest.fixture
def client(server: Server) -> httpx.Client:
    return server.client


def agrees(client: httpx.Client, customer_id: str) -> None:
    body = {"consents": {"marketing": True, "service": True}}
    assert client.patch(f"/customers/{customer_id}", json=body).status_code == 200


def agreed(client: httpx.Client, customer_id: str) -> dict[str, bool]:
    told = client.get(f"/customers/{customer_id}").json()["consents"]
    return {purpose: each["granted"] for purpose, each in told.items()}


NOBODY = {"marketing": False, "service": False}
OURS = {"id": "u-1", "type": "unsubscribed"}
CLOUD = {"specversion": "1.0", "id": "u-1", "source": "esp", "type": "complained"}
SEGMENTS = {"type": "track", "event": "Unsubscribed", "messageId": "u-1"}
CLOUD_JSON = "application/cloudevents+json"


@pytest.mark.parametrize(
    ("wrong", "notes"),
    [
        ({"at": "2999-01-01T00:00:00Z"}, ["taken_as_now"]),
        ({"decision_id": "ABCDEF0123456789ABCDEF0123456789"}, ["unreadable_decision"]),
        ({"decision_id": 7}, ["left_out:/decision_id"]),
        ({"at": "2026-01-31T09:00:00"}, ["left_out:/at"]),
        ({"at": 1769850000, "sent_at": "now"}, ["left_out:/at", "left_out:/sent_at"]),
        ({"at": THEN, "sent_at": "now"}, ["left_out:/at", "left_out:/sent_at"]),
        ({"properties": []}, ["left_out:/properties"]),
        ({"properties": {"text": "é" * 16_400}}, ["left_out:/properties"]),
        ({"colour": "red"}, ["left_out:/colour"]),
        ({"id": None}, ["left_out:/id"]),
        ({"id": "a" * 257}, ["left_out:/id"]),
    ],
)
def test_ours(client: httpx.Client, customer_id: str, wrong: dict[str, Any], notes: list[str]) -> None:
    agrees(client, customer_id)
    body = OURS | {"customer_id": customer_id} | wrong
    told = client.post("/events", json=body)
    assert (told.status_code, told.json()["status"], told.json()["notes"]) == (200, "stored", [*notes, "no_decision"])
    assert agreed(client, customer_id) == NOBODY
    known = "left_out:/id" not in notes
    assert client.post("/events", json=[body]).json()["duplicates"] == known


@pytest.mark.parametrize("form", [OURS | {"id": None}, OURS | {"id": "a" * 257}, SEGMENTS | {"messageId": ""}])
def test_without_an_id_each_is_another_one(client: httpx.Client, customer_id: str, form: dict[str, Any]) -> None:
    whose = "userId" if "event" in form else "customer_id"
    for _ in range(2):
        agrees(client, customer_id)
        assert client.post("/events", json=form | {whose: customer_id}).json()["status"] == "stored"
        assert agreed(client, customer_id) == NOBODY


@pytest.mark.parametrize("batch", [{"sentAt": THEN}, {"sentAt": "soon"}, {}])
def test_segments_clock_is_not_relied_on_where_something_is_wrong(
    client: httpx.Client, customer_id: str, batch: dict[str, Any]
) -> None:
    """By a client's clock that is behind it was before the yes, which the batch's sentAt would have told."""
    agrees(client, customer_id)
    wrong = SEGMENTS | {"userId": customer_id, "timestamp": THEN, "properties": {"decision_id": 5}}
    told = client.post(
        "/events", json={"batch": [wrong, {"event": "Signed In", "userId": customer_id}], **batch}
    ).json()
    assert (told["stored"], told["refused"]) == (1, 1)
    assert agreed(client, customer_id) == NOBODY


@pytest.mark.parametrize(
    ("body", "notes"),
    [
        (SEGMENTS | {"timestamp": "soon"}, ["taken_as_now"]),
        (SEGMENTS | {"properties": {"decision_id": 7}}, ["taken_as_now", "left_out:/properties/decision_id"]),
        ({"event": "Email Marked as Spam", "messageId": "u-1"}, ["taken_as_now"]),
        ({"event": "unsubscribed", "action": "track"}, ["taken_as_now", "left_out:/messageId"]),
    ],
)
def test_segments(client: httpx.Client, customer_id: str, body: dict[str, Any], notes: list[str]) -> None:
    agrees(client, customer_id)
    told = client.post("/events", json=body | {"userId": customer_id}).json()
    more = ["decision_in_properties"] if "properties" in body else []
    assert (told["status"], told["notes"]) == ("stored", [*notes, "no_decision", *more])
    assert agreed(client, customer_id) == NOBODY


@pytest.mark.parametrize(
    ("wrong", "notes"),
    [
        ({"specversion": "0.3"}, []),
        ({"time": "2026-01-31"}, ["left_out:/time"]),
        ({"source": None}, ["left_out:/id"]),
        ({"data": "text", "decisionid": "x" * 300}, ["left_out:/data", "left_out:/decisionid"]),
    ],
)
def test_cloud_events(client: httpx.Client, customer_id: str, wrong: dict[str, Any], notes: list[str]) -> None:
    agrees(client, customer_id)
    body = CLOUD | {"subject": customer_id} | wrong
    told = client.post("/events", json=body, headers={"content-type": CLOUD_JSON}).json()
    assert (told["status"], told["notes"]) == ("stored", [*notes, "no_decision"])
    assert agreed(client, customer_id) == NOBODY


@pytest.mark.parametrize("whose", [None, 7, "", "a\u0007", "x" * 257])
def test_without_whose_it_is_it_is_refused(client: httpx.Client, whose: object) -> None:
    problem(client.post("/events", json=OURS | {"customer_id": whose}), 422, "invalid_value")
    told = client.post("/events", json=[SEGMENTS | {"userId": whose}, OURS]).json()
    assert (told["stored"], told["refused"]) == (0, 2)


def test_segments_e_mail_events_are_outcomes(events: Server, send: Send, customer_id: str) -> None:
    named = {
        "Email Delivered": "delivered",
        "Email Opened": "opened",
        "Email Link Clicked": "click",
        "Email Bounced": "bounced",
        "Email Marked as Spam": "complained",
        "Unsubscribed": "unsubscribed",
    }
    answer = events.ask(customer_id=customer_id)
    properties = {"decision_id": answer["decision_id"], "email_id": "18vzF7u3z"}
    for number, event in enumerate(named):
        message = {"type": "track", "event": event, "userId": customer_id, "messageId": f"m-{number}"}
        assert send(message | {"properties": properties}).json() == {"id": f"m-{number}", "status": "stored"}
    (contact,) = events.client.get(f"/customers/{customer_id}/contacts").json()["contacts"]
    assert sorted(each["kind"] for each in contact["responses"]) == sorted(named.values())


def test_a_no_that_comes_too_late_is_told(client: httpx.Client, customer_id: str) -> None:
    agrees(client, customer_id)
    told = client.post("/events", json=OURS | {"customer_id": customer_id, "at": "2020-01-31T09:00:00Z"}).json()
    assert told == {"id": "u-1", "status": "stored", "notes": ["no_decision", "older_than_consent"]}
    assert agreed(client, customer_id) == {"marketing": True, "service": True}


@pytest.mark.parametrize(
    ("wrong", "source"),
    [
        ({"at": "soon"}, "call"),
        ({"at": 1700000000}, "call"),
        ({"at": "2999-01-01T00:00:00Z"}, "call"),
        ({"source": ""}, "api"),
        ({"source": "x" * 300}, "api"),
        ({"who": "me"}, "call"),
    ],
)
def test_a_statement(client: httpx.Client, customer_id: str, wrong: dict[str, Any], source: str) -> None:
    agrees(client, customer_id)
    path = f"/customers/{customer_id}/consents/marketing"
    told = client.put(path, json={"granted": False, "source": "call"} | wrong)
    assert (told.status_code, told.json()["granted"], told.json()["source"]) == (200, False, source)
    assert abs(datetime.fromisoformat(told.json()["at"]) - datetime.now(UTC)) < timedelta(minutes=10)
    assert agreed(client, customer_id) == {"marketing": False, "service": True}
    assert client.put(path, json={"granted": True} | wrong).status_code == 422


def test_a_no_to_a_purpose_that_nobody_knows_is_not_acknowledged(client: httpx.Client, customer_id: str) -> None:
    """It would have no effect."""
    path = f"/customers/{customer_id}/consents"
    assert (
        problem(client.put(f"{path}/spam", json={"granted": False}), 422, "unknown_purpose")["parameter"] == "purpose"
    )
    assert client.get(f"/customers/{customer_id}").status_code == 404


def test_of_an_imports_yes_nobody_knows_the_time() -> None:
    assert consent(Consent(True, UNDATED, "import a.csv")) == {"granted": True, "at": None, "source": "import a.csv"}
