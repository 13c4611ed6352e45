"""Responses: what customers did about a contact, kept with the contact that it answers. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from catalog.plan import Plan
from features.consents import with_refusal
from features.customer import Consent, Customer, Labels, Logged, Response
from features.events import NO_MORE, Event
from features.holds import confirms_late
from features.keys import parse_decision_id
from features.series import LARGEST

MILLION = 1_000_000
_MOST = 2**63 - 1


class Found(NamedTuple):
    """Whether there are `any` contacts that an event answers, it confirms one that had expired or was given back by
    then, `late`, and takes consent back that was given since, so that a yes stays in force, `outdated`.
    """

    any: bool
    late: bool
    outdated: bool = False


def answered(customer: Customer, event: Event, plan: Plan) -> tuple[Customer, Found]:
    """`customer` with `event` kept at the contacts of the decision that it names, and what was found of them.

    Of a decision with several contacts, the properties `action`, `channel` and `treatment` say which are meant.
    `unsubscribed` and `complained` are also a no to the purpose that the contact had when it was made, or to every
    purpose where that can't be told or the catalog has it no more: those that the catalog has and those of
    which anything is known. They are made after the contact that they name, whatever the clock said that dated them.
    """
    log, found, late, after = customer.log, [], False, _decided_at(event)
    if event.decision_id:
        decision, changed = bytes.fromhex(event.decision_id), list(log)
        for place, contact in enumerate(log):
            labels = customer.labels[contact.labels]
            if contact.decision == decision and _is_meant(labels, event.properties):
                late = late or confirms_late(plan, labels, contact, event)
                changed[place] = _with_response(contact, event)
                found.append(labels)
                after = max(after, contact.at)
        customer = msgspec.structs.replace(customer, log=tuple(changed)) if found else customer
    outdated = False
    if event.type in NO_MORE:
        refusal = Consent(False, min(max(event.at, after + 1), event.received), event.type)
        for purpose in _taken_back(plan, customer, found):
            customer = with_refusal(customer, purpose, refusal, event.received)
            outdated = outdated or customer.consents[purpose].granted
    return customer, Found(bool(found), late, outdated)


def _decided_at(event: Event) -> int:
    """When the decision that it names was made, to the millisecond; the contact may not be kept any more."""
    return parse_decision_id(event.decision_id)[1] * 1000 if event.decision_id else event.at - 1


def _taken_back(plan: Plan, customer: Customer, found: Iterable[Labels]) -> Iterable[str]:
    """The purposes that an event takes back, which answers contacts with these labels."""
    purposes = {labels.purpose for labels in found}
    if purposes and purposes <= set(plan.purposes):
        return sorted(purposes)
    return dict.fromkeys((*plan.purposes, *customer.consents, *sorted(purposes - {""})))


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
