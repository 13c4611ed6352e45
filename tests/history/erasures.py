"""Erasures: what was erased is gone from the log, and nothing that was stated before decides anything any more.

They are asked for again until they are acknowledged, and what is stated before has ended by then.
"""

from collections.abc import Iterable, Iterator, Sequence

from tests.history.log import Log, State
from tests.history.operations import Kind, Operation
from tests.history.statements import Violation

REFUSED = "erased"
"""The source of what stays of a no."""


class Erasures:
    """Of each customer, when their erasure began and was acknowledged."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._erased = {
            each.customer: (each.invoked, each.returned)
            for each in operations
            if each.kind is Kind.ERASE and each.returned is not None
        }
        self._said = {each.key: each for each in operations if each.kind in (Kind.CONSENT, Kind.ATTRIBUTE)}

    def kept(self, operations: Iterable[Operation]) -> list[Operation]:
        """Without those that were erased."""
        return [each for each in operations if each.invoked >= self._erased.get(each.customer, (0, 0))[1]]

    def check(self, log: Log, wall: int) -> Iterator[Violation]:
        for customer, (begun, ended) in self._erased.items():
            for each in log.decisions:
                if each.customer == customer and each.stored - wall < begun:
                    yield Violation("erased", f"decision {each.id} is in the log, though {customer} has been erased")
                elif each.customer == customer and each.stored - wall > ended:
                    yield from self._based(customer, each.seen, f"decision {each.id}")
            if customer in log.states:
                yield from self._based(customer, log.states[customer], f"the state of {customer}")

    def _based(self, customer: str, seen: State, who: str) -> Iterator[Violation]:
        begun, _ = self._erased[customer]
        for key in (seen.statement, seen.attribute):
            if key in self._said and self._said[key].invoked < begun:
                yield Violation("erased", f"{who} knows {key} of {customer}, who has been erased since")
        if seen.statement == REFUSED and seen.granted:
            yield Violation("consent", f"{who} takes the no of {customer}, who has been erased, for a yes")
