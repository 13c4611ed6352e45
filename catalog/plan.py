"""The plan: a catalog compiled into what a decision needs, so that deciding is masks, one vector and a template.

Everything that can be looked up, parsed or multiplied in advance is, here, once per load. A *treatment* (an action on a
channel) is a bit: number `channel * width + action`, in the catalog's order, `width` being the number of actions. So
the treatments of a set of actions are its mask repeated per channel, a channel or a placement is a mask, and an empty
slot in the grid (an action without that channel) is a bit that `declared` lacks.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from catalog.limits import LIFETIME_MS, BudgetPlan, Counting, Policy
from catalog.models import ModelFile
from catalog.series import Aggregates
from catalog.templates import Content
from rules.history import History
from rules.index import Index
from rules.masks import folded, repeated
from rules.programs import Frame, Program
from rules.types import AttributeType, valid_zone

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Treatment:
    """One action on one channel. `purpose` None means that no consent is asked.

    `valid_for` is how long an answer with it stands, in microseconds; None where nothing limits it. `keys` are the
    expressions, as text, by which policies tell its contacts apart; without `counts_toward_caps` no limit counts them.
    """

    bit: int
    id: str
    action: str
    channel: str
    group: str
    direction: str
    purpose: str | None
    placements: frozenset[str]
    valid_for: int | None
    content: Content
    keys: tuple[str, ...]
    counts_toward_caps: bool

    @property
    def labels(self) -> dict[str, str]:
        """What contact policies tell it apart by."""
        return {
            "direction": self.direction,
            "channel": self.channel,
            "group": self.group,
            "action": self.action,
            "treatment": self.id,
        }


def mask_of(treatments: Iterable[Treatment]) -> int:
    """Their bits."""
    return sum(1 << treatment.bit for treatment in treatments)


class Asked(NamedTuple):
    """What rules ask about the contacts with an action: whether there was one `within` so many microseconds, and
    whether any had one of these `responses`, by kind.
    """

    within: int
    responses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which actions are within their dates: `masks[i]` holds from `starts[i - 1]` (microseconds) until `starts[i]`."""

    starts: tuple[int, ...]
    masks: tuple[int, ...]

    def at(self, now: int) -> int:
        return self.masks[bisect_right(self.starts, now)]


@dataclass(frozen=True, slots=True)
class Weights:
    """Each action's context weight, as a vector and as a list.

    `mask` is of the treatments whose weight isn't 1; `ranking` has these with the priority they have under it, highest
    first, of equal ones in the order of their bits.
    """

    vector: Vector
    listed: list[float]
    mask: int
    ranking: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class ContextWeights:
    """Percents added to an action's context weight while a rule holds: rule i adds `percents[i]` to `actions[i]`.

    `known` remembers what the rules that held, as a mask, added up to.
    """

    index: Index
    actions: NDArray[np.intp]
    percents: Vector
    known: dict[int, Weights] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """`share` of customers, by hash of id and salt, get none of the treatments in `withheld`."""

    share: float
    salt: str
    withheld: int


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Quiet hours of a channel: from `start` to `end`, microseconds into a day of 24 hours, across midnight where `end`
    is the smaller. `mask` is of the treatments that obey them. With `hold` what is decided then is sent when they are
    over; `spans` are then how long its treatments stand, in microseconds, each with the mask of those that do.
    """

    start: int
    end: int
    mask: int
    hold: bool
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """`mask` of its treatments; `address` computes where an outbound one reaches the customer, and `asks_context` says
    whether that takes the request's context; `quiet` are its quiet hours, None where it has none that anything obeys;
    `placements` are the spots that an inbound one has.
    """

    name: str
    direction: str
    mask: int
    address: Program | None
    asks_context: bool = False
    quiet: QuietHours | None = None
    placements: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One part of a score: `program` computes its value; where that fails, `missing` counts."""

    name: str
    weight: float
    missing: float
    program: Program


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """A score as it is explained. `bands` are names, each with the score it begins at, ascending from 0; or none."""

    parts: tuple[PartPlan, ...]
    bands: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled catalog. Vectors have one element per bit of the treatment grid.

    `needs` maps (`customer` or `context`, attribute) to the treatments whose texts can't do without it.
    `limits` are those of the policies, `customer_limits` the numbers of those that customers may have lowered.
    `keys` computes, by its text, each expression that tells the counters of a policy apart; `history` is for how long
    after it was made any contact matters to policies that aren't for a lifetime, confirmed late or not, and to rules
    that ask about contacts, in microseconds; `reach` is the longest window of the former, with what `after` adds;
    `pausing` says whether any policy has an `after`; `asking` has, by name, the actions whose contacts rules ask about.
    `factors` holds propensity, value and lever once more, as Python floats; `ranking` the declared treatments with the
    priority they have without context weights, highest first, of equal ones in the order of their bits. `scored` maps a
    model to the treatments whose propensity it gives; in `propensity`, `factors` and `ranking` these have 1, the most
    it can be. `derived` computes every attribute that is computed, scores and segments with them; `derived_types` are
    CEL's names of their types. `segments` and `scores` say, in order, what those two consist of. `aggregates` stand
    among the customer's attributes in frames, though nobody may write them. `names_zone` says whether the catalog
    declares `zone` itself; `quiet` are the quiet hours of all channels; `preferred` computes the name of the channel
    that a customer prefers, or a list.
    """

    digest: str
    name: str
    zone: tzinfo
    customer_types: Mapping[str, AttributeType]
    context_types: Mapping[str, AttributeType]
    purposes: tuple[str, ...]
    derived: Mapping[str, Program]
    derived_types: Mapping[str, str]
    width: int
    declared: int
    treatments: tuple[Treatment | None, ...]
    channels: Mapping[str, Channel]
    placements: Mapping[str, int]
    schedule: Schedule
    eligible: Index
    applicable: Index
    suitable: Index
    consent_masks: Mapping[str, int]
    needs: Mapping[tuple[str, str], int]
    policies: tuple[Policy, ...]
    policy_names: tuple[str, ...]
    budgets: tuple[BudgetPlan, ...]
    limits: tuple[int, ...]
    customer_limits: tuple[int, ...]
    keys: Mapping[str, Program]
    history: int
    reach: int
    pausing: bool
    asking: Mapping[str, Asked]
    propensity: Vector
    value: Vector
    lever: Vector
    factors: tuple[tuple[float, float, float], ...]
    ranking: tuple[tuple[int, float], ...]
    use_propensity: bool
    use_value: bool
    use_lever: bool
    context_weights: ContextWeights | None
    exploration_rate: float
    control: ControlGroup | None
    preferred: Program | None
    fallback: Mapping[str, Treatment]
    models: Mapping[str, ModelFile]
    scored: Mapping[str, int]
    aggregates: Aggregates
    segments: Mapping[str, Program]
    scores: Mapping[str, ScorePlan]
    names_zone: bool
    quiet: tuple[QuietHours, ...]
    counting: dict[object, tuple[Counting, ...]] = field(default_factory=dict)  # memory of decision.counters
    reaches: dict[object, int] = field(default_factory=dict)  # likewise
    shapes: dict[object, Any] = field(default_factory=dict)  # memory of decision.request
    dated: dict[int, int] = field(default_factory=dict)  # treatments of each mask in the schedule

    @property
    def lifetime_ms(self) -> int:
        """How long the last contact or event of somebody unknown may count, with a day to spare, in milliseconds.

        Aggregates that are for ever don't make an unknown visitor stay for ever.
        """
        if any(policy.lifetime and policy.counted & self.unasked for policy in self.policies):
            return LIFETIME_MS
        counted = max(self.history, self.reach, *(series.horizon for series in self.aggregates.series), 0)
        return counted // 1000 + 24 * 3600 * 1000

    @property
    def unasked(self) -> int:
        """The treatments that need no consent, and so may reach somebody of whom nothing is known."""
        return self.declared & ~sum(self.consent_masks.values())

    def in_dates(self, now: int) -> int:
        """The treatments of actions that are within their dates at `now`, as bits."""
        actions = self.schedule.at(now)
        known = self.dated.get(actions)
        if known is None:
            known = self.dated[actions] = self.treatments_of(actions)
        return known

    def treatment(self, bit: int) -> Treatment:
        found = self.treatments[bit]
        if found is None:
            raise LookupError(f"no treatment is declared for bit {bit}")
        return found

    def actions_of(self, treatments: int) -> int:
        """The actions that have at least one of `treatments`, as bits."""
        return folded(treatments, self.width)

    def treatments_of(self, actions: int) -> int:
        """The grid's places of `actions`, on every channel, as bits."""
        return repeated(actions, self.width, len(self.channels))

    def frame(
        self, attributes: dict[str, Any], context: dict[str, Any], now: datetime, history: History | None = None
    ) -> Frame:
        """What rules and templates see; the zone is the customer's if they have one, else the catalog's."""
        return Frame(attributes, context, now, customer_zone(attributes, self.zone), history)

    def clock_of(self, frame: Frame) -> tzinfo | None:
        """By whose clock quiet hours go: the customer's, or what the catalog itself declares; None in doubt."""
        return frame.zone if self.names_zone or "timezone" in frame.customer else None


def customer_zone(attributes: Mapping[str, Any], otherwise: tzinfo) -> tzinfo | None:
    """The customer's declared zone; None when it names no zone we know, so that nothing is guessed from it."""
    name = attributes.get("timezone")
    if name is None:
        return otherwise
    return ZoneInfo(name) if valid_zone(name) else None


def schedule_of(periods: Iterable[tuple[int | None, int | None]]) -> Schedule:
    """`periods` gives each action's first and past-the-last moment in microseconds, None where open."""
    changes: dict[int, int] = {}
    mask = 0
    for action, (start, end) in enumerate(periods):
        if start is None:
            mask |= 1 << action
        else:
            changes[start] = changes.get(start, 0) | 1 << action
        if end is not None and (start is None or end > start):
            changes[end] = changes.get(end, 0) ^ (1 << action)
        elif end is not None and start is not None:
            changes[start] &= ~(1 << action)
    masks = [mask]
    starts = sorted(changes)
    for start in starts:
        mask ^= changes[start]
        masks.append(mask)
    return Schedule(tuple(starts), tuple(masks))
