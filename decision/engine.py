"""The engine: decide on the cached state, commit if it still stands, else decide again on the state the reply brought.

In the common case one round trip. Whatever goes wrong (the store is away, slow or full, the clock is off, the time is
up), the caller gets the declared fallback or nothing, in time, and that answer contacts nobody. A commit whose
reply never came may have been applied: it is not sent again, and a retry with the same request id gets its answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from catalog.plan import Plan
from decision.answer import answer_body, contacts_of, outbox_entries
from decision.decide import Decision, View, decide, fallback_only, view_of
from decision.policy import KEPT_ANYWAY
from decision.reasons import Degradation, Reason, Status
from decision.record import answer_in, record_body
from decision.request import Ask, NextActionRequest, RequestError, resolve
from decision.turns import Turns
from features.cache import Snapshot
from features.commit import Commit, Committed, Moved, Repeated
from features.customer import Customer, encode, with_contacts
from features.deadline import Deadline
from features.entropy import random_bytes
from features.errors import OutOfMemory, OutOfTime, StoreError, StoreTimeout
from features.keys import new_decision_id
from features.store import TRIES_BEFORE_TICKET, ClockError, CustomerStore


@dataclass(slots=True)
class Answer:
    """`body` is JSON; the rest is for metrics. `lost` counts commits that found the customer changed meanwhile."""

    body: bytes
    status: Status
    reason: Reason
    degraded: tuple[Degradation, ...] = ()
    lost: int = 0
    repeated: bool = False


class Engine:
    """Decides for one worker. `plan` may be replaced at any time; a decision uses the one it began with."""

    def __init__(self, store: CustomerStore, plan: Plan, random: Callable[[int], bytes] = random_bytes) -> None:
        self.store = store
        self.plan = plan
        self._random = random
        self._turns = Turns()

    @property
    def plan(self) -> Plan:
        return self._plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self._plan = plan
        self.store.lives_ms(plan.lifetime_ms)

    async def next_action(self, request: NextActionRequest, caller: str, seconds: float) -> Answer:
        """Answers within about `seconds`. `caller` tells the request ids of one API key from another's.

        Raises RequestError when the catalog doesn't declare what is asked for, or the request id came with another
        body before.
        """
        plan = self.plan
        ask = resolve(request, plan)
        deadline = Deadline(seconds)
        if not await self._turns.take(ask.customer_id, deadline):
            return self._degraded(plan, ask, Degradation.DEADLINE)
        try:
            if ask.dry_run:
                return await self._preview(plan, ask, deadline)
            return await self._decide(plan, ask, request, caller, deadline)
        except (StoreTimeout, OutOfTime):
            return self._degraded(plan, ask, Degradation.DEADLINE)
        except ClockError:
            return self._degraded(plan, ask, Degradation.CLOCK)
        except OutOfMemory:
            return self._degraded(plan, ask, Degradation.STORE_FULL)
        except StoreError:
            return self._degraded(plan, ask, Degradation.STORE_UNAVAILABLE)
        finally:
            self._turns.give(ask.customer_id)

    async def _preview(self, plan: Plan, ask: Ask, deadline: Deadline) -> Answer:
        snapshot = await self.store.snapshot(ask.customer_id, deadline, fresh=True)
        now = self.store.now_for(snapshot)
        decision = decide(plan, ask, _view(plan, snapshot), now, self._seed())
        return _answer(answer_body(plan, ask.customer_id, decision, None, ()), decision)

    async def _decide(
        self, plan: Plan, ask: Ask, request: NextActionRequest, caller: str, deadline: Deadline
    ) -> Answer:
        store = self.store
        snapshot = await store.snapshot(ask.customer_id, deadline)
        identity = _request_identity(request, caller)
        seed = self._seed()
        ticket: bytes | None = None
        lost = 0
        while True:
            now = store.now_for(snapshot)
            decision_id = self._decision_id(ask.customer_id, now)
            decision = decide(plan, ask, _view(plan, snapshot), now, seed)
            answer = answer_body(plan, ask.customer_id, decision, decision_id, ())
            customer = _contacted(plan, snapshot.customer, decision, decision_id)
            commit = Commit(
                ask.customer_id,
                snapshot.version,
                now,
                None if customer is snapshot.customer else encode(customer),
                ttl_ms=store.lifetime_ms(customer),
                request=identity,
                decision_id=decision_id,
                record=record_body(plan, request, snapshot.body, decision, decision_id, answer),
                outbox=() if customer.test else outbox_entries(decision, decision_id, ask.customer_id),
                ticket=ticket,
            )
            outcome, known = await store.commit(commit, customer, deadline)
            if isinstance(outcome, Committed):
                _carry_view(plan, snapshot, known)
                return _answer(answer, decision, lost)
            if isinstance(outcome, Repeated):
                return _repeated(outcome, identity, lost)
            lost += 1
            snapshot = known or snapshot
            if lost >= TRIES_BEFORE_TICKET:
                ticket = ticket or self._random(8)
            if isinstance(outcome, Moved) and outcome.held_ms:
                await deadline.pause(min(outcome.held_ms, 2) / 1000)
            if deadline.passed:
                return self._degraded(plan, ask, Degradation.CONTENTION, lost)

    def _decision_id(self, customer_id: str, now: int) -> str:
        return new_decision_id(self.store.ledger.layout.partition(customer_id), now, self._random(8))

    def _seed(self) -> int:
        return int.from_bytes(self._random(8), "big")

    def _degraded(self, plan: Plan, ask: Ask, why: Degradation, lost: int = 0) -> Answer:
        now = self.store.clock.now() if self.store.clock.known else 0
        decision = fallback_only(plan, ask, now)
        body = answer_body(plan, ask.customer_id, decision, None, (why,))
        return Answer(body, decision.status, decision.reason, (why,), lost)


def _view(plan: Plan, snapshot: Snapshot) -> View:
    return snapshot.view(plan, lambda customer: view_of(plan, customer))


def _carry_view(plan: Plan, before: Snapshot, after: Snapshot | None) -> None:
    """Most of what a plan sees in a customer stays the same when contacts are added: it is not computed anew."""
    if after is not None:
        view = _view(plan, before)
        after.view(plan, lambda customer: view_of(plan, customer, view))


def _contacted(plan: Plan, customer: Customer, decision: Decision, decision_id: str) -> Customer:
    """The customer with this answer's contacts; the very same one where there are none, so that nothing is written."""
    added = contacts_of(decision, decision_id)
    if not added:
        return customer
    return with_contacts(customer, added, decision.now - plan.history, KEPT_ANYWAY)


def _request_identity(request: NextActionRequest, caller: str) -> tuple[bytes, bytes] | None:
    """The request id's digest, and the hash of what makes two requests the same: all but how long the caller waits."""
    if request.request_id is msgspec.UNSET:
        return None
    name = "\0".join((caller, request.customer_id, request.request_id))
    same = msgspec.json.encode(msgspec.structs.replace(request, deadline_ms=msgspec.UNSET), order="deterministic")
    return blake2b(name.encode(), digest_size=16).digest(), blake2b(same, digest_size=16).digest()


def _answer(body: bytes, decision: Decision, lost: int = 0) -> Answer:
    return Answer(body, decision.status, decision.reason, (), lost)


def _repeated(outcome: Repeated, identity: tuple[bytes, bytes] | None, lost: int) -> Answer:
    if identity is None or outcome.body_hash != identity[1]:
        raise RequestError("request_id_reused", "/request_id", "this request_id came with another body before")
    if outcome.record is None:
        raise RequestError("request_id_spent", "/request_id", "this request was answered; its record is archived")
    body = answer_in(outcome.record)
    answered = msgspec.json.decode(body, type=_Answered)
    return Answer(body, Status(answered.status), Reason(answered.reason), lost=lost, repeated=True)


class _Answered(msgspec.Struct):
    status: str
    reason: str
