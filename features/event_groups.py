"""Groups: the events of one customer in a batch, on their way to be stored together."""

from collections.abc import Callable, Sequence

from catalog.plan import Plan
from features.applying import DUPLICATE, Applied, Result, Sent, apply_events
from features.attempts import Attempts
from features.cache import Snapshot
from features.commit import Commit, Committed, Known, Outcome
from features.customer import EMPTY, Customer
from features.encoding import encode
from features.events import NO_MORE, digest, known_as, pack_events
from features.store import CustomerStore


class Group:
    """The events of one customer in a batch, on their way to be stored.

    They are counted by the plan in force when they are committed, in the customer's turn: a catalog that was put in
    force while they waited is theirs. `refuses` says whether any takes a consent back.
    """

    __slots__ = ("_attempts", "_left", "_plan", "_results", "_trying", "customer", "customer_id", "refuses")

    def __init__(self, plan: Callable[[], Plan], customer_id: str) -> None:
        self.customer_id = customer_id
        self.customer: Customer = EMPTY
        self.refuses = False
        self._plan = plan
        self._left: dict[
            str, list[tuple[int, Sent]]
        ] = {}  # by what they are known as; of several the first that isn't refused counts
        self._results: dict[int, Result] = {}
        self._trying: list[str] = []
        self._attempts = Attempts()

    def add(self, sent: Sent, place: int) -> None:
        self.refuses = self.refuses or sent.type in NO_MORE
        name = known_as(sent.type, sent.id)
        same = self._left.get(name)
        if same is None:
            self._left[name] = [(place, sent)]
        else:
            same.append((place, sent))

    def commit(self, store: CustomerStore, snapshot: Snapshot) -> Commit | None:
        """What is to be written on `snapshot`; None where nothing is left to be. Raises ClockError."""
        if not self._left:
            return None
        now = store.now_for(snapshot)
        applied = self._applied(snapshot.customer, now)
        self._trying = [known_as(event.type, event.id) for event in applied.events]
        if not self._trying:
            return None
        self.customer = applied.customer
        return Commit(
            self.customer_id,
            snapshot.version,
            now,
            None if applied.customer is snapshot.customer else encode(applied.customer),
            ttl_ms=store.lifetime_ms(applied.customer),
            ids=[digest(name) for name in self._trying],
            events=pack_events(applied.events),
            ticket=self._attempts.ticket,
        )

    def _applied(self, customer: Customer, now: int) -> Applied:
        while True:
            first = [same[0] for same in self._left.values()]
            applied = apply_events(self._plan(), customer, [sent for _, sent in first], now)
            self._results.update(zip((place for place, _ in first), applied.results, strict=True))
            refused = [same for same in self._left.values() if len(same) > 1 and self._is_refused(same[0][0])]
            if not refused:
                return applied
            for same in refused:
                del same[0]

    def _is_refused(self, place: int) -> bool:
        return self._results[place].status == "refused"

    def learn(self, outcome: Outcome) -> bool:
        """Whether that was all."""
        if isinstance(outcome, Committed):
            return True
        if isinstance(outcome, Known):
            for place in set(outcome.places):
                ((first, _), *_) = self._left.pop(self._trying[place])
                self._results[first] = DUPLICATE
            return not self._left
        self._attempts.lose()
        return False

    def tell(self, results: list[Result]) -> None:
        """Puts the results where the batch has them; those it has none for are duplicates of another."""
        for place, result in self._results.items():
            results[place] = result


def groups_of(plan: Callable[[], Plan], sent: Sequence[Sent]) -> list[Group]:
    groups: dict[str, Group] = {}
    for place, each in enumerate(sent):
        group = groups.get(each.customer_id)
        if group is None:
            group = groups[each.customer_id] = Group(plan, each.customer_id)
        group.add(each, place)
    return list(groups.values())
