"""One wrong word in a sound catalog is at least one error, on the line of the wrong word."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.loading import check_catalog
from tests.catalog.conftest import Write

MUTATIONS = [
    ("catalog: 1", "catalog: one"),
    ("name: customer-success", "name: [customer-success]"),
    ("timezone: America/Mexico_City", "timezone: America/Mexico"),
    ("  first_name: string", "  first_name: text"),
    ("  seats: int", "  seats: 5"),
    ("  timezone: string", "  timezone: double"),
    ("  tags: list<string>", "  tags: list"),
    ("  login: {}", "  login: [at]"),
    ("amount: double,", "amount: money,"),
    ("outcomes: [returned, shared]", "outcomes: returned"),
    ("outcomes: [returned, shared]", "outcomes: [returned, returned]"),
    ("{count: login,", "{count: logins,"),
    ("{count: login,", "{counts: login,"),
    ("{count: login,", "{count: purchase.amount,"),
    ("{sum: purchase.amount, window: 90d, where", "{sum: purchase.amont, window: 90d, where"),
    ("{sum: purchase.amount, window: 90d, where", "{sum: purchase.basket, window: 90d, where"),
    ("{sum: purchase.amount, window: 90d, where", "{sum: purchase.amount, max: purchase.amount, where"),
    ("{sum: purchase.amount, window: 90d, where", "{sum: purchase.amount, window: 90, where"),
    ("where: event.amount > 0}", "where: event.amont > 0}"),
    ("where: event.amount > 0}", "where: event.amount}"),
    ("where: event.amount > 0}", "where: customer.seats > 0}"),
    ("offset: 90d, tile: 1d", "offset: 90d, tile: 7d"),
    ("offset: 90d, tile: 1d", "offset: 36h, tile: 1d"),
    ("offset: 90d, tile: 1d", "offset: 400d, tile: 1d"),
    ("most: 20", "most: 0"),
    ("{max: purchase.paid}", "{sum: purchase.paid}"),
    ("{max: purchase.paid}", "{max: purchase.paid, most: 3}"),
    ("{max: purchase.paid}", "{max: purchase.paid, tile: 1d}"),
    ("{days_since: login}", "{days_since: login, offset: 7d}"),
    ("  idle_days:", "  seats:"),
    ("customer.spend_before *", "customer.spent_before *"),
    ("weight: 60", "weight: 0"),
    ("weight: 60", "weigth: 60"),
    ("double(customer.logins_30d) / 20", "customer.logins_30d / 20.0"),
    ("missing: 0.5", "missing: 5"),
    ("bands: {red: 0,", "bands: {red: 1,"),
    ("amber: 40, green: 70", "amber: 70, green: 40"),
    ("  care: {parts: {slipping", "  tier: {parts: {slipping"),
    ("  care: {parts: {slipping", "  health_band: {parts: {slipping"),
    ("""bakery: '"PASTRY" in customer.departments'""", """bakery: '"PASTRY" in customer.department'"""),
    ("""bakery: '"PASTRY" in customer.departments'""", "bakery: customer.departments"),
    ('customer.health_band == "red"', "customer.health_band == 3"),
    ("days_until(customer.renewal_date)", "days_until(customer.renewal)"),
    ("days_until(customer.renewal_date)", "days_until(customer.tier)"),
    ("  renews_soon: in_band(customer.days_to_renewal, 0, 30)", "  tier: in_band(customer.days_to_renewal, 0, 30)"),
    ("context: {page: string", "context: {Page: string"),
    ("context: {page: string", "context: {page: str"),
    ("purposes: [marketing, service]", "purposes: marketing"),
    ("purposes: [marketing, service]", "purposes: [marketing, service, service]"),
    ("email: {direction: outbound", "email: {direction: out"),
    ("email: {direction: outbound, purpose: marketing", "email: {direction: outbound, purpose: sales"),
    ("address: customer.email", "address: customer.mail"),
    ("address: customer.email", "address: customer.seats"),
    ("address: customer.push_token", "adress: customer.push_token"),
    ("{direction: inbound, placements", "{direction: inbound, address: customer.email, placements"),
    ("placements: [home-banner, feed]", "placements: home-banner"),
    ("    description: Renew before the term ends", "    description: [Renew]"),
    ("    group: renewals", "    group: re newals"),
    ("    purpose: service", "    purpose: services"),
    ('customer.tier != "free"', "customer.tier != 3"),
    ('customer.tier != "free"', 'customer.tier != "free'),
    ('customer.tier != "free"', "customer.tier"),
    ("in_band(customer.days_to_renewal, 14, 30)", "in_band(customer.days_to_renewal, 14)"),
    ("customer.health_score >= 60 &&", "customer.health_scor >= 60 &&"),
    ('!("complaint" in customer.tags)', '!("complaint" in customer.tag)'),
    ('!("at-risk" in customer.segments)', '!("atrisk" in customer.segments)'),
    ("    from: 2026-01-01", "    from: 2026-02-30"),
    ("    until: 2027-01-01T00:00", "    until: next year"),
    ("    value: 120", "    value: much"),
    ("    value: 120", "    value: -0.01"),
    ("quarter-end: 20", "quarter-end: -95"),
    ("quarter-end: 20", "quarter end: 20"),
    ("    propensity: 0.18", "    propensity: 18%"),
    ("    propensity: 0.18", "    propensity: 1.18"),
    ('context.page == "pricing"', 'context.pge == "pricing"'),
    ("percent: -10", "percent: -100"),
    ("percent: -10", "percentage: -10"),
    ("{{ customer.first_name }}", "{{ customer.name }}"),
    ("{{ customer.first_name }}", "{{ customer.first_name }"),
    ("{{ customer.first_name }}", "{{ customer.first_name | shout }}"),
    ("placements: [home-banner], valid_for", "placements: [banner], valid_for"),
    ("valid_for: 10m", "valid_for: 10"),
    ("valid_for: 10m", "valid_for: 0m"),
    ("sticky: true", "sticky: [true]"),
    ("      push: {text", "      sms: {text"),
    ("weekly-email: {limit: 3", "weekly-email: {limit: -3"),
    ("weekly-email: {limit: 3", "weekly-email: {limit: three"),
    ("rolling: 7d", "rolling: 7"),
    ("calendar: day,", "calendar: daily,"),
    ("calendar: day,", "rolling: 1d,"),
    ("calendar: day,", "calendar: day, lifetime: true,"),
    ("timezone: customer", "timezone: customers"),
    ("outcome: returned", "outcome: return"),
    ("outcome: returned, times: 2, rolling: 30d", "outcome: returned, times: 2"),
    ("times: 2", "times: 0"),
    ("times: 2", "time: 2"),
    ("pause: 90d", "pause: 0d"),
    ("pause: 90d, ", ""),
    ("pause: 90d", "limit: 1, pause: 90d"),
    ("without: click", "without: clicks"),
    ("without: click", "without: impression"),
    ("without: click, rolling: 7d", "without: click"),
    ("scope: {channel: email}", "scope: {channel: mail}"),
    ("group: [growth, renewals]", "group: [growth, renewal]"),
    ("treatment: add-seats/push", "treatment: add-seats/sms"),
    ("arbitration: {lever: true}", "arbitration: {lever: 1}"),
    ("exploration: {rate: 0.05}", "exploration: {rate: 1.0}"),
    ("share: 0.02", "share: 2"),
    ("salt: first", "purposes: [sales]"),
    ("fallback: {home-banner: welcome}", "fallback: {home-baner: welcome}"),
    ("fallback: {home-banner: welcome}", "fallback: {home-banner: renewal-30-days}"),
]


@pytest.mark.parametrize(("right", "wrong"), MUTATIONS, ids=[wrong for _, wrong in MUTATIONS])
def test_one_wrong_word_is_an_error_on_its_line(right: str, wrong: str, sound: Path, write: Write) -> None:
    text = sound.read_text()
    assert right in text
    line = text[: text.index(right)].count("\n") + 1
    errors = [found for found in check_catalog(write(text.replace(right, wrong, 1))) if found.severity == "error"]
    assert line in {found.line for found in errors}


def test_every_line_left_out_is_found_or_changes_nothing_else(sound: Path, write: Write) -> None:
    lines = sound.read_text().splitlines(keepends=True)
    for number in range(len(lines)):
        for found in check_catalog(write("".join(lines[:number] + lines[number + 1 :]))):
            assert 1 <= found.line <= len(lines)


_PIECES = st.sampled_from(
    [
        *"{}[]: \n\t>\"'#?%~@`.\\é\u2028\U0001f600",
        *["- ", "&a ", "*a ", "!x ", "null", "true", "0", "-1", "1e999", "{{", "%}", "customer", "..."],
        "|\n",
    ]
)


@settings(
    derandomize=True, max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_broken_text_is_diagnosed_never_a_traceback(data: st.DataObject, sound: Path, write: Write) -> None:
    text = sound.read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        text = text[:place] + data.draw(_PIECES) + text[place + data.draw(st.integers(0, 3)) :]
    for found in check_catalog(write(text)):
        assert found.line >= 1
        assert found.column >= 1
