"""Thousands of actions are an ordinary catalog."""

from datetime import UTC, datetime

from catalog.building import build_plan
from catalog.loading import load_catalog
from tests.catalog.conftest import Write

HEAD = """\
catalog: 1
name: large
customer: {tier: string, seats: int}
channels:
  web: {direction: inbound, placements: [top]}
actions:
"""
ACTION = """\
  action-{n}:
    eligible: customer.tier != "free" && customer.seats > {n}
    value: {n}
    treatments: {{web: {{title: "{n} seats, {{{{ customer.tier }}}}"}}}}
"""


def test_three_thousand_actions_load(write: Write) -> None:
    loaded = load_catalog(write(HEAD + "".join(ACTION.format(n=n) for n in range(3_000))))
    assert len(loaded.spec.actions) == len(loaded.templates) == 3_000
    assert loaded.templates["action-2999/web"].render({"tier": "gold"}, {}) == {"title": "2999 seats, gold"}


def test_hundreds_of_aggregates_and_segments_load(write: Write) -> None:
    several = range(300)
    aggregates = (f"  a{n}: {{count: purchase, window: 30d, where: event.amount > {n}}}" for n in several)
    segments = (f"  s{n}: customer.a{n} > 3" for n in several)
    asking = "".join(
        f"  x{n}: {{eligible: '\"s{n}\" in customer.segments', value: 1, treatments: {{web: {{title: a}}}}}}\n"
        for n in several
    )
    sections = ["events: {purchase: {amount: double}}", "aggregates:", *aggregates, "segments:", *segments]
    plan = build_plan(load_catalog(write(HEAD + asking + "\n".join(sections) + "\n")))
    assert len(plan.aggregates.series) == len(plan.segments) == 300
    frame = plan.frame({"a7": 4, "a8": 3, "a299": 5}, {}, datetime(2026, 1, 1, tzinfo=UTC))
    assert plan.eligible.match(frame) == 1 << 7 | 1 << 299
    assert plan.derived["segments"](frame) == ["s7", "s299"]
