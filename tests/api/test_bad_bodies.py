"""Whatever is sent, the answer is a problem that says where, and never an error of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.serving import problem

pytestmark = pytest.mark.untraced

JSON = {"content-type": "application/json"}
PATHS = [
    ("POST", "/next-action"),
    ("PUT", "/customers/garbage"),
    ("PATCH", "/customers/garbage"),
    ("PUT", "/customers/garbage/consents/marketing"),
]
each_path = pytest.mark.parametrize(("method", "path"), PATHS)

NOT_JSON = {
    "nothing": b"",
    "half": b'{"customer_id": "a"',
    "more": b'{"customer_id": "a"} {}',
    "byte order mark": b'\xef\xbb\xbf{"customer_id": "a"}',
    "NaN": b'{"customer_id": "a", "context": {"share": NaN}, "attributes": {"score": NaN}}',
    "infinity": b'{"customer_id": "a", "context": {"share": Infinity}, "attributes": {"score": -Infinity}}',
    "broken UTF-8": b'{"customer_id": "\xff", "attributes": {"name": "\xff"}}',
    "surrogate bytes": b'{"customer_id": "\xed\xa0\x80", "attributes": {"name": "\xed\xa0\x80"}}',
    "lone surrogate": rb'{"customer_id": "\ud800", "attributes": {"name": "\ud800"}, "source": "\ud800"}',
    "lone low surrogate": rb'{"customer_id": "\udc00!!!!!!!", "attributes": {"name": "\udc00!!!!!!!"}}',
    "surrogate in a key": rb'{"context": {"\ud800": 1}, "attributes": {"\ud800": 1}}',
    "control character": b'{"customer_id": "a\x01"}',
    "UTF-16": '{"customer_id": "a"}'.encode("utf-16"),
    "deep in a value": b'{"context":{"x":' + b"[" * 100_000,
    "deep objects": b'{"context":' + b'{"x":' * 50_000,
}


@each_path
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_not_json(client: httpx.Client, method: str, path: str, body: bytes) -> None:
    response = client.request(method, path, content=body, headers=JSON)
    problem(response, 400, "invalid_json")


@each_path
@pytest.mark.parametrize(
    "body",
    [b'{"customer_id": "a", "customer_id": "b"}', b'{"customer_id": "a", "context": {"page": "a", "page": "b"}}'],
)
def test_repeated_keys(client: httpx.Client, method: str, path: str, body: bytes) -> None:
    if method != "POST":
        body = body.replace(b"customer_id", b"granted").replace(b'"context"', b'"attributes"')
    problem(client.request(method, path, content=body, headers=JSON), 400, "duplicate_key")


@each_path
@pytest.mark.parametrize("body", ["null", "[]", '"text"', "1", "true", "[" * 100_000 + "]" * 100_000])
def test_no_object(client: httpx.Client, method: str, path: str, body: str) -> None:
    response = client.request(method, path, content=body, headers=JSON)
    assert response.status_code in (400, 422)
    problem(response, response.status_code, response.json()["code"])


@each_path
def test_numbers_beyond_all_measure(client: httpx.Client, method: str, path: str) -> None:
    for number in ("1e400", "-1e400", "1" * 5000, "1" * 30):
        body = f'{{"customer_id": "a", "context": {{"depth": {number}}}}}'
        if method != "POST":
            body = f'{{"attributes": {{"visits": {number}}}}}'
        response = client.request(method, path, content=body, headers=JSON)
        assert response.status_code in (400, 422), number
        problem(response, response.status_code, response.json()["code"])


@each_path
@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "*/*"]
)
def test_other_media_types(client: httpx.Client, method: str, path: str, media_type: str | None) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    response = client.request(method, path, content=b'{"customer_id": "a"}', headers=headers)
    problem(response, 415, "unsupported_media_type")


@each_path
def test_a_megabyte(client: httpx.Client, method: str, path: str) -> None:
    response = client.request(method, path, content=b'{"x": "' + b"a" * 1_000_000 + b'"}', headers=JSON)
    problem(response, 413, "body_too_large")


@each_path
def test_a_long_body_of_unknown_length(client: httpx.Client, method: str, path: str) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield b"a" * 20_000

    try:
        response = client.request(method, path, content=chunks(), headers=JSON)
    except httpx.WriteError:
        return  # the server hung up on the rest
    problem(response, 413, "body_too_large")


@each_path
def test_a_body_in_pieces(client: httpx.Client, method: str, path: str) -> None:
    response = client.request(method, path, content=iter([b'{"no', b'thing":', b"1}"]), headers=JSON)
    problem(response, 422, response.json()["code"])


NEXT_ACTION = [
    ({}, "missing_field", "/customer_id"),
    ({"customer_id": 7}, "invalid_value", "/customer_id"),
    ({"customer_id": ""}, "invalid_value", "/customer_id"),
    ({"customer_id": "a\u0000b"}, "invalid_value", "/customer_id"),
    ({"customer_id": "x" * 257}, "invalid_value", "/customer_id"),
    ({"customer_id": "a", "nope": 1}, "unknown_field", "/nope"),
    ({"customer_id": "a", "a/b~c": 1}, "unknown_field", "/a~1b~0c"),
    ({"customer_id": "a", "limit": "1"}, "invalid_value", "/limit"),
    ({"customer_id": "a", "limit": True}, "invalid_value", "/limit"),
    ({"customer_id": "a", "limit": 0}, "invalid_value", "/limit"),
    ({"customer_id": "a", "limit": 51}, "invalid_value", "/limit"),
    ({"customer_id": "a", "limit": None}, "invalid_value", "/limit"),
    ({"customer_id": "a", "deadline_ms": 0}, "invalid_value", "/deadline_ms"),
    ({"customer_id": "a", "deadline_ms": 1e9}, "invalid_value", "/deadline_ms"),
    ({"customer_id": "a", "dry_run": "yes"}, "invalid_value", "/dry_run"),
    ({"customer_id": "a", "request_id": ""}, "invalid_value", "/request_id"),
    ({"customer_id": "a", "request_id": "x" * 300}, "invalid_value", "/request_id"),
    ({"customer_id": "a", "channels": []}, "invalid_value", "/channels"),
    ({"customer_id": "a", "channels": "in_app"}, "invalid_value", "/channels"),
    ({"customer_id": "a", "channels": ["in_app", 1]}, "invalid_value", "/channels/1"),
    ({"customer_id": "a", "channels": ["in_app", "fax"]}, "unknown_channel", "/channels/1"),
    ({"customer_id": "a", "placements": ["moon"]}, "unknown_placement", "/placements/0"),
    ({"customer_id": "a", "placements": ["feed", {"id": "feed"}]}, "duplicate_placement", "/placements/1"),
    ({"customer_id": "a", "channels": ["email"], "placements": ["feed"]}, "unreachable_placement", "/placements/0"),
    ({"customer_id": "a", "placements": [{"id": "feed", "limit": 99}]}, "invalid_value", "/placements/0/limit"),
    ({"customer_id": "a", "placements": [{"limit": 1}]}, "missing_field", "/placements/0/id"),
    ({"customer_id": "a", "placements": [{"id": "feed", "x": 1}]}, "unknown_field", "/placements/0/x"),
    ({"customer_id": "a", "placements": [{"id": "feed", "limit": 50}, "home-banner"]}, "too_many", "/placements"),
    ({"customer_id": "a", "context": []}, "invalid_value", "/context"),
    ({"customer_id": "a", "context": {"pgae": "x"}}, "unknown_context", "/context/pgae"),
    ({"customer_id": "a", "context": {"a/b": "x"}}, "unknown_context", "/context/a~1b"),
    ({"customer_id": "a", "context": {"page": 1}}, "wrong_type", "/context/page"),
    ({"customer_id": "a", "context": {"page": None}}, "wrong_type", "/context/page"),
    ({"customer_id": "a", "context": {"depth": 1.5}}, "wrong_type", "/context/depth"),
    ({"customer_id": "a", "context": {"depth": 2**63}}, "wrong_type", "/context/depth"),
    ({"customer_id": "a", "context": {"page": {"deep": [1]}}}, "wrong_type", "/context/page"),
]


@pytest.mark.parametrize(("body", "code", "pointer"), NEXT_ACTION)
def test_misfits_of_next_action(client: httpx.Client, body: dict[str, object], code: str, pointer: str) -> None:
    response = client.post("/next-action", content=json.dumps(body), headers=JSON)
    assert problem(response, 422, code)["pointer"] == pointer


def test_all_names_that_are_wrong_or_missing_are_told_at_once(client: httpx.Client) -> None:
    told = problem(client.post("/next-action", json={"customerId": "a", "colour": 1}), 422, "unknown_field")
    assert told["detail"] == "there is no field 'customerId'; did you mean 'customer_id'?"
    assert [(each["code"], each["pointer"]) for each in told["errors"]] == [
        ("unknown_field", "/customerId"),
        ("unknown_field", "/colour"),
        ("missing_field", "/customer_id"),
    ]
    told = problem(client.post("/events", json={"id": "1", "customerId": "a", "type": "x"}), 422, "unknown_field")
    assert told["detail"] == "there is no field 'customerId'; did you mean 'customer_id'?"
    told = problem(client.put("/customers/misfit", json={"Attributes": {}}), 422, "unknown_field")
    assert told["detail"] == "there is no field 'Attributes'; did you mean 'attributes'?"


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/next-action", {"customer_id": 1}, "expected a string, got a number"),
        ("/next-action", {"customer_id": None}, "expected a string, got null"),
        ("/next-action", {"customer_id": "a", "limit": 1.5}, "expected a whole number, got a number"),
        ("/next-action", {"customer_id": "a", "limit": 0}, "expected a whole number >= 1"),
        ("/next-action", {"customer_id": "a", "dry_run": "yes"}, "expected true or false, got a string"),
        ("/next-action", {"customer_id": "a", "channels": {}}, "expected a list, got an object"),
        ("/next-action", {"customer_id": "a", "context": []}, "expected an object, got a list"),
        (
            "/next-action",
            {"customer_id": "a", "context": {"page": None}},
            "context 'page': expected a string, got null",
        ),
        ("/next-action", {}, "the field 'customer_id' is missing"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_json(
    client: httpx.Client, path: str, body: dict[str, object], detail: str
) -> None:
    assert client.post(path, json=body).json()["detail"] == detail


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"test": None}, "expected true or false, got null"),
        ({"test": 1}, "expected true or false, got 1"),
        ({"attributes": []}, "expected an object, got []"),
        ({"attributes": {"vip": None}}, "attribute 'vip': expected true or false, got null"),
        ({"attributes": {"nmae": "Ada"}}, "attribute 'nmae' is not declared in the catalog; did you mean 'name'?"),
        (
            {"consents": {"marketting": True}},
            "purpose 'marketting' is not declared in the catalog; did you mean 'marketing'?",
        ),
    ],
)
def test_what_is_wrong_with_customers_is_said_likewise(
    client: httpx.Client, body: dict[str, object], detail: str
) -> None:
    assert client.put("/customers/misfit", json=body).json()["detail"] == detail


CUSTOMER = [
    ({"nope": 1}, "unknown_field", "/nope"),
    ({"attributes": []}, "invalid_value", "/attributes"),
    ({"attributes": None}, "invalid_value", "/attributes"),
    ({"attributes": {"nmae": "Ada"}}, "unknown_attribute", "/attributes/nmae"),
    ({"attributes": {"a/b~": 1}}, "unknown_attribute", "/attributes/a~1b~0"),
    ({"attributes": {"name": 1}}, "wrong_type", "/attributes/name"),
    ({"attributes": {"visits": 1.0}}, "wrong_type", "/attributes/visits"),
    ({"attributes": {"visits": True}}, "wrong_type", "/attributes/visits"),
    ({"attributes": {"vip": 1}}, "wrong_type", "/attributes/vip"),
    ({"attributes": {"score": "1"}}, "wrong_type", "/attributes/score"),
    ({"attributes": {"renewal": "2026-01-01"}}, "wrong_type", "/attributes/renewal"),
    ({"attributes": {"renewal": "2026-13-01T00:00:00Z"}}, "wrong_type", "/attributes/renewal"),
    ({"attributes": {"segments": ["a", 1]}}, "wrong_type", "/attributes/segments"),
    ({"attributes": {"timezone": "Mars/Olympus"}}, "unknown_timezone", "/attributes/timezone"),
    ({"attributes": {"timezone": "../../etc/passwd"}}, "unknown_timezone", "/attributes/timezone"),
    ({"attributes": {"timezone": ""}}, "unknown_timezone", "/attributes/timezone"),
    ({"consents": {"marketing": "yes"}}, "invalid_value", "/consents/marketing"),
    ({"consents": {"marketing": None}}, "invalid_value", "/consents/marketing"),
    ({"consents": {"spam": True}}, "unknown_purpose", "/consents/spam"),
    ({"test": "no"}, "invalid_value", "/test"),
    ({"test": None}, "invalid_value", "/test"),
]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("body", "code", "pointer"), CUSTOMER)
def test_misfits_of_customers(
    client: httpx.Client, method: str, body: dict[str, object], code: str, pointer: str
) -> None:
    response = client.request(method, "/customers/misfit", json=body)
    assert problem(response, 422, code)["pointer"] == pointer
    problem(client.get("/customers/misfit"), 404, "unknown_customer")


def test_all_findings_are_told(client: httpx.Client) -> None:
    body = {"attributes": {"name": 1, "x": 1}, "consents": {"spam": True}}
    told = problem(client.put("/customers/misfit", json=body), 422, "wrong_type")
    assert [found["pointer"] for found in told["errors"]] == ["/attributes/name", "/attributes/x", "/consents/spam"]


def test_of_many_findings_the_first_are_listed(client: httpx.Client) -> None:
    body = {"attributes": {f"x{number}": 1 for number in range(1_000)}}
    told = problem(client.put("/customers/misfit", json=body), 422, "unknown_attribute")
    assert [found["pointer"] for found in told["errors"]] == [f"/attributes/x{number}" for number in range(20)]


CONSENT = [
    ({}, "missing_field", "/granted"),
    ({"granted": 1}, "invalid_value", "/granted"),
    ({"granted": True, "at": 1700000000}, "invalid_value", "/at"),
    ({"granted": True, "at": "1700000000"}, "invalid_value", "/at"),
    ({"granted": True, "at": "2026-01-01T00:00:00"}, "invalid_value", "/at"),
    ({"granted": True, "at": "9999-01-01T00:00:00Z"}, "statement_in_future", "/at"),
    ({"granted": True, "source": ""}, "invalid_value", "/source"),
    ({"granted": True, "source": "x" * 300}, "invalid_value", "/source"),
    ({"granted": True, "who": "me"}, "unknown_field", "/who"),
]


@pytest.mark.parametrize(("body", "code", "pointer"), CONSENT)
def test_misfits_of_consents(client: httpx.Client, body: dict[str, object], code: str, pointer: str) -> None:
    response = client.put("/customers/misfit/consents/marketing", json=body)
    assert problem(response, 422, code)["pointer"] == pointer


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["customer_id", "channels", "placements", "context", "limit", "request_id", "deadline_ms", "dry_run"]
NAMES += ["attributes", "consents", "test", "granted", "at", "source"]
bodies = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), values, max_size=5)
garbage = (
    st.binary(max_size=200)
    | bodies.map(lambda body: json.dumps(body).encode())
    | bodies.map(
        lambda body: json.dumps({"customer_id": "a", **body}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    )
)
fuzz = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@each_path
@fuzz
@given(body=garbage)
def test_garbage_is_never_our_error(client: httpx.Client, method: str, path: str, body: bytes) -> None:
    response = client.request(method, path, content=body, headers=JSON)
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        problem(response, response.status_code, response.json()["code"])
