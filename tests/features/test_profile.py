"""What is told of segments and scores is what rules see of them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.building import load_plan
from catalog.plan import Plan
from features.profile import ScorePart, profile_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CATALOG = """
catalog: 1
name: profiles
customer: {mood: double, seats: int}
events: {login: {}}
aggregates: {logins: {count: login, window: 30d}}
scores:
  health:
    parts:
      usage: {value: double(customer.logins) / 20, weight: 3}
      mood: {value: customer.mood, weight: 1, missing: 0.5}
    bands: {red: 0, amber: 40, green: 70}
  size: {parts: {seats: {value: customer.seats > 10, weight: 1}}}
segments:
  large: customer.size == 100
  well: customer.health_band == "green"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    return load_plan(tmp_path)


def test_scores_by_their_parts(plan: Plan) -> None:
    found = profile_of(plan, plan.frame({"logins": 30, "seats": 11}, {}, NOW))
    assert found.segments == ("large", "well")
    health = found.scores["health"]
    assert (health.value, health.band) == (87.5, "green")
    assert health.parts == (ScorePart("usage", 3.0, 1.0, False), ScorePart("mood", 1.0, 0.5, True))
    assert (found.scores["size"].value, found.scores["size"].band) == (100.0, None)


@pytest.mark.parametrize(
    "attributes", [{}, {"logins": 0}, {"logins": 8, "mood": 1.0}, {"mood": float("nan"), "seats": 99}]
)
def test_the_same_as_rules_see(attributes: dict[str, float], plan: Plan) -> None:
    frame = plan.frame(dict(attributes), {}, NOW)
    found = profile_of(plan, frame)
    assert list(found.segments) == plan.derived["segments"](frame)
    for name, score in found.scores.items():
        assert score.value == plan.derived[name](frame)
    assert found.scores["health"].band == plan.derived["health_band"](frame)
