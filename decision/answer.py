"""An answer and its record, as JSON. The record holds the answer's bytes and what the decision was made on."""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from catalog.plan import Plan
from decision.decide import Decision, Pick
from decision.reasons import Degradation
from decision.request import NextActionRequest
from features.customer import Contact, Customer, moment

RECORD_VERSION = 1


def answer_body(
    plan: Plan, customer_id: str, decision: Decision, decision_id: str | None, degraded: tuple[Degradation, ...]
) -> bytes:
    """The body of the response. `decision_id` is None for an answer that was not recorded (dry run, degraded)."""
    until = decision.valid_until
    return orjson.dumps(
        {
            "decision_id": decision_id,
            "customer_id": customer_id,
            "status": decision.status,
            "reason": decision.reason,
            "actions": [_action(pick) for pick in decision.picks],
            "valid_until": None if until is None else moment(until),
            "degraded": degraded,
            "catalog": plan.digest,
        },
        option=orjson.OPT_UTC_Z,
    )


def _action(pick: Pick) -> dict[str, Any]:
    treatment, chosen = pick.treatment, pick.chosen
    return {
        "action": treatment.action,
        "treatment": treatment.id,
        "channel": treatment.channel,
        "placement": pick.placement,
        "content": pick.content,
        "propensity": chosen.propensity if chosen else None,
        "value": chosen.value if chosen else None,
        "priority": chosen.priority if chosen else None,
        "probability": chosen.probability if chosen else None,
        "fallback": chosen is None,
    }


def record_body(
    plan: Plan, request: NextActionRequest, customer: Customer, decision: Decision, decision_id: str, answer: bytes
) -> bytes:
    """What explains the decision: request, the state it was made on, the draw, what each gate and policy said."""
    return orjson.dumps(
        {
            "v": RECORD_VERSION,
            "id": decision_id,
            "at": decision.now,
            "catalog": plan.digest,
            "request": orjson.Fragment(msgspec.json.encode(request)),
            "customer": {
                "attributes": customer.attributes,
                "consents": msgspec.to_builtins(customer.consents),
                "test": customer.test,
            },
            "seed": decision.seed,
            "removed": {gate.value: count for gate, count in decision.removed.items()},
            "left": {policy.name: left for policy, left in zip(plan.policies, decision.left, strict=True)},
            "withheld": [_action(pick) for pick in decision.withheld],
            "answer": orjson.Fragment(answer),
        },
        option=orjson.OPT_UTC_Z,
    )


def answer_in(record: bytes) -> bytes:
    """The answer that `record` keeps, byte for byte what was sent."""
    kept: Mapping[str, Any] = orjson.loads(record)
    return orjson.dumps(kept["answer"])


def contacts_of(decision: Decision, decision_id: str) -> tuple[Contact, ...]:
    return tuple(
        Contact(
            decision.now,
            pick.treatment.action,
            pick.treatment.channel,
            pick.treatment.group,
            pick.treatment.direction,
            decision_id,
        )
        for pick in decision.granted
    )


def outbox_entries(decision: Decision, decision_id: str, customer_id: str) -> list[bytes]:
    """What channel adapters are to send: one entry per outbound pick."""
    return [
        orjson.dumps(
            {
                "decision_id": decision_id,
                "customer_id": customer_id,
                "at": decision.now,
                "valid_until": None if (span := pick.treatment.valid_for) is None else decision.now + span,
                "treatment": pick.treatment.id,
                "channel": pick.treatment.channel,
                "purpose": pick.treatment.purpose,
                "address": pick.address,
                "content": pick.content,
            }
        )
        for pick in decision.granted
        if pick.treatment.direction == "outbound"
    ]
