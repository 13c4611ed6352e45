"""One request on its way to its answer: decided on a snapshot, committed if that still stands, else decided again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from time import monotonic

import msgspec

from catalog.limits import BudgetPlan
from catalog.plan import Plan
from decision.answer import answer_body, contacts_of, outbox_entries
from decision.budgets import ENOUGH, Left, taken
from decision.decide import Decision, InForce, decide, no_scores
from decision.lasting import with_lasting
from decision.reasons import Degradation, Reason, Status
from decision.record import RecordError, answer_in, pressure_of, record_body
from decision.request import Ask, NextActionRequest, RequestError
from decision.view import View, view_of
from features.attempts import TRIES_BEFORE_TICKET
from features.cache import Snapshot
from features.commit import Commit, Repeated, Short
from features.customer import Customer
from features.deadline import Deadline
from features.encoding import Span, encode, encode_longer
from features.errors import StoreTimeout
from features.keys import new_decision_id
from features.store import CustomerStore


@dataclass(slots=True)
class Answer:
    """`body` is JSON; the rest is for metrics. `lost` counts commits that found the customer changed meanwhile;
    `pressure` is the priority lost to each contact policy that made the answer another.
    """

    body: bytes
    status: Status
    reason: Reason
    degraded: tuple[Degradation, ...] = ()
    lost: int = 0
    repeated: bool = False
    pressure: tuple[tuple[str, float], ...] = ()


MOST_REFILLS = 16
"""How often a request asks for more of a budget whose units others take first; after that it does without them."""
RequestIdentity = tuple[bytes, bytes]
"""What tells a request that was sent again: as Commit.request has it."""


class Deciding:
    """One request on its way: decided as often as its customer turns out to have changed meanwhile."""

    __slots__ = (
        "_answer", "_by", "_decision", "_left", "_random", "_refilled_by", "_refills", "_seed", "_snapshot", "_span",
        "_store", "_takes", "_ticket", "ask", "customer", "deadline", "decision_id", "identity", "lost", "plan",
        "request",
    )  # fmt: skip

    def __init__(
        self,
        store: CustomerStore,
        random: Callable[[int], bytes],
        by: InForce,
        ask: Ask,
        request: NextActionRequest,
        identity: RequestIdentity | None,
        deadline: Deadline,
        snapshot: Snapshot,
    ) -> None:
        self.plan = by.plan
        self.ask = ask
        self.deadline = deadline
        self.request = request
        self.identity = identity
        self.lost = 0
        self._store = store
        self._random = random
        self._by = by
        self._snapshot = snapshot
        self._seed = seed_of(random)
        self._ticket: bytes | None = None
        self._span: Span | None = None
        self._left: dict[str, int] = {}  # of budgets, by period: what their accounts have, as no more is to be had
        self._takes: list[tuple[BudgetPlan, int]] = []
        self._refills = 0
        self._refilled_by: Deadline | None = None

    def commit(self) -> Commit:
        """Decides on the snapshot; what is to be written if it still stands. Raises ClockError."""
        store, plan, snapshot, customer_id = self._store, self.plan, self._snapshot, self.ask.customer_id
        now = store.now_for(snapshot)
        decision_id = new_decision_id(store.ledger.layout.partition(customer_id), now, self._random(8))
        self.decision_id = decision_id
        score = self._by.score_in(self.deadline.left(), monotonic(), self.lost) if plan.scored else no_scores
        budgets = self._budgets(now) if plan.budgets else ENOUGH
        decision = decide(plan, self.ask, view(plan, snapshot), now, self._seed, score, budgets)
        self._decision = decision
        if plan.budgets:
            self._takes = taken(plan.budgets, (pick.treatment for pick in decision.granted))
        answer = self._answer = answer_body(plan, customer_id, decision, decision_id, decision.degraded)
        customer = self.customer = _contacted(plan, snapshot.customer, decision, decision_id)
        return Commit(
            customer_id,
            snapshot.version,
            now,
            None if customer is snapshot.customer else self._encoded(customer),
            ttl_ms=store.lifetime_ms(customer),
            request=self.identity,
            decision_id=decision_id,
            record=record_body(plan, self.request, snapshot.body, decision, decision_id, answer),
            outbox=() if customer.test else outbox_entries(plan, decision, decision_id, customer_id),
            ticket=self._ticket,
            takes=[(budget.period(now).key, count) for budget, count in self._takes] if self._takes else (),
        )

    def _budgets(self, now: int) -> Left:
        """What is known of those that the treatments asked for take from."""
        wanted = self.ask.shape.wanted
        mine = [budget for budget in self.plan.budgets if budget.blocks & wanted]
        left = self._store.budgets.spent(mine, now)
        if not self._left:
            return left
        known = ((budget.name, self._left.get(budget.period(now).key)) for budget in mine)
        return {**{name: count for name, count in known if count is not None}, **left}

    async def refill(self, short: Short) -> None:
        """The customer's partition gets what it was short of, or else the next decision does with what it has.

        Where that takes too long, it does without the budget, so that the next best action comes in time: half of the
        time left at the first shortage is for refills. Raises StoreError.
        """
        self._refills += 1
        if self._refilled_by is None:
            self._refilled_by = Deadline(self.deadline.left() / 2)
        patience = self._refilled_by if self._refills <= MOST_REFILLS else Deadline(0.0)
        for (budget, count), left in zip(self._takes, short.left, strict=True):
            if left < count:
                there = await self._obtained(budget, count, patience)
                if there < count:
                    self._left[budget.period(self._decision.now).key] = there

    async def _obtained(self, budget: BudgetPlan, count: int, patience: Deadline) -> int:
        """What the partition has of it then, at least `count` where that is to be had; 0 where it takes too long."""
        if patience.passed:
            return 0
        store = self._store
        partition = store.ledger.layout.partition(self.ask.customer_id)
        try:
            return await store.budgets.obtain(budget, self._decision.now, partition, count, patience)
        except StoreTimeout:
            return 0

    def _encoded(self, customer: Customer) -> bytes:
        snapshot = self._snapshot
        longer = encode_longer(snapshot.body, snapshot.span, snapshot.customer, customer)
        if longer is None:
            self._span = None
            return encode(customer)
        body, self._span = longer
        return body

    def committed(self, known: Snapshot | None) -> Answer:
        """It counts; `known` is the customer as it left them, None if unchanged."""
        if known is not None:
            known.span = self._span
            known.follows(self._snapshot)
        if self._takes:
            self._store.budgets.took(self._takes)
        answer = answer_of(self._answer, self._decision, self.lost)
        if self._decision.pressure:
            answer.pressure = tuple(pressure_of(self.plan, self._decision).items())
        return answer

    def erased_since(self, customer: Customer) -> bool:
        """Whether it has to be asked for anew what was answered before."""
        return self.identity is not None and customer.erased > self._snapshot.customer.erased

    def moved(self, known: Snapshot | None) -> None:
        """It doesn't count: decide again, on `known` where it says what is true now."""
        self.lost += 1
        self._snapshot = known or self._snapshot
        if self.lost >= TRIES_BEFORE_TICKET:
            self._ticket = self._ticket or self._random(8)


def view(plan: Plan, snapshot: Snapshot) -> View:
    """The customer as `plan` sees them, computed once per snapshot."""
    seen: View = snapshot.view(plan, partial(view_of, plan))
    return seen


def _contacted(plan: Plan, customer: Customer, decision: Decision, decision_id: str) -> Customer:
    """The customer with this answer's contacts; the very same one where there are none, so that nothing is written."""
    added = contacts_of(decision, decision_id)
    if not added:
        return customer
    return with_lasting(plan, customer, added, decision.now)


def request_identity(request: NextActionRequest, caller: str) -> RequestIdentity | None:
    """The request id's digest, and the hash of what makes two requests the same: all but how long the caller waits."""
    if request.request_id is msgspec.UNSET:
        return None
    name = "\0".join((caller, request.customer_id, request.request_id))
    same = msgspec.json.encode(msgspec.structs.replace(request, deadline_ms=msgspec.UNSET), order="deterministic")
    return blake2b(name.encode(), digest_size=16).digest(), blake2b(same, digest_size=16).digest()


def seed_of(random: Callable[[int], bytes]) -> int:
    return int.from_bytes(random(8), "big")


def answer_of(body: bytes, decision: Decision, lost: int = 0) -> Answer:
    return Answer(body, decision.status, decision.reason, decision.degraded, lost)


def repeated(outcome: Repeated, identity: RequestIdentity | None, lost: int) -> Answer:
    if identity is None or outcome.body_hash != identity[1]:
        raise RequestError("request_id_reused", "/request_id", "this request_id came with another body before")
    if outcome.record is None:
        raise RequestError("request_id_spent", "/request_id", "this request was answered; its record is no longer kept")
    try:
        body = answer_in(outcome.record)
    except RecordError as error:  # it was answered by a Tino of before
        raise RequestError("request_id_spent", "/request_id", f"this request was answered, and {error}") from None
    answered = msgspec.json.decode(body, type=_Told)
    return Answer(body, Status(answered.status), Reason(answered.reason), lost=lost, repeated=True)


class _Told(msgspec.Struct):
    status: str
    reason: str
