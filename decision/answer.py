"""An answer as JSON, and what follows from it: contacts, messages to send."""

from typing import Any

import orjson

from catalog.plan import Plan
from decision.decide import Decision, Pick
from decision.held_back import HeldBack
from decision.reasons import Degradation
from features.customer import Contact, moment


def answer_body(
    plan: Plan, customer_id: str, decision: Decision, decision_id: str | None, degraded: tuple[Degradation, ...]
) -> bytes:
    """The body of the response. `decision_id` is None for an answer that was not recorded (dry run, degraded)."""
    until = decision.valid_until
    answer: dict[str, Any] = {
        "decision_id": decision_id,
        "customer_id": customer_id,
        "status": decision.status,
        "reason": decision.reason,
        "actions": [action_of(pick) for pick in decision.picks],
        "valid_until": None if until is None else moment(until),
        "degraded": degraded,
        "catalog": plan.digest,
    }
    if decision.held_back is not None:
        answer["held_back"] = _held_back(decision.held_back)
    return orjson.dumps(answer, option=orjson.OPT_UTC_Z)


def _held_back(told: HeldBack) -> dict[str, Any]:
    at = told.eligible_at
    return {"gate": told.gate, "by": told.by, "eligible_at": None if at is None else moment(at)}


def action_of(pick: Pick) -> dict[str, Any]:
    """One pick, as answers show it."""
    treatment, chosen = pick.treatment, pick.chosen
    told: dict[str, Any] = {
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
    if pick.not_before is not None:
        told["not_before"] = moment(pick.not_before)
    return told


def contacts_of(decision: Decision, decision_id: str) -> tuple[Contact, ...]:
    """One that is held counts from the moment on at which it may be sent. A policy's key that has no value for the
    customer has none in the contact: such an action obeys no policy.
    """
    added, known = [], decision.keys
    for pick in decision.granted:
        treatment = pick.treatment
        at = decision.now if pick.not_before is None else pick.not_before
        held = at - decision.now if treatment.valid_for else 0
        keys = tuple([(key, known[key]) for key in treatment.keys if key in known]) if treatment.keys else ()
        added.append(
            Contact(
                at,
                treatment.action,
                treatment.channel,
                treatment.group,
                treatment.direction,
                decision_id,
                keys,
                valid_for=(treatment.valid_for or 0) - held,
                counts_toward_caps=treatment.counts_toward_caps,
                purpose=treatment.purpose or "",
                held=held,
            )
        )
    return tuple(added)


def outbox_entries(plan: Plan, decision: Decision, decision_id: str, customer_id: str) -> list[bytes]:
    """What channel adapters are to send: one entry per outbound pick, which channels.message reads."""
    return [
        orjson.dumps(
            {
                "decision_id": decision_id,
                "customer_id": customer_id,
                "at": decision.now,
                "not_before": pick.not_before,
                "valid_until": None if (span := pick.treatment.valid_for) is None else decision.now + span,
                "treatment": pick.treatment.id,
                "action": pick.treatment.action,
                "channel": pick.treatment.channel,
                "purpose": pick.treatment.purpose,
                "address": pick.address,
                "content": pick.content,
                "catalog": plan.digest,
            }
        )
        for pick in decision.granted
        if pick.treatment.direction == "outbound"
    ]
