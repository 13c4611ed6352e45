"""The digest is the same for the same meaning, and only then."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from catalog.loading import load_catalog
from tests.catalog.conftest import Write


def _digest(path: Path) -> str:
    return load_catalog(path).digest


@pytest.mark.parametrize(
    ("here", "instead"),
    [
        ("catalog: 1", "# a remark\n\ncatalog:   1"),
        ("    value: 120", "    value: 120.0"),
        ("    lever: 10", "    lever: {lever: 10}"),
        ("scope: {channel: email}", "scope: {channel: [email]}"),
        ("group: [growth, renewals]", "group: [renewals, growth]"),
        ("rolling: 7d", "rolling: 1w"),
        ("rolling: 24h", "rolling: 1d"),
        ("calendar: month,", "calendar: month, timezone: America/Mexico_City,"),
        ("limit: 100, calendar: month,", "limit: 100, calendar: month, timezone: America/Mexico_City,"),
        ("action: [welcome, add-seats]", "action: [add-seats, welcome]"),
        ("purposes: [marketing, service]", "purposes: [service, marketing]"),
        ("    from: 2026-01-01", "    from: 2026-01-01T06:00:00Z"),
        ("salt: first", "salt: 'first', purposes: [marketing]"),
        ("arbitration: {lever: true}\n", ""),
        ("context: {page: string, device: string}", "context: {device: string, page: string}"),
        ("    value: 80\n    lever: 10\n", "    lever: 10\n    value: 80\n    propensity: 1\n"),
        ("{count: login, window: 30d}", "{window: 720h, tile: 24h, count: login}"),
        ("{sum: purchase.amount, window: 90d, where", "{sum: purchase.amount, window: 90d, tile: 1d, where"),
        ("outcomes: [returned, shared]", "outcomes: [shared, returned]"),
        ("value: customer.health_score / 100.0, weight: 40", "weight: 40.0, value: customer.health_score / 100.0"),
        ("bands: {red: 0, amber: 40, green: 70}", "bands: {red: 0.0, amber: 40.0, green: 70}"),
    ],
)
def test_another_way_to_write_the_same(here: str, instead: str, sound: Path, write: Write) -> None:
    text = sound.read_text()
    assert here in text
    assert _digest(write(text.replace(here, instead, 1))) == _digest(sound)


@pytest.mark.parametrize(
    ("here", "instead"),
    [
        ("name: customer-success", "name: other"),
        ("timezone: America/Mexico_City", "timezone: UTC"),
        ("    value: 120", "    value: 121"),
        ("title: More seats", "title: More  seats "),
        ("rolling: 7d", "rolling: 8d"),
        ("calendar: month,", "calendar: month, timezone: UTC,"),
        ("calendar: month,", "calendar: month, timezone: customer,"),
        ("calendar: month,", "calendar: week,"),
        ("limit: 100, calendar: month,", "limit: 100, calendar: month, timezone: UTC,"),
        ("limit: 1000, calendar: day,", "limit: 1001, calendar: day,"),
        ("limit: 100, calendar: month,", "limit: 100, lifetime: true,"),
        ("action: [welcome, add-seats]", "action: welcome"),
        ("times: 2,", "times: 3,"),
        ("pause: 90d", "pause: 91d"),
        ("without: click, ", ""),
        ("salt: first", "salt: second"),
        ("push: {text: ", "push: {body: "),
        ("sticky: true", 'sticky: "true"'),
        ("  welcome:\n    value: 1\n", "  welcome:\n    value: 1\n    description: words\n"),
        ("{count: login, window: 30d}", "{count: login, window: 30d, tile: 6h}"),
        ("{count: login, window: 30d}", "{count: login}"),
        ("most: 20", "most: 21"),
        ("outcomes: [returned, shared]", "outcomes: [returned]"),
        ("  login: {}", "  login: {page: string}"),
        ("missing: 0.5", "missing: 0.4"),
        ("amber: 40", "amber: 41"),
    ],
)
def test_another_meaning(here: str, instead: str, sound: Path, write: Write) -> None:
    text = sound.read_text()
    assert here in text
    assert _digest(write(text.replace(here, instead, 1))) != _digest(sound)


def test_the_order_of_actions_settles_ties(sound: Path, write: Write) -> None:
    text = sound.read_text()
    head, actions, rest = text.partition("actions:\n")
    welcome = actions + rest
    start, end = welcome.index("  welcome:"), welcome.index("contact_policies:")
    moved = head + "actions:\n" + welcome[start:end] + welcome[len("actions:\n") : start] + welcome[end:]
    assert next(iter(load_catalog(write(moved)).spec.actions)) == "welcome"
    assert _digest(write(moved)) != _digest(sound)


def test_the_order_of_segments_is_that_of_their_list(sound: Path, write: Write) -> None:
    first, second = (line + "\n" for line in sound.read_text().splitlines() if line[:9] in ("  bakery:", "  at-risk"))
    assert _digest(write(sound.read_text().replace(first + second, second + first))) != _digest(sound)


def test_catalogs_without_events_keep_the_digest_they_had(write: Write) -> None:
    text = "catalog: 1\nname: old\ncustomer: {tags: list<string>}\nderived: {new: '\"new\" in customer.tags'}\n"
    assert _digest(write(text)) == "sha256:cbe7228f107fe5b0cf6a6c1439834e219d2591a47bd39b790975a9a4b58a485d"


def test_split_over_files(sound: Path, tmp_path: Path) -> None:
    yaml = YAML(typ="safe", pure=True)
    for number, (section, content) in enumerate(yaml.load(sound.read_text()).items()):
        with (tmp_path / f"{99 - number}.yaml").open("w") as file:
            yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
            yaml.dump({section: content}, file)
    assert _digest(tmp_path) == _digest(sound)


@pytest.mark.parametrize(
    ("policy", "same"),
    [
        ("{limit: 1, lifetime: true, per: [customer.tier, action]}", True),
        ("{per: [action, customer.tier], limit: 1, lifetime: true}", True),
        ("{limit: 1, lifetime: true, per: action}", False),
        ("{limit: 1, lifetime: true}", False),
        ("{limit: 1, rolling: 7d, per: [action, customer.tier]}", False),
    ],
)
def test_what_tells_counters_apart_has_no_order(policy: str, same: bool, sound: Path, write: Write) -> None:
    text = sound.read_text()
    first = write(text.replace("contact_policies:\n", "contact_policies:\n  p: " + policy + "\n"))
    digest = _digest(first)
    second = "  p: {limit: 1, lifetime: true, per: [action, customer.tier]}\n"
    assert (_digest(write(text.replace("contact_policies:\n", "contact_policies:\n" + second))) == digest) == same


QUIET = """catalog: 1
name: quiet
timezone: UTC
customer: {email: string, timezone: string}
purposes: [service]
channels:
  email: {direction: outbound, purpose: service, address: customer.email, quiet_hours: {from: 21:00, to: 08:00}}
actions:
  hello: {value: 1, treatments: {email: {t: a}}}
"""


@pytest.mark.parametrize(
    ("here", "instead", "same"),
    [
        ("to: 08:00", "to: 08:00, mode: hold", True),
        ("value: 1,", "value: 1, obeys_quiet_hours: true,", True),
        ("to: 08:00", "to: 08:01", False),
        ("to: 08:00", "to: 08:00, mode: drop", False),
        ("value: 1,", "value: 1, obeys_quiet_hours: false,", False),
        ("timezone: UTC\n", "", False),  # who has no zone is then sent nothing
    ],
)
def test_quiet_hours(here: str, instead: str, same: bool, write: Write) -> None:
    assert here in QUIET
    before = _digest(write(QUIET))
    assert (_digest(write(QUIET.replace(here, instead, 1))) == before) is same


def test_without_quiet_hours_the_default_zone_may_be_spelt_out(write: Write) -> None:
    plain = QUIET.replace(", quiet_hours: {from: 21:00, to: 08:00}", "")
    before = _digest(write(plain))
    assert _digest(write(plain.replace("timezone: UTC\n", ""))) == before
