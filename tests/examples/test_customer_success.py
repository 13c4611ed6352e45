"""The customer-success example: its customers can be imported, and one of them is walked through two years.

The walk decides once a day, at nine in the customer's zone, as the daily run over everybody would: a pure decision on
the customer as they are that day, whose contacts they then have.
"""

import importlib.util
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from catalog.building import load_plan
from catalog.loading import check_catalog
from catalog.plan import Plan
from decision.answer import contacts_of
from decision.content import render
from decision.decide import Decision, decide
from decision.lasting import with_lasting
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.aggregates import values_at
from features.applying import STORED, Sent, apply_events
from features.customer import EMPTY, Consent, Customer, micros, with_attributes
from features.encoding import decode, encode
from rules.types import coerce
from tests.customers import SOME_DECISION

EXAMPLE = Path(__file__).parents[2] / "examples" / "customer-success"
ZONE = ZoneInfo("America/Mexico_City")
OUTBOUND = ["email", "whatsapp", "task"]
HOUR = 3600 * 1_000_000

LUISA = {
    "first_name": "Luisa",
    "email": "luisa@example.com",
    "account_manager": "manager@example.com",
    "locale": "es-MX",
    "company": "Norte",
    "plan": "business",
    "contract_id": "first",
    "seats": 50,
    "seats_used": 20,
}
# What the account system tells of her, from the day it does.
CHANGES: dict[str, dict[str, Any]] = {
    "2026-01-05": {
        "signed_up": datetime(2026, 1, 5, 8, 30, tzinfo=ZONE).astimezone(UTC),
        "renewal_date": datetime(2027, 1, 5, tzinfo=ZONE).astimezone(UTC),
    },
    "2027-01-05": {"contract_id": "second", "renewal_date": datetime(2028, 1, 5, tzinfo=ZONE).astimezone(UTC)},
}
FINISHED = ("01-08", "01-14", "01-15", "01-22", "01-30", "02-05", "02-11", "02-13", "02-26")
# What she does on a day before nine. Besides, she logs in every morning, but for those when she is away; from the ninth
# of August on a colleague does, too.
EVENTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "2026-01-05": [("feature", {"name": "reports"})],
    **{f"2026-{day}": [("project", {"hours_saved": 0.5})] for day in FINISHED},
    "2026-03-02": [("project", {"hours_saved": 0.5}), ("feature", {"name": "integrations"})],
    "2026-04-06": [("project", {"hours_saved": 12.0})],
    "2026-06-01": [("ticket", {"urgent": True})] * 3,
    "2026-08-09": [("login", {})] * 18,  # the whole team learns what is new
    "2026-09-01": [("nps", {"score": 4})],
    "2027-02-01": [("project", {"hours_saved": 0.5})] * 40,
}  # fmt: skip
AWAY = [
    *(date(2026, 4, 4) + timedelta(days=2 * count) for count in range(9)),
    *(date(2026, 7, 7) + timedelta(days=count) for count in range(33)),
]
THE_YEAR = """
2026-01-05  onboarding-day-0/email
2026-01-06  onboarding-day-1/email
2026-01-08  onboarding-day-3/email
2026-01-12  onboarding-day-7/email
2026-01-19  onboarding-day-14/email
2026-01-26  try-automations/email
2026-02-19  try-integrations/email
2026-03-02  milestone-10-projects/email
2026-03-27  try-automations/email
2026-04-06  value-report/email
2026-04-20  usage-down-30-percent/email
2026-06-01  health-below-60/email
2026-07-20  win-back-14-days/email
2026-08-05  win-back-30-days/email
2026-09-01  nps-detractor/task
2026-10-06  renewal-90-days/email
2026-11-05  renewal-60-days/email
2026-12-05  renewal-30-days/email
2026-12-21  renewal-14-days/email
2026-12-28  renewal-7-days/email
"""
RENEWALS = """
2026-10-06  renewal-90-days/email
2026-11-05  renewal-60-days/email
2026-12-05  renewal-30-days/email
2026-12-21  renewal-14-days/email
2026-12-28  renewal-7-days/email
2027-10-06  renewal-90-days/email
2027-11-05  renewal-60-days/email
2027-12-05  renewal-30-days/email
2027-12-21  renewal-14-days/email
2027-12-28  renewal-7-days/email
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(EXAMPLE)


def walk(plan: Plan, first: str, last: str, luisa: dict[str, Any] = LUISA) -> list[tuple[date, Decision]]:
    """Every day's decision from `first` to `last`."""
    told = {date.fromisoformat(day): changes for day, changes in CHANGES.items()}
    customer = Customer(dict(luisa), {purpose: Consent(True, 1) for purpose in plan.purposes})
    ask = resolve(NextActionRequest("luisa", channels=OUTBOUND, limit=2), plan)
    days = []
    for day in days_between(*map(date.fromisoformat, (first, last))):
        now = micros(datetime.combine(day, time(9), ZONE))
        customer = with_attributes(customer, told.get(day, {}), now)
        customer = after_events(plan, customer, day, now)
        decision = decide(plan, ask, view_of(plan, customer), now, 0)
        added = contacts_of(decision, SOME_DECISION)
        customer = with_lasting(plan, customer, added, now)
        customer = decode(encode(customer))  # as it comes back tomorrow
        days.append((day, decision))
    return days


def after_events(plan: Plan, customer: Customer, day: date, now: int) -> Customer:
    """With what she did an hour before `now`."""
    logins = 0 if day in AWAY else 1 if day < AWAY[-1] else 2
    done = [*EVENTS.get(day.isoformat(), []), *[("login", {})] * logins]
    sent = [Sent(f"{day}/{n}", "luisa", kind, now - HOUR, properties) for n, (kind, properties) in enumerate(done)]
    applied = apply_events(plan, customer, sent, now)
    assert all(result == STORED for result in applied.results)
    return applied.customer


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=count) for count in range((last - first).days + 1)]


def table(days: list[tuple[date, Decision]], group: str | None = None) -> str:
    lines = [
        f"{day}  {pick.treatment.id}\n"
        for day, decision in days
        for pick in decision.picks
        if group in (None, pick.treatment.group)
    ]
    return "\n" + "".join(lines)


def test_a_year_day_by_day(plan: Plan) -> None:
    assert table(walk(plan, "2026-01-05", "2027-01-04")) == THE_YEAR


def test_each_term_has_its_five_reminders(plan: Plan) -> None:
    assert table(walk(plan, "2026-01-05", "2028-01-31"), "renewals") == RENEWALS


def test_without_a_contract_nobody_can_say_whether_its_reminders_were_sent(plan: Plan) -> None:
    unknown = {name: value for name, value in LUISA.items() if name != "contract_id"}
    assert table(walk(plan, "2026-01-05", "2027-01-04", unknown), "renewals") == "\n"


def test_the_policies_keep_what_was_promised(plan: Plan) -> None:
    """Of the whole walk, counted anew: never two messages a day, never three of goodwill in any seven."""
    sent = [
        (day, pick.treatment.group)
        for day, decision in walk(plan, "2026-01-05", "2028-01-31")
        for pick in decision.granted
        if pick.treatment.channel != "task"
    ]
    assert len({day for day, _ in sent}) == len(sent)
    goodwill = [day for day, group in sent if group in ("adoption", "milestones", "win-back", "growth")]
    for day in goodwill:
        assert sum(timedelta() <= day - other < timedelta(days=7) for other in goodwill) <= 2


def test_every_text_is_there_in_both_languages(plan: Plan) -> None:
    kept = {"nps": 4, "nps_answers": 1, "days_since_nps": 1, "projects_done": 12, "hours_saved": 7.5, "logins_30d": 20}
    everything = {**LUISA, **CHANGES["2026-01-05"], **kept}
    now = datetime(2026, 10, 6, 15, tzinfo=UTC)
    said = {}
    for locale in ("es-MX", "en-GB", "fr", None):
        attributes = {**everything, "locale": locale}
        if locale is None:
            del attributes["locale"]
        frame = plan.frame(attributes, {}, now)
        said[locale] = {t.id: render(plan, t, frame) for t in plan.treatments if t is not None}
    assert all(all(content.values()) for texts in said.values() for content in texts.values() if content is not None)
    assert all(None not in texts.values() for texts in said.values())
    assert said["fr"] == said[None] == said["en-GB"]
    same = {name for name, content in said["es-MX"].items() if content == said["en-GB"][name]}
    assert same == {"whats-new/in_app"}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """The generator, which is run by path, as its folder is no package."""
    spec = importlib.util.spec_from_file_location("generate", EXAMPLE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_gives_the_same_customers(generate: ModuleType) -> None:
    few, many = list(generate.customers(20, 7)), list(generate.customers(50, 7))
    assert few == many[:20]
    assert few != list(generate.customers(20, 8))


def test_every_attribute_is_declared_and_none_is_left_out(plan: Plan, generate: ModuleType) -> None:
    rows = [made.row for made in generate.customers(300, 7)]
    assert {name for row in rows for name in row} == {
        *plan.customer_types, "customer_id", *(f"consent:{purpose}" for purpose in plan.purposes)
    }  # fmt: skip
    for name, kind in plan.customer_types.items():
        for row in rows:
            assert name not in row or coerce(kind, row[name]) is not None, (name, row)


def test_every_event_is_stored_and_each_aggregate_has_a_value(plan: Plan, generate: ModuleType) -> None:
    now, seen = micros(generate.AS_OF), set()
    for made in generate.customers(300, 7):
        sent = [Sent(**{**event, "at": micros(datetime.fromisoformat(event["at"]))}) for event in made.events]
        assert len({each.id for each in sent}) == len(sent)
        applied = apply_events(plan, EMPTY, sent, now)
        assert {result.status for result in applied.results} <= {"stored"}
        assert not {note for result in applied.results for note in result.notes} & {"unknown_type", "no_contact"}
        seen |= {
            name for name, value in values_at(plan.aggregates, applied.customer.series, now).by_name.items() if value
        }
    assert seen == set(plan.aggregates.types)


def test_the_catalog_is_beyond_reproach() -> None:
    assert [str(found) for found in check_catalog(EXAMPLE)] == []
