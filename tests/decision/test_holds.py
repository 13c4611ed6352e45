"""What a contact counts as, and when: where chance would not look."""

from functools import partial

import pytest

from catalog.limits import LATE
from catalog.plan import Plan
from decision import counters
from decision.lasting import lasting
from decision.policy import Allowance
from decision.view import view_of
from features.applying import Sent, apply_events
from features.customer import Contact, Customer, Labels, Logged, Response, with_contacts
from features.encoding import decode, encode
from tests.customers import SOME_DECISION, customer_of
from tests.decision.plans import plan_of

HOUR = 3_600_000_000
NOW = 1_760_000_000_000_000
DELIVERED = "{limit: 3, rolling: 7d, counts: delivery, scope: {channel: email}}"


def _plan(policy: str) -> Plan:
    return plan_of(f"""
customer: {{email: string}}
purposes: [service]
channels:
  web: {{direction: inbound}}
  email: {{direction: outbound, purpose: service, address: customer.email}}
actions:
  a: {{value: 2, treatments: {{web: {{t: x, valid_for: 2h}}, email: {{t: x, valid_for: 48h}}}}}}
contact_policies: {{p: {policy}}}
""")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return _plan("{limit: 3, rolling: 7d, scope: {channel: web}}")


def _seen(at: int = NOW) -> Contact:
    return Contact(at, "a", "web", "", "inbound", SOME_DECISION, valid_for=2 * HOUR)


def _sent(at: int = NOW) -> Contact:
    return Contact(at, "a", "email", "", "outbound", SOME_DECISION, valid_for=48 * HOUR)


def _told(plan: Plan, customer: Customer, *told: tuple[str, int], received: int = NOW + 1000 * HOUR) -> Customer:
    for number, (kind, at) in enumerate(told):
        event = Sent(f"e-{number}", "c", kind, at, decision_id=SOME_DECISION)
        customer = apply_events(plan, customer, [event], received).customer
    return customer


def _left(plan: Plan, customer: Customer, now: int) -> int:
    view = view_of(plan, customer)
    (left,) = Allowance(plan, view.counted, {}, now, holds=view.holds).left
    return left


def test_a_hold_counts_until_the_end_of_validity_and_not_at_it(plan: Plan) -> None:
    customer = customer_of(contacts=[_seen(), _seen(NOW + HOUR)])
    assert _left(plan, customer, NOW + HOUR) == 1
    assert _left(plan, customer, NOW + 2 * HOUR - 1) == 1
    assert _left(plan, customer, NOW + 2 * HOUR) == 2
    assert _left(plan, customer, NOW + 3 * HOUR) == 3


@pytest.mark.parametrize("first", [NOW - HOUR, NOW, NOW + HOUR, NOW + 50 * HOUR])
def test_once_seen_it_counts_at_the_first_time_but_never_before_it_was_made(plan: Plan, first: int) -> None:
    customer = _told(plan, customer_of(contacts=[_seen()]), ("impression", first + HOUR), ("impression", first))
    until = max(first, NOW) + 7 * 24 * HOUR
    assert (_left(plan, customer, until - 1), _left(plan, customer, until)) == (2, 3)


def test_each_contact_counts_once_however_often_it_was_seen(plan: Plan) -> None:
    customer = _told(plan, customer_of(contacts=[_seen()]), *[("impression", NOW + n) for n in range(5)])
    assert _left(plan, customer, NOW + HOUR) == 2


@pytest.mark.parametrize("kind", ["failed", "bounced"])
@pytest.mark.parametrize("counts", ["delivery", "impression"])
def test_what_was_not_delivered_is_given_back_at_once(kind: str, counts: str) -> None:
    plan = _plan(DELIVERED.replace("delivery", counts))
    customer = customer_of(contacts=[_sent()])
    assert _left(plan, customer, NOW + 1) == 2
    assert _left(plan, _told(plan, customer, (kind, NOW + 1)), NOW + 2) == 3


def test_what_was_delivered_all_the_same_is_not(plan: Plan) -> None:
    plan = _plan(DELIVERED)
    for told in ([("failed", NOW + 1), ("delivered", NOW + 2)], [("delivered", NOW + 2), ("failed", NOW + 3)]):
        customer = _told(plan, customer_of(contacts=[_sent()]), *told)
        assert _left(plan, customer, NOW + 3 * 24 * HOUR) == 2


def test_what_counts_as_decided_stays_whatever_comes_of_it() -> None:
    plan = _plan("{limit: 3, rolling: 7d, scope: {channel: email}}")
    customer = _told(plan, customer_of(contacts=[_sent()]), ("failed", NOW + 1))
    week = NOW + 7 * 24 * HOUR
    assert [_left(plan, customer, at) for at in (NOW + 2, week - 1, week)] == [2, 2, 3]


@pytest.mark.parametrize(
    "kind", ["impression", "click", "opened", "dismiss", "unsubscribed", "complained", "conversion"]
)
@pytest.mark.parametrize("counts", ["delivery", "impression"])
def test_whatever_the_customer_did_proves_that_it_was_seen(counts: str, kind: str) -> None:
    plan = _plan(DELIVERED.replace("delivery", counts))
    customer = _told(
        plan, customer_of(contacts=[_sent()]), (kind, NOW + 2), ("impression", NOW + 3), ("failed", NOW + 4)
    )
    week = NOW + 2 + 7 * 24 * HOUR
    assert [_left(plan, customer, at) for at in (NOW + 48 * HOUR, week - 1, week)] == [2, 2, 3]


def test_what_was_delivered_may_not_have_been_seen() -> None:
    plan = _plan(DELIVERED.replace("delivery", "impression"))
    customer = _told(plan, customer_of(contacts=[_sent()]), ("delivered", NOW + 1))
    assert [_left(plan, customer, NOW + at) for at in (HOUR, 48 * HOUR)] == [2, 3]


def test_without_an_end_a_contact_counts_as_decided(plan: Plan) -> None:
    """As do those in states that were stored when no contact had one."""
    customer = customer_of(contacts=[Contact(NOW, "a", "web", "", "inbound", SOME_DECISION)])
    week = NOW + 7 * 24 * HOUR
    for each in (customer, _told(plan, customer, ("impression", NOW + HOUR))):
        assert [_left(plan, each, at) for at in (NOW, week - 1, week)] == [2, 2, 3]


def test_states_without_the_end_of_answers_can_be_read() -> None:
    customer = Customer(labels=(Labels("a", "web", "g", "inbound", (("k", "v"),)),), log=(Logged(1, 0, b"d"),))
    of_today = encode(customer)
    five, written = b"\x95", b"\xa1a\xa3web\xa1g\xa7inbound\x91\x92\xa1k\xa1v"
    assert b"\x98" + written + b"\x00\xc3\xa0" in of_today
    of_old = of_today.replace(b"\x98" + written + b"\x00\xc3\xa0", five + written)
    assert decode(of_old) == customer


def test_a_late_impression_is_told_once_and_only_where_something_counts_by_it(plan: Plan) -> None:
    shown = customer_of(contacts=[_seen()])
    end = NOW + 2 * HOUR

    def notes(plan: Plan, customer: Customer, kind: str, at: int) -> tuple[str, ...]:
        sent = Sent("e", "c", kind, at, decision_id=SOME_DECISION)
        (result,) = apply_events(plan, customer, [sent], NOW + 500 * HOUR).results
        return result.notes

    assert notes(plan, shown, "impression", end - 1) == ()
    assert notes(plan, shown, "impression", end) == ("late",)
    assert notes(plan, shown, "click", end) == ("late",)
    assert notes(plan, shown, "delivered", end) == ()
    assert notes(plan, _told(plan, shown, ("impression", end)), "impression", end + 1) == ()
    assert notes(plan, _told(plan, shown, ("impression", NOW)), "impression", end + 1) == ()
    assert (
        notes(_plan("{limit: 3, rolling: 7d, counts: decision, scope: {channel: web}}"), shown, "impression", end) == ()
    )
    assert notes(_plan(DELIVERED), shown, "impression", end) == ()  # another channel's
    by_delivery, mailed = _plan(DELIVERED), customer_of(contacts=[_sent()])
    assert notes(by_delivery, mailed, "delivered", NOW + 48 * HOUR) == ("late",)
    assert notes(by_delivery, mailed, "impression", NOW + 48 * HOUR) == ("late",)
    assert notes(by_delivery, mailed, "bounced", NOW + 48 * HOUR) == ()
    for kind in ("bounced", "failed"):
        given_back = _told(by_delivery, mailed, (kind, NOW + 2))
        assert notes(by_delivery, given_back, kind, NOW + 3) == ()
        assert notes(by_delivery, given_back, "delivered", NOW + 3) == ("late",), "though its answer still stands"
        assert notes(by_delivery, given_back, "delivered", NOW + 1) == ("late",), (
            "its place was given back all the same"
        )
        again = _told(by_delivery, given_back, ("delivered", NOW + 3))
        assert notes(by_delivery, again, "delivered", NOW + 4) == ()
        assert _left(by_delivery, again, NOW + 4) == 2


def test_what_may_yet_be_seen_is_known_for_a_day_after_it_stood(plan: Plan) -> None:
    assert plan.history == 2 * HOUR + LATE
    end = NOW + 2 * HOUR + LATE
    assert [_kept(plan, _seen(), now) for now in (end - 1, end)] == [True, False]


def test_it_is_known_as_long_though_the_catalog_has_become_shorter() -> None:
    """`valid_for` is that of contact time."""
    plan = _plan("{limit: 3, rolling: 1h, counts: impression, scope: {channel: web}}")
    shown = Contact(NOW, "a", "web", "", "inbound", SOME_DECISION, valid_for=50 * HOUR)
    assert plan.history < 50 * HOUR
    assert [_kept(plan, shown, NOW + 50 * HOUR + LATE - n) for n in (1, 0)] == [True, False]


@pytest.mark.parametrize("window", ["rolling: 7d", "calendar: week"])
def test_what_was_seen_is_kept_while_a_window_holds_it(window: str) -> None:
    plan = _plan(f"{{limit: 3, {window}, scope: {{channel: web}}}}")
    late, longest = NOW + 20 * HOUR, plan.policies[0].window
    seen = (Response("impression", late, late),)
    assert [_kept(plan, _seen(), late + longest - n, seen) for n in (1, 0)] == [True, False]


def test_a_lifetime_keeps_what_was_seen_however_much_was_not() -> None:
    """Of what has only ever been a hold, nothing takes the place of what counts for good."""
    plan = _plan("{limit: 1, lifetime: true, scope: {channel: web}}")
    seen = (Response("impression", NOW, NOW),)
    customer = customer_of(contacts=[_seen(), _seen(NOW + 1), _seen(NOW + 2)])
    customer = Customer(
        labels=customer.labels, log=(Logged(NOW, 0, bytes.fromhex(SOME_DECISION), seen), *customer.log[1:])
    )
    year = NOW + 366 * 24 * HOUR
    later = with_contacts(customer, (_seen(year),), 0, partial(lasting, plan, year))
    assert [contact.at for contact in later.contacts] == [NOW, year]
    assert _left(plan, later, year + 2 * HOUR) == 0


def test_contacts_made_before_they_could_be_held_are_kept_as_long_as_they_count(plan: Plan) -> None:
    of_old = Contact(NOW, "a", "web", "", "inbound", SOME_DECISION)
    week = 7 * 24 * HOUR
    assert plan.history < week
    assert [_kept(plan, of_old, NOW + week - n) for n in (1, 0)] == [True, False]


def test_somebody_unknown_is_kept_while_what_they_saw_last_may_count(plan: Plan) -> None:
    assert plan.lifetime_ms == 8 * 24 * HOUR // 1000  # the window, and a day


def _kept(plan: Plan, contact: Contact, now: int, responses: tuple[Response, ...] = ()) -> bool:
    customer = customer_of(contacts=[contact])
    log = tuple(Logged(each.at, each.labels, each.decision, responses) for each in customer.log)
    customer = Customer(labels=customer.labels, log=log)
    later = with_contacts(customer, (_sent(now),), 0, partial(lasting, plan, now))
    return later.log[0].at == contact.at


def test_held_contacts_which_stand_for_a_time_each_of_their_own_take_no_room_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = _plan("{limit: 3, rolling: 7d, scope: {channel: web}}")
    monkeypatch.setattr(counters, "MOST_REMEMBERED", 0)
    short, long = (Labels("tip", "web", "g", "inbound", (), valid_for) for valid_for in (1, 2))
    assert counters.counting(plan, short) is counters.counting(plan, long)
    assert len(plan.counting) == 1
    endless = counters.counting(plan, Labels("tip", "web", "g", "inbound"))
    assert [kind for _, _, kind in endless] == [""] != [kind for _, _, kind in counters.counting(plan, short)]
