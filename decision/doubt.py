"""In doubt: what is answered when something could not be relied on, and what became of a commit whose reply was lost.

In doubt nobody is contacted: the answer is the declared fallback or nothing, and is not recorded. Only a commit that
was sent and never answered can still count. That it does is certain when its record is found. That there is no record
is no proof: what the broken connection still held may yet be read by Redis. So nothing is ever sent a second time, and
the answer is *provisional*: it names the decision whose commit was under way. Its record says later whether it counts;
a retry with the same request id gets its answer, or is decided anew and then keeps the first one from ever counting.

The same is true when the time is up, but that there is none left to look.
"""

from catalog.plan import Plan
from decision.answer import answer_body
from decision.decide import fallback_only
from decision.deciding import Answer, Deciding
from decision.reasons import Degradation
from decision.request import Ask
from features.errors import OutOfMemory, OutOfTime, StoreError, StoreTimeout
from features.ledger import Ledger
from features.store import ClockError


def in_doubt(plan: Plan, ask: Ask, now: int, why: Degradation, lost: int = 0, under_way: str | None = None) -> Answer:
    """The declared fallback or nothing. `under_way` is the decision whose commit may still count, None if none may."""
    decision = fallback_only(plan, ask, now)
    degraded = (why,) if under_way is None else (why, Degradation.PROVISIONAL)
    body = answer_body(plan, ask.customer_id, decision, under_way, degraded)
    return Answer(body, decision.status, decision.reason, degraded, lost)


async def was_committed(ledger: Ledger, deciding: Deciding) -> bool:
    """Whether the record of what `deciding` sent last is there, as far as can be seen in the time that is left."""
    try:
        return await ledger.record(deciding.decision_id, deciding.deadline.left()) is not None
    except StoreError:
        return False


def why_of(error: StoreError) -> Degradation:
    if isinstance(error, StoreTimeout | OutOfTime):
        return Degradation.DEADLINE
    if isinstance(error, ClockError):
        return Degradation.CLOCK
    return Degradation.STORE_FULL if isinstance(error, OutOfMemory) else Degradation.STORE_UNAVAILABLE
