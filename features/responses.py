"""Responses: what customers did about a contact, kept with the contact that it answers. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from catalog.plan import Plan
from features.consents import with_refusal
from features.customer import Consent, Customer, Labels, Logged, Response
from features.events import Event
from features.holds import confirms_late
from features.series import LARGEST

NO_MORE = frozenset({"unsubscribed", "complained"})
MILLION = 1_000_000
_MOST = 2**63 - 1


class Found(NamedTuple):
    """Whether there are `any` contacts that an event answers, and it confirms one that had expired by then, `late`."""

    any: bool
    late: bool


def answered(customer: Customer, event: Event, plan: Plan) -> tuple[Customer, Found]:
    """`customer` with `event` kept at the contacts of the decision that it names, and what was found of them.

    Of a decision with several contacts, the properties `action`, `channel` and `treatment` say which are meant.
    `unsubscribed` and `complained` are also a no to the purpose that the contact had when it was made, or to every
    purpose where that can't be told or the catalog has it no more.
    """
    log, found, late = customer.log, [], False
    if event.decision_id:
        decision, changed = bytes.fromhex(event.decision_id), list(log)
        for place, contact in enumerate(log):
            labels = customer.labels[contact.labels]
            if contact.decision == decision and _is_meant(labels, event.properties):
                late = late or confirms_late(plan, labels, contact, event)
                changed[place] = _with_response(contact, event)
                found.append(labels)
        customer = msgspec.structs.replace(customer, log=tuple(changed)) if found else customer
    if event.type in NO_MORE:
        named = [_purposes(plan, labels.purpose) for labels in found] or [plan.purposes]
        for purpose in dict.fromkeys(purpose for purposes in named for purpose in purposes):
            customer = with_refusal(customer, purpose, Consent(False, event.at, event.type), event.received)
    return customer, Found(bool(found), late)


def _is_meant(labels: Labels, properties: Mapping[str, Any]) -> bool:
    meant = (("action", labels.action), ("channel", labels.channel), ("treatment", labels.treatment))
    return all(properties.get(name) in (None, label) for name, label in meant)


def _with_response(contact: Logged, event: Event) -> Logged:
    told = Response(event.type, event.at, event.at, 1, _value(event.properties.get("value")))
    others = [each for each in contact.responses if each.kind != event.type]
    for known in contact.responses:
        if known.kind == event.type:
            first, last = min(known.first, told.first), max(known.last, told.last)
            told = Response(event.type, first, last, known.count + 1, max(-_MOST, min(known.value + told.value, _MOST)))
    responses = tuple(sorted((*others, told), key=lambda each: each.kind))
    return msgspec.structs.replace(contact, responses=responses)


def _value(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not abs(raw) <= LARGEST:
        return 0
    return round(raw * MILLION)


def _purposes(plan: Plan, purpose: str) -> tuple[str, ...]:
    if purpose in plan.purposes:
        return (purpose,)
    return (*plan.purposes, purpose) if purpose else plan.purposes
