"""Arbitration: the candidate with the highest priority P × C × V × L wins, except where exploration draws another.

P is the propensity in [0, 1], C the context weight, V the value, L the lever; C and L are 1 plus the sum of their
percents / 100. The product is taken from left to right in IEEE doubles, so it is the same on every machine. Of equal
priorities the treatment declared first wins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from catalog.plan import Plan, Vector, Weights
from rules.masks import bits, positions
from rules.programs import Frame

Draw = Callable[[], float]
LONGEST_WALK = 64  # treatments to pass over for each candidate, on average; from there on a vector is faster
MOST_REMEMBERED = 1_000
NOTHING_SCORED: Mapping[int, float] = {}


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


def never() -> float:
    """Draws nothing: for a catalog that doesn't explore."""
    return 1.0


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
    priority they have without context: of those with no weight, the first candidate in the ranking is the best. Those
    that have one under the rules that hold now are ranked by themselves, once for each combination of such rules. Few
    candidates among many treatments would make for a long walk: then all of them are computed, as a vector. So are
    those whose propensity a model gave for this decision: `scored` has it, by treatment.
    """

    def __init__(self, plan: Plan, frame: Frame, draw: Draw, scored: Mapping[int, float] = NOTHING_SCORED) -> None:
        self._plan = plan
        self._draw = draw
        self._scored = scored
        self._weights = _context_weights(plan, frame)
        self._ranked = self._rank(scored) if scored else ()

    def explore(self, candidates: int) -> int | None:
        """One of `candidates` drawn uniformly, with the catalog's exploration rate; else None."""
        if self._plan.exploration_rate == 0.0 or self._draw() >= self._plan.exploration_rate:
            return None
        count = candidates.bit_count()
        return int(positions(candidates)[min(int(self._draw() * count), count - 1)])

    def chosen(self, bit: int, best: int, count: int, drawable: bool = True) -> Chosen:
        """`bit` as the winner among `count` candidates, of which `best` was the one to rank first; it is none of them
        where it is not `drawable`.
        """
        rate, (constant, value, _) = self._plan.exploration_rate, self._plan.factors[bit]
        propensity = self._scored.get(bit, constant)
        probability = (rate / count if drawable else 0.0) + (1.0 - rate if bit == best else 0.0)
        return Chosen(bit, propensity, value, self.priority(bit), probability, bit != best)

    def best(self, candidates: int) -> int:
        """The one of highest priority among `candidates`, a mask with at least one bit."""
        for bit, priority in self._ranked:
            if candidates >> bit & 1:
                rest = candidates & ~sum(1 << scored for scored in self._scored)
                if not rest:
                    return bit
                other = self._best_constant(rest)
                its_priority = self.priority(other)
                return other if its_priority > priority or (its_priority == priority and other < bit) else bit
        return self._best_constant(candidates)

    def _rank(self, scored: Mapping[int, float]) -> tuple[tuple[int, float], ...]:
        ranked = [(bit, self.priority(bit)) for bit in scored]
        return tuple(sorted(ranked, key=lambda pair: (-pair[1], pair[0])))

    def _best_constant(self, candidates: int) -> int:
        """The best of candidates whose propensity is a number of the catalog."""
        weights = self._weights
        if weights is None:
            return self._top(candidates, self._plan.ranking)[0]
        weighted, plain = candidates & weights.mask, candidates & ~weights.mask
        if not plain:
            return self._top(weighted, weights.ranking)[0]
        bit, priority = self._top(plain, self._plan.ranking)
        if not weighted or weights.ranking[0][1] < priority:
            return bit
        rival, its_priority = self._top(weighted, weights.ranking)
        return rival if its_priority > priority or (its_priority == priority and rival < bit) else bit

    def _top(self, candidates: int, ranking: Sequence[tuple[int, float]]) -> tuple[int, float]:
        if len(ranking) > LONGEST_WALK * candidates.bit_count():
            found = positions(candidates)
            priorities = self._priorities(found)
            place = int(priorities.argmax())
            return int(found[place]), float(priorities[place])
        for pair in ranking:
            if candidates >> pair[0] & 1:
                return pair
        raise LookupError("no candidate is a declared treatment")

    def priority(self, bit: int) -> float:
        """P × C × V × L of a treatment."""
        plan = self._plan
        weight = 1.0 if self._weights is None else self._weights.listed[bit % plan.width]
        return _priority(plan, bit, weight, self._scored.get(bit))

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
        known = _weights(plan, 1.0 + percents / 100.0)
        if len(declared.known) < MOST_REMEMBERED:
            declared.known[held] = known
    return known


def _weights(plan: Plan, vector: Vector) -> Weights:
    listed = vector.tolist()
    mask = plan.declared & plan.treatments_of(sum(1 << action for action, weight in enumerate(listed) if weight != 1.0))
    ranked = [(bit, _priority(plan, bit, listed[bit % plan.width])) for bit in bits(mask)]
    return Weights(vector, listed, mask, tuple(sorted(ranked, key=lambda pair: (-pair[1], pair[0]))))


def _priority(plan: Plan, bit: int, weight: float, scored: float | None = None) -> float:
    propensity, value, lever = plan.factors[bit]
    if scored is not None:
        propensity = scored
    priority = (propensity if plan.use_propensity else 1.0) * weight
    if plan.use_value:
        priority *= value
    return priority * lever if plan.use_lever else priority


def in_control(customer_id: str, salt: str, share: float) -> bool:
    """Whether the customer is in the control group: the same answer for ever for the same id and salt."""
    digest = blake2b(customer_id.encode(), digest_size=8, key=blake2b(salt.encode(), digest_size=32).digest()).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53 < share
