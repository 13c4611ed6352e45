"""What the checker holds the log against: limits by their definition, and the catalogs that declare the same to Tino.

Nothing in here shares a line with decision/policy.py. What a contact counts from is a limit's: its decision, its first
impression or its delivery. Banners and parcels wait for these for longer than any run; a popup's answer stands for so
short a time that most of what is told of it is late.
"""

from dataclasses import dataclass
from pathlib import Path

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
ACTIONS = {
    "letter": "email",
    "news": "email",
    "note": "push",
    "popup": "overlay",
    "parcel": "courier",
    "alert": "sms",
    "gift": "post",
    "banner": "in_app",
}
INBOUND = frozenset({"banner", "popup"})
VALID_FOR = {"banner": 7 * DAY, "popup": SECOND, "parcel": 7 * DAY}
KEPT_FOR_LATE = (
    DAY  # what waits for an impression or a delivery can still be found so long after its answer has expired
)
TOLD = {"banner": ("impression",), "popup": ("impression", "click"), "parcel": ("delivered", "failed", "bounced")}
"""What clients tell of contacts by these; of all others, that they failed."""
CHANNELS = sorted(set(ACTIONS.values()))
BUDGETED, BUDGET = "gift", 15  # over all customers, ever
KEPT_ANYWAY = 50  # contacts that stay in a customer's state though no limit counts them any more


@dataclass(frozen=True)
class Limit:
    """At most `limit` contacts by `action`: in `rolling` microseconds, in an hour of the `calendar`, or else ever. They
    count from the decision, or from what `counts` names.
    """

    action: str
    limit: int
    rolling: int = 0
    calendar: bool = False
    counts: str = "decision"

    def counts_after(self, at: int) -> int | None:
        """At `at`, contacts after this moment count; None where all do."""
        if self.calendar:
            return at - at % HOUR - 1
        return at - self.rolling if self.rolling else None

    @property
    def lifetime(self) -> bool:
        return not self.rolling and not self.calendar

    @property
    def window(self) -> str:
        if self.calendar:
            return "calendar: hour, timezone: UTC"
        return f"rolling: {self.rolling // SECOND}s" if self.rolling else "lifetime: true"


LONG = (
    Limit("letter", 1),
    Limit("banner", 3, counts="impression"),
    Limit("news", 3, calendar=True),
    Limit("note", 20, rolling=30 * DAY),
    Limit("popup", 3, rolling=30 * DAY, counts="impression"),
    Limit("parcel", 3, counts="delivery"),
)
"""Low and high, of every kind of window. Alerts have none, so that customers go on changing."""

SHORT = (
    Limit("letter", 1),
    Limit("news", 3, rolling=2 * SECOND),
    Limit("note", 10, rolling=2 * SECOND),
    Limit("alert", 1000, rolling=2 * SECOND),
    Limit("popup", 2, rolling=10 * SECOND, counts="impression"),
    Limit("parcel", 3, rolling=2 * SECOND, counts="delivery"),
)
"""Windows that end while a run lasts: what a fast clock would free early, and what compaction may forget. A hold that
lasted for days would keep all that.
"""

_TEXT = """\
catalog: 1
name: history
timezone: UTC
customer: {{email: string, tier: string}}
events: {{visit: {{}}}}
aggregates:
  visits: {{count: visit}}
purposes: [marketing]
channels:
  email: {{direction: outbound, purpose: marketing, address: customer.email}}
  push: {{direction: outbound, purpose: marketing, address: customer.email}}
  sms: {{direction: outbound, purpose: marketing, address: customer.email}}
  post: {{direction: outbound, purpose: marketing, address: customer.email}}
  courier: {{direction: outbound, purpose: marketing, address: customer.email}}
  in_app: {{direction: inbound, purpose: marketing, placements: [home]}}
  overlay: {{direction: inbound, purpose: marketing, placements: [page]}}
actions:
{actions}
contact_policies:
{policies}
budgets:
  gifts: {{limit: {budget}, lifetime: true, scope: {{action: {budgeted}}}}}
"""


def _scope(action: str) -> str:
    return f"scope: {{action: {action}}}"


def _texts(action: str) -> str:
    valid = f", valid_for: {VALID_FOR[action] // SECOND}s" if action in VALID_FOR else ""
    return f"title: {action}{valid}"


def write_catalog(directory: Path, limits: tuple[Limit, ...]) -> Path:
    actions = (
        f"  {name}: {{value: {10 - place}, propensity: 0.5, treatments: {{{channel}: {{{_texts(name)}}}}}}}"
        for place, (name, channel) in enumerate(ACTIONS.items())
    )
    policies = (
        f"  {each.action}-cap: {{limit: {each.limit}, {each.window}, counts: {each.counts}, {_scope(each.action)}}}"
        for each in limits
    )
    file = directory / "catalog.yaml"
    parts = {"actions": "\n".join(actions), "policies": "\n".join(policies)}
    file.write_text(_TEXT.format(**parts, budget=BUDGET, budgeted=BUDGETED), encoding="utf-8")
    return file
