"""The view: what one plan sees in a customer, worked out once and carried on while it stays true.

Aggregates over a window change as time passes, though nothing happens. So a view knows until when its attributes are
true, and works them out again after that.
"""

from dataclasses import dataclass, field
from operator import is_
from typing import Any

from catalog.plan import Plan
from decision.carrying import Changes, changes, counted_since, responded_since
from decision.counted import Counted, Holds, counted_of
from decision.pauses import Responded, responded
from features.aggregates import values_at
from features.customer import Customer, moment
from rules.history import Contacted, History
from rules.index import Index
from rules.types import fitted

_NONE: frozenset[str] = frozenset()


@dataclass(slots=True)
class View:
    """A customer as one plan sees them: the attributes that fit the declared types, the contacts each policy counts and
    those that keep a place, what came of those that a policy with a pause counts, and what rules may ask about all.

    `stored` are the attributes without aggregates, `unfit` the names of those of another type than is declared by now.
    `attributes` are true from `since` until `until` (exclusive, microseconds); `at` brings them up to date.
    `held` remembers, by index, the rows that the attributes alone leave: as long as they stay, so does that.
    """

    plan: Plan
    customer: Customer
    stored: dict[str, Any]
    counted: tuple[Counted, ...]
    holds: Holds
    responded: Responded
    history: History
    unfit: frozenset[str] = _NONE
    attributes: dict[str, Any] = field(default_factory=dict, compare=False)
    since: int = field(default=0, compare=False)
    until: int = field(default=0, compare=False)
    held: dict[Index, int] = field(default_factory=dict, compare=False)

    def at(self, now: int) -> "View":
        """Itself, with the attributes of `now`."""
        if not self.since <= now < self.until:
            values, self.until = values_at(self.plan.aggregates, self.customer.series, now)
            attributes = {**self.stored, **values} if values else self.stored
            if self.since == 0 or attributes != self.attributes:
                self.attributes, self.held = attributes, {}
            self.since = now
        return self

    def rows(self, index: Index) -> int:
        """See Index.of_customer."""
        known = self.held.get(index)
        if known is None:
            known = self.held[index] = index.of_customer(self.attributes)
        return known


def view_of(plan: Plan, customer: Customer, before: View | None = None) -> View:
    """A stored attribute that no longer fits its declared type is treated as missing; ask for the view `at` a time.

    `before` may be the view, under the same plan, of the customer that `customer` came from: what has not changed
    since is taken from it.
    """
    if before is None:
        stored, unfit = _fitting(plan, customer)
        return View(plan, customer, stored, *_of_contacts(plan, customer, None), unfit)
    same = before.customer.attributes is customer.attributes
    stored, unfit = (before.stored, before.unfit) if same else _fitting(plan, customer)
    view = View(plan, customer, stored, *_of_contacts(plan, customer, before), unfit)
    if same and before.customer.series is customer.series:
        view.attributes, view.since, view.until, view.held = before.attributes, before.since, before.until, before.held
    return view


def _fitting(plan: Plan, customer: Customer) -> tuple[dict[str, Any], frozenset[str]]:
    """The stored attributes that are declared, and the names of those of another type."""
    kinds, known = plan.customer_types, customer.attributes
    found = {name: fitted(kinds[name], value) for name, value in known.items() if name in kinds}
    if len(found) == len(known) and all(map(is_, found.values(), known.values())):
        return known, _NONE  # there are many customers
    unfit = frozenset(name for name, value in found.items() if value is None)
    return {name: value for name, value in found.items() if value is not None}, unfit or _NONE


def _history(plan: Plan, customer: Customer) -> History:
    if not plan.asking:
        return {}
    last: dict[str, int] = {}
    responses: dict[str, set[str]] = {}
    for contact in customer.log:
        action = customer.labels[contact.labels].action
        last[action] = max(last.get(action, contact.at), contact.at)
        responses.setdefault(action, set()).update(response.kind for response in contact.responses)
    return {action: Contacted(moment(at), frozenset(responses[action])) for action, at in last.items()}


def _history_since(plan: Plan, customer: Customer, history: History, since: Changes) -> History:
    if not plan.asking or not since.come:
        return history
    found = {**history}
    for contact in since.come:
        action = customer.labels[contact.labels].action
        at, kinds = moment(contact.at), frozenset(response.kind for response in contact.responses)
        known = found.get(action, Contacted(at, kinds))
        found[action] = Contacted(max(known.last, at), known.responses | kinds)
    return found


_OfContacts = tuple[tuple[Counted, ...], Holds, Responded, History]


def _of_contacts(plan: Plan, customer: Customer, before: View | None) -> _OfContacts:
    labels, log = customer.labels, customer.log
    if before is not None:
        if log is before.customer.log and labels is before.customer.labels:
            return before.counted, before.holds, before.responded, before.history
        since = changes(before.customer, customer)
        if since is not None:
            counted, holds = counted_since(plan, before.counted, before.holds, labels, since)
            came_of = responded_since(plan, before.responded, labels, since)
            anew = since.gone and plan.asking  # what was the last contact, or had some response, may have gone
            known = _history(plan, customer) if anew else _history_since(plan, customer, before.history, since)
            return counted, holds, came_of, known
    return *counted_of(plan, labels, log), responded(plan, labels, log), _history(plan, customer)
