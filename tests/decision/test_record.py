"""A record spelled out: with its plan, also what was worked out of events at that moment."""

from decision.answer import answer_body
from decision.decide import decide
from decision.deciding import answer_of
from decision.record import as_data, read_record, record_body
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.applying import Sent, apply_events
from features.customer import EMPTY
from features.encoding import encode
from tests.decision.plans import plan_of

DAY = 86_400_000_000
NOW = 19_000 * DAY
CATALOG = """
events: {login: {}}
aggregates:
  logins_7d: {count: login, window: 7d, tile: 1d}
  idle_days: {days_since: login}
segments: {active: customer.logins_7d > 1}
scores: {health: {parts: {use: {value: double(customer.logins_7d) / 4.0, weight: 1}}, bands: {red: 0, green: 40}}}
channels: {web: {direction: inbound, placements: [top]}}
actions: {hello: {eligible: '"active" in customer.segments', value: 1, treatments: {web: {t: Hello}}}}
"""


def test_what_was_worked_out_of_events_is_that_of_the_decisions_moment() -> None:
    plan = plan_of(CATALOG)
    logins = [Sent(f"e-{age}", "c-1", "login", at=NOW - age * DAY) for age in (1, 3, 9)]
    customer = apply_events(plan, EMPTY, logins, NOW).customer
    request = NextActionRequest("c-1")
    seen = {}
    for later in (0, 5, 30):
        now = NOW + later * DAY
        decision = decide(plan, resolve(request, plan), view_of(plan, customer), now, 0)
        answer = answer_of(answer_body(plan, "c-1", decision, "0" * 32, ()), decision)
        record = read_record(record_body(plan, request, encode(customer), decision, "0" * 32, answer.body))
        assert "aggregates" not in as_data(record)["customer"]
        seen[later] = as_data(record, plan)["customer"]
        assert (answer.status == "decided") is (seen[later]["segments"] == ["active"])
    assert {later: told["aggregates"] for later, told in seen.items()} == {
        0: {"logins_7d": 2, "idle_days": 1},
        5: {"logins_7d": 1, "idle_days": 6},
        30: {"logins_7d": 0, "idle_days": 31},
    }
    part = {"weight": 1.0, "value": 0.5, "missing": False}
    assert seen[0]["scores"] == {"health": {"value": 50.0, "band": "green", "parts": {"use": part}}}
    assert [told["scores"]["health"]["band"] for told in seen.values()] == ["green", "red", "red"]
