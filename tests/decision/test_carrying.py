"""What contacts come to, carried on from state to state, is what it would be counted anew."""

from random import Random

import pytest
from msgspec.structs import replace

from decision.carrying import Changes, changes
from decision.view import view_of
from features.customer import Contact, Customer, Logged, Response, with_contacts
from tests.customers import SOME_DECISION
from tests.decision.plans import plan_of

HOUR = 3_600_000_000
PLAN = plan_of(
    """
timezone: UTC
customer: {contract: string}
channels: {web: {direction: inbound}}
actions:
  a: {group: g, value: 2, eligible: '!responded("b", "click")', treatments: {web: {t: x, valid_for: 3h}}}
  b: {value: 1, eligible: '!contacted("a", duration("1h"))', treatments: {web: {t: x}}}
  c: {value: 1, treatments: {web: {t: x}}}
contact_policies:
  all: {limit: 9, rolling: 1d}
  each: {limit: 3, calendar: day, per: [action], counts: decision}
  contracts: {limit: 3, lifetime: true, per: [customer.contract, group]}
  dismissed: {after: {outcome: dismiss, times: 2, rolling: 1d, without: click}, pause: 2d}
  tired: {after: {outcome: dismiss, times: 1, rolling: 1d}, pause: 2d, per: [customer.contract, action]}
"""
)


def _contact(draw: Random) -> Contact:
    action, contract = draw.choice("aaaaabbbbbc"), draw.choice(["k", "l", ""])
    keys = (("customer.contract", contract),) if contract else ()
    group, valid = "g" if action == "a" else "", draw.choice([0, HOUR, 3 * HOUR])
    return Contact(_moment(draw), action, "web", group, "inbound", SOME_DECISION, keys, valid_for=valid)


def _moment(draw: Random) -> int:
    return draw.randrange(5) * HOUR  # few, so that many are equal


def _came(draw: Random) -> tuple[Response, ...]:
    kinds = draw.sample(["impression", "dismiss", "click", "failed", "delivered"], draw.randrange(4))
    return tuple(Response(kind, _moment(draw), _moment(draw) + 4 * HOUR, draw.randint(1, 3)) for kind in kinds)


def _next(draw: Random, customer: Customer) -> Customer:
    """Of some contacts something comes, some go, some are made."""
    log = list(customer.log)
    for _ in range(draw.randrange(3)):
        place = draw.randrange(len(log))
        log[place : place + 1] = [replace(log[place], responses=_came(draw))] if draw.random() < 0.7 else []
    return with_contacts(replace(customer, log=tuple(log)), (_contact(draw),) * draw.randrange(2))


@pytest.mark.parametrize("seed", range(40))
def test_views_are_the_same_carried_on_as_made_anew(seed: int) -> None:
    draw = Random(seed)
    made = with_contacts(Customer(), tuple(_contact(draw) for _ in range(40)))
    customer = replace(made, log=tuple(replace(each, responses=_came(draw)) for each in made.log))
    view = view_of(PLAN, customer)
    for _ in range(9):
        before, customer = customer, _next(draw, customer)
        assert changes(before, customer) is not None
        view = view_of(PLAN, customer, view)
        assert view == view_of(PLAN, customer)


def _many() -> tuple[Customer, tuple[Logged, ...]]:
    made = tuple(Contact(at, "a", "web", "g", "inbound", SOME_DECISION, valid_for=HOUR) for at in range(20))
    customer = with_contacts(Customer(), made)
    return customer, customer.log


def test_only_what_changed_is_looked_at() -> None:
    customer, log = _many()
    seen = replace(log[7], responses=(Response("impression", 9, 9),))
    more = replace(log[0], at=30)
    after = replace(customer, log=(*log[:3], *log[4:7], seen, *log[8:], more))
    assert changes(customer, after) == Changes([log[3], log[7]], [seen, more])
    assert changes(customer, replace(customer, log=(*log, more))) == Changes((), (more,))
    assert changes(customer, customer) == Changes((), ())


def test_of_most_others_nothing_is_carried_on() -> None:
    customer, log = _many()
    others = tuple(replace(each, at=each.at + 1) for each in log)
    assert changes(customer, replace(customer, log=others)) is None
    assert changes(customer, replace(customer, log=(log[1], log[1], log[0], *log[2:]))) is None  # one is there twice
    assert changes(customer, replace(customer, labels=(replace(customer.labels[0], group="h"),))) is None
