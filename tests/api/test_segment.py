"""Messages as Segment's libraries send them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.serving import Send, Server, offered, problem


def track(customer_id: str, number: int = 1, **more: object) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "purchase",
        "userId": customer_id,
        "messageId": f"m-{number}",
        "properties": {"amount": 60.0},
        "context": {"ip": "127.0.0.1", "library": {"name": "analytics-python", "version": "2.3"}},
        "integrations": {},
        "writeKey": "…",
    } | more


def test_a_track_and_a_batch_of_them(events: Server, send: Send, customer_id: str) -> None:
    assert send(track(customer_id)).json() == {"id": "m-1", "status": "stored"}
    batch = {"batch": [track(customer_id), track(customer_id, 2)], "sentAt": "2026-01-31T09:00:00Z", "writeKey": "…"}
    assert [each["status"] for each in send(batch).json()["results"]] == ["duplicate", "stored"]
    assert offered(events, customer_id) == "Thank you for 120.0"


def test_shapes_may_be_mixed_in_a_list(send: Send, customer_id: str) -> None:
    ours = {"id": "o-1", "customer_id": customer_id, "type": "login"}
    assert send([track(customer_id), ours]).json()["stored"] == 2


def test_who_is_known_by_an_anonymous_id(events: Server, send: Send, customer_id: str) -> None:
    for number, user_id in enumerate((None, "")):
        assert send(track("", number, anonymousId=customer_id, userId=user_id)).json()["status"] == "stored"
    assert offered(events, customer_id) == "Thank you for 120.0"


def test_the_type_of_what_is_no_track(send: Send, customer_id: str) -> None:
    for number, kind in enumerate(("page", "screen", "group", "alias")):
        message = {"type": kind, "userId": customer_id, "messageId": f"m-{number}", "name": "Home", "groupId": "g"}
        assert send(message).json() == {"id": f"m-{number}", "status": "stored", "notes": ["unknown_type"]}


def identify(customer_id: str, number: int = 1, **traits: object) -> dict[str, Any]:
    return {"type": "identify", "userId": customer_id, "messageId": f"i-{number}", "traits": traits}


def attributes(events: Server, customer_id: str) -> Any:
    return events.client.get(f"/customers/{customer_id}").json()["attributes"]


def test_identify_sets_declared_attributes(events: Server, send: Send, customer_id: str) -> None:
    stated = identify(customer_id, 1, email="a@example.com", visits=3, firstName="Ada", plan="pro", title="Ms")
    assert send(stated).json() == {"id": "i-1", "status": "stored", "notes": ["undeclared_traits:3"]}
    assert attributes(events, customer_id) == {"email": "a@example.com", "visits": 3}
    # Of the same customer in one batch the later stands; null removes.
    batch = [identify(customer_id, 2, visits=4, vip=True), identify(customer_id, 3, visits=5, email=None)]
    assert send({"batch": batch}).json()["stored"] == 2
    assert attributes(events, customer_id) == {"visits": 5, "vip": True}


def test_identify_with_a_wrong_type_changes_nothing(events: Server, send: Send, customer_id: str) -> None:
    told = problem(send(identify(customer_id, 1, email="a@example.com", visits="3")), 422, "wrong_type")
    assert told["pointer"] == "/traits/visits"
    assert events.client.get(f"/customers/{customer_id}").status_code == 404
    # What an aggregate needs is refused by the same name.
    told = problem(send(identify(customer_id, 1, email="a@example.com", plan=7)), 422, "wrong_type")
    assert told["pointer"] == "/traits/plan"
    assert events.client.get(f"/customers/{customer_id}").status_code == 404


def test_identify_that_comes_again(events: Server, send: Send, customer_id: str) -> None:
    for status in ("stored", "duplicate"):
        assert send(identify(customer_id, 1, visits=3)).json()["status"] == status
        assert attributes(events, customer_id) == {"visits": 3}


def test_times_of_segment(send: Send, customer_id: str) -> None:
    ahead, later = "2999-01-01T00:00:00Z", "2999-01-01T00:00:05Z"
    for number, more in enumerate(
        ({"timestamp": ahead, "sentAt": later}, {"originalTimestamp": ahead, "sentAt": later})
    ):
        assert send(track(customer_id, number, **more)).json()["status"] == "stored"
    assert send({"batch": [track(customer_id, 7, timestamp=ahead)], "sentAt": later}).json()["stored"] == 1
    # Corrected by whoever forwarded it: taken as it is.
    forwarded = {"timestamp": ahead, "originalTimestamp": "2026-01-01T00:00:00Z", "sentAt": later}
    for more, name in ((forwarded, "/timestamp"), ({"originalTimestamp": ahead}, "/originalTimestamp")):
        assert problem(send(track(customer_id, 8, **more)), 422, "from_the_future")["pointer"] == name


def test_segments_events_answer_decisions(events: Server, send: Send, customer_id: str) -> None:
    decision_id = events.ask(customer_id=customer_id)["decision_id"]
    click = track(customer_id, event="click", properties={"decision_id": decision_id})
    assert send(click).json() == {"id": "m-1", "status": "stored"}


@pytest.mark.parametrize(
    ("wrong", "code", "pointer"),
    [
        ({"userId": None}, "missing_field", "/userId"),
        ({"userId": 7}, "invalid_value", "/userId"),
        ({"userId": "u" * 257}, "invalid_value", "/userId"),
        ({"userId": "a\u0000"}, "invalid_value", "/userId"),
        ({"messageId": None}, "invalid_value", "/messageId"),
        ({"type": "trace"}, "invalid_value", "/type"),
        ({"event": None}, "missing_field", "/event"),
        ({"event": "e" * 129}, "invalid_value", "/event"),
        ({"properties": 7}, "invalid_value", "/properties"),
        ({"properties": {"n": 2**64}}, "invalid_value", "/properties"),
        ({"properties": {"amount": "60"}}, "wrong_type", "/properties/amount"),
        ({"properties": {"decision_id": 7}}, "invalid_value", "/properties/decision_id"),
        ({"properties": {"decision_id": "mine"}}, "invalid_value", "/properties/decision_id"),
        ({"timestamp": "yesterday"}, "invalid_value", "/timestamp"),
    ],
)
def test_a_message_that_is_refused(
    send: Send, customer_id: str, wrong: dict[str, object], code: str, pointer: str
) -> None:
    assert problem(send(track(customer_id) | wrong), 422, code)["pointer"] == pointer
    batch = send({"batch": [track(customer_id) | wrong, track(customer_id, 2)]}).json()
    assert (batch["stored"], batch["refused"]) == (1, 1)
    assert (batch["results"][0]["code"], batch["results"][0]["pointer"]) == (code, pointer)


def test_without_an_id_or_a_time_of_sending(send: Send, customer_id: str) -> None:
    message = track(customer_id)
    del message["messageId"]
    assert problem(send(message), 422, "missing_field")["pointer"] == "/messageId"
    told = problem(send({"batch": [track(customer_id)], "sentAt": "soon"}), 422, "invalid_value")
    assert told["pointer"] == "/sentAt"
