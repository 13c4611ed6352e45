"""What was stated of customers, one thing after the other, and which of it must be in force for whom."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tests.history.operations import Kind, Loss, Operation, Outcome

THE_END = 1 << 62


class Violation(NamedTuple):
    rule: str
    text: str


class Excuse:
    """What the power losses may have cost."""

    def __init__(self, losses: Sequence[Loss]) -> None:
        self._losses = losses

    def covers(self, operation: Operation, at: int = THE_END) -> bool:
        """Whether what was acknowledged may be gone at that time: the try that was, not one before it, may have met the
        Redis that lost its data.
        """
        returned = THE_END if operation.returned is None else operation.returned
        return any(loss.since < returned and operation.sent < loss.until <= at for loss in self._losses)


class Statements:
    """Per customer, what their one client stated of them, in this order."""

    def __init__(self, operations: Iterable[Operation], kind: Kind, excuse: Excuse) -> None:
        self._kind = kind
        self._excuse = excuse
        self._stated: dict[str, list[Operation]] = defaultdict(list)
        for operation in operations:
            if operation.kind is kind:
                self._stated[operation.customer].append(operation)
        self._said = {each.key: each for mine in self._stated.values() for each in mine}

    def check(self, customers: Sequence[str], seen: str, at: int, who: str) -> Iterator[Violation]:
        """`seen` is what was in force for somebody who wrote at `at`, of all these ids together."""
        stated = self._of(customers, seen)
        least = self._least(stated, at)
        place = next((place for place, each in enumerate(stated) if each.key == seen), -1)
        if seen and place < 0:
            yield Violation("latest", f"{who} knows of {seen}, which nobody has stated")
        # Of two ids, which yes of two is the later depends on clocks: they are the same yes.
        same = len(customers) > 1 and place >= 0 and least >= 0 and stated[place].granted == stated[least].granted
        if place < least and not same and not self._may_come_late(stated, place):
            expected = stated[least].key
            rule = "acknowledged" if at == THE_END else "latest"
            yield Violation(rule, f"{who} has {seen or 'nothing'}, after {expected} had been acknowledged")

    def disagrees(self, seen: str, granted: bool) -> bool:
        """Whether it is not what that statement said. Nothing stated is a no."""
        return granted != (seen in self._said and self._said[seen].granted)

    def _of(self, customers: Sequence[str], seen: str) -> list[Operation]:
        """In their order. Which of two profiles' attributes stand depends on clocks: only that one is asked."""
        if self._kind is Kind.ATTRIBUTE:
            said = self._said.get(seen)
            customers = [said.customer if said is not None and said.customer in customers else customers[0]]
        return sorted((each for one in customers for each in self._stated[one]), key=lambda each: each.invoked)

    def _least(self, stated: list[Operation], at: int) -> int:
        for place in range(len(stated) - 1, -1, -1):
            each = stated[place]
            ended = each.outcome is Outcome.OK and each.returned is not None and each.returned <= at
            if ended and not self._excuse.covers(each, at):
                return place
        return -1

    def _may_come_late(self, stated: list[Operation], place: int) -> bool:
        """A try that its client gave up may be done after what that client did next. A statement says when it was made,
        and so undoes no newer one even then; an attribute doesn't.
        """
        return self._kind is Kind.ATTRIBUTE and place >= 0 and stated[place].unanswered > 0
