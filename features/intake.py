"""Intake: events become features, responses and a log, together, before anybody is told that they are stored.

The way of a decision, once more: what a customer's events come to is worked out on the cached state, and one commit
writes new state, log and the events' ids if the customer still stands as thought. The script looks for the ids first;
where one is known, the others are worked out again without it. So an event counts once however often it is sent, and
the next decision of any worker sees it, as that decision's own commit would fail on anything older.

The events of a batch that belong to one customer are one commit: all of them or none.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from catalog.plan import Plan
from features.applying import DUPLICATE, Applied, Result, Sent, apply_events
from features.attempts import TRIES_BEFORE_TICKET
from features.cache import Snapshot
from features.commit import Commit, Committed, Known, Moved, Outcome
from features.connection import Connection
from features.customer import EMPTY, Customer, encode
from features.deadline import Deadline
from features.errors import NoScript, OutOfTime, StoreError, StoreTimeout, Uncertain
from features.events import digest, pack_events
from features.identity import root_of
from features.overdue import Overdue
from features.store import CustomerStore
from features.turns import Turns

__all__ = ["Answered", "Intake", "Result", "Sent"]

Answered = Callable[[list[Result] | Exception], None]


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
        groups = _groups(self._plan(), sent)
        done = await asyncio.gather(*(self._take(group, deadline) for group in groups), return_exceptions=True)
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
        waiting = _Waiting(self, Deadline(seconds), len(sent), answered)
        for group in _groups(self._plan(), sent):
            snapshot = self.store.at_hand(group.customer_id)
            if snapshot is None or snapshot.customer.merged_into or not waiting.add(group, snapshot):
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

    async def _take(self, group: "Group", deadline: Deadline) -> None:
        """Raises StoreError."""
        root, snapshot = await root_of(self.store, group.customer_id, deadline)
        while True:
            if not await self.turns.take(root, deadline):
                raise OutOfTime("others are writing to this customer")
            try:
                group.customer_id = root
                if await self.settle(group, snapshot, deadline):
                    return
            finally:
                self.turns.give(root)
            root, snapshot = await root_of(self.store, root, deadline)  # merged into another meanwhile

    async def settle(self, group: "Group", snapshot: Snapshot, deadline: Deadline) -> bool:
        """Commits until it counts; False where the customer turns out to have been merged into another.

        Raises StoreError.
        """
        while True:
            if snapshot.customer.merged_into:
                return False
            commit = group.commit(self.store, snapshot)
            if commit is None:
                return True
            outcome, known = await self.store.commit(commit, group.customer, deadline)
            snapshot = known or snapshot
            if group.learn(outcome):
                return True
            if isinstance(outcome, Moved) and outcome.held_ms:
                await deadline.pause(min(outcome.held_ms, 2) / 1000)

    async def finish(self, group: "Group", snapshot: Snapshot, deadline: Deadline) -> None:
        """What `at_once` began and one commit could not settle; the turn is given back. Raises StoreError."""
        try:
            if await self.settle(group, snapshot, deadline):
                return
        finally:
            self.turns.give(group.customer_id)
        await self._take(group, deadline)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Group:
    """The events of one customer in a batch, on their way to be stored."""

    __slots__ = ("_left", "_plan", "_results", "_ticket", "_tries", "_trying", "customer", "customer_id")

    def __init__(self, plan: Plan, customer_id: str) -> None:
        self.customer_id = customer_id
        self.customer: Customer = EMPTY
        self._plan = plan
        self._left: dict[
            str, list[tuple[int, Sent]]
        ] = {}  # by id; the first that is not refused is the one that counts
        self._results: dict[int, Result] = {}
        self._trying: list[str] = []
        self._ticket: bytes | None = None
        self._tries = 0

    def add(self, sent: Sent, place: int) -> None:
        same = self._left.get(sent.id)
        if same is None:
            self._left[sent.id] = [(place, sent)]
        else:
            same.append((place, sent))

    def commit(self, store: CustomerStore, snapshot: Snapshot) -> Commit | None:
        """What is to be written on `snapshot`; None where nothing is left to be. Raises ClockError."""
        if not self._left:
            return None
        now = store.now_for(snapshot)
        applied = self._applied(snapshot.customer, now)
        self._trying = [event.id for event in applied.events]
        if not self._trying:
            return None
        self.customer = applied.customer
        return Commit(
            self.customer_id,
            snapshot.version,
            now,
            None if applied.customer is snapshot.customer else encode(applied.customer),
            ttl_ms=store.lifetime_ms(applied.customer),
            ids=[digest(event_id) for event_id in self._trying],
            events=pack_events(applied.events),
            ticket=self._ticket,
        )

    def _applied(self, customer: Customer, now: int) -> Applied:
        while True:
            first = [same[0] for same in self._left.values()]
            applied = apply_events(self._plan, customer, [sent for _, sent in first], now)
            self._results.update(zip((place for place, _ in first), applied.results, strict=True))
            refused = [same for same in self._left.values() if len(same) > 1 and self._is_refused(same[0][0])]
            if not refused:
                return applied
            for same in refused:
                del same[0]

    def _is_refused(self, place: int) -> bool:
        return self._results[place].status == "refused"

    def learn(self, outcome: Outcome) -> bool:
        """Whether that was all."""
        if isinstance(outcome, Committed):
            return True
        if isinstance(outcome, Known):
            for place in set(outcome.places):
                ((first, _), *_) = self._left.pop(self._trying[place])
                self._results[first] = DUPLICATE
            return not self._left
        self._tries += 1
        if self._tries >= TRIES_BEFORE_TICKET:
            self._ticket = self._ticket or os.urandom(8)
        return False

    def tell(self, results: list[Result]) -> None:
        """Puts the results where the batch has them; those it has none for are duplicates of another."""
        for place, result in self._results.items():
            results[place] = result


def _groups(plan: Plan, sent: Sequence[Sent]) -> list[Group]:
    groups: dict[str, Group] = {}
    for place, each in enumerate(sent):
        group = groups.get(each.customer_id)
        if group is None:
            group = groups[each.customer_id] = Group(plan, each.customer_id)
        group.add(each, place)
    return list(groups.values())


class _Waiting:
    """A batch that `at_once` began, until all replies are there or its time is up: whichever comes first answers."""

    __slots__ = ("_answered", "_deadline", "_error", "_groups", "_intake", "_left", "_size", "_unsettled")

    def __init__(self, intake: Intake, deadline: Deadline, size: int, answered: Answered) -> None:
        self._intake = intake
        self._deadline = deadline
        self._size = size
        self._answered = answered
        self._groups: list[tuple[Group, Snapshot]] = []
        self._unsettled: set[str] = set()
        self._left: list[tuple[Group, Snapshot]] = []
        self._error: StoreError | None = None

    def add(self, group: Group, snapshot: Snapshot) -> bool:
        """False where somebody else has the customer's turn."""
        if not self._intake.turns.take_free(group.customer_id):
            return False
        self._unsettled.add(group.customer_id)
        self._groups.append((group, snapshot))
        return True

    def give_back(self) -> None:
        for customer_id in self._unsettled:
            self._intake.turns.give(customer_id)
        self._unsettled.clear()

    def send(self, connection: Connection) -> None:
        """Raises StoreError, and nothing was sent."""
        store = self._intake.store
        commits = [(group, snapshot, group.commit(store, snapshot)) for group, snapshot in self._groups]
        for group, _, commit in commits:
            if commit is None:
                self._give(group.customer_id)
        if not self._unsettled:
            self._answer()
            return
        self._intake.overdue.watch(self.too_late, self._deadline.end, connection.loop)
        for group, snapshot, commit in commits:
            if commit is not None:
                store.ledger.commit_at_once(commit, connection, self._settled(group, snapshot, commit))

    def _settled(self, group: Group, snapshot: Snapshot, commit: Commit) -> Callable[[Outcome | StoreError], None]:
        def settled(outcome: Outcome | StoreError) -> None:
            if group.customer_id not in self._unsettled:
                return  # too late: this reply is nobody's any more
            store, latest = self._intake.store, snapshot
            try:
                if isinstance(outcome, NoScript):
                    done = False
                elif isinstance(outcome, StoreError):
                    raise outcome
                else:
                    latest = store.learn(commit, group.customer, outcome) or snapshot
                    done = group.learn(outcome)
            except StoreError as error:
                if isinstance(error, Uncertain):
                    store.cache.forget(group.customer_id)
                self._error, done = error, True
            if done:
                self._give(group.customer_id)
            else:
                self._unsettled.discard(group.customer_id)  # the turn stays taken
                self._left.append((group, latest))
            if not self._unsettled and self._intake.overdue.settled(self.too_late):
                self._all_settled()

        return settled

    def _give(self, customer_id: str) -> None:
        self._unsettled.discard(customer_id)
        self._intake.turns.give(customer_id)

    def _all_settled(self) -> None:
        if self._left:
            self._intake.spawn(self._finish())
        else:
            self._answer()

    async def _finish(self) -> None:
        left = (self._intake.finish(group, snapshot, self._deadline) for group, snapshot in self._left)
        for error in await asyncio.gather(*left, return_exceptions=True):
            if isinstance(error, StoreError):
                self._error = error
            elif error is not None:
                self._answered(error if isinstance(error, Exception) else RuntimeError(repr(error)))
                return
        self._answer()

    def _answer(self) -> None:
        if self._error is not None:
            self._answered(self._error)
            return
        results: list[Result] = [DUPLICATE] * self._size
        for group, _ in self._groups:
            group.tell(results)
        self._answered(results)

    def too_late(self) -> None:
        for customer_id in self._unsettled:
            self._intake.store.cache.forget(customer_id)
        self.give_back()
        for group, _ in self._left:
            self._intake.turns.give(group.customer_id)
        self._answered(StoreTimeout("no reply in time"))
