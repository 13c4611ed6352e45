"""Budgets, as a decision sees them. Pure.

A worker can't know what is left of a budget without asking, and need not: its commit will find out. So a budget is
taken to have something left, unless it is known how little that is: `left`, by budget, which is among the inputs of
the decision and in its record.
"""

from collections.abc import Iterable, Mapping

from catalog.limits import BudgetPlan
from catalog.plan import Treatment

Left = Mapping[str, int]
ENOUGH: Left = {}


class Purse:
    """What budgets still allow while one answer is put together: its picks count against each other."""

    def __init__(self, budgets: Iterable[BudgetPlan], left: Left) -> None:
        self._budgets = [budget for budget in budgets if budget.name in left]
        self._left = [(budget.blocks, left[budget.name]) for budget in self._budgets]

    def blocked(self) -> int:
        """The treatments that some budget has nothing left for, as bits."""
        mask = 0
        for blocks, left in self._left:
            if left <= 0:
                mask |= blocks
        return mask

    def spent(self) -> list[BudgetPlan]:
        """The budgets that have nothing left."""
        return [budget for budget, (_, left) in zip(self._budgets, self._left, strict=True) if left <= 0]

    def take(self, treatment: Treatment) -> None:
        """`treatment` has been picked."""
        self._left = [(blocks, left - (blocks >> treatment.bit & 1)) for blocks, left in self._left]

    def copy(self) -> "Purse":
        other = Purse((), ENOUGH)
        other._budgets, other._left = self._budgets, self._left
        return other


def taken(budgets: Iterable[BudgetPlan], treatments: Iterable[Treatment]) -> list[tuple[BudgetPlan, int]]:
    """How much an answer with these treatments takes of each budget; none of which it takes nothing."""
    bits = [treatment.bit for treatment in treatments]
    counted = ((budget, sum(budget.blocks >> bit & 1 for bit in bits)) for budget in budgets)
    return [(budget, count) for budget, count in counted if count]
