"""CloudEvents in their three modes: structured, batched, binary."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.serving import Send, Server, offered, problem

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"


def cloud(customer_id: str, number: int = 1, **more: object) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{number}",
        "source": "/shop",
        "type": "purchase",
        "subject": customer_id,
        "data": {"amount": 60.0},
        "traceparent": "00-…",
    } | more


def test_cloud_events_one_and_many(events: Server, send: Send, customer_id: str) -> None:
    assert send(cloud(customer_id), STRUCTURED).json() == {"id": "/shop 1", "status": "stored"}
    batch = [cloud(customer_id), cloud(customer_id, 2), cloud(customer_id, 1, source="/stall")]
    answer = send(batch, BATCHED + "; charset=utf-8").json()
    assert [each["status"] for each in answer["results"]] == ["duplicate", "stored", "stored"]
    assert offered(events, customer_id) == "Thank you for 180.0"
    assert send([], BATCHED).json()["results"] == []


def test_cloud_events_in_headers(events: Server, send: Send, customer_id: str) -> None:
    headers = {f"ce_{name}": value for name, value in cloud(customer_id).items() if name not in ("data", "traceparent")}
    assert send({"amount": 60.0}, **headers).json() == {"id": "/shop 1", "status": "stored"}
    encoded = headers | {"ce_id": "%E2%82%AC%20%2541", "ce_source": '"/a-\\"shop\\""'}
    assert send({"amount": 60.0}, **encoded).json()["id"] == '/a-"shop" € %41'
    assert send(b"", **(headers | {"ce_id": "empty", "ce_type": "login"})).json()["status"] == "stored"
    assert offered(events, customer_id) == "Thank you for 120.0"
    for wrong, code, where in (
        ({"ce_time": "soon"}, "invalid_value", {"parameter": "ce-time"}),
        ({"ce_time": "2999-01-01T00:00:00Z"}, "from_the_future", {"parameter": "ce-time"}),
        ({"ce_subject": "%C0%A0"}, "invalid_value", {"parameter": "ce-subject"}),
        ({"ce_specversion": "0.3"}, "invalid_value", {"parameter": "ce-specversion"}),
    ):
        told = problem(send({"amount": 60.0}, **(headers | wrong)), 422, code)
        assert told.items() >= where.items()
    del headers["ce_subject"]
    assert problem(send({}, **headers), 422, "missing_field")["parameter"] == "ce-subject"
    headers["ce_subject"] = customer_id
    assert problem(send({"amount": "x"}, **headers), 422, "wrong_type")["pointer"] == "/amount"
    assert problem(send([1], **headers), 422, "invalid_value")["pointer"] == ""


def test_a_header_of_a_cloud_event_that_comes_twice(events: Server) -> None:
    headers = [("content-type", "application/json"), ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-id", "2")]
    problem(events.client.post("/events", content=b"{}", headers=headers), 400, "duplicate_header")


def test_ids_of_cloud_events_that_are_too_long_are_hashed(send: Send, customer_id: str) -> None:
    long = cloud(customer_id, id="i" * 300)
    answer = send(long, STRUCTURED).json()
    assert len(answer["id"]) == 32
    assert send(long, STRUCTURED).json() == {"id": answer["id"], "status": "duplicate"}
    assert send(cloud(customer_id, id="i" * 301), STRUCTURED).json()["status"] == "stored"


def test_cloud_events_answer_decisions(events: Server, send: Send, customer_id: str) -> None:
    decision_id = events.ask(customer_id=customer_id)["decision_id"]
    click = cloud(customer_id, type="click", data=None, time=None, decisionid=decision_id)
    assert send(click, STRUCTURED).json()["status"] == "stored"
    assert "notes" not in send(click, STRUCTURED).json()


@pytest.mark.parametrize(
    ("wrong", "code", "pointer"),
    [
        ({"specversion": "0.3"}, "invalid_value", "/specversion"),
        ({"subject": None}, "invalid_value", "/subject"),
        ({"id": ""}, "invalid_value", "/id"),
        ({"source": "a\u0001"}, "invalid_value", "/source"),
        ({"source": "a shop"}, "invalid_value", "/source"),
        ({"type": ""}, "invalid_value", "/type"),
        ({"time": "2026-01-31"}, "invalid_value", "/time"),
        ({"time": "2999-01-01T00:00:00Z"}, "from_the_future", "/time"),
        ({"data": "text"}, "invalid_value", "/data"),
        ({"data": {"n": 2**64}}, "invalid_value", "/data"),
        ({"data": {"amount": "60"}}, "wrong_type", "/data/amount"),
        ({"data_base64": "AAAA"}, "invalid_value", "/data_base64"),
        ({"decisionid": "mine"}, "invalid_value", "/decisionid"),
    ],
)
def test_a_cloud_event_that_is_refused(
    send: Send, customer_id: str, wrong: dict[str, object], code: str, pointer: str
) -> None:
    assert problem(send(cloud(customer_id) | wrong, STRUCTURED), 422, code)["pointer"] == pointer
    batch = send([cloud(customer_id) | wrong, cloud(customer_id, 2)], BATCHED).json()
    assert (batch["stored"], batch["refused"]) == (1, 1)
    assert (batch["results"][0]["code"], batch["results"][0]["pointer"]) == (code, pointer)


@pytest.mark.parametrize(("body", "media_type"), [([], STRUCTURED), ({}, BATCHED), ([7], BATCHED), (7, STRUCTURED)])
def test_a_body_of_another_mode(send: Send, body: object, media_type: str) -> None:
    problem(send(body, media_type), 422, "invalid_value")


def test_unsupported_formats(send: Send) -> None:
    problem(send({}, "application/cloudevents+avro"), 415, "unsupported_media_type")
