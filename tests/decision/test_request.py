"""Resolving a request: what the catalog does not declare is refused, with a stable code and a pointer to it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from catalog.plan import Plan
from decision.request import MOST_PER_ANSWER, Ask, NextActionRequest, RequestError, Slot, has_controls, resolve
from tests.decision.plans import plan_of

CATALOG = """
customer: {email: string}
context: {page: string, depth: int, load: double, new: bool, since: timestamp, tags: list<string>}
purposes: [marketing]
channels:
  web: {direction: inbound, placements: [top, feed]}
  email: {direction: outbound, purpose: marketing, address: customer.email}
  in_app: {direction: inbound, placements: [feed]}
actions:
  a: {value: 1, treatments: {web: {t: x, placements: [top]}, email: {t: x}, in_app: {t: x}}}
"""
WEB, EMAIL, IN_APP = 1, 2, 4


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


def asked(plan: Plan, **body: Any) -> Ask:
    decoded = msgspec.convert({"customer_id": "c", **body}, NextActionRequest)
    return resolve(decoded, plan)


def message_of(plan: Plan, **body: Any) -> str:
    with pytest.raises(RequestError) as refused:
        asked(plan, **body)
    return refused.value.message


def test_the_inbound_channels_are_the_default(plan: Plan) -> None:
    shape = asked(plan).shape
    assert asked(plan) == Ask("c", shape, {})
    assert (shape.channels, shape.slots) == (("web", "in_app"), (Slot(None, WEB | IN_APP, 1),))
    assert (shape.wanted, shape.actions) == (WEB | IN_APP, plan.actions_of(WEB | IN_APP))
    assert asked(plan, limit=3, dry_run=True).shape.slots == (Slot(None, WEB | IN_APP, 3),)


def test_outbound_is_one_more_slot_where_placements_are_filled(plan: Plan) -> None:
    assert asked(plan, channels=["email", "web", "email"]).shape.channels == ("email", "web")
    assert asked(plan, channels=["email", "web"]).shape.slots == (Slot(None, WEB | EMAIL, 1),)
    slots = asked(plan, channels=["email", "in_app"], placements=[{"id": "feed", "limit": 2}], limit=9).shape.slots
    assert slots == (Slot("feed", IN_APP, 2), Slot(None, EMAIL, 1))


def test_a_placement_needs_one_of_its_channels(plan: Plan) -> None:
    """Else nothing could fill it, its fallback neither: whoever names both means something else."""
    for channels, placements, at in ((["email"], ["feed"], 0), (["email", "in_app"], ["feed", {"id": "top"}], 1)):
        for _ in range(2):  # what is refused is not remembered as if it was not
            with pytest.raises(RequestError, match="doesn't name") as refused:
                asked(plan, channels=channels, placements=placements)
            assert (refused.value.code, refused.value.pointer) == ("unreachable_placement", f"/placements/{at}")
    assert "'web' and 'in_app'" in message_of(plan, channels=["email"], placements=["feed"])
    assert asked(plan, channels=["in_app"], placements=["feed"]).shape.slots == (Slot("feed", IN_APP, 1),)


def test_a_placement_without_its_channel_is_read_from_a_record(plan: Plan) -> None:
    """Such requests were answered once, and what was recorded is made again."""
    body = {"customer_id": "c", "channels": ["email"], "placements": ["top"], "limit": 7}
    shape = resolve(msgspec.convert(body, NextActionRequest), plan, recorded=True).shape
    assert shape.slots == (Slot("top", 0, 1), Slot(None, EMAIL, 1))
    with pytest.raises(RequestError):
        resolve(msgspec.convert(body, NextActionRequest), plan)


def test_context_is_typed(plan: Plan) -> None:
    given = {"page": "p", "depth": 2, "load": 1, "new": False, "since": "2026-01-31T09:00:00-06:00", "tags": ["x"]}
    typed = asked(plan, context=given).context
    assert typed == {**given, "load": 1.0, "since": datetime(2026, 1, 31, 15, tzinfo=UTC)}
    assert type(typed["load"]) is float


@pytest.mark.parametrize(
    ("body", "code", "pointer", "said"),
    [
        ({"channels": ["web", "emial"]}, "unknown_channel", "/channels/1", "did you mean 'email'?"),
        ({"channels": ["fax"]}, "unknown_channel", "/channels/0", "declared are web, email, in_app"),
        ({"placements": ["feed", {"id": "tpo"}]}, "unknown_placement", "/placements/1", "did you mean 'top'?"),
        ({"placements": ["feed", {"id": "feed"}]}, "duplicate_placement", "/placements/1", "asked for twice"),
        (
            {"placements": [{"id": "feed", "limit": MOST_PER_ANSWER}, "top"]},
            "too_many",
            "/placements",
            f"at most {MOST_PER_ANSWER}",
        ),
        ({"context": {"a/b~c": 1}}, "unknown_context", "/context/a~1b~0c", "is not declared"),
        ({"context": {"pgae": "x"}}, "unknown_context", "/context/pgae", "did you mean 'page'?"),
        ({"context": {"page": 1}}, "wrong_type", "/context/page", "expected a string, got 1"),
        ({"context": {"page": None}}, "wrong_type", "/context/page", "got null"),
        ({"context": {"depth": 2.0}}, "wrong_type", "/context/depth", "whole number"),
        ({"context": {"depth": True}}, "wrong_type", "/context/depth", "whole number"),
        ({"context": {"depth": 2**63}}, "wrong_type", "/context/depth", "64 bits"),
        ({"context": {"load": "1"}}, "wrong_type", "/context/load", "finite number"),
        ({"context": {"new": 1}}, "wrong_type", "/context/new", "true or false"),
        ({"context": {"since": "2026-01-31T09:00:00"}}, "wrong_type", "/context/since", "with a zone"),
        ({"context": {"tags": ["x", 1]}}, "wrong_type", "/context/tags", "list of strings"),
        ({"context": {"page": {"x": "y" * 1000}}}, "wrong_type", "/context/page", "..."),
    ],
)
def test_what_is_not_declared_is_refused(plan: Plan, body: dict[str, Any], code: str, pointer: str, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        asked(plan, **body)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)
    assert said in refused.value.message
    assert len(refused.value.message) < 300


def test_a_catalog_without_any_says_so() -> None:
    with pytest.raises(RequestError, match="declared are none"):
        asked(plan_of(""), channels=["web"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"customer_id": ""},
        {"customer_id": "x" * 257},
        {"customer_id": 42},
        {"limit": 0},
        {"limit": MOST_PER_ANSWER + 1},
        {"limit": 1.5},
        {"channels": []},
        {"channels": ["web"] * 51},
        {"channels": "web"},
        {"placements": []},
        {"placements": [{"id": "top", "limit": 0}]},
        {"placements": [{"id": "top", "size": 1}]},
        {"placements": [{"limit": 1}]},
        {"placements": [1]},
        {"context": None},
        {"request_id": ""},
        {"request_id": "x" * 257},
        {"deadline_ms": 0},
        {"deadline_ms": 60_001},
        {"dry_run": 1},
        {"colour": "red"},
    ],
)
def test_a_body_of_another_shape_does_not_decode(body: dict[str, Any]) -> None:
    whole = body if "customer_id" in body or not body else {"customer_id": "c", **body}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(whole), type=NextActionRequest)


@pytest.mark.parametrize("identifier", ["a\nb", "a\n", "\x00", "a\x1fb", "\x7f"])
def test_control_characters_are_found_anywhere(identifier: str) -> None:
    assert has_controls(identifier)


@pytest.mark.parametrize("identifier", ["c-42", "a b", "\u00a0", "Zo\u00eb", "\u200b", "\U0001f600", "{x}"])
def test_other_characters_are_none(identifier: str) -> None:
    assert not has_controls(identifier)
