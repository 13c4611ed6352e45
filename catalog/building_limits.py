"""Building limits: from declared contact policies and budgets to what is counted, held back and taken from."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from catalog.budgets import Budget
from catalog.calendar import LONGEST, Calendar, zone_named
from catalog.limits import LATE, LIFETIME, After, BudgetPlan, Per, Policy, Values
from catalog.plan import Treatment, mask_of
from catalog.policies import CUSTOMERS, LABELS, ContactPolicy, Scope
from catalog.spec import Catalog
from rules.programs import Program

ProgramAt = Callable[[str], Program]
"""The program of a rule, by where it stands in the catalog."""
ReadsAt = Callable[[str], frozenset[str]]
"""The attributes of the customer that a rule reads, by where it stands."""
_MICROSECOND = timedelta(microseconds=1)


def policies_of(
    spec: Catalog, treatments: Sequence[Treatment], program_at: ProgramAt, reads_at: ReadsAt
) -> tuple[Policy, ...]:
    """The contact policies, in the catalog's order; `treatments` are all that are declared."""
    return tuple(
        _policy(spec, name, policy, treatments, program_at, reads_at) for name, policy in spec.contact_policies.items()
    )


def budgets_of(spec: Catalog, treatments: Sequence[Treatment]) -> tuple[BudgetPlan, ...]:
    return tuple(_budget(spec, name, budget, treatments) for name, budget in spec.budgets.items())


def keys_of(spec: Catalog, program_at: ProgramAt) -> dict[str, Program]:
    """The programs of all expressions that tell counters apart, by their texts."""
    return {
        source: program_at(".".join(("contact_policies", name, *place)))
        for name, policy in spec.contact_policies.items()
        for place, source in policy.expressions()
    }


def keys_for(spec: Catalog, action: str, channel: str) -> tuple[str, ...]:
    """The expressions, as text, that tell the contacts of `action` on `channel` apart in some policy."""
    group, direction = spec.actions[action].group, spec.channels[channel].direction
    covering = (
        policy
        for policy in spec.contact_policies.values()
        if len(policy.labels) < len(policy.per) and policy.scope.covers(direction, channel, group, action)
    )
    return tuple(sorted({source for policy in covering for _, source in policy.expressions()}))


def matters_for(policy: Policy, treatments: Iterable[Treatment]) -> int:
    """For how long after it was made a contact matters to the policy, in microseconds; for how much longer those do
    that were confirmed is looked at one by one.
    """
    if policy.after is not None:
        return policy.reach
    longest = 0
    for treatment in treatments:
        if not policy.counted >> treatment.bit & 1:
            continue
        if policy.confirmed_by(treatment.direction) and treatment.valid_for:
            longest = max(longest, treatment.valid_for + LATE)
        elif not policy.lifetime:
            longest = max(longest, policy.reach)
    return longest


def _policy(
    spec: Catalog,
    name: str,
    policy: ContactPolicy,
    treatments: Iterable[Treatment],
    program_at: ProgramAt,
    reads_at: ReadsAt,
) -> Policy:
    given = {label: getattr(policy.scope, label) for label in LABELS}
    covered = _covered(policy.scope, treatments)
    obeying = [each for each in covered if spec.actions[each.action].obeys_caps]
    own = policy.customer_limit and f"contact_policies.{name}.customer_limit"
    return Policy(
        name=name,
        limit=1 if policy.limit is None else policy.limit,
        window=_window(policy),
        scope={label: frozenset(values) for label, values in given.items() if values is not None},
        blocks=mask_of(obeying),
        per=_per(policy, obeying),
        calendar=_calendar(spec, policy),
        after=_after(policy),
        counted=mask_of(each for each in covered if each.counts_toward_caps),
        counting=policy.counts or "",
        customers=program_at(own) if own else None,
        reads=reads_at(own) if own else frozenset(),
    )


def _window(policy: ContactPolicy) -> int:
    """In microseconds; of a policy that pauses, the pause."""
    span = policy.rolling or policy.pause
    if span is not None:
        return span // _MICROSECOND
    return LIFETIME if policy.calendar is None else LONGEST[policy.calendar]


def _calendar(spec: Catalog, policy: ContactPolicy) -> Calendar | None:
    if policy.calendar is None:
        return None
    zone = policy.timezone or spec.timezone
    return Calendar(policy.calendar, None if zone == CUSTOMERS else zone_named(zone))


def _after(policy: ContactPolicy) -> After | None:
    after = policy.after
    if after is None:
        return None
    window = 1 if after.rolling is None else after.rolling // _MICROSECOND
    return After(after.outcome, after.times, window, after.without or "")


def _per(policy: ContactPolicy, obeying: Iterable[Treatment]) -> Per | None:
    if not policy.per:
        return None
    blocks: dict[Values, int] = {}
    for treatment in obeying:
        values = tuple(treatment.labels[label] for label in policy.labels)
        blocks[values] = blocks.get(values, 0) | 1 << treatment.bit
    return Per(policy.labels, tuple(source for _, source in policy.expressions()), blocks)


def _budget(spec: Catalog, name: str, budget: Budget, treatments: Iterable[Treatment]) -> BudgetPlan:
    zone = zone_named(budget.timezone or spec.timezone)
    calendar = None if budget.calendar is None else Calendar(budget.calendar, zone)
    return BudgetPlan(name, budget.limit, mask_of(_covered(budget.scope, treatments)), calendar)


def _covered(scope: Scope, treatments: Iterable[Treatment]) -> list[Treatment]:
    return [each for each in treatments if scope.covers(each.direction, each.channel, each.group or None, each.action)]
