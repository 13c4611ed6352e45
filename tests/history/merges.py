"""Merges: from the acknowledgement on, what was granted to either of two ids was granted to one customer."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.history.counting import Contact, contacts_of
from tests.history.log import Log, State
from tests.history.operations import Kind, Operation, Outcome
from tests.history.requests import MILLISECOND
from tests.history.statements import THE_END, Excuse, Violation


class Merges:
    """Of each id, into whom a client has merged it, and whatever was granted by it until then."""

    def __init__(self, operations: Iterable[Operation], log: Log, excuse: Excuse) -> None:
        self._excuse = excuse
        self._merges = [each for each in operations if each.kind is Kind.MERGE]
        self._begun = {each.customer: each for each in self._merges}
        self._contacts: Mapping[str, list[Contact]] = defaultdict(list)
        for decision in log.decisions:
            self._contacts[decision.customer].extend(contacts_of(decision))

    def contacts(self, own: Sequence[Contact], seen: State) -> list[Contact]:
        """Those of the customer's `own` log and of whoever `seen` says is part of them, by their time."""
        others = [contact for each in seen.merged for contact in self._contacts[each]]
        return sorted((*own, *others), key=lambda contact: contact.at) if others else list(own)

    def check(self, customer: str, seen: State, at: int, who: str) -> Iterator[Violation]:
        """`seen` is the state of `customer` that somebody had who wrote at `at`."""
        for each in self._merges:
            done = each.outcome is Outcome.OK and each.returned is not None and each.returned <= at
            if done and not self._excuse.covers(each, at):
                if each.key == customer and each.customer not in seen.merged:
                    yield Violation("merged", f"{who} knows nothing of {each.customer}, merged into them by then")
                if each.customer == customer and not (at == THE_END and seen.into):
                    yield Violation("merged", f"{who} is of an id that had been merged into {each.key} by then")
        for other in seen.merged:
            begun = self._begun.get(other)
            if begun is None or begun.key != customer or begun.invoked > at + MILLISECOND:
                yield Violation("merged", f"{who} knows of a merge with {other} that nobody had asked for by then")
