"""One decision, as a pure function of the catalog's plan, the request, the customer, the time and a seed.

This is what is run again, on fresh state, when a commit finds that the customer has moved on, and what replay runs
years later.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_
from typing import Any, NamedTuple

from catalog.plan import Plan, Treatment
from decision.arbitration import NOTHING_SCORED, Arbiter, Chosen, draws, in_control, never
from decision.budgets import ENOUGH, Left, Purse
from decision.content import render
from decision.gates import Candidates, address, pass_gates
from decision.held_back import HeldBack, held_back
from decision.policy import Allowance, keys_of, limits_of
from decision.preference import preferred, unrivalled
from decision.pressure import Pressure
from decision.reasons import EMPTIED_BY, Degradation, Gate, Reason, Status
from decision.request import Ask, Slot
from decision.time_budget import Fits, Usual, what_fits
from decision.view import View
from features.customer import moment
from models.scoring import Scored, unasked
from rules.programs import Frame

Score = Callable[[int, Frame], Scored]
NOTHING = Scored()


class InForce(NamedTuple):
    """What decisions are made by: a plan, how to ask its models, and how long that usually takes."""

    plan: Plan
    score: Score
    usual: Usual

    def score_in(self, left: float, now: float, lost: int = 0) -> Score:
        """How to ask the models with `left` seconds left and so many tries lost, or not to ask them. `now` is by the
        clock that their runs are measured with.
        """
        if what_fits(left, self.usual.at(now), lost) is Fits.ALL:
            return self.score
        return partial(unasked, self.plan)


@dataclass(slots=True)
class Pick:
    """One action of the answer; `chosen` is None for a fallback, which nothing counts. `not_before` is when quiet hours
    are over until which it is held, in microseconds since 1970 UTC; None where nothing holds it.
    """

    treatment: Treatment
    placement: str | None
    content: dict[str, Any]
    chosen: Chosen | None
    address: str | None
    not_before: int | None = None


@dataclass(slots=True)
class Decision:
    """`picks` as answered, of which `granted` contact the customer: all but fallbacks.

    `withheld` is what a customer of the control group would have got instead; `removed` counts the treatments each gate
    took out; `left` is what each contact policy allowed before this answer, of a policy with many counters the least of
    those that the treatments asked for have. `keys` holds the values by which contact policies tell this answer's
    contacts from others; `scored` is what the models said; `budgets` what was known to be left of budgets. `pressure`
    has, by the number of each contact policy that made the answer another, the priority lost to it; `held_back` says,
    where nothing was granted, by what; `missed` whether a model gave nothing for what was not held back.
    """

    status: Status
    reason: Reason
    picks: tuple[Pick, ...]
    granted: tuple[Pick, ...]
    withheld: tuple[Pick, ...]
    removed: Mapping[str, int]
    left: tuple[int, ...]
    now: int
    seed: int
    keys: dict[str, str]
    scored: Scored
    budgets: Left
    pressure: Mapping[int, float]
    held_back: HeldBack | None
    missed: bool

    @property
    def degraded(self) -> tuple[Degradation, ...]:
        return (Degradation.MODEL,) if self.missed else ()

    @property
    def valid_until(self) -> int | None:
        """When the answer expires, in microseconds since 1970 UTC; None where nothing limits it."""
        spans = (pick.treatment.valid_for for pick in self.picks)
        shortest = min((span for span in spans if span is not None), default=None)
        return None if shortest is None else self.now + shortest


def no_scores(candidates: int, frame: Frame) -> Scored:
    """Where no model is at hand: what models score is then not considered."""
    return Scored()


def decide(
    plan: Plan, ask: Ask, view: View, now: int, seed: int, score: Score = no_scores, budgets: Left = ENOUGH
) -> Decision:
    """`now` in microseconds since 1970 UTC; `seed` (64 bits) is where exploration draws from; `score` asks the models
    for the propensities of candidates, given as a mask; `budgets` says what is left of those of which that is known.
    """
    shape = ask.shape
    wanted = shape.wanted
    view = view.at(now)
    frame = plan.frame(view.attributes, ask.context, moment(now), view.history)
    candidates = pass_gates(plan, shape, view, frame, now)
    keys = keys_of(plan, frame)
    limits = limits_of(plan, frame, view.unfit) if plan.customer_limits else plan.limits
    allowance = Allowance(plan, view.counted, keys, now, frame.zone, view.responded, view.holds, limits)
    left = allowance.least(wanted)
    purse = Purse(plan.budgets, budgets) if budgets else None
    run = _Run(plan, ask, frame, seed, score)
    withheld: tuple[Pick, ...] = ()
    control = plan.control
    if (
        control is not None
        and candidates.alive & control.withheld
        and in_control(ask.customer_id, control.salt, control.share)
    ):
        held = Candidates(candidates.alive, held=candidates.held)
        withheld = run.fill(held, allowance.copy(), purse and purse.copy())
        if withheld:  # else there is nothing to hold back, and nothing for anybody
            candidates.alive &= ~control.withheld
    pressure = Pressure()
    granted = run.fill(candidates, allowance, purse, pressure)
    status, reason = _verdict(plan, wanted, candidates, granted, withheld)
    picks = granted + _fallbacks(plan, ask, granted, frame)
    if picks and status is Status.NOTHING:
        status = Status.FALLBACK
    scored = run.scored or NOTHING
    told = None
    if not granted and not withheld:
        spent = purse.spent() if purse is not None else ()
        told = held_back(plan, candidates, view, frame, now, spent, keys, limits)
    removed, lost = candidates.removed, pressure.lost
    return Decision(
        status,
        reason,
        picks,
        granted,
        withheld,
        removed,
        left,
        now,
        seed,
        keys,
        scored,
        budgets,
        lost,
        told,
        run.missed,
    )


def fallback_only(plan: Plan, ask: Ask, now: int) -> Decision:
    """The answer when nothing can be relied on: declared fallbacks, rendered without the customer, or nothing."""
    frame = plan.frame({}, ask.context, moment(now))
    picks = _fallbacks(plan, ask, (), frame)
    status = Status.FALLBACK if picks else Status.NOTHING
    return Decision(status, Reason.DEGRADED, picks, (), (), {}, (), now, 0, {}, NOTHING, ENOUGH, {}, None, False)


class _Run:
    """The filling of an answer's slots; run twice for a customer of the control group, with the same draws."""

    def __init__(self, plan: Plan, ask: Ask, frame: Frame, seed: int, score: Score) -> None:
        self._plan = plan
        self._ask = ask
        self._frame = frame
        self._seed = seed
        self._score = score
        self._preferred = preferred(plan, frame) if plan.preferred is not None else ()
        self.scored: Scored | None = None
        self.missed = False  # a propensity, of what is not held back

    def fill(
        self, candidates: Candidates, allowance: Allowance, purse: Purse | None, pressure: Pressure | None = None
    ) -> tuple[Pick, ...]:
        """The picks are taken from `allowance` and `purse`; `pressure` is told what policies change."""
        if not candidates.alive:
            return ()
        plan, slots = self._plan, self._ask.shape.slots
        blocked = allowance.blocked()
        held = candidates.alive & blocked
        if held:
            candidates.keep(Gate.CONTACT_POLICY, ~blocked)
        if purse is not None:
            candidates.keep(Gate.BUDGET, ~purse.blocked())
            held &= ~purse.blocked()
        propensities = NOTHING_SCORED
        if plan.scored:
            propensities = self._propensities(candidates, held)
            held &= ~self._unscored(held, propensities)
        draw = draws(self._seed) if plan.exploration_rate else never
        arbiter = Arbiter(plan, self._frame, draw, propensities)
        picks: list[Pick] = []
        open_to = candidates.alive
        for place, slot in enumerate(slots, 1):
            if held & slot.mask and pressure is not None:
                best_of = partial(self._foreseen, arbiter)
                pressure.weigh(best_of, held & slot.mask, open_to & slot.mask, allowance.holding)
            for taken in range(1, slot.limit + 1):
                pick = self._next(slot, open_to, arbiter, candidates)
                if pick is None:
                    break
                picks.append(pick)
                if taken == slot.limit and place == len(slots):
                    break  # nothing is left to be filled
                allowance.take(pick.treatment)
                same_action = plan.treatments_of(1 << (pick.treatment.bit % plan.width))
                open_to = candidates.alive & open_to & ~same_action & ~allowance.blocked()
                held &= ~same_action
                if purse is not None:
                    purse.take(pick.treatment)
                    open_to &= ~purse.blocked()
        return tuple(picks)

    def _propensities(self, candidates: Candidates, held: int) -> Mapping[int, float]:
        """What the models give, once for both runs: the second has no other candidates than the first. What policies
        hold back is scored too, as what is lost to them would not be known otherwise.
        """
        asked = (candidates.alive | held) & reduce(or_, self._plan.scored.values())
        if self.scored is None:
            self.scored = self._score(asked, self._frame) if asked else NOTHING
        found = self.scored.propensities
        missing = candidates.alive & asked & ~sum(1 << bit for bit in found)
        if missing:
            candidates.keep(Gate.MODEL, ~missing)
            self.missed = True
        among = candidates.alive | held
        return {bit: propensity for bit, propensity in found.items() if among >> bit & 1}

    def _unscored(self, held: int, propensities: Mapping[int, float]) -> int:
        return held & reduce(or_, self._plan.scored.values()) & ~sum(1 << bit for bit in propensities)

    def _next(self, slot: Slot, open_to: int, arbiter: Arbiter, candidates: Candidates) -> Pick | None:
        """The slot's next winner: the best whose content can be rendered, or what exploration draws instead.

        When the one drawn can't be rendered the slot stays empty. Drawing again would make every logged probability
        depend on how many others can be rendered, which nobody knows without rendering them all. What yields to a
        channel preferred is never drawn, but may be the best where what it yielded to can't be rendered.
        """
        mask = slot.mask & open_to & candidates.alive
        if not mask:
            return None
        among = self._unrivalled(mask)
        count, drawn = among.bit_count(), arbiter.explore(among)
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
        chosen = arbiter.chosen(drawn, best, count, bool(among >> drawn & 1))
        if not candidates.held:
            return Pick(treatment, slot.placement, content, chosen, reached)
        over = next((over for mask, over in candidates.held if mask >> drawn & 1), None)
        return Pick(treatment, slot.placement, content, chosen, reached, over)

    def _foreseen(self, arbiter: Arbiter, mask: int) -> tuple[int, float]:
        """The best of `mask` if it can be rendered, and its priority."""
        best = arbiter.best(self._unrivalled(mask))
        return best, arbiter.priority(best)

    def _unrivalled(self, mask: int) -> int:
        return unrivalled(self._plan, mask, self._preferred) if self._preferred else mask

    def _best(
        self, mask: int, arbiter: Arbiter, candidates: Candidates
    ) -> tuple[int, dict[str, Any]] | tuple[None, None]:
        while mask:
            best = arbiter.best(self._unrivalled(mask))
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
    if not plan.fallback:
        return ()
    filled = {pick.placement for pick in picks}
    used = {pick.treatment.action for pick in picks}
    found: list[Pick] = []
    for slot in ask.shape.slots:
        treatment = plan.fallback.get(slot.placement) if slot.placement is not None else None
        if treatment is None or slot.placement in filled or treatment.action in used:
            continue
        if treatment.channel not in ask.shape.channels:
            continue
        content = render(plan, treatment, frame)
        if content is not None:
            found.append(Pick(treatment, slot.placement, content, None, None))
            used.add(treatment.action)
    return tuple(found)
