"""What came of contacts, as those who decided knew it, held against the events in the log."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tests.history.log import Granted, Log, Response, State
from tests.history.operations import Kind, Operation, Outcome
from tests.history.statements import THE_END, Excuse, Violation


class Responses:
    """Of each contact, by the kind of what came of it, the events that told so."""

    def __init__(self, operations: Iterable[Operation], log: Log, excuse: Excuse) -> None:
        self._acknowledged = {
            each.key: each.returned
            for each in operations
            if each.kind is Kind.EVENT and each.outcome is Outcome.OK and not excuse.covers(each)
        }
        self._told: dict[Granted, dict[str, list[Response]]] = defaultdict(lambda: defaultdict(list))
        for response in log.responses:
            self._told[response.contact][response.kind].append(response)

    def check(self, seen: State, at: int, written: int, who: str) -> Iterator[Violation]:
        """`seen` is the state that somebody had who decided at `at`, by the log's time, and wrote at `written`, by that
        of the histories. Who looks when all is over has seen whatever is in the log.
        """
        for contact in seen.contacts:
            known, told = seen.responses.get(contact, {}), self._told.get(contact, {})
            for kind, first in known.items():
                if all(each.at != first or each.received > at for each in told.get(kind, ())):
                    yield Violation("responses", f"{who} knows of a {kind} of {contact} that nobody had told by then")
            for kind, events in told.items():
                least = min((each.at for each in events if self._ended(each) <= written), default=THE_END)
                if known.get(kind, THE_END) > least:
                    yield Violation("responses", f"{who} misses the first {kind} of {contact}, which had been told")

    def _ended(self, response: Response) -> int:
        ended = self._acknowledged.get(response.event)
        return THE_END if ended is None else ended
