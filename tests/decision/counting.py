"""Counting by definition: an oracle of contact policy that keeps every contact, slow and obviously right."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HALF_AN_HOUR = 1800 * SECOND
HOUR = 2 * HALF_AN_HOUR
DAY = 24 * HOUR
SPANS = {"30m": HALF_AN_HOUR, "1h": HOUR, "1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "31d": 31 * DAY}
HOME = "Australia/Lord_Howe"
ZONES = ["America/New_York", "Asia/Kolkata", HOME, "UTC"]
LATE = DAY  # for so long after its answer's end, what waits for an impression or a delivery is still known

GROUPS = {"a": "g", "b": "g", "c": "", "d": "h"}
VALID_FOR = {  # of each treatment, the best first
    ("a", "web"): HALF_AN_HOUR,
    ("a", "in_app"): 2 * HOUR,
    ("a", "email"): DAY,
    ("b", "in_app"): DAY,
    ("b", "email"): 3 * DAY,
    ("c", "web"): HALF_AN_HOUR,
    ("d", "email"): 0,
}


def grid(flags: Mapping[str, Mapping[str, bool]]) -> str:
    """The catalog but for its policies; `flags` are `obeys_caps` and `counts_toward_caps`, by action."""
    told = {
        action: "".join(f"{flag}: {str(value).lower()}, " for flag, value in flags.get(action, {}).items())
        for action in GROUPS
    }
    return f"""
timezone: {HOME}
customer: {{timezone: string, contract: string, most: int, email: string, prefers: list<string>}}
preferred_channel: customer.prefers
purposes: [service]
channels:
  web: {{direction: inbound}}
  in_app: {{direction: inbound}}
  email: {{direction: outbound, purpose: service, address: customer.email}}
actions:
  a:
    {{{told["a"]}group: g, value: 4,
    treatments: {{web: {{t: x}}, in_app: {{t: x, valid_for: 2h}}, email: {{t: x, valid_for: 1d}}}}}}
  b: {{{told["b"]}group: g, value: 3, treatments: {{in_app: {{t: x, valid_for: 1d}}, email: {{t: x, valid_for: 3d}}}}}}
  c: {{{told["c"]}value: 2, treatments: {{web: {{t: x}}}}}}
  d: {{{told["d"]}group: h, value: 1, treatments: {{email: {{t: x}}}}}}
"""


@dataclass
class Made:
    """A contact, or one that is wanted; `came` is what came of it: kinds and times, in the order told. What was
    `picked` for an answer counts at once, whatever it counts from, against all that may yet be in it.
    """

    at: int
    action: str
    channel: str
    contract: str | None
    decision: str = ""
    came: list[tuple[str, int]] = field(default_factory=list)
    picked: bool = False

    @property
    def direction(self) -> str:
        return "outbound" if self.channel == "email" else "inbound"

    @property
    def valid_for(self) -> int:
        return VALID_FOR[self.action, self.channel]

    def label(self, key: str) -> str | None:
        labels = {
            "action": self.action,
            "channel": self.channel,
            "group": GROUPS[self.action],
            "direction": self.direction,
        }
        return labels.get(key, self.contract)

    def times(self, kind: str) -> list[int]:
        return [at for told, at in self.came if told == kind]

    def proofs(self, kind: str) -> list[int]:
        """When it turned out to be seen, or delivered: whoever does anything about it has got it and seen it."""
        of_delivery = {"impression": ["delivered", "failed", "bounced"], "delivered": ["failed", "bounced"]}
        return [at for told, at in self.came if told not in of_delivery[kind]]


Policy = dict[str, Any]  # as declared, with `per` and `scope`


class Oracle:
    def __init__(self, policies: list[Policy], flags: Mapping[str, Mapping[str, bool]]) -> None:
        self.policies = policies
        self._flags = flags
        self.attributes: dict[str, Any] = {}
        self.made: list[Made] = []

    def _flag(self, name: str, action: str) -> bool:
        return self._flags.get(action, {}).get(name, True)

    def asked(self, channels: Iterable[str]) -> list[tuple[str, str]]:
        return [each for each in VALID_FOR if each[1] in channels]

    def choose(self, limit: int, asked: list[tuple[str, str]], now: int) -> list[tuple[str, str]]:
        """The best that may be, one after the other, an action once."""
        made = list(self.made)
        chosen: list[tuple[str, str]] = []
        for _ in range(limit):
            contract = self.attributes.get("contract")
            wanted = [Made(now, *each, contract) for each in asked if each[0] not in {name for name, _ in chosen}]
            may_be = [each for each in wanted if not self._blocked(each, made)]
            for each in may_be:
                rivals = [rival for rival in may_be if rival.action == each.action]
                if all(self._liking(each.channel) <= self._liking(rival.channel) for rival in rivals):
                    chosen.append((each.action, each.channel))
                    made.append(replace(each, picked=True))
                    break
        return chosen

    def _liking(self, channel: str) -> int:
        """The less the dearer."""
        prefers = self.attributes.get("prefers", [])
        return prefers.index(channel) if channel in prefers else len(prefers)

    def _blocked(self, wanted: Made, made: list[Made]) -> bool:
        if not self._flag("obeys_caps", wanted.action):
            return False
        return any(_covers(policy, wanted) and self._left(policy, wanted, made) <= 0 for policy in self.policies)

    def _left(self, policy: Policy, wanted: Made, made: list[Made]) -> int:
        """What `policy`, which covers it, leaves for `wanted`."""
        if any(wanted.label(key) is None for key in policy["per"]):
            return 0
        # What isn't known of a contact may be the same.
        mine = [
            each
            for each in made
            if _covers(policy, each) and all(each.label(key) in (wanted.label(key), None) for key in policy["per"])
        ]
        if "after" in policy:
            return 0 if _paused(policy, mine, wanted.at) else 1
        counted = [self._counts_at(policy, each, wanted.at) for each in mine]
        return self._limit(policy) - sum(at is not None and self._in_window(policy, at, wanted.at) for at in counted)

    def left_in_all(self, policy: Policy, asked: list[tuple[str, str]], now: int) -> int:
        """The least of all counters that those asked for have."""
        contract = self.attributes.get("contract")
        if "customer.contract" in policy["per"] and contract is None:
            return 0  # whatever it covers
        wanted = [Made(now, *each, contract) for each in (asked if policy["per"] else VALID_FOR)]
        blocked = [
            each
            for each in wanted
            if _covers(policy, each) and (self._flag("obeys_caps", each.action) or not policy["per"])
        ]
        return min((self._left(policy, each, self.made) for each in blocked), default=self._limit(policy))

    def _limit(self, policy: Policy) -> int:
        if "after" in policy:
            return 1
        most = self.attributes.get("most") if "customer_limit" in policy else None
        return int(policy["limit"]) if most is None else max(0, min(policy["limit"], most))

    def _counts_at(self, policy: Policy, made: Made, now: int) -> int | None:
        """When `made` counts, asked at `now`; None where it doesn't."""
        if not self._flag("counts_toward_caps", made.action):
            return None
        kind = _confirmed_by(policy, made)
        if kind is None or made.picked:
            return made.at
        confirmed = made.proofs(kind)
        if confirmed:
            return max(min(confirmed), made.at)
        if made.times("failed") or made.times("bounced"):
            return None
        return now if now < made.at + made.valid_for else None

    def _in_window(self, policy: Policy, at: int, now: int) -> bool:
        if "lifetime" in policy:
            return True
        if "rolling" in policy:
            return at > now - SPANS[policy["rolling"]]
        zone = policy.get("timezone", HOME)
        if zone == "customer":
            own = self.attributes.get("timezone")
            zone = own if own in ZONES else HOME
        return _unit(policy["calendar"], zone, at) == _unit(policy["calendar"], zone, now)

    def is_late(self, made: Made, kind: str, at: int) -> bool:
        """Whether being told of `kind` is what `made` counts from, after the end of its answer or its place was given
        back.
        """
        proof = replace(made, came=[(kind, at)])
        over = at >= made.at + made.valid_for or made.times("failed") or made.times("bounced")
        return bool(over) and any(
            self._waits_for(made, waited) and proof.proofs(waited) and not made.proofs(waited)
            for waited in ("impression", "delivered")
        )

    def _waits_for(self, made: Made, *kinds: str) -> bool:
        if not self._flag("counts_toward_caps", made.action):
            return False
        waiting = [policy for policy in self.policies if "after" not in policy and _covers(policy, made)]
        return any(_confirmed_by(policy, made) in kinds for policy in waiting)

    def matters(self, made: Made, now: int) -> bool:
        """Whether what comes of it must be known: it is counted still, or may be."""
        if self._waits_for(made, "impression", "delivered") and now < made.at + made.valid_for + LATE:
            return True
        for policy in self.policies:
            if _covers(policy, made) and "after" not in policy and "calendar" not in policy:
                at = self._counts_at(policy, made, now)
                if at is not None and "lifetime" not in policy and self._in_window(policy, at, now):
                    return True
        return False


def _covers(policy: Policy, made: Made) -> bool:
    return all(made.label(key) in names for key, names in policy["scope"].items())


def _confirmed_by(policy: Policy, made: Made) -> str | None:
    counts = policy.get("counts") or ("decision" if made.direction == "outbound" else "impression")
    if counts == "decision" or not made.valid_for:
        return None
    return "impression" if counts == "impression" else "delivered"


def _unit(calendar: str, zone: str, at: int) -> tuple[int, ...]:
    shown = (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))
    match calendar:
        case "hour":
            return shown.year, shown.month, shown.day, shown.hour
        case "day":
            return shown.year, shown.month, shown.day
        case "week":
            return shown.isocalendar()[:2]
    return shown.year, shown.month


def _paused(policy: Policy, made: list[Made], now: int) -> bool:
    after = policy["after"]
    counting = [at for each in made for at in _first_and_last(_behind(each, after["outcome"]))]
    preventing = [at for each in made for at in _first_and_last(_behind(each, after.get("without", "")))]

    def pauses(last: int) -> bool:
        since = last - SPANS[after["rolling"]]
        return sum(since < at <= last for at in counting) >= after["times"] and not any(at > since for at in preventing)

    return any(pauses(last) for last in counting if now < last + SPANS[policy["pause"]])


def _behind(made: Made, kind: str) -> list[int]:
    """Nothing comes of a contact before it was made, whatever the clock said that dated it."""
    return [max(at, made.at) for at in made.times(kind)]


def _first_and_last(times: list[int]) -> list[int]:
    """The first when it was, all others when the last was."""
    return [min(times)] + [max(times)] * (len(times) - 1) if times else []
