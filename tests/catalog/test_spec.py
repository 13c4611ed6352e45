"""What the loaded catalog answers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalog.loading import load_catalog
from catalog.spec import Catalog
from tests.catalog.conftest import Write


def _spec(path: Path) -> Catalog:
    return load_catalog(path).spec


def test_times_without_a_zone_are_the_catalogs(sound: Path) -> None:
    action = _spec(sound).actions["renewal-30-days"]
    assert action.from_ == datetime(2026, 1, 1, 6, tzinfo=UTC)
    assert action.until == datetime(2027, 1, 1, 6, tzinfo=UTC)


def test_an_actions_purpose_overrides_its_channels(sound: Path) -> None:
    spec = _spec(sound)
    assert spec.purpose_of("renewal-30-days", "email") == "service"
    assert spec.purpose_of("renewal-30-days", "in_app") == "service"
    assert spec.purpose_of("add-seats", "email") == "marketing"
    assert spec.purpose_of("welcome", "in_app") is None


def test_a_treatment_fits_all_placements_unless_it_says(sound: Path) -> None:
    spec = _spec(sound)
    assert spec.placements_of("renewal-30-days", "in_app") == ("home-banner",)
    assert spec.placements_of("welcome", "in_app") == ("home-banner", "feed")
    assert spec.placements_of("add-seats", "push") == ()


def test_inbound_answers_stand_half_an_hour_unless_they_say(sound: Path) -> None:
    spec = _spec(sound)
    assert spec.valid_for("renewal-30-days", "in_app") == timedelta(minutes=10)
    assert spec.valid_for("welcome", "in_app") == timedelta(minutes=30)
    assert spec.valid_for("add-seats", "push") is None


def test_levers_add_up(sound: Path) -> None:
    actions = _spec(sound).actions
    assert actions["renewal-30-days"].lever_factor == 1.145
    assert actions["add-seats"].lever_factor == 1.1
    assert actions["welcome"].lever_factor == 1.0


def test_the_control_group_defaults_to_marketing(sound: Path, write: Write) -> None:
    spec = _spec(sound)
    assert (spec.control_salt, spec.control_purposes) == ("first", ("marketing",))
    text = sound.read_text()
    spec = _spec(write(text.replace(", salt: first", "")))
    assert spec.control_salt == "customer-success"
    assert _spec(write(text.replace("control_group: {share: 0.02, salt: first}\n", ""))).control_purposes == ()


def test_checked_rules_by_path_derived_first_and_in_order(sound: Path) -> None:
    checked = load_catalog(sound).checked
    assert list(checked)[:4] == [
        "derived.days_to_renewal",
        "derived.renews_soon",
        "derived.spends_less",
        "aggregates.spend.where",
    ]
    assert checked["actions.renewal-30-days.context_weights.on-pricing.when"].source == 'context.page == "pricing"'
    assert checked["channels.push.address"].kind == "string"


def test_content_may_be_called_anything(write: Write) -> None:
    text = (
        "catalog: 1\nname: keys\nchannels: {web: {direction: inbound}}\n"
        "actions: {a: {value: 1, treatments:\n"
        "  {web: {content: c, copy: d, model_config: e, __x__: f, 12: g, 'a b': h}}}}\n"
    )
    assert load_catalog(write(text)).templates["a/web"].render({}, {}) == {
        "content": "c",
        "copy": "d",
        "model_config": "e",
        "__x__": "f",
        "12": "g",
        "a b": "h",
    }
