"""Cases: a folder each with a catalog, a customer, a request and a time, and the decision that must come of them.

customer.json   attributes (timestamps as text), consents (true or false), test, and contacts: their age before `now`
                (such as "7d - 1us", or "- 9h" for one that is held) with a treatment, made by this catalog, or with all
                labels, `keys`, and `responses`: by kind, the ages of what came of it;
                and `events`: their age, type and properties, each received as it happened, in the order written
request.json    the body of POST /next-action
renewal.onnx    where the catalog has a model
now             the time of the decision; beside it, where exploration draws, `seed`
budgets.json    what is known to be left of budgets, by name
expected.json   `about`, then the parts of the decision to compare; of each pick, the keys given
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from catalog.building import load_plan
from catalog.plan import Plan
from decision.decide import Decision, Pick, Score, decide
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.applying import Sent, apply_events
from features.customer import Consent, Contact, Customer, Response, micros, moment
from models.scoring import Models, Scored
from rules.programs import Frame
from rules.types import AttributeType, coerce
from tests.customers import SOME_DECISION, customer_of

ROOT = Path(__file__).parent.parent / "cases"
FOLDERS = sorted(path for path in ROOT.iterdir() if path.is_dir())
UNITS = {"us": 1, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


@dataclass(frozen=True)
class Case:
    plan: Plan
    customer: Customer
    request: NextActionRequest
    now: int
    seed: int
    expected: dict[str, Any]
    models: Models
    budgets: dict[str, int]

    def decide(self, score: Score | None = None) -> Decision:
        ask = resolve(self.request, self.plan)
        view, score = view_of(self.plan, self.customer), score or self._score
        return decide(self.plan, ask, view, self.now, self.seed, score, self.budgets)

    def _score(self, candidates: int, frame: Frame) -> Scored:
        return self.models.score(candidates, frame, self.plan)


def read_case(folder: Path) -> Case:
    plan = load_plan(folder / "catalog.yaml")
    now = micros(datetime.fromisoformat((folder / "now").read_text().strip()))
    seed, budgets = folder / "seed", folder / "budgets.json"
    return Case(
        plan,
        _customer(json.loads((folder / "customer.json").read_text()), plan, now),
        msgspec.json.decode((folder / "request.json").read_bytes(), type=NextActionRequest),
        now,
        int(seed.read_text()) if seed.exists() else 0,
        json.loads((folder / "expected.json").read_text()),
        Models(plan),
        json.loads(budgets.read_text()) if budgets.exists() else {},
    )


def microseconds(age: str) -> int:
    """`age` such as "7d", "1d 2h" or "7d - 1us"."""
    parts = re.findall(r"([+-]?)\s*(\d+)(us|[smhd])", age)
    return sum((-1 if sign == "-" else 1) * int(count) * UNITS[unit] for sign, count, unit in parts)


def _customer(data: dict[str, Any], plan: Plan, now: int) -> Customer:
    attributes = {name: _attribute(plan, name, value) for name, value in data.get("attributes", {}).items()}
    consents = {name: Consent(granted, now - 1) for name, granted in data.get("consents", {}).items()}
    contacts = tuple(_contact(plan, contact, now) for contact in data.get("contacts", ()))
    customer = customer_of(attributes, consents, contacts, data.get("test", False))
    responded = zip(customer.log, data.get("contacts", ()), strict=True)
    log = tuple(replace(contact, responses=_responses(told, now)) for contact, told in responded)
    customer = replace(customer, log=log)
    for number, event in enumerate(data.get("events", ())):
        customer = _after(plan, customer, f"e-{number}", event, now)
    return customer


def _after(plan: Plan, customer: Customer, event_id: str, event: dict[str, Any], now: int) -> Customer:
    at = now - microseconds(event["age"])
    sent = Sent(event_id, "c-1", event["type"], at, event.get("properties", {}))
    applied = apply_events(plan, customer, [sent], at)
    assert [result.status for result in applied.results] == ["stored"], applied.results
    return applied.customer


def _attribute(plan: Plan, name: str, value: Any) -> Any:
    kind = plan.customer_types.get(name)
    return coerce(kind, value) if kind is AttributeType.TIMESTAMP else value


def _responses(data: dict[str, Any], now: int) -> tuple[Response, ...]:
    found = []
    for kind, ages in data.get("responses", {}).items():
        times = sorted(now - microseconds(age) for age in ages)
        found.append(Response(kind, times[0], times[-1], len(times)))
    return tuple(found)


def _contact(plan: Plan, data: dict[str, Any], now: int) -> Contact:
    at, keys = now - microseconds(data["age"]), tuple(data.get("keys", {}).items())
    if "treatment" not in data:
        return Contact(at, data["action"], data["channel"], data["group"], data["direction"], SOME_DECISION, keys)
    known = next(treatment for treatment in plan.treatments if treatment and treatment.id == data["treatment"])
    end, counts = known.valid_for or 0, known.counts_toward_caps
    labels = known.action, known.channel, known.group, known.direction
    return Contact(at, *labels, SOME_DECISION, keys, valid_for=end, counts_toward_caps=counts)


def as_data(plan: Plan, decision: Decision) -> dict[str, Any]:
    """Everything an expectation may name."""
    return {
        "status": decision.status,
        "reason": decision.reason,
        "picks": [_pick(pick, decision) for pick in decision.picks],
        "granted": [pick.treatment.id for pick in decision.granted],
        "withheld": [_pick(pick, decision) for pick in decision.withheld],
        "removed": {str(gate): count for gate, count in decision.removed.items()},
        "left": {policy.name: left for policy, left in zip(plan.policies, decision.left, strict=True)},
    }


def _pick(pick: Pick, decision: Decision) -> dict[str, Any]:
    return {
        "treatment": pick.treatment.id,
        "placement": pick.placement,
        "content": pick.content,
        "address": pick.address,
        "not_before": None if pick.not_before is None else moment(pick.not_before).isoformat(),
        "probability": pick.chosen.probability if pick.chosen else None,
        "priority": pick.chosen.priority if pick.chosen else None,
        "value": pick.chosen.value if pick.chosen else None,
        "keys": [[key, decision.keys[key]] for key in pick.treatment.keys],
    }
