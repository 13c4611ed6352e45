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

from catalog.plan import Plan, Vector, Weights
from rules.programs import Frame

Draw = Callable[[], float]
LONGEST_WALK = 64  # treatments to pass over for each candidate, on average; from there on a vector is faster
MOST_REMEMBERED = 1_000


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


@dataclass(slots=True)
class Chosen:
    """A winner and `probability`, how likely arbitration was to choose it among its candidates."""

    bit: int
    propensity: float
    value: float
    priority: float
    probability: float
    explored: bool


class Arbiter:
    """Chooses among candidates of one decision; what depends on the context is computed once.

    The best of a thousand is found without computing a thousand priorities. The plan ranks all treatments by the
    priority they have without context; no context weight can raise one by more than the largest that holds. So the
    ranking is walked from the top, and once the next one's priority, raised by that much, is below the best so far,
    nothing further down can win (the threshold algorithm of Fagin et al., "Optimal aggregation algorithms for
    middleware", 2001). Few candidates among many treatments would make for a long walk: then all are computed.
    """

    def __init__(self, plan: Plan, frame: Frame, draw: Draw) -> None:
        self._plan = plan
        self._draw = draw
        self._weights = _context_weights(plan, frame)

    def explore(self, candidates: int) -> int | None:
        """One of `candidates` drawn uniformly, with the catalog's exploration rate; else None."""
        if self._plan.exploration_rate == 0.0 or self._draw() >= self._plan.exploration_rate:
            return None
        count = candidates.bit_count()
        return int(positions(candidates)[min(int(self._draw() * count), count - 1)])

    def chosen(self, bit: int, best: int, count: int) -> Chosen:
        """`bit` as the winner among `count` candidates, of which `best` was the one to rank first."""
        rate, (propensity, value, _) = self._plan.exploration_rate, self._plan.factors[bit]
        probability = rate / count + (1.0 - rate if bit == best else 0.0)
        return Chosen(bit, propensity, value, self._priority(bit), probability, bit != best)

    def best(self, candidates: int) -> int:
        """The one of highest priority among `candidates`, a mask with at least one bit."""
        plan = self._plan
        if len(plan.ranking) > LONGEST_WALK * candidates.bit_count():
            bits = positions(candidates)
            priorities = self._priorities(bits)
            return int(bits[int(priorities.argmax())])
        weights = self._weights
        # A hair's breadth more, as the same product in another order may round the other way.
        most = (1.0 if weights is None else weights.most) * (1.0 + 1e-9)
        best, highest = -1, -1.0
        for bit, without_context in plan.ranking:
            if without_context * most < highest:
                break
            if candidates >> bit & 1:
                priority = without_context if weights is None else self._priority(bit)
                if priority > highest or (priority == highest and bit < best):
                    best, highest = bit, priority
        return best

    def _priority(self, bit: int) -> float:
        plan = self._plan
        propensity, value, lever = plan.factors[bit]
        priority = propensity if plan.use_propensity else 1.0
        if self._weights is not None:
            priority *= self._weights.listed[bit % plan.width]
        if plan.use_value:
            priority *= value
        return priority * lever if plan.use_lever else priority

    def _priorities(self, bits: NDArray[np.intp]) -> Vector:
        plan = self._plan
        priority = plan.propensity[bits] if plan.use_propensity else np.ones(len(bits))
        if self._weights is not None:
            priority = priority * self._weights.vector[bits % plan.width]
        if plan.use_value:
            priority = priority * plan.value[bits]
        if plan.use_lever:
            priority = priority * plan.lever[bits]
        return priority


def positions(mask: int) -> NDArray[np.intp]:
    """The numbers of the set bits of `mask`, ascending."""
    packed = np.frombuffer(mask.to_bytes((mask.bit_length() + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(packed, bitorder="little").nonzero()[0]


def _context_weights(plan: Plan, frame: Frame) -> Weights | None:
    """The weights that hold; of the few combinations that pages and devices make, each is added up once."""
    declared = plan.context_weights
    held = declared.index.match(frame) if declared is not None else 0
    if declared is None or not held:
        return None
    known = declared.known.get(held)
    if known is None:
        rules = positions(held)
        percents = np.bincount(declared.actions[rules], weights=declared.percents[rules], minlength=plan.width)
        vector = 1.0 + percents / 100.0
        known = Weights(vector, vector.tolist(), max(1.0, float(vector.max())))
        if len(declared.known) < MOST_REMEMBERED:
            declared.known[held] = known
    return known


def in_control(customer_id: str, salt: str, share: float) -> bool:
    """Whether the customer is in the control group: the same answer for ever for the same id and salt."""
    digest = blake2b(customer_id.encode(), digest_size=8, key=blake2b(salt.encode(), digest_size=32).digest()).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53 < share
