"""Pauses: what came of contacts closes a counter for a while. Pure.

A response of the kind that a policy looks for, at time r, pauses if it is at least the policy's nth in (r − window, r]
and nothing of the kind that would prevent it, where there is one, came after r − window, be it after r too: so a click
on the third impression ends the pause that this impression began. The pause lasts for [r, r + pause).

A contact holds what came of it by kind: how often, when first and when last. So of several responses of a kind to one
contact the first counts when it was, and each other when the last was: of three, the second counts a little late, which
holds back longer, never shorter. Nothing comes of a contact before it: what is dated so, by a clock that is behind,
came when the contact was made.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from catalog.limits import After, Values
from catalog.plan import Plan
from decision.counters import KeyValues, counting, key_values, matching
from features.customer import Labels, Logged, Response


@dataclass(slots=True)
class Responses:
    """When those came that a policy looks for, and those that prevent a pause, ascending, in microseconds.

    `last` remembers what `last_pausing` found of these alone, once nothing is added any more.
    """

    looked_for: list[int] = field(default_factory=list)
    preventing: list[int] = field(default_factory=list)
    last: tuple[int | None] | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        return bool(self.looked_for or self.preventing)

    def copy(self) -> "Responses":
        return Responses(self.looked_for.copy(), self.preventing.copy())

    def add(self, after: After, response: Response, contacted: int) -> None:
        """`response` to a contact that was made at `contacted`."""
        first, last = max(response.first, contacted), max(response.last, contacted)
        if response.kind == after.outcome:
            insort(self.looked_for, first)
            for _ in range(min(response.count - 1, after.times)):
                insort(self.looked_for, last)
        elif response.kind == after.without:
            insort(self.preventing, last)

    def remove(self, after: After, response: Response, contacted: int) -> None:
        """One that was added."""
        first, last = max(response.first, contacted), max(response.last, contacted)
        if response.kind == after.outcome:
            self.looked_for.remove(first)
            for _ in range(min(response.count - 1, after.times)):
                self.looked_for.remove(last)
        elif response.kind == after.without:
            self.preventing.remove(last)


Counters = dict[KeyValues, dict[Values, Responses]]
Responded = Mapping[int, Counters]
"""By the policy's number; of a policy without `per` all is under () and ()."""
NOBODY_RESPONDED: Responded = MappingProxyType({})


def responded(plan: Plan, labels: Sequence[Labels], log: Iterable[Logged]) -> Responded:
    """What came of the contacts that each policy with a pause counts."""
    if not plan.pausing:
        return NOBODY_RESPONDED
    found: dict[int, Counters] = {}
    known: dict[int, list[_Place]] = {}  # of the labels that occur
    for contact in log:
        if not contact.responses:
            continue
        places = known.get(contact.labels)
        if places is None:
            places = known[contact.labels] = _places(plan, labels[contact.labels])
        for number, after, keys, values in places:
            if looked_at(after, contact):
                counters = found.setdefault(number, {}).setdefault(keys, {})
                responses = counters.get(values)
                if responses is None:
                    responses = counters[values] = Responses()
                for response in contact.responses:
                    responses.add(after, response, contact.at)
    return found


_Place = tuple[int, After, KeyValues, Values]


def _places(plan: Plan, labels: Labels) -> list[_Place]:
    found = []
    for number, values, _ in counting(plan, labels):
        policy = plan.policies[number]
        if policy.after is not None:
            found.append((number, policy.after, key_values(policy, labels), values))
    return found


def looked_at(after: After, contact: Logged) -> bool:
    return any(after.looks_at(response.kind) for response in contact.responses)


def last_pausing(after: After, responses: Sequence[Responses]) -> int | None:
    """When the last response was that pauses what all of these came of; None if none does."""
    times = sorted(at for each in responses for at in each.looked_for)
    prevented = max((at for each in responses for at in each.preventing), default=None)
    for place in range(len(times) - 1, after.times - 2, -1):
        since = times[place] - after.window
        if prevented is not None and prevented > since:
            return None  # and so are all before it
        if times[place - after.times + 1] > since:
            return times[place]
    return None


def _last_of_one(after: After, responses: Responses) -> int | None:
    if responses.last is None:
        responses.last = (last_pausing(after, [responses]),)
    return responses.last[0]


def last_pausings(after: After, counters: Counters, keys: KeyValues) -> Iterator[tuple[Values, int]]:
    """When the last response was that pauses each of the counters that `keys` name, by the values of labels."""
    by_values: dict[Values, list[Responses]] = {}
    for counter in matching(counters, keys):
        for values, responses in counter.items():
            by_values.setdefault(values, []).append(responses)
    for values, several in by_values.items():
        last = _last_of_one(after, several[0]) if len(several) == 1 else last_pausing(after, several)
        if last is not None:
            yield values, last


def paused(after: After, pause: int, counters: Counters, keys: KeyValues, now: int) -> dict[Values, int]:
    """1 for each combination of labels whose counter, of those that `keys` name, is paused at `now`."""
    return {values: 1 for values, last in last_pausings(after, counters, keys) if last > now - pause}


def still_pausing(plan: Plan, labels: Labels, contact: Logged, now: int) -> bool:
    """Whether what came of `contact` may still pause something at `now` or later."""
    if not contact.responses:
        return False
    for number, _, _ in counting(plan, labels):
        policy = plan.policies[number]
        if policy.after is None:
            continue
        since = now - policy.reach
        for response in contact.responses:
            if policy.after.looks_at(response.kind) and max(response.last, contact.at) > since:
                return True
    return False
