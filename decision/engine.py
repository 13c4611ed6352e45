"""The engine: decide on the cached state, commit if it still stands, else decide again on the state the reply brought.

In the common case one round trip. Whatever goes wrong (the store is away, slow or full, the clock is off, the time is
up), the caller gets the declared fallback or nothing, in time, and that answer contacts nobody. A commit whose
reply never came may have been applied: it is never sent again, but looked for by its decision id; see decision.doubt.

There are two ways in. `next_action` is a coroutine and does everything. `at_once` does the common case without one: it
decides where it is called and answers from the callback of the reply, as a task, its futures and the turns of the event
loop between them would cost about as much as the decision. What one commit can't settle it hands to the coroutine.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

import msgspec

from catalog.plan import Plan
from decision.answer import answer_body
from decision.budgets import ENOUGH, Left
from decision.decide import InForce, Score, decide
from decision.deciding import Answer, Deciding, RequestIdentity, answer_of, repeated, request_identity, seed_of, view
from decision.doubt import in_doubt, was_committed, why_of
from decision.reasons import Degradation
from decision.request import MOST_PER_ANSWER, Ask, NextActionRequest, RequestError, resolve
from decision.time_budget import FOR_COMMIT, Fits, Usual, what_fits
from features.answered import answered_before, answered_before_erasure, erased_lately
from features.attempts import give_way
from features.cache import Snapshot
from features.commit import Commit, Committed, Outcome, Repeated, Short
from features.deadline import Deadline
from features.entropy import random_bytes
from features.errors import ConnectionLost, MergedAway, NoScript, OutOfTime, StoreError, StoreTimeout, Uncertain
from features.high_water import HighWater
from features.identity import root_of
from features.intake import Intake
from features.merging import is_merged, merged_ids
from features.overdue import Overdue
from features.store import CustomerStore
from features.turns import Turns
from models.scoring import Models, Scored
from rules.programs import Frame

MOST_IN_LINE = 1_000
_LONG = 60.0

Answered = Callable[[Answer | Exception], None]
"""Told the answer, or what went wrong: a RequestError, or an error that nobody foresaw."""


class Engine:
    """Decides for one worker. What it decides by may be replaced at any time; a decision uses what it began with.

    `most_in_line` requests may wait for one customer at a time. Without `models` they are loaded: raises ModelError.
    """

    def __init__(
        self,
        store: CustomerStore,
        plan: Plan,
        random: Callable[[int], bytes] = random_bytes,
        models: Models | None = None,
        most_in_line: int = MOST_IN_LINE,
    ) -> None:
        self.store = store
        self.high_water = HighWater()
        self._most_in_line = most_in_line
        self.serve(plan, models)
        self._random = random
        self.turns = Turns()
        self._overdue = Overdue()
        self.intake = Intake(store, self.turns, lambda: self.plan)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def plan(self) -> Plan:
        return self._in_force.plan

    @property
    def usual(self) -> Usual:
        """How long asking the models that are in force usually takes."""
        return self._in_force.usual

    def serve(self, plan: Plan, models: Models | None = None) -> None:
        """Decides by `plan` and its models from now on. Raises ModelError, and nothing has changed."""
        usual = Usual()
        self._in_force = InForce(plan, _scoring(plan, models or Models(plan), usual), usual)
        self.store.lives_ms(plan.lifetime_ms)
        self.store.counts(plan.aggregates)

    async def replace(self, plan: Plan, models: Models) -> None:
        """Like `serve`; returns when the last decision by what was in force before has ended.

        A decision takes its plan and its customer's turn in one go, so it has ended when the turn is given back.
        """
        self.serve(plan, models)
        await self.turns.all_passed(lambda: Deadline(_LONG))

    def at_once(self, request: NextActionRequest, caller: str, seconds: float, answered: Answered) -> bool:
        """The common case without a task: decides now, and calls `answered` when the commit's reply is there.

        False, and nothing has happened, where that isn't the case: the customer is not at hand, or was merged into
        another, or has a request under way, or Redis is not connected. Then `next_action` is the way. Raises
        RequestError like it.
        """
        store = self.store
        connection, snapshot = store.ledger.link.ready, store.at_hand(request.customer_id)
        if connection is None or snapshot is None or request.dry_run or self.high_water.reached:
            return False
        if snapshot.customer.identity is not None and snapshot.customer.identity.into:
            return False
        if snapshot.customer.erased and request.request_id is not msgspec.UNSET:
            return False  # it may have been answered before that
        by = self._in_force
        try:
            ask = resolve(request, by.plan)
        except RequestError:
            if request.request_id is msgspec.UNSET:
                raise
            return False  # it may have been answered before
        if not self.turns.take_free(ask.customer_id):
            return False
        try:
            identity = request_identity(request, caller)
            deciding = Deciding(self.store, self._random, by, ask, request, identity, Deadline(seconds), snapshot)
            commit = deciding.commit()
            if deciding.deadline.left() < FOR_COMMIT:
                raise OutOfTime("no time is left to commit in")
            waiting = _Waiting(self, deciding, commit, answered)
            store.ledger.commit_at_once(commit, connection, waiting.settled)
        except StoreError:  # nothing was sent
            self.turns.give(ask.customer_id)
            return False
        except BaseException:
            self.turns.give(ask.customer_id)
            raise
        self._overdue.watch(waiting.too_late, deciding.deadline.end, connection.loop)
        return True

    def waits_no_more(self, waiting: "_Waiting") -> bool:
        """Whether `waiting` was answered before; if not, it is about to be."""
        return not self._overdue.settled(waiting.too_late)

    async def next_action(self, request: NextActionRequest, caller: str, seconds: float) -> Answer:
        """Answers within about `seconds`. `caller` tells the request ids of one API key from another's.

        Raises RequestError when the catalog doesn't declare what is asked for, or the request id came with another
        body before.
        """
        return await self._ask(request, request_identity(request, caller), Deadline(seconds))

    async def _ask(self, request: NextActionRequest, identity: RequestIdentity | None, deadline: Deadline) -> Answer:
        """What the request was answered before comes first: by a catalog, perhaps, that declared what this one doesn't.

        Raises RequestError.
        """
        try:
            return await self._answer(request, identity, deadline)
        except RequestError:
            if identity is None or request.dry_run:
                raise
            before = None
            with contextlib.suppress(StoreError):
                _, before = await self._follow(request.customer_id, identity, deadline)
            if before is None:
                raise
            return repeated(before, identity, 0)

    async def _answer(self, request: NextActionRequest, identity: RequestIdentity | None, deadline: Deadline) -> Answer:
        """Decides for whom the customer's id stands: the answer and its record name that one."""
        while True:
            by = self._in_force
            ask = resolve(request, by.plan)
            if self.high_water.reached and not ask.dry_run:
                return await self._unwritten(by.plan, ask, identity, deadline)
            if self.turns.in_line(ask.customer_id) >= self._most_in_line:
                return self.degraded(by.plan, ask, Degradation.CONTENTION)
            if not await self.turns.take(ask.customer_id, deadline):
                return self.degraded(by.plan, ask, Degradation.DEADLINE)
            try:
                if ask.dry_run:
                    return await self._preview(by, ask, deadline)
                snapshot = await self.store.snapshot(ask.customer_id, deadline)
                if not is_merged(snapshot.customer):
                    before = await self._before_erasure(ask.customer_id, snapshot, identity, deadline)
                    deciding = Deciding(self.store, self._random, by, ask, request, identity, deadline, snapshot)
                    return await self._decide(deciding, None) if before is None else repeated(before, identity, 0)
            except MergedAway:
                pass
            except StoreError as error:
                return self.degraded(by.plan, ask, why_of(error))
            finally:
                self.turns.give(ask.customer_id)
            try:
                root, before = await self._follow(ask.customer_id, identity, deadline)
            except StoreError as error:
                return self.degraded(by.plan, ask, why_of(error))
            if before is not None:
                return repeated(before, identity, 0)
            request = msgspec.structs.replace(request, customer_id=root)

    async def _unwritten(self, plan: Plan, ask: Ask, identity: RequestIdentity | None, deadline: Deadline) -> Answer:
        """What is answered while nothing is to be written: what this very request was answered before, or in doubt."""
        before = None
        if identity is not None:
            with contextlib.suppress(StoreError):
                _, before = await self._follow(ask.customer_id, identity, deadline)
        return self.degraded(plan, ask, Degradation.STORE_FULL) if before is None else repeated(before, identity, 0)

    async def _follow(
        self, customer_id: str, identity: RequestIdentity | None, deadline: Deadline
    ) -> tuple[str, Repeated | None]:
        """Whom the id stands for, and what this very request was answered when it still stood for another."""
        root, snapshot = await root_of(self.store, customer_id, deadline, fresh=True)
        if identity is None:
            return root, None
        ids = (customer_id, *merged_ids(snapshot.customer))
        now = self.store.now_for(snapshot)
        before = await answered_before(self.store.ledger, ids, identity, now, deadline)
        return root, before or await self._before_erasure(customer_id, snapshot, identity, deadline)

    async def _before_erasure(
        self, customer_id: str, snapshot: Snapshot, identity: RequestIdentity | None, deadline: Deadline
    ) -> Repeated | None:
        """What this very request was answered by whom the id stood for then, who has been erased."""
        now = self.store.now_for(snapshot)
        if identity is None or not erased_lately(snapshot.customer, now):
            return None
        return await answered_before_erasure(self.store.ledger, customer_id, identity, now, deadline)

    async def go_on(self, deciding: Deciding, commit: Commit, outcome: Outcome | None) -> Answer:
        """What `at_once` began and one commit could not settle; the turn is given back. Raises RequestError."""
        try:
            if outcome is None:
                return await self._decide(deciding, None)
            return await self._decide(deciding, (outcome, self.store.learn(commit, deciding.customer, outcome)))
        except MergedAway:
            pass
        except StoreError as error:
            return self.degraded(deciding.plan, deciding.ask, why_of(error), deciding.lost)
        finally:
            self.turns.give(deciding.ask.customer_id)
        return await self._ask(deciding.request, deciding.identity, deciding.deadline)

    def finish(self, deciding: Deciding, commit: Commit, outcome: Committed) -> Answer:
        """The ordinary end of what `at_once` began; the turn is given back."""
        try:
            return deciding.committed(self.store.learn(commit, deciding.customer, outcome))
        finally:
            self.turns.give(commit.customer_id)

    def give_up(self, deciding: Deciding, error: StoreError) -> Answer:
        """No reply, or none of use, to what `at_once` began; the turn is given back."""
        if isinstance(error, Uncertain):
            self.store.cache.forget(deciding.ask.customer_id)
        self.turns.give(deciding.ask.customer_id)
        return self._undecided(deciding, error)

    async def look_for(self, deciding: Deciding, error: ConnectionLost) -> Answer:
        """What became of the commit that `at_once` sent on a connection which then broke; the turn is given back."""
        self.store.cache.forget(deciding.ask.customer_id)
        try:
            return await self._found_or_in_doubt(deciding, error)
        finally:
            self.turns.give(deciding.ask.customer_id)

    async def _found_or_in_doubt(self, deciding: Deciding, error: Uncertain) -> Answer:
        if isinstance(error, ConnectionLost) and await was_committed(self.store.ledger, deciding):
            return deciding.committed(None)
        return self._undecided(deciding, error)

    def _undecided(self, deciding: Deciding, error: StoreError) -> Answer:
        """`error` is what came of its commit: where it may still count, the answer names it."""
        under_way = deciding.decision_id if isinstance(error, Uncertain) else None
        return self.degraded(deciding.plan, deciding.ask, why_of(error), deciding.lost, under_way)

    async def _preview(self, by: InForce, ask: Ask, deadline: Deadline) -> Answer:
        snapshot = await self.store.snapshot(ask.customer_id, deadline, fresh=True)
        if is_merged(snapshot.customer):
            raise MergedAway("a preview looks at whom the id stands for")
        now, plan = self.store.now_for(snapshot), by.plan
        budgets = await self._left_of_budgets(plan, ask, now, deadline) if plan.budgets else ENOUGH
        score = by.score_in(deadline.left(), monotonic())
        decision = decide(plan, ask, view(plan, snapshot), now, seed_of(self._random), score, budgets)
        return answer_of(answer_body(plan, ask.customer_id, decision, None, decision.degraded), decision)

    async def _left_of_budgets(self, plan: Plan, ask: Ask, now: int, deadline: Deadline) -> Left:
        mine = [budget for budget in plan.budgets if budget.blocks & ask.shape.wanted]
        left = {budget.name: await self.store.budgets.left(budget, now, deadline) for budget in mine}
        return {name: count for name, count in left.items() if count < MOST_PER_ANSWER}

    async def _decide(self, deciding: Deciding, tried: tuple[Outcome, Snapshot | None] | None) -> Answer:
        """Commits until it counts; `tried` is what a first commit came to. Raises MergedAway, StoreError."""
        while True:
            if tried is None:
                if what_fits(deciding.deadline.left(), 0.0, deciding.lost) is Fits.NOTHING:
                    why = Degradation.CONTENTION if deciding.lost else Degradation.DEADLINE
                    return self.degraded(deciding.plan, deciding.ask, why, deciding.lost)
                commit = deciding.commit()
                try:
                    tried = await self.store.commit(commit, deciding.customer, deciding.deadline)
                except Uncertain as error:
                    return await self._found_or_in_doubt(deciding, error)
            outcome, known = tried
            tried = None
            if isinstance(outcome, Committed):
                return deciding.committed(known)
            if isinstance(outcome, Repeated):
                return repeated(outcome, deciding.identity, deciding.lost)
            if isinstance(outcome, Short):
                await deciding.refill(outcome)
                continue
            if known is not None and is_merged(known.customer):
                raise MergedAway("the customer was merged into another meanwhile")
            if known is not None and deciding.erased_since(known.customer):
                raise MergedAway("the customer was erased meanwhile, and may have been another before")
            deciding.moved(known)
            await give_way(outcome, deciding.deadline)

    def spawn(self, answering: Coroutine[Any, Any, Answer], answered: Answered) -> None:
        async def answer_then_tell() -> None:
            answer: Answer | Exception
            try:
                answer = await answering
            except Exception as error:  # noqa: BLE001 - whoever asked is to hear of it
                answer = error
            answered(answer)

        task = asyncio.get_running_loop().create_task(answer_then_tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def degraded(self, plan: Plan, ask: Ask, why: Degradation, lost: int = 0, under_way: str | None = None) -> Answer:
        now = self.store.clock.now() if self.store.clock.known else 0
        return in_doubt(plan, ask, now, why, lost, under_way)


class _Waiting:
    """What `at_once` began, until its reply is there or its time is up: whichever comes first answers."""

    __slots__ = ("_answered", "_commit", "_deciding", "_engine")

    def __init__(self, engine: Engine, deciding: Deciding, commit: Commit, answered: Answered) -> None:
        self._engine = engine
        self._deciding = deciding
        self._commit = commit
        self._answered = answered

    def settled(self, outcome: Outcome | StoreError) -> None:
        if self._engine.waits_no_more(self):
            return  # too late: this reply is nobody's any more
        engine = self._engine
        if isinstance(outcome, Committed):
            answer: Answer | Exception
            try:
                answer = engine.finish(self._deciding, self._commit, outcome)
            except Exception as error:  # noqa: BLE001 - whoever asked is to hear of it
                answer = error
            self._answered(answer)
        elif isinstance(outcome, NoScript):
            engine.spawn(engine.go_on(self._deciding, self._commit, None), self._answered)
        elif isinstance(outcome, ConnectionLost):
            engine.spawn(engine.look_for(self._deciding, outcome), self._answered)
        elif isinstance(outcome, StoreError):
            self._answered(engine.give_up(self._deciding, outcome))
        else:
            engine.spawn(engine.go_on(self._deciding, self._commit, outcome), self._answered)

    def too_late(self) -> None:
        self._answered(self._engine.give_up(self._deciding, StoreTimeout("no reply in time")))


def _scoring(plan: Plan, models: Models, usual: Usual) -> Score:
    """Asks the models, and measures how long that takes."""

    def score(candidates: int, frame: Frame) -> Scored:
        began = monotonic()
        scored = models.score(candidates, frame, plan)
        ended = monotonic()
        usual.took(ended - began, ended)
        return scored

    return score
