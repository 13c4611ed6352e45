"""Contact policy: which treatments the contacts so far leave open. Pure; the one place where caps are decided."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from catalog.plan import Plan, Policy, Treatment
from features.customer import Labels, Logged

MOST_REMEMBERED = 100_000
KEPT_ANYWAY = 50  # contacts no policy counts today, kept so that a new or longer policy starts with what is known


def counting(plan: Plan, labels: Labels) -> tuple[int, ...]:
    """The numbers of the policies that count a contact with these labels, which are those of contact time."""
    known = plan.counting.get(labels)
    if known is None:
        named = {
            "direction": labels.direction,
            "channel": labels.channel,
            "group": labels.group,
            "action": labels.action,
            "treatment": f"{labels.action}/{labels.channel}",
        }
        known = tuple(number for number, policy in enumerate(plan.policies) if policy.counts(named))
        if len(plan.counting) < MOST_REMEMBERED:
            plan.counting[labels] = known
    return known


def counted_times(plan: Plan, labels: Sequence[Labels], log: Iterable[Logged]) -> tuple[list[int], ...]:
    """Per policy, the times (microseconds, ascending) of the contacts that it counts, however old."""
    times: tuple[list[int], ...] = tuple([] for _ in plan.policies)
    counted_by = [[times[number] for number in counting(plan, each)] for each in labels]
    for contact in log:
        for counted in counted_by[contact.labels]:
            counted.append(contact.at)
    for counted in times:
        counted.sort()
    return times


def remaining(policy: Policy, times: list[int], now: int) -> int:
    """How many more contacts `policy` allows at `now`: those in (now − window, now], and any later, count."""
    return policy.limit - (len(times) - bisect_right(times, now - policy.window))


class Allowance:
    """What the policies still allow while one answer is put together: its picks count against each other."""

    def __init__(self, plan: Plan, times: tuple[list[int], ...], now: int) -> None:
        self._policies = plan.policies
        self.left = [remaining(policy, counted, now) for policy, counted in zip(plan.policies, times, strict=True)]

    def blocked(self) -> int:
        """The treatments that some policy rules out, as bits."""
        mask = 0
        for policy, left in zip(self._policies, self.left, strict=True):
            if left <= 0:
                mask |= policy.blocks
        return mask

    def copy(self) -> "Allowance":
        other = Allowance.__new__(Allowance)
        other._policies, other.left = self._policies, self.left.copy()
        return other

    def take(self, treatment: Treatment) -> None:
        """`treatment` has been picked."""
        bit = 1 << treatment.bit
        for position, policy in enumerate(self._policies):
            if policy.blocks & bit:
                self.left[position] -= 1
