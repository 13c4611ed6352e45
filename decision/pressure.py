"""Cap pressure: what contact policies cost, told for each answer that would have been another without them. Pure.

A slot is under pressure where the best of its candidates, had no policy held anything back, is one that policies hold
back. What is lost is its priority less that of the best one left, or all of it where none is. Each policy that holds
that treatment back is charged with the whole loss: lifting one of several would not bring it back, and which of them to
look at is for a person to say. So the losses of policies don't add up to what would be gained without any.

The comparison is between the two bests: what exploration draws, and what can't be rendered, are no doing of a policy.
"""

from collections.abc import Callable

Best = Callable[[int], tuple[int, float]]
"""The best of some treatments, given as bits, and its priority."""
Holding = Callable[[int], tuple[int, ...]]
"""The numbers of the policies that hold back any of some treatments, given as bits."""


class Pressure:
    """Adds up what is lost while one answer is put together, by the policy's number."""

    def __init__(self) -> None:
        self.lost: dict[int, float] = {}

    def weigh(self, best_of: Best, held: int, left: int, holding: Holding) -> None:
        """One slot: of its candidates, policies hold back `held` and leave `left`, both as bits; `held` has one."""
        best, priority = best_of(held | left)
        if not held >> best & 1:
            return
        lost = priority - (best_of(left)[1] if left else 0.0)
        for number in holding(1 << best):
            self.lost[number] = self.lost.get(number, 0.0) + lost
