"""Counting contacts, by definition: what a limit counts at a moment, by what was known of its contacts then.

What counts from an impression or a delivery counts as happening now until that is known, for as long as its answer
stands; then from that moment on, however late it was. One that failed, and of which no more is known, doesn't count.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.history.limits import KEPT_ANYWAY, KEPT_FOR_LATE, VALID_FOR, Limit
from tests.history.log import Decision, Granted, Log
from tests.history.statements import Violation

_FAILED = frozenset({"failed", "bounced"})
_SEEN = frozenset({"impression", "click"})
_PROOF = {"impression": _SEEN, "delivery": _SEEN | {"delivered"}}

Known = Mapping[Granted, Mapping[str, int]]
"""Of contacts, what came of them: by its kind, when first."""


class Contact(NamedTuple):
    """A contact by the log."""

    decision: str
    action: str
    at: int

    @property
    def name(self) -> Granted:
        return self.decision, self.action


def contacts_of(decision: Decision) -> list[Contact]:
    return [Contact(decision.id, action, decision.at) for action in decision.granted]


def limited(decision: Decision, contacts: list[Contact], limits: Iterable[Limit]) -> Iterator[Violation]:
    """`contacts` are those granted until then, its own among them."""
    for limit in limits:
        if limit.action in decision.granted:
            count = _count(decision, contacts, limit)
            if count > limit.limit:
                text = f"decision {decision.id} is contact {count} of {decision.customer} by {limit.action}"
                yield Violation("limit", f"{text}: {limit.limit} are allowed ({limit.window})")


def fullest(log: Log, limit: Limit) -> int:
    """How many contacts of one customer counted together when another was granted, that one included, at most."""
    contacts: dict[str, list[Contact]] = defaultdict(list)
    all_in_all: dict[str, list[Contact]] = defaultdict(list)
    for decision in log.decisions:
        all_in_all[decision.customer] += contacts_of(decision)
    most = 0
    for decision in log.decisions:
        mine = contacts[decision.customer]
        mine += contacts_of(decision)
        if limit.action in decision.granted:
            merged = [contact for other in decision.seen.merged for contact in all_in_all[other]]
            most = max(most, _count(decision, [*mine, *merged], limit))
    return most


def needed(
    contacts: Sequence[Contact], known: Known, at: int, limits: Sequence[Limit], anyway: int = KEPT_ANYWAY
) -> set[int]:
    """The places of those that a limit may count at `at` or later, and of the last that are kept `anyway`."""
    found = set(range(max(0, len(contacts) - anyway), len(contacts)))
    for limit in limits:
        mine = [place for place, each in enumerate(contacts) if each.action == limit.action]
        if limit.counts == "decision" and limit.lifetime:
            found.update(mine[-limit.limit :])
        elif limit.counts == "decision":
            found.update(place for place in mine if _counts(limit, contacts[place], known, at))
        else:
            found.update(place for place in mine if at < _expires(contacts[place]) + KEPT_FOR_LATE)
    return found


def late(log: Log, limits: Iterable[Limit]) -> int:
    """How many contacts were first seen, or delivered, when their answer no longer stood, and count all the same."""
    proof = {limit.action: _PROOF[limit.counts] for limit in limits if limit.counts != "decision"}
    expired = {
        each.name: _expires(each)
        for decision in log.decisions
        for each in contacts_of(decision)
        if each.action in proof
    }
    first: dict[Granted, int] = {}
    for told in log.responses:
        if told.contact in expired and told.kind in proof[told.contact[1]]:
            first[told.contact] = min(told.at, first.get(told.contact, told.at))
    return sum(at >= expired[contact] for contact, at in first.items())


def given_back(log: Log, limits: Iterable[Limit]) -> int:
    """How many contacts that a limit counts by their delivery have failed."""
    by_delivery = {limit.action for limit in limits if limit.counts == "delivery"}
    return len({told.contact for told in log.responses if told.contact[1] in by_delivery and told.kind in _FAILED})


def _count(decision: Decision, contacts: Iterable[Contact], limit: Limit) -> int:
    known = decision.seen.responses
    return sum(each.action == limit.action and _counts(limit, each, known, decision.at) for each in contacts)


def _counts(limit: Limit, contact: Contact, known: Known, at: int) -> bool:
    """Whether `limit` counts it at `at`."""
    since = limit.counts_after(at)
    when = contact.at
    if limit.counts != "decision":
        came = known.get(contact.name, {})
        seen = [first for kind, first in came.items() if kind in _PROOF[limit.counts]]
        if not seen:
            return not came.keys() & _FAILED and at < _expires(contact)
        when = max(contact.at, min(seen))
    return since is None or when > since


def _expires(contact: Contact) -> int:
    return contact.at + VALID_FOR[contact.action]
