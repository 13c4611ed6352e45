"""Contact policy: which treatments the contacts so far leave open. Pure; the one place where caps are decided."""

from bisect import bisect_right

from catalog.plan import Plan, Policy, Treatment
from features.customer import Contact, Customer

KEPT_ANYWAY = 100  # contacts no policy counts today, kept so that a new or longer policy starts with what is known


def labels(contact: Contact) -> dict[str, str]:
    """What a policy's scope may ask of a contact, as it was at contact time."""
    return {
        "direction": contact.direction,
        "channel": contact.channel,
        "group": contact.group,
        "action": contact.action,
        "treatment": f"{contact.action}/{contact.channel}",
    }


def counted_times(plan: Plan, customer: Customer) -> tuple[list[int], ...]:
    """Per policy, the times (microseconds, ascending) of the contacts that it counts, however old."""
    times: tuple[list[int], ...] = tuple([] for _ in plan.policies)
    for contact in customer.contacts:
        named = labels(contact)
        for counted, policy in zip(times, plan.policies, strict=True):
            if policy.counts(named):
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

    def take(self, treatment: Treatment) -> None:
        """`treatment` has been picked."""
        bit = 1 << treatment.bit
        for position, policy in enumerate(self._policies):
            if policy.blocks & bit:
                self.left[position] -= 1
