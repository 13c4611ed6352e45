"""With contacts that are held, no window holds more than its limit, wherever it lies."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalog.calendar import Unit, unit_at
from decision.answer import contacts_of
from decision.decide import decide
from decision.lasting import lasting
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Consent, Contact, Customer, micros, with_contacts
from tests.decision.plans import plan_of

HOUR = 3_600_000_000
START = micros(datetime.fromisoformat("2026-03-27T12:00Z"))  # two days before clocks are put forward in Berlin
PLAN = plan_of("""
timezone: Europe/Berlin
customer: {email: string}
purposes: [service]
channels:
  web: {direction: inbound}
  push: {direction: outbound, purpose: service, address: customer.email}
  email: {direction: outbound, purpose: service, address: customer.email, quiet_hours: {from: 21:00, to: 08:00}}
actions:
  news: {value: 9, treatments: {email: {t: News}, push: {t: News}, web: {t: News}}}
  tip: {value: 8, treatments: {email: {t: Tip}, web: {t: Tip}}}
contact_policies:
  a-few-hours: {limit: 2, rolling: 5h, counts: decision, scope: {direction: [inbound, outbound]}}
  a-day: {limit: 3, calendar: day, counts: decision, scope: {direction: [inbound, outbound]}}
  e-mails: {limit: 1, rolling: 9h, scope: {channel: email}}
  ever: {limit: 7, lifetime: true, counts: decision, per: action, scope: {direction: [inbound, outbound]}}
""")
SEVERAL, DAY, EMAILS, EVER = PLAN.policies
LIMIT = {"web": 2, "push": 1, "email": 1}
steps = st.lists(
    st.tuples(st.integers(0, 4 * HOUR), st.sampled_from(["web", "push", "email"])), min_size=4, max_size=40
)


@settings(deadline=None, max_examples=150)
@given(steps, st.sampled_from([0, 3, 50]))
@example([(17 * HOUR // 2, "email"), (HOUR // 2, "web"), (11 * HOUR // 2, "web")], 50)  # held is older than both
def test_no_window_holds_more_than_its_limit(asked: Sequence[tuple[int, str]], kept_anyway: int) -> None:
    customer = Customer({"email": "a@example.com"}, {"service": Consent(True, 1)})
    now, view = START, None
    granted: list[Contact] = []
    for number, (passed, channel) in enumerate(asked):
        now += passed
        view = view_of(PLAN, customer, view)
        ask = resolve(NextActionRequest("c-1", channels=[channel], limit=LIMIT[channel]), PLAN)
        added = contacts_of(decide(PLAN, ask, view, now, 0), f"{number:032x}")
        granted += added
        if added:
            customer = with_contacts(customer, added, kept_anyway, partial(lasting, PLAN, now))
    times = sorted(contact.at for contact in granted)
    emails = sorted(contact.at for contact in granted if contact.channel == "email")
    assert most_within(times, SEVERAL.window) <= SEVERAL.limit
    assert most_within(emails, EMAILS.window) <= EMAILS.limit
    days = [unit_at(Unit.DAY, PLAN.zone, at) for at in times]
    assert max(map(days.count, days), default=0) <= DAY.limit
    actions = [contact.action for contact in granted]
    assert max(map(actions.count, actions), default=0) <= EVER.limit
    for contact in granted:
        assert contact.channel != "email" or not is_night(contact.at)


def most_within(times: Sequence[int], window: int) -> int:
    """The most contacts of any (t - window, t]: such a window may as well end with a contact."""
    return max((sum(end - window < at <= end for at in times) for end in times), default=0)


def is_night(at: int) -> bool:
    shown = datetime.fromtimestamp(at / 1e6, PLAN.zone).hour
    return shown >= 21 or shown < 8
