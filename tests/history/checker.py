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
    erased        after an erasure nothing is left in the log, and nothing decided, of what was there before it
    merged        from a merge on that was acknowledged, both ids are one customer, decided for on what either had
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
from tests.history.erasures import REFUSED, Erasures
from tests.history.limits import BUDGET, BUDGETED, INBOUND, KEPT_ANYWAY, Limit
from tests.history.log import Decision, Granted, Log, State
from tests.history.merges import Merges
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
    erasures = Erasures(operations)
    found = list(erasures.check(log, wall))
    found += denied(operations, log, wall)
    operations = erasures.kept(operations)
    known = _Known(operations, log, limits, excuse)
    found += [Violation("refused", f"{each.kind} {each.key}: {each.told}") for each in _refused(operations)]
    found += _recorded(log)
    found += answered(operations, log, excuse)
    found += _events(operations, log, excuse)
    found += _budgeted(log)
    mine: dict[str, list[Contact]] = defaultdict(list)
    for decision in log.decisions:
        own, seen, who = mine[decision.customer], decision.seen, f"decision {decision.id}"
        found += _dated(decision, own)
        found += _consented(decision)
        found += known.check(decision.customer, seen, own, decision.at, decision.stored - wall, who)
        contacts = known.merges.contacts(own, seen) + contacts_of(decision)
        found += limited(decision, contacts, limits)
        own += contacts_of(decision)
    for customer, last in log.states.items():
        if last.into:
            found += known.merges.check(customer, last, THE_END, f"the state of {customer}")
        else:
            found += known.check(customer, last, mine[customer], THE_END, THE_END, f"the state of {customer}")
    return found


class _Known:
    """What who decides has to know, and may know."""

    def __init__(self, operations: Sequence[Operation], log: Log, limits: Sequence[Limit], excuse: Excuse) -> None:
        self.merges = Merges(operations, log, excuse)
        self._limits = limits
        self._consents = Statements(operations, Kind.CONSENT, excuse)
        self._attributes = Statements(operations, Kind.ATTRIBUTE, excuse)
        self._responses = Responses(operations, log, excuse)

    def check(
        self, customer: str, seen: State, own: Sequence[Contact], at: int, written: int, who: str
    ) -> Iterator[Violation]:
        """`seen` is the state of `customer`, to whom their `own` contacts were granted before, that somebody had who
        decided at `at`, by the log's time, and wrote at `written`, by that of the histories.
        """
        ids = (customer, *seen.merged)
        yield from self.merges.check(customer, seen, written, who)
        yield from _as_stated(self._consents, seen, who)
        yield from _seen(who, seen, self.merges.contacts(own, seen), at, self._limits)
        if seen.statement != REFUSED:
            yield from self._consents.check(ids, seen.statement, written, who)
        yield from self._attributes.check(ids, seen.attribute, written, who)
        yield from self._responses.check(seen, at, written, who)


def _refused(operations: Iterable[Operation]) -> Iterator[Operation]:
    return (each for each in operations if each.outcome is Outcome.FAIL)


def _recorded(log: Log) -> Iterator[Violation]:
    for what, ids in (
        ("decision", Counter(decision.id for decision in log.decisions)),
        ("request", Counter(decision.request for decision in log.decisions)),
        ("event", Counter(event for _, event in log.events)),
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
    stored = {event: customer for customer, event in log.events}
    for each in operations:
        acknowledged = each.kind is Kind.EVENT and each.outcome is Outcome.OK and not excuse.covers(each)
        if acknowledged and each.key not in stored:
            yield Violation("acknowledged", f"event {each.key} was acknowledged and is not in the log")
    for customer, visits in log.visits.items():
        ids = {customer, *log.states[customer].merged} if customer in log.states else {customer}
        sent = sum(1 for event, whose in stored.items() if whose in ids and event.startswith(VISIT))
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


def _as_stated(consents: Statements, seen: State, who: str) -> Iterator[Violation]:
    if consents.disagrees(seen.statement, seen.granted):
        told, instead = ("yes", "no") if seen.granted else ("no", "yes")
        yield Violation("consent", f"{who} takes {seen.statement or 'nothing stated'} for a {told}: it was a {instead}")


def _seen(who: str, seen: State, contacts: list[Contact], at: int, limits: Sequence[Limit]) -> Iterator[Violation]:
    places = {(each.decision, each.action): place for place, each in enumerate(contacts)}
    mine = [places.get(contact, -1) for contact in seen.contacts]
    if -1 in mine:
        yield Violation("contacts", f"{who} knows of {_first(seen.contacts, mine)}, which is not in the log before it")
    elif len(set(mine)) < len(mine) or (not seen.merged and mine != sorted(mine)):
        yield Violation("contacts", f"{who} knows a contact twice, or in another order than they were granted")
    anyway = 0 if seen.merged else KEPT_ANYWAY  # of two profiles' last it depends on clocks which are the last
    missing = needed(contacts, seen.responses, at, limits, anyway) - set(mine)
    if missing:
        first = contacts[min(missing)]
        text = f"{first.action} of {first.decision}"
        yield Violation("contacts", f"{who} misses {len(missing)} contacts, first the {text}")


def _first(contacts: Sequence[Granted], places: list[int]) -> str:
    decision, action = contacts[places.index(-1)]
    return f"the {action} of {decision}"
