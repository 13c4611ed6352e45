"""Intake: events become features, responses and a log, together, before anybody is told that they are stored.

The way of a decision, once more: what a customer's events come to is worked out on the cached state, and one commit
writes new state, log and the events' ids if the customer still stands as thought. The script looks for the ids first;
where one is known, the others are worked out again without it. So an event counts once however often it is sent, and
the next decision of any worker sees it, as that decision's own commit would fail on anything older.

The events of a batch that belong to one customer are one commit: all of them or none. Where one of them takes a consent
back they have the customer's next turn, ahead of all decisions in line: none of these may be made on the old consent,
and what has no time to wait must not be refused for their sake.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from catalog.plan import Plan
from features.applying import DUPLICATE, Result, Sent
from features.attempts import give_way
from features.cache import Snapshot
from features.deadline import Deadline
from features.errors import OutOfTime, StoreError
from features.event_groups import Group, groups_of
from features.event_waiting import Answered, Waiting
from features.identity import remember, root_of
from features.overdue import Overdue
from features.store import CustomerStore
from features.turns import Turns


class Intake:
    """Takes events for one worker. `turns` are those of its decisions; `plan` gives the plan in force."""

    def __init__(self, store: CustomerStore, turns: Turns, plan: Callable[[], Plan]) -> None:
        self.store = store
        self.turns = turns
        self.overdue = Overdue()
        self._plan = plan
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, sent: Sequence[Sent], seconds: float) -> list[Result]:
        """One result for each. Raises StoreError: then send all of them again, those that were stored are known."""
        deadline = Deadline(seconds)
        results: list[Result] = [DUPLICATE] * len(sent)
        groups = groups_of(self._plan, sent)
        done = await asyncio.gather(*(self.take_group(group, deadline) for group in groups), return_exceptions=True)
        for error in done:
            if error is not None:
                raise error
        for group in groups:
            group.tell(results)
        return results

    def at_once(self, sent: Sequence[Sent], seconds: float, answered: Answered) -> bool:
        """The common case without a task: works all out now, and calls `answered` when the commits' replies are there.

        False, and nothing has happened, where that isn't the case: then `take` is the way.
        """
        connection = self.store.ledger.link.ready
        if connection is None:
            return False
        waiting = Waiting(self, Deadline(seconds), len(sent), answered)
        for group in groups_of(self._plan, sent):
            snapshot = self.store.at_hand(group.customer_id)
            if (
                snapshot is None
                or snapshot.customer.merged_into
                or (group.refuses and snapshot.customer.anonymous)  # what was kept when they were erased comes first
                or not waiting.add(group, snapshot)
            ):
                waiting.give_back()
                return False
        try:
            waiting.send(connection)
        except StoreError:  # nothing was sent
            waiting.give_back()
            return False
        except BaseException:
            waiting.give_back()
            raise
        return True

    async def take_group(self, group: Group, deadline: Deadline) -> None:
        """Stores the events of one customer, in their turn. Raises StoreError."""
        root, snapshot = await root_of(self.store, group.customer_id, deadline)
        while True:
            if not await self.turns.take(root, deadline, ahead=group.refuses):
                raise OutOfTime("others are writing to this customer")
            try:
                group.customer_id = root
                if await self.settle(group, snapshot, deadline):
                    return
            finally:
                self.turns.give(root)
            root, snapshot = await root_of(self.store, root, deadline)  # merged into another meanwhile

    async def settle(self, group: Group, snapshot: Snapshot, deadline: Deadline) -> bool:
        """Commits until it counts; False where the customer turns out to have been merged into another.

        Raises StoreError.
        """
        while True:
            if snapshot.customer.merged_into:
                return False
            if group.refuses and await remember(self.store, group.customer_id, snapshot, deadline):
                snapshot = await self.store.snapshot(group.customer_id, deadline)
                continue
            commit = group.commit(self.store, snapshot)
            if commit is None:
                return True
            outcome, known = await self.store.commit(commit, group.customer, deadline)
            snapshot = known or snapshot
            if group.learn(outcome):
                return True
            await give_way(outcome, deadline)

    async def finish(self, group: Group, snapshot: Snapshot, deadline: Deadline) -> None:
        """What `at_once` began and one commit could not settle; the turn is given back. Raises StoreError."""
        try:
            if await self.settle(group, snapshot, deadline):
                return
        finally:
            self.turns.give(group.customer_id)
        await self.take_group(group, deadline)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
