"""Writes of a customer: a body that doesn't fit is refused as a whole, but for what it says no to.

An opt-out that was sent must not be lost for what stands beside it: its sender may be a system that nobody looks at. So
the noes that can be read of such a body are stored, and only then it is refused.
"""

from collections.abc import Callable, Collection

from api.customer_bodies import noes
from api.customer_changes import Arrival, with_statements
from api.problems import Problem
from catalog.plan import Plan
from features.customer import Customer
from features.store import Change


class Write:
    """What a body does to a customer. `refused` is what to answer once it has been done, if the body doesn't fit.

    `whole` makes the change of a body that fits a customer who has said something of those purposes; it raises Problem.
    """

    def __init__(self, plan: Plan, sent: bytes, arrival: Arrival, whole: Callable[[Collection[str]], Change]) -> None:
        """Raises Problem if the body doesn't fit, and nothing of it is to be stored."""
        self.refused: Problem | None = None
        self._plan, self._arrival, self._whole = plan, arrival, whole
        self._noes = noes(sent)
        try:
            whole(self._noes)
        except Problem as problem:
            if not self._noes or problem.status != 422:
                raise

    def change(self, customer: Customer, now: int) -> Customer:
        """May be tried more than once. Raises Problem if nothing of the body is to be stored."""
        self.refused = None
        try:
            return self._whole(customer.consents)(customer, now)
        except Problem as problem:
            kept = [each for each in self._noes if each in self._plan.purposes or each in customer.consents]
            if not kept:
                raise
            problem.stored = {"consents": kept}
            self.refused = problem
        return with_statements(customer, dict.fromkeys(kept, False), now, self._arrival)
