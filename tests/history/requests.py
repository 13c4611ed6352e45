"""What those who asked for a decision were told, held against the decisions in the log."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain

from tests.history.log import Log
from tests.history.operations import Kind, Operation, Outcome
from tests.history.statements import Excuse, Violation

MILLISECOND = 1000  # what the log's times are cut off to


def answered(operations: Iterable[Operation], log: Log, excuse: Excuse) -> Iterator[Violation]:
    """An answer that was acknowledged is in the log, byte for byte."""
    answers = {decision.request: decision.answer for decision in log.decisions}
    for each in operations:
        if each.kind is Kind.DECIDE and each.outcome is Outcome.OK and not excuse.covers(each):
            recorded = answers.get(each.key)
            if recorded is None:
                yield Violation("acknowledged", f"request {each.key} was answered and is not in the log")
            elif recorded != each.told:
                yield Violation("acknowledged", f"request {each.key} was answered otherwise than recorded: {each.told}")


def denied(operations: Iterable[Operation], log: Log, wall: int) -> Iterator[Violation]:
    """A decision is in the log though all who had asked for it by then were told that nothing was under way."""
    asked: dict[str, list[Operation]] = defaultdict(list)
    for each in operations:
        if each.kind is Kind.DECIDE:
            asked[each.key].append(each)
    for decision in log.decisions:
        written = decision.stored - wall + MILLISECOND
        tries = chain.from_iterable(map(_maybe_decided, asked[decision.request]))
        if not any(sent < written for sent in tries):
            yield Violation("recorded", f"decision {decision.id} was made for nobody who was not told that none was")


def _maybe_decided(asked: Operation) -> Iterator[int]:
    """From when on one of its tries may have been decided, as far as its client can tell."""
    if asked.unanswered > asked.denied:
        yield asked.invoked
    if asked.outcome is not Outcome.INFO:
        yield asked.sent
