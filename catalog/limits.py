"""Limits, compiled: contact policies, which count one customer's contacts, and budgets, which count everybody's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from catalog.calendar import Calendar
from rules.programs import Program

LIFETIME = 2**62  # microseconds: a window that no contact ever leaves
LIFETIME_MS = 100 * 365 * 24 * 3600 * 1000
LATE = 24 * 3600 * 1_000_000  # microseconds for which a contact that nobody saw while it stood may still turn out seen

Values = tuple[str, ...]
Counting = tuple[int, Values, str]
"""A policy that counts a contact, by number, the values of the labels that tell its counters apart, and the kind of
response that has to confirm it, "" where it counts as decided.
"""


@dataclass(frozen=True, slots=True)
class Per:
    """What tells a policy's counters apart: `labels`, by name, and `expressions`, by their text.

    `blocks` maps each combination of labels that treatments have to the mask of those treatments.
    """

    labels: tuple[str, ...]
    expressions: tuple[str, ...]
    blocks: Mapping[Values, int]

    def values(self, labels: Mapping[str, str]) -> Values:
        return tuple(labels[label] for label in self.labels)


@dataclass(frozen=True, slots=True)
class After:
    """What pauses: `times` responses of the kind `outcome` within `window` (microseconds), and none of the kind
    `without`, where that isn't "".
    """

    outcome: str
    times: int
    window: int
    without: str

    def looks_at(self, kind: str) -> bool:
        return kind in (self.outcome, self.without)


@dataclass(frozen=True, slots=True)
class Policy:
    """A frequency cap: at most `limit` counted contacts in any (t − window, t], window in microseconds or LIFETIME.

    With `calendar`, at most that many in each of its units; `window` is then longer than any of these. With `after` it
    is no cap: what it covers is paused for `window` by what it says; `limit` is then 1.
    `scope` maps a label (direction, channel, group, action, treatment) to the values counted and blocked; `blocks` is
    the mask of the treatments it blocks, `counted` of those whose contacts it counts. With `per` there are many
    counters, each with that limit. `counting` is what a contact counts as: decision, impression or delivery; "" leaves
    it to its direction. `customers` computes each customer's own limit, where that is lower, from `reads`.
    """

    name: str
    limit: int
    window: int
    scope: Mapping[str, frozenset[str]]
    blocks: int
    per: Per | None = None
    calendar: Calendar | None = None
    after: After | None = None
    counted: int = 0
    counting: str = ""
    customers: Program | None = None
    reads: frozenset[str] = frozenset()

    @property
    def reach(self) -> int:
        """How long it matters what came of a contact, or that it was made, in microseconds."""
        return self.window + (self.after.window if self.after else 0)

    @property
    def lifetime(self) -> bool:
        return self.window == LIFETIME

    def counts(self, labels: Mapping[str, str]) -> bool:
        return all(labels[label] in values for label, values in self.scope.items())

    def confirmed_by(self, direction: str) -> str:
        """The kind of response from which on a contact counts, "" where it counts as decided. Nobody tells of the
        delivery of what the caller shows.
        """
        if self.counting == "decision" or (direction == "outbound" and not self.counting):
            return ""
        return "delivered" if self.counting == "delivery" and direction == "outbound" else "impression"


class Period(NamedTuple):
    """One turn of a budget. `key` names it, and the budget, in Redis; `ends` is when it is over, in microseconds,
    exclusive; None if never.
    """

    key: str
    ends: int | None


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """At most `limit` contacts over all customers in each unit of `calendar`, whose zone is set; None: ever.

    `blocks` is the mask of the treatments that take from it, one each.
    """

    name: str
    limit: int
    blocks: int
    calendar: Calendar | None = None

    def period(self, now: int) -> Period:
        """That `now` (microseconds since 1970 UTC) lies in."""
        if self.calendar is None or self.calendar.zone is None:
            return Period(f"{self.name}:lifetime", None)
        begins, ends = self.calendar.span(now, self.calendar.zone)
        return Period(f"{self.name}:{self.calendar.unit}-{begins // 1_000_000}", ends)
