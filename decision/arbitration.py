"""Arbitration: the candidate with the highest priority P × C × V × L wins, except where exploration draws another.

P is the propensity in [0, 1], C the context weight, V the value, L the lever; C and L are 1 plus the sum of their
percents / 100. The product is taken from left to right in IEEE doubles, so it is the same on every machine. Of equal
priorities the treatment declared first wins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from catalog.plan import Plan, Vector
from rules.programs import Frame

Draw = Callable[[], float]


def draws(seed: int) -> Draw:
    """Uniform numbers in [0, 1) that follow from `seed` (64 bits) alone, so that a decision can be made again."""
    key = seed.to_bytes(8, "big")
    taken = 0

    def draw() -> float:
        nonlocal taken
        digest = blake2b(taken.to_bytes(8, "big"), digest_size=8, key=key).digest()
        taken += 1
        return (int.from_bytes(digest, "big") >> 11) * 2.0**-53

    return draw


@dataclass(frozen=True, slots=True)
class Chosen:
    """A winner and `probability`, how likely arbitration was to choose it among its candidates."""

    bit: int
    propensity: float
    value: float
    priority: float
    probability: float
    explored: bool


class Arbiter:
    """Chooses among candidates of one decision; what depends on the context is computed once."""

    def __init__(self, plan: Plan, frame: Frame, draw: Draw) -> None:
        self._plan = plan
        self._draw = draw
        self._context: Vector | None = None
        if plan.context_weights is not None:
            self._context = _context_weights(plan, frame)

    def choose(self, candidates: int) -> Chosen:
        """The winner among `candidates`, a mask with at least one bit."""
        bits = positions(candidates)
        priorities = self._priorities(bits)
        rate = self._plan.exploration_rate
        count = len(bits)
        best = int(priorities.argmax())
        winner = best
        if rate > 0.0 and self._draw() < rate:
            winner = min(int(self._draw() * count), count - 1)
        uniform = rate / count
        bit = int(bits[winner])
        return Chosen(
            bit,
            float(self._plan.propensity[bit]),
            float(self._plan.value[bit]),
            float(priorities[winner]),
            1.0 - rate + uniform if winner == best else uniform,
            winner != best,
        )

    def _priorities(self, bits: NDArray[np.intp]) -> Vector:
        plan = self._plan
        priority = plan.propensity[bits] if plan.use_propensity else np.ones(len(bits))
        if self._context is not None:
            priority = priority * self._context[bits % plan.width]
        if plan.use_value:
            priority = priority * plan.value[bits]
        if plan.use_lever:
            priority = priority * plan.lever[bits]
        return priority


def positions(mask: int) -> NDArray[np.intp]:
    """The numbers of the set bits of `mask`, ascending."""
    packed = np.frombuffer(mask.to_bytes((mask.bit_length() + 7) // 8, "little"), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(packed, bitorder="little"))


def _context_weights(plan: Plan, frame: Frame) -> Vector | None:
    weights = plan.context_weights
    if weights is None:
        return None
    held = weights.index.match(frame)
    if not held:
        return None
    rules = positions(held)
    percents = np.bincount(weights.actions[rules], weights=weights.percents[rules], minlength=plan.width)
    return 1.0 + percents / 100.0


def in_control(customer_id: str, salt: str, share: float) -> bool:
    """Whether the customer is in the control group: the same answer for ever for the same id and salt."""
    digest = blake2b(customer_id.encode(), digest_size=8, key=blake2b(salt.encode(), digest_size=32).digest()).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53 < share
