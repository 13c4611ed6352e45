"""Waiting: a batch of events whose commits were sent without a task, until the last reply is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from features.applying import DUPLICATE, Result
from features.cache import Snapshot
from features.commit import Commit, Outcome
from features.connection import Connection
from features.deadline import Deadline
from features.errors import NoScript, StoreError, StoreTimeout, Uncertain
from features.event_groups import Group

if TYPE_CHECKING:
    from features.intake import Intake

Answered = Callable[[list[Result] | Exception], None]


class Waiting:
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
            if commit is None:
                continue
            settled = self._settled(group, snapshot, commit)
            try:
                store.ledger.commit_at_once(commit, connection, settled)
            except StoreError as error:  # the connection went while others of the batch were on their way
                settled(error)

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
