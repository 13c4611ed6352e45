"""Contact policy over the years of a customer, against an oracle that keeps every contact and counts by definition.

Decisions are made, stored and carried on as in the service, with nothing kept beyond what policies need; time moves on
by anything from a microsecond to months, across midnights, months, years of ISO weeks, and both changes of the clocks.
"""

import json
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec.structs import replace

from decision.answer import contacts_of
from decision.decide import decide
from decision.lasting import lasting
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Consent, Customer, with_contacts
from features.encoding import decode, encode
from features.events import Event
from features.responses import answered
from tests.decision.counting import DAY, EPOCH, HALF_AN_HOUR, HOUR, ZONES, Made, Oracle, grid
from tests.decision.plans import plan_of

pytestmark = pytest.mark.untraced

starts = st.sampled_from(
    [
        "2026-03-08T06:00Z",  # New York's clocks go forward an hour later
        "2026-11-01T04:30Z",  # and back
        "2026-10-03T14:30Z",  # Lord Howe's go forward by half an hour
        "2026-04-04T14:00Z",  # and back
        "2026-12-31T18:00Z",  # midnight in Kolkata half an hour later, in New York five hours after that in UTC
        "2027-01-03T12:00Z",  # the last day of the 53rd week of 2026
        "2028-02-28T12:30Z",
    ]
)
MOMENTS = [0, HALF_AN_HOUR, HOUR, 2 * HOUR, 12 * HOUR, 23 * HOUR, DAY]
SPELLS = [DAY, 3 * DAY, 7 * DAY, 28 * DAY, 30 * DAY, 31 * DAY]


def _steps(spans: list[int]) -> st.SearchStrategy[int]:
    return st.builds(lambda span, micros: max(span + micros, 0), st.sampled_from(spans), st.integers(-1, 1))


windows = st.one_of(
    st.fixed_dictionaries({"rolling": st.sampled_from(["30m", "1h", "1d", "7d", "30d"])}),
    st.fixed_dictionaries(
        {"calendar": st.sampled_from(["hour", "day", "week", "month"])},
        optional={"timezone": st.sampled_from(["customer", *ZONES])},
    ),
    st.just({"lifetime": True}),
)
CONTRACT = "customer.contract"
PERS = [[], [], [], ["action"], ["group"], ["action", "channel"], [CONTRACT], ["action", CONTRACT]]
# An outbound contact waits for nothing that could never come: `d` has no end.
COUNTS: dict[str | None, dict[str, list[list[str]]]] = {
    None: {"action": [["a"], ["b", "d"], ["a", "c", "d"]], "channel": [["web"], ["in_app", "email"], ["email"]]},
    "decision": {"action": [["a"], ["b", "c"]], "channel": [["in_app"], ["web", "email"]]},
    "impression": {"action": [["a"], ["a", "b", "c"]], "channel": [["web"], ["in_app"], ["web", "in_app"]]},
    "delivery": {"action": [["a"], ["b"], ["a", "b"]]},
}


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    counts = draw(st.sampled_from([None, None, "decision", "impression", "impression", "delivery"]))
    scopes = st.fixed_dictionaries({}, optional={key: st.sampled_from(each) for key, each in COUNTS[counts].items()})
    scope = draw(scopes)
    if counts == "impression" and not scope:
        scope = {"channel": ["web", "in_app"]}
    if counts == "delivery":
        scope = {"action": ["a", "b"], **scope, "direction": ["outbound"]}
    limit = draw(st.sampled_from([1, 1, 2, 3, 0]))
    policy = {"limit": limit, **draw(windows), "per": draw(st.sampled_from(PERS)), "scope": scope}
    if counts is not None:
        policy["counts"] = counts
    if draw(st.integers(0, 3)) == 3:
        policy["customer_limit"] = "customer.most"
    return policy


pauses = st.fixed_dictionaries(
    {
        "after": st.fixed_dictionaries(
            {
                "outcome": st.sampled_from(["dismiss", "impression"]),
                "times": st.integers(1, 3),
                "rolling": st.sampled_from(["1h", "1d", "7d", "30d"]),
            },
            optional={"without": st.just("click")},
        ),
        "pause": st.sampled_from(["1h", "1d", "7d", "31d"]),
        "per": st.sampled_from(PERS),
        "scope": st.fixed_dictionaries(
            {}, optional={"action": st.sampled_from([["a"], ["b", "c"]]), "channel": st.sampled_from([["web"]])}
        ),
    }
)
policies = st.lists(st.integers(0, 4).flatmap(lambda n: pauses if n == 4 else limits()), min_size=1, max_size=2)
flags = st.dictionaries(
    st.sampled_from("abcd"),
    st.sampled_from([{"obeys_caps": False}, {"counts_toward_caps": False}]),
    max_size=1,
)
# What came of which contact, counted from the last one backwards: so long ago, or so long after it was made.
kinds = st.sampled_from(
    ["impression", "impression", "impression", "delivered", "failed", "bounced", "dismiss", "click"]
)
moments = st.one_of(
    st.tuples(st.just("ago"), st.sampled_from([0, HALF_AN_HOUR, DAY])),
    st.tuples(st.just("after"), st.sampled_from([-1, 0, 1, HALF_AN_HOUR - 1, HALF_AN_HOUR, HOUR, 2 * HOUR, DAY])),
)
came = st.lists(st.tuples(kinds, st.sampled_from([0, 0, 0, 1, 2, 3]), moments), max_size=2)
Came = list[tuple[str, int, tuple[str, int]]]
Slate = tuple[int, list[str]]
everywhere = ["web", "in_app", "email"]
slates = st.tuples(st.integers(1, 3), st.sampled_from([everywhere, everywhere, ["web", "email"], ["web"], ["in_app"]]))
attributes = st.fixed_dictionaries(
    {},
    optional={
        "timezone": st.sampled_from([*ZONES, "Mars/Phobos"]),
        "contract": st.sampled_from(["k1", "k2"]),
        "most": st.integers(-1, 4),
        "prefers": st.lists(st.sampled_from(["web", "in_app", "email", "fax"]), max_size=3),
    },
)


class Policies(RuleBasedStateMachine):
    """A customer as the service has them, beside the oracle."""

    @initialize(declared=policies, flags=flags, start=starts)
    def begin(self, declared: list[dict[str, Any]], flags: dict[str, dict[str, bool]], start: str) -> None:
        written = {
            f"p{place}": {key: value for key, value in policy.items() if value or key == "limit"}
            for place, policy in enumerate(declared)
        }
        self.plan = plan_of(f"{grid(flags)}contact_policies: {json.dumps(written)}\n")
        self.oracle = Oracle(declared, flags)
        self.now = (datetime.fromisoformat(start) - EPOCH) // timedelta(microseconds=1)
        self.customer = Customer({"email": "a@example.com"}, {"service": Consent(True, 0)})
        self.view = view_of(self.plan, self.customer)

    def becomes(self, customer: Customer) -> None:
        self.customer, self.view = customer, view_of(self.plan, customer, self.view)

    @rule(stated=attributes)
    def states_and_is_read_anew(self, stated: dict[str, Any]) -> None:
        self.oracle.attributes = stated
        self.customer = decode(encode(replace(self.customer, attributes={"email": "a@example.com", **stated})))
        self.view = view_of(self.plan, self.customer)

    @rule(stated=attributes)
    def states(self, stated: dict[str, Any]) -> None:
        self.oracle.attributes = stated
        self.becomes(replace(self.customer, attributes={"email": "a@example.com", **stated}))

    @rule(step=_steps(MOMENTS), came=came, slate=slates)
    def asks(self, step: int, came: Came, slate: Slate) -> None:
        self.turns(step, came, slate)

    @rule(step=_steps(MOMENTS[:4]), came=came, slate=slates)
    def asks_soon(self, step: int, came: Came, slate: Slate) -> None:
        self.turns(step, came, slate)

    @rule(step=_steps(SPELLS), came=came, slate=slates)
    def asks_much_later(self, step: int, came: Came, slate: Slate) -> None:
        self.turns(step, came, slate)

    def turns(self, step: int, came: Came, slate: Slate) -> None:
        """Time passes, something comes of what was shown, and then the next is wanted."""
        self.now += step
        for kind, back, when in came:
            if back < len(self.oracle.made):
                self.responds(kind, self.oracle.made[-1 - back], when)
        self.decides(*slate)

    def responds(self, kind: str, made: Made, when: tuple[str, int]) -> None:
        told, span = when
        at = self.now - span if told == "ago" else min(made.at + span, self.now)
        event = Event("e", kind, at, self.now, {"action": made.action, "channel": made.channel}, made.decision)
        customer, found = answered(self.customer, event, self.plan)
        assert found.late == (found.any and self.oracle.is_late(made, kind, at))
        if found.any:
            made.came.append((kind, at))
        else:
            assert not self.oracle.matters(made, self.now)
        self.becomes(customer)

    def decides(self, limit: int, channels: list[str]) -> None:
        asked = self.oracle.asked(channels)
        expected = self.oracle.choose(limit, asked, self.now)
        lefts = [self.oracle.left_in_all(policy, asked, self.now) for policy in self.oracle.policies]
        request = NextActionRequest("c", channels=channels, limit=limit)
        decision = decide(self.plan, resolve(request, self.plan), self.view, self.now, 0)
        assert [(pick.treatment.action, pick.treatment.channel) for pick in decision.picks] == expected
        assert [max(left, 0) for left in decision.left] == [max(left, 0) for left in lefts]
        added = contacts_of(decision, f"{len(self.oracle.made):032x}")
        self.oracle.made += [
            Made(each.at, each.action, each.channel, self.oracle.attributes.get("contract"), each.decision)
            for each in added
        ]
        if added:
            self.becomes(with_contacts(self.customer, added, 0, partial(lasting, self.plan, self.now)))
            assert self.view == view_of(self.plan, self.customer)


TestPolicies = Policies.TestCase
TestPolicies.settings = settings(max_examples=250, stateful_step_count=30, deadline=None)
