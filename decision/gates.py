"""The gates: each takes treatments out of the candidates, by AND with a mask.

What each gate left is kept, so that an explanation needs nothing but these masks. A treatment counts as taken out by
the first gate that it fails; later gates are not asked about it.
"""

from dataclasses import dataclass, field

from catalog.plan import Plan
from decision.quiet import quiet_until
from decision.reasons import Gate
from decision.request import Shape
from decision.view import View
from rules.errors import EvaluationError
from rules.programs import Frame, Program


@dataclass(slots=True)
class Candidates:
    """The treatments still alive, and those that each gate took out, as bits. `held` are those that would be sent
    later, each mask with the moment: when quiet hours are over.
    """

    alive: int
    taken: dict[Gate, int] = field(default_factory=dict)
    emptied_by: Gate | None = None
    held: tuple[tuple[int, int], ...] = ()

    def keep(self, gate: Gate, mask: int) -> None:
        before, self.alive = self.alive, self.alive & mask
        if self.alive != before:
            self.taken[gate] = self.taken.get(gate, 0) | (before ^ self.alive)
            if not self.alive:
                self.emptied_by = gate

    @property
    def removed(self) -> dict[str, int]:
        """How many each gate took out."""
        return {gate: mask.bit_count() for gate, mask in self.taken.items()}


def pass_gates(plan: Plan, shape: Shape, view: View, frame: Frame, now: int) -> Candidates:
    """From the treatments wanted to those that all gates but contact policy and budgets, the last, let through."""
    wanted = shape.wanted
    candidates = Candidates(wanted)
    candidates.keep(Gate.DATES, plan.in_dates(now))
    actions = shape.actions if candidates.alive == wanted else plan.actions_of(candidates.alive)
    for gate, index in (
        (Gate.ELIGIBLE, plan.eligible),
        (Gate.APPLICABLE, plan.applicable),
        (Gate.SUITABLE, plan.suitable),
    ):
        if not candidates.alive:
            return candidates
        if index.unconditional:
            continue
        actions = index.match(frame, actions, view.rows(index))
        candidates.keep(gate, plan.treatments_of(actions))
    for program, mask in shape.addresses:
        if candidates.alive & mask and address(program, frame) is None:
            candidates.keep(Gate.REACHABLE, ~mask)
    for purpose, mask in shape.consents:
        if candidates.alive & mask:
            consent = view.customer.consents.get(purpose)
            if consent is None or not consent.granted:  # absent means no
                candidates.keep(Gate.CONSENT, ~mask)
    # Texts with logic in them only tell when rendered.
    for owner, name, mask in shape.needs:
        if candidates.alive & mask and not _known(plan, owner, name, frame):
            candidates.keep(Gate.CONTENT, ~mask)
    if plan.quiet and candidates.alive:
        _keep_quiet(plan, candidates, frame, now)
    return candidates


def _keep_quiet(plan: Plan, candidates: Candidates, frame: Frame, now: int) -> None:
    """Takes out what may not be sent in quiet hours, or would be too late once they are over; whoever has no clock that
    we know of might be woken by anything.
    """
    clock = plan.clock_of(frame)
    for hours in plan.quiet:
        if not candidates.alive & hours.mask:
            continue
        over = None if clock is None else quiet_until(hours, clock, now)
        if clock is None or (over is not None and not hours.hold):
            candidates.keep(Gate.QUIET_HOURS, ~hours.mask)
        elif over is not None:
            for span, mask in hours.spans:
                if over - now >= span:
                    candidates.keep(Gate.QUIET_HOURS, ~mask)
            candidates.held += ((hours.mask, over),)


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


def address(program: Program, frame: Frame) -> str | None:
    """Where the customer is reached, None when that is unknown."""
    try:
        value = program(frame)
    except EvaluationError:
        return None
    return value if isinstance(value, str) and value else None
