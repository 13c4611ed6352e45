"""Recording: what became of a message is an event of the customer it was for, unless they were erased since.

Whoever is erased while their message is on its way to an adapter must not come up in the log of events again. So
that is asked of each state that the event would be committed on: where they are erased before the commit, it fails, and
is made again on what there is then.
"""

from __future__ import annotations

from collections.abc import Callable

from catalog.plan import Plan
from features.applying import Result, Sent
from features.cache import Snapshot
from features.commit import Commit
from features.customer import Customer
from features.deadline import Deadline
from features.event_groups import Group
from features.intake import Intake
from features.store import CustomerStore


async def record(intake: Intake, plan: Callable[[], Plan], event: Sent, decided: int, deadline: Deadline) -> str:
    """Why it could not be stored, "" where it was, or must not be. `decided` is in microseconds. Raises StoreError."""
    group = _Unerased(plan, event.customer_id, decided)
    group.add(event, 0)
    await intake.take_group(group, deadline)
    results = [Result("stored")]
    group.tell(results)
    return results[0].detail


class _Unerased(Group):
    """Events about a decision, of a customer who was not erased after it."""

    __slots__ = ("_decided",)

    def __init__(self, plan: Callable[[], Plan], customer_id: str, decided: int) -> None:
        super().__init__(plan, customer_id)
        self._decided = decided

    def commit(self, store: CustomerStore, snapshot: Snapshot) -> Commit | None:
        return None if _erased_since(snapshot.customer, self._decided) else super().commit(store, snapshot)


def _erased_since(customer: Customer, decided: int) -> bool:
    return not customer.known or customer.erased >= decided
