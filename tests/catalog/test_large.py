"""Thousands of actions are an ordinary catalog."""

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
