"""The checker: whether what clients were told, and what Redis holds in the end, can both be true of what is promised.

    recorded      an id, of a decision, a request or an event, stands in the log once; the outbox has what was granted;
                  nobody was told that no decision was under way who had then decided
    acknowledged  what was acknowledged is there: the answer byte for byte, the event, the statement, the attribute
    limit         no contact beyond a limit in its window, counted anew from the log alone
    budget        over all customers no more is granted than the budget has
    consent       no contact on a state without consent, and a state says what the statement said that it names
    latest        a decision was made on the last statement and attribute acknowledged before it was written
    contacts      a decision was made on all contacts granted before it, and on none that the log doesn't have
    responses     and on all that was acknowledged before it of what came of these, and nothing that nobody told
    time          no decision is dated ahead of the server's clock or behind it by more than it may be off, nor before
                  the contact that precedes it
    refused       no client was answered in a way that it must not be

What ended without an answer may have happened or not, at any time since it began. What was acknowledged after the
older copy of a power loss, by a try that was sent before the restart, is excused from being there after it, and from
nothing else.

Pure. The log's order is that in which Redis wrote; it needs no search for an order that would explain what was seen.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tests.history.counting import Contact, contacts_of, limited, needed
from tests.history.limits import BUDGET, BUDGETED, INBOUND, Limit
from tests.history.log import Decision, Granted, Log, State
from tests.history.operations import Kind, Loss, Operation, Outcome
from tests.history.requests import answered, denied
from tests.history.responses import Responses
from tests.history.statements import THE_END, Excuse, Statements, Violation

CLOCK_ERROR = 250_000
HELD_UP = 100_000  # between the script's look at the clock and its write, on a machine that has other things to do
VISIT = "e-"  # what ids of such events begin with


def check(
    operations: Sequence[Operation], log: Log, limits: Sequence[Limit], losses: Sequence[Loss] = (), wall: int = 0
) -> list[Violation]:
    """`wall` is what is to be added to a time of the histories for one of the log."""
    excuse = Excuse(losses)
    consents = Statements(operations, Kind.CONSENT, excuse)
    attributes = Statements(operations, Kind.ATTRIBUTE, excuse)
    responses = Responses(operations, log, excuse)
    found = [Violation("refused", f"{each.kind} {each.key}: {each.told}") for each in _refused(operations)]
    found += _recorded(log)
    found += answered(operations, log, excuse)
    found += denied(operations, log, wall)
    found += _events(operations, log, excuse)
    found += _budgeted(log)
    by_customer: dict[str, list[Decision]] = defaultdict(list)
    for decision in log.decisions:
        by_customer[decision.customer].append(decision)
    for customer in {*by_customer, *log.states}:
        contacts: list[Contact] = []
        for decision in by_customer[customer]:
            found += _dated(decision, contacts)
            found += _consented(decision)
            found += _as_stated(consents, customer, decision.seen, f"decision {decision.id}")
            found += _seen(decision.id, decision.seen, contacts, decision.at, limits)
            written = decision.stored - wall
            for stated, key in ((consents, decision.seen.statement), (attributes, decision.seen.attribute)):
                found += stated.check(customer, key, written, f"decision {decision.id}")
            found += responses.check(decision.seen, decision.at, written, f"decision {decision.id}")
            contacts += contacts_of(decision)
            found += limited(decision, contacts, limits)
        if customer in log.states:
            last = log.states[customer]
            found += _as_stated(consents, customer, last, f"the state of {customer}")
            found += _seen(f"the state of {customer}", last, contacts, THE_END, limits)
            for stated, key in ((consents, last.statement), (attributes, last.attribute)):
                found += stated.check(customer, key, THE_END, f"the state of {customer}")
            found += responses.check(last, THE_END, THE_END, f"the state of {customer}")
    return found


def _refused(operations: Iterable[Operation]) -> Iterator[Operation]:
    return (each for each in operations if each.outcome is Outcome.FAIL)


def _recorded(log: Log) -> Iterator[Violation]:
    for what, ids in (
        ("decision", Counter(decision.id for decision in log.decisions)),
        ("request", Counter(f"{decision.customer} {decision.request}" for decision in log.decisions)),
        ("event", Counter(f"{customer} {event}" for customer, event in log.events)),
    ):
        for name, count in ids.items():
            if count > 1:
                yield Violation("recorded", f"{what} {name} stands in the log {count} times")
    outbound = (
        (decision.id, action) for decision in log.decisions for action in decision.granted if action not in INBOUND
    )
    granted = Counter(outbound)
    sent = Counter(log.sent)
    for decision, action in (granted - sent) + (sent - granted):
        yield Violation("recorded", f"the {action} of {decision} is not in the outbox as often as it was granted")


def _events(operations: Iterable[Operation], log: Log, excuse: Excuse) -> Iterator[Violation]:
    stored = set(log.events)
    for each in operations:
        acknowledged = each.kind is Kind.EVENT and each.outcome is Outcome.OK and not excuse.covers(each)
        if acknowledged and (each.customer, each.key) not in stored:
            yield Violation("acknowledged", f"event {each.key} was acknowledged and is not in the log")
    for customer, visits in log.visits.items():
        sent = sum(1 for whose, event in stored if whose == customer and event.startswith(VISIT))
        if visits != sent:
            yield Violation("acknowledged", f"{customer} has {visits} visits by the aggregate, {sent} by the log")


def _budgeted(log: Log) -> Iterator[Violation]:
    spent = log.reached[BUDGETED]
    if spent > BUDGET:
        yield Violation("budget", f"{spent} contacts by {BUDGETED} were granted: the budget is {BUDGET}")


def _dated(decision: Decision, contacts: list[Contact]) -> Iterator[Violation]:
    ahead = decision.at - decision.stored
    if ahead > 1000 + CLOCK_ERROR:
        yield Violation("time", f"decision {decision.id} is {ahead / 1e6:.3f} s ahead")
    if -ahead > HELD_UP + CLOCK_ERROR:  # windows would begin too far back, and not hold what was granted just before
        yield Violation("time", f"decision {decision.id} is {-ahead / 1e6:.3f} s behind")
    if contacts and decision.at < contacts[-1].at:
        yield Violation("time", f"decision {decision.id} is dated before {contacts[-1].decision}")


def _consented(decision: Decision) -> Iterator[Violation]:
    if decision.granted and not decision.seen.granted:
        yield Violation("consent", f"decision {decision.id} contacts {decision.customer}, who has not agreed")


def _as_stated(consents: Statements, customer: str, seen: State, who: str) -> Iterator[Violation]:
    if consents.disagrees(customer, seen.statement, seen.granted):
        told, instead = ("yes", "no") if seen.granted else ("no", "yes")
        yield Violation("consent", f"{who} takes {seen.statement or 'nothing stated'} for a {told}: it was a {instead}")


def _seen(who: str, seen: State, contacts: list[Contact], at: int, limits: Sequence[Limit]) -> Iterator[Violation]:
    places = {(each.decision, each.action): place for place, each in enumerate(contacts)}
    mine = [places.get(contact, -1) for contact in seen.contacts]
    if -1 in mine:
        yield Violation("contacts", f"{who} knows of {_first(seen.contacts, mine)}, which is not in the log before it")
    elif mine != sorted(set(mine)):
        yield Violation("contacts", f"{who} knows the contacts in another order than they were granted")
    missing = needed(contacts, seen.responses, at, limits) - set(mine)
    if missing:
        first = contacts[min(missing)]
        text = f"{first.action} of {first.decision}"
        yield Violation("contacts", f"{who} misses {len(missing)} contacts, first the {text}")


def _first(contacts: Sequence[Granted], places: list[int]) -> str:
    decision, action = contacts[places.index(-1)]
    return f"the {action} of {decision}"
