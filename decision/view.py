"""The view: what one plan sees in a customer, worked out once and carried on while it stays true."""

from dataclasses import dataclass, field
from typing import Any

from catalog.plan import Plan
from decision.policy import Counted, counted_more, counted_times
from features.customer import Customer
from rules.index import Index
from rules.types import fits


@dataclass(slots=True)
class View:
    """A customer as one plan sees them: the attributes that fit the declared types, the contacts each policy counts.

    `held` remembers, by index, the rows that the attributes alone leave: as long as they stay, so does that.
    """

    customer: Customer
    attributes: dict[str, Any]
    counted: tuple[Counted, ...]
    held: dict[Index, int] = field(default_factory=dict, compare=False)

    def rows(self, index: Index) -> int:
        """See Index.of_customer."""
        known = self.held.get(index)
        if known is None:
            known = self.held[index] = index.of_customer(self.attributes)
        return known


def view_of(plan: Plan, customer: Customer, before: View | None = None) -> View:
    """A stored attribute that no longer fits its declared type is treated as missing.

    `before` may be the view, under the same plan, of the customer that `customer` came from by adding contacts: what
    has not changed since is taken from it.
    """
    if before is not None and before.customer.attributes is customer.attributes:
        known, labels = before.customer.log, before.customer.labels
        if customer.log[: len(known)] == known and customer.labels[: len(labels)] == labels:
            counted = counted_more(plan, before.counted, customer.labels, customer.log[len(known) :])
            return View(customer, before.attributes, counted, before.held)
    kinds = plan.customer_types
    attributes = {
        name: value for name, value in customer.attributes.items() if name in kinds and fits(kinds[name], value)
    }
    return View(customer, attributes, counted_times(plan, customer.labels, customer.log))
