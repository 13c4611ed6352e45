"""An answer as JSON, and what follows from it: contacts, messages to send."""

from typing import Any

import orjson

from catalog.plan import Plan
from decision.decide import Decision, Pick
from decision.reasons import Degradation
from features.customer import Contact, moment


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
            "actions": [action_of(pick) for pick in decision.picks],
            "valid_until": None if until is None else moment(until),
            "degraded": degraded,
            "catalog": plan.digest,
        },
        option=orjson.OPT_UTC_Z,
    )


def action_of(pick: Pick) -> dict[str, Any]:
    """One pick, as answers show it."""
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


def contacts_of(decision: Decision, decision_id: str) -> tuple[Contact, ...]:
    added = []
    for pick in decision.granted:
        treatment = pick.treatment
        keys = tuple([(key, decision.keys[key]) for key in treatment.keys]) if treatment.keys else ()
        labels = (treatment.action, treatment.channel, treatment.group, treatment.direction)
        added.append(Contact(decision.now, *labels, decision_id, keys))
    return tuple(added)


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
