"""The gates: each takes treatments out of the candidates, by AND with a mask.

What each gate left is kept, so that an explanation needs nothing but these masks. A treatment counts as taken out by
the first gate that it fails; later gates are not asked about it.
"""

from dataclasses import dataclass, field

from catalog.plan import Plan
from decision.reasons import Gate
from features.customer import Customer
from rules.errors import EvaluationError
from rules.programs import Frame, Program


@dataclass(slots=True)
class Candidates:
    """The treatments still alive, and how many each gate took out."""

    alive: int
    removed: dict[Gate, int] = field(default_factory=dict)
    emptied_by: Gate | None = None

    def keep(self, gate: Gate, mask: int) -> None:
        before, self.alive = self.alive, self.alive & mask
        if self.alive != before:
            self.removed[gate] = self.removed.get(gate, 0) + (before ^ self.alive).bit_count()
            if not self.alive:
                self.emptied_by = gate


def pass_gates(plan: Plan, wanted: int, customer: Customer, frame: Frame, now: int) -> Candidates:
    """From the treatments `wanted` to those that all gates but contact policy, which comes last, let through."""
    candidates = Candidates(wanted)
    candidates.keep(Gate.DATES, plan.treatments_of(plan.schedule.at(now)))
    for gate, index in (
        (Gate.ELIGIBLE, plan.eligible),
        (Gate.APPLICABLE, plan.applicable),
        (Gate.SUITABLE, plan.suitable),
    ):
        if not candidates.alive:
            return candidates
        matched = index.match(frame, plan.actions_of(candidates.alive))
        candidates.keep(gate, plan.treatments_of(matched))
    candidates.keep(Gate.REACHABLE, ~_unreachable(plan, candidates.alive, frame))
    candidates.keep(Gate.CONSENT, ~_unconsented(plan, customer))
    candidates.keep(Gate.CONTENT, ~_incomplete(plan, candidates.alive, frame))
    return candidates


def _incomplete(plan: Plan, alive: int, frame: Frame) -> int:
    """Treatments whose texts name something that is missing. Texts with logic in them only tell when rendered."""
    mask = 0
    for (owner, name), treatments in plan.needs.items():
        if alive & treatments and not _known(plan, owner, name, frame):
            mask |= treatments
    return mask


def _known(plan: Plan, owner: str, name: str, frame: Frame) -> bool:
    if owner == "context":
        return name in frame.context
    derived = plan.derived.get(name)
    if derived is None:
        return name in frame.customer
    try:
        derived(frame)
    except EvaluationError:
        return False
    return True


def _unreachable(plan: Plan, alive: int, frame: Frame) -> int:
    mask = 0
    for channel in plan.channels.values():
        if channel.address is not None and alive & channel.mask and address(channel.address, frame) is None:
            mask |= channel.mask
    return mask


def address(program: Program, frame: Frame) -> str | None:
    """Where the customer is reached, None when that is unknown."""
    try:
        value = program(frame)
    except EvaluationError:
        return None
    return value if isinstance(value, str) and value else None


def _unconsented(plan: Plan, customer: Customer) -> int:
    """Absent means no."""
    mask = 0
    for purpose, treatments in plan.consent_masks.items():
        consent = customer.consents.get(purpose)
        if consent is None or not consent.granted:
            mask |= treatments
    return mask
