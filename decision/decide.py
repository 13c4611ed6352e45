"""One decision, as a pure function of the catalog's plan, the request, the customer, the time and a seed.

This is what is run again, on fresh state, when a commit finds that the customer has moved on, and what replay runs
years later.
"""

from dataclasses import dataclass
from typing import Any

from catalog.plan import Plan, Treatment
from decision.arbitration import Arbiter, Chosen, draws, in_control
from decision.content import render
from decision.gates import Candidates, address, pass_gates
from decision.policy import Allowance, counted_times
from decision.reasons import EMPTIED_BY, Gate, Reason, Status
from decision.request import Ask, Slot
from features.customer import Customer, moment
from rules.programs import Frame
from rules.types import fits


@dataclass(slots=True)
class View:
    """A customer as one plan sees them: the attributes that fit the declared types, the contacts each policy counts."""

    customer: Customer
    attributes: dict[str, Any]
    counted: tuple[list[int], ...]


def view_of(plan: Plan, customer: Customer, before: View | None = None) -> View:
    """A stored attribute that no longer fits its declared type is treated as missing.

    `before` may be the view, under the same plan, of the customer that `customer` came from by adding contacts: what
    has not changed since is taken from it.
    """
    if before is not None and before.customer.attributes is customer.attributes:
        known, labels = before.customer.log, before.customer.labels
        if customer.log[: len(known)] == known and customer.labels[: len(labels)] == labels:
            added = counted_times(plan, customer.labels, customer.log[len(known) :])
            counted = tuple(old + new if new else old for old, new in zip(before.counted, added, strict=True))
            return View(customer, before.attributes, counted)
    kinds = plan.customer_types
    attributes = {
        name: value for name, value in customer.attributes.items() if name in kinds and fits(kinds[name], value)
    }
    return View(customer, attributes, counted_times(plan, customer.labels, customer.log))


@dataclass(slots=True)
class Pick:
    """One action of the answer; `chosen` is None for a fallback, which nothing counts."""

    treatment: Treatment
    placement: str | None
    content: dict[str, Any]
    chosen: Chosen | None
    address: str | None


@dataclass(slots=True)
class Decision:
    """`picks` as answered; `withheld` is what a customer of the control group would have got instead.

    `removed` counts the treatments each gate took out; `left` is what each contact policy allowed before this answer.
    """

    status: Status
    reason: Reason
    picks: tuple[Pick, ...]
    withheld: tuple[Pick, ...]
    removed: dict[Gate, int]
    left: tuple[int, ...]
    now: int
    seed: int

    @property
    def granted(self) -> tuple[Pick, ...]:
        """The picks that contact the customer: all but fallbacks."""
        return tuple(pick for pick in self.picks if pick.chosen is not None)

    @property
    def valid_until(self) -> int | None:
        """When the answer expires, in microseconds since 1970 UTC; None where nothing limits it."""
        spans = (pick.treatment.valid_for for pick in self.picks)
        shortest = min((span for span in spans if span is not None), default=None)
        return None if shortest is None else self.now + shortest


def decide(plan: Plan, ask: Ask, view: View, now: int, seed: int) -> Decision:
    """`now` in microseconds since 1970 UTC; `seed` (64 bits) is where exploration draws from."""
    wanted = 0
    for slot in ask.slots:
        wanted |= slot.mask
    frame = plan.frame(view.attributes, ask.context, moment(now))
    candidates = pass_gates(plan, wanted, view.customer, frame, now)
    allowance = Allowance(plan, view.counted, now)
    run = _Run(plan, ask, frame, allowance, seed)
    withheld: tuple[Pick, ...] = ()
    control = plan.control
    if (
        control is not None
        and candidates.alive & control.withheld
        and in_control(ask.customer_id, control.salt, control.share)
    ):
        withheld = run.fill(Candidates(candidates.alive))
        if withheld:  # else there is nothing to hold back, and nothing for anybody
            candidates.alive &= ~control.withheld
    picks = run.fill(candidates)
    status, reason = _verdict(plan, wanted, candidates, picks, withheld)
    picks += _fallbacks(plan, ask, picks, frame)
    if picks and status is Status.NOTHING:
        status = Status.FALLBACK
    return Decision(status, reason, picks, withheld, candidates.removed, tuple(allowance.left), now, seed)


def fallback_only(plan: Plan, ask: Ask, now: int) -> Decision:
    """The answer when nothing can be relied on: declared fallbacks, rendered without the customer, or nothing."""
    frame = plan.frame({}, ask.context, moment(now))
    picks = _fallbacks(plan, ask, (), frame)
    return Decision(Status.FALLBACK if picks else Status.NOTHING, Reason.DEGRADED, picks, (), {}, (), now, 0)


class _Run:
    """The filling of an answer's slots; run twice for a customer of the control group, with the same draws."""

    def __init__(self, plan: Plan, ask: Ask, frame: Frame, allowance: Allowance, seed: int) -> None:
        self._plan = plan
        self._ask = ask
        self._frame = frame
        self._allowance = allowance
        self._seed = seed

    def fill(self, candidates: Candidates) -> tuple[Pick, ...]:
        if not candidates.alive:
            return ()
        plan = self._plan
        allowance = self._allowance.copy()
        candidates.keep(Gate.CONTACT_POLICY, ~allowance.blocked())
        arbiter = Arbiter(plan, self._frame, draws(self._seed))
        picks: list[Pick] = []
        open_to = candidates.alive
        for slot in self._ask.slots:
            for _ in range(slot.limit):
                pick = self._next(slot, open_to, arbiter, candidates)
                if pick is None:
                    break
                picks.append(pick)
                allowance.take(pick.treatment)
                same_action = plan.treatments_of(1 << (pick.treatment.bit % plan.width))
                open_to = candidates.alive & open_to & ~same_action & ~allowance.blocked()
        return tuple(picks)

    def _next(self, slot: Slot, open_to: int, arbiter: Arbiter, candidates: Candidates) -> Pick | None:
        """The slot's next winner: the best whose content can be rendered, or what exploration draws instead.

        When the one drawn can't be rendered the slot stays empty. Drawing again would make every logged probability
        depend on how many others can be rendered, which nobody knows without rendering them all.
        """
        mask = slot.mask & open_to & candidates.alive
        if not mask:
            return None
        count, drawn = mask.bit_count(), arbiter.explore(mask)
        content = None if drawn is None else self._content(drawn, candidates)
        if drawn is not None and content is None:
            return None
        best, best_content = self._best(mask, arbiter, candidates)
        if drawn is None:
            drawn, content = best, best_content
        if drawn is None or best is None or content is None:
            return None
        treatment = self._plan.treatment(drawn)
        program = self._plan.channels[treatment.channel].address
        reached = address(program, self._frame) if program is not None else None
        return Pick(treatment, slot.placement, content, arbiter.chosen(drawn, best, count), reached)

    def _best(
        self, mask: int, arbiter: Arbiter, candidates: Candidates
    ) -> tuple[int, dict[str, Any]] | tuple[None, None]:
        while mask:
            best = arbiter.best(mask)
            content = self._content(best, candidates)
            if content is not None:
                return best, content
            mask &= ~(1 << best)
        return None, None

    def _content(self, bit: int, candidates: Candidates) -> dict[str, Any] | None:
        """The treatment's content; one without is taken out of the candidates."""
        content = render(self._plan, self._plan.treatment(bit), self._frame)
        if content is None:
            candidates.keep(Gate.CONTENT, ~(1 << bit))
        return content


def _verdict(
    plan: Plan, wanted: int, candidates: Candidates, picks: tuple[Pick, ...], withheld: tuple[Pick, ...]
) -> tuple[Status, Reason]:
    if picks:
        explored = any(pick.chosen is not None and pick.chosen.explored for pick in picks)
        return Status.DECIDED, Reason.EXPLORED if explored else Reason.RANKED
    if withheld:
        return Status.CONTROL, Reason.CONTROL_GROUP
    if not wanted & plan.declared:
        return Status.NOTHING, Reason.NO_TREATMENT
    # With candidates left over, it was exploration that drew one whose content can't be rendered.
    return Status.NOTHING, EMPTIED_BY[candidates.emptied_by or Gate.CONTENT]


def _fallbacks(plan: Plan, ask: Ask, picks: tuple[Pick, ...], frame: Frame) -> tuple[Pick, ...]:
    """The declared fallbacks of the placements asked for and left empty."""
    filled = {pick.placement for pick in picks}
    used = {pick.treatment.action for pick in picks}
    found: list[Pick] = []
    for slot in ask.slots:
        treatment = plan.fallback.get(slot.placement) if slot.placement is not None else None
        if treatment is None or slot.placement in filled or treatment.action in used:
            continue
        if treatment.channel not in ask.channels:
            continue
        content = render(plan, treatment, frame)
        if content is not None:
            found.append(Pick(treatment, slot.placement, content, None, None))
            used.add(treatment.action)
    return tuple(found)
