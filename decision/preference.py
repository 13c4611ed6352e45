"""Preference: of an action that is open on several channels, the treatment on the one the customer prefers. Pure."""

from catalog.plan import Plan
from rules.errors import EvaluationError
from rules.programs import Frame


def preferred(plan: Plan, frame: Frame) -> tuple[int, ...]:
    """The treatments on each channel that the customer prefers, most preferred first; a name of no channel is passed
    over.
    """
    if plan.preferred is None:
        return ()
    try:
        value = plan.preferred(frame)
    except EvaluationError:
        return ()
    names = value if isinstance(value, list) else [value]
    return tuple(plan.channels[name].mask for name in dict.fromkeys(names) if name in plan.channels)


def unrivalled(plan: Plan, treatments: int, channels: tuple[int, ...]) -> int:
    """Of `treatments` those that no other of the same action outdoes, by being on a channel preferred to theirs."""
    for channel in channels:
        on_it = treatments & channel
        if on_it:
            treatments &= on_it | ~plan.treatments_of(plan.actions_of(on_it))
    return treatments
