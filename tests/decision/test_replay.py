"""Replay: every case, recorded and made again, comes out the same; change what it was made from and it doesn't."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from catalog.building import load_plan
from decision.answer import answer_body
from decision.decide import Decision
from decision.record import RECORD_VERSION, Record, Scores, as_data, read_record, record_body
from decision.replay import Difference, ReplayError, replay
from features.consents import with_consent
from features.customer import Consent, Contact, Customer, with_attributes, with_contacts
from features.encoding import decode, encode
from models.scoring import Models
from tests.customers import SOME_DECISION
from tests.decision.cases import FOLDERS, ROOT, Case, read_case

ID = "0" * 32
DAY = 86_400_000_000
KEPT = Path(__file__).parent / "records"


def recorded(case: Case, decision: Decision | None = None) -> Record:
    decision = decision or case.decide()
    answer = answer_body(case.plan, case.request.customer_id, decision, ID, decision.degraded)
    return read_record(record_body(case.plan, case.request, encode(case.customer), decision, ID, answer))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_decision_is_made_again_from_its_record_alone(folder: Path) -> None:
    record = recorded(read_case(folder))
    plan = load_plan(folder / "catalog.yaml")
    assert replay(plan, record, Models(plan)) == []
    assert replay(plan, record) == []


def changed(name: str, **changes: Any) -> list[Difference]:
    """What replaying the case shows after its record was changed."""
    case = read_case(ROOT / name)
    record = recorded(case)
    if "customer" in changes:
        changes["state"] = encode(changes.pop("customer")(decode(record.state)))
    if "request" in changes:
        changes["request"] = json.dumps(json.loads(record.request) | changes["request"]).encode()
    return replay(case.plan, replace(record, **changes), Models(case.plan))


def contacted(customer: Customer) -> Customer:
    last = customer.contacts[-1]
    again = Contact(last.at + DAY, last.action, last.channel, last.group, last.direction, SOME_DECISION)
    return with_contacts(customer, (again,))


INPUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "an attribute": ("gate-eligible", {"customer": lambda customer: with_attributes(customer, {"tier": "gold"})}),
    "an address": (
        "gate-reachable-address-missing",
        {"customer": lambda c: with_attributes(c, {"email": "a@b.example"})},
    ),
    "a consent": (
        "gate-consent-absent",
        {"customer": lambda c: with_consent(c, "marketing", Consent(True, 1))},
    ),
    "a contact": ("policy-window-boundary-inside", {"customer": lambda c: replace(c, log=())}),
    "one contact more": ("policy-window-boundary-outside", {"customer": contacted}),
    "the time": ("gate-dates", {"at": 0}),
    "the request": ("ranking-by-all-four-factors", {"request": {"context": {"page": "home"}}}),
    "the limit": ("ranking-by-all-four-factors", {"request": {"limit": 1}}),
    "the customer's id": ("control-group", {"request": {"customer_id": "somebody else"}}),
    "the seed": ("exploration-draws-another", {"seed": 1}),
    "the scores": ("model-ranks", {"scores": ()}),
    "the models that failed": ("model-fails", {"degraded": ()}),
    "the models that were not asked": ("model-ranks", {"late": ("renewal",)}),
    "a budget that was spent": ("gate-budget", {"budgets": {}}),
    "what was left of a budget": ("budget-picks-of-one-answer-count", {"budgets": {"deals": 1}}),
}


@pytest.mark.parametrize("name", INPUTS)
def test_another_input_comes_out_otherwise(name: str) -> None:
    case, changes = INPUTS[name]
    assert changed(case, **changes) != []


def test_every_field_that_is_an_input_is_changed_above() -> None:
    inputs = set(Record.__struct_fields__) - {"version", "id", "catalog", "answer", "outcome", "customer_id"}
    assert {"state" if field == "customer" else field for _, changes in INPUTS.values() for field in changes} == inputs


def test_each_field_that_differs_is_named() -> None:
    case = read_case(ROOT / "ranking-by-all-four-factors")
    record = recorded(case)
    answer = json.loads(record.answer)
    answer["actions"][1]["priority"] = 57
    del answer["actions"][2]
    answer["extra"] = None
    outcome = replace(record.outcome, removed={"eligible": 1}, withheld=b'[{"action": "a"}]')
    found = replay(case.plan, replace(record, answer=json.dumps(answer).encode(), outcome=outcome, customer_id="c-2"))
    assert {each.field for each in found} == {
        "customer_id",
        "answer/actions/1/priority",
        "answer/actions/2",
        "answer/extra",
        "removed/eligible",
        "withheld/0",
    }
    assert Difference("answer/actions/1/priority", 57, 56.25) in found
    assert Difference("removed/eligible", 1, "(absent)") in found


def test_the_same_meaning_in_other_bytes_is_a_difference() -> None:
    case = read_case(ROOT / "gate-eligible")
    record = recorded(case)
    found = replay(case.plan, replace(record, answer=record.answer + b" "))
    assert [each.field for each in found] == ["answer"]
    found = replay(case.plan, replace(record, answer=b"\xff"))
    assert [each.field for each in found] == ["answer"]


@pytest.mark.parametrize(("off", "fields"), [(9e-7, []), (1.1e-6, ["scores/renewal/0"])])
def test_models_may_differ_by_a_millionth(off: float, fields: list[str]) -> None:
    """The logic goes by what was recorded, to the last digit; the model only has to come near."""
    case = read_case(ROOT / "model-ranks")

    def a_little_off(candidates: int, frame: Any) -> Any:
        scored = case.models.score(candidates, frame, case.plan)
        scored.propensities[0] += off
        scored.scores[0].propensities[0] += off
        return scored

    record = recorded(case, case.decide(a_little_off))
    assert [each.field for each in replay(case.plan, record, case.models)] == fields
    assert replay(case.plan, record) == []


def test_what_can_not_be_replayed_says_why() -> None:
    case = read_case(ROOT / "gate-eligible")
    record = recorded(case)
    for change, why in (
        ({"catalog": "sha256:0"}, "made by the catalog sha256:0"),
        ({"state": b"\xc1"}, "request or state can't be read"),
        ({"request": b"{"}, "request or state can't be read"),
    ):
        with pytest.raises(ReplayError, match=why):
            replay(case.plan, replace(record, **change))
    unknown = json.dumps(json.loads(record.request) | {"channels": ["fax"]}).encode()
    (found,) = replay(case.plan, replace(record, request=unknown))
    assert found.field == "request"


@pytest.mark.parametrize(
    "scores", [Scores("renewal", b"\1", b""), Scores("renewal", bytes(4), b"")], ids=["torn", "few"]
)
def test_scores_that_can_not_be_read(scores: Scores) -> None:
    case = read_case(ROOT / "model-ranks")
    with pytest.raises(ReplayError, match="model 'renewal'"):
        replay(case.plan, replace(recorded(case), scores=(scores,)))


@pytest.mark.parametrize("folder", sorted(KEPT.iterdir()), ids=lambda folder: folder.name)
def test_records_of_every_format_so_far_are_made_again(folder: Path) -> None:
    plan = load_plan(folder / "catalog.yaml")
    files = sorted(folder.glob("*.record"))
    assert len(files) >= 10
    for file in files:
        record = read_record(file.read_bytes())
        assert replay(plan, record, Models(plan)) == []
        assert json.loads(json.dumps(as_data(record), default=str)) == json.loads(file.with_suffix(".json").read_text())


def test_this_format_is_among_them() -> None:
    assert (KEPT / f"version-{RECORD_VERSION}").is_dir()
