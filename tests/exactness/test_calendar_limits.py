"""A limit of the calendar is reached exactly by a thousand requests at once, whatever month or day begins meanwhile."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from features.customer import moment
from tests.exactness.catalogs import write_catalog
from tests.exactness.crew import Crew
from tests.exactness.messages import Hammer, Open
from tests.exactness.test_limits import BY_TURNS, hammer
from tests.exactness.truth import check_acknowledged, check_consistent, conflicts, read

WHO = "c-42"
LIMIT = 3
ZONE = ZoneInfo("Australia/Lord_Howe")
POLICY = (
    f"  monthly: {{limit: {LIMIT}, calendar: %s, timezone: Australia/Lord_Howe, scope: {{channel: [email, in_app]}}}}"
)


def _unit(unit: str, now: int) -> date:
    """The first day of the unit."""
    day = moment(now).astimezone(ZONE).date()
    return day.replace(day=1) if unit == "month" else day - timedelta(days=day.weekday() if unit == "week" else 0)


@pytest.mark.parametrize("unit", ["day", "week", "month"])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_thousand_requests_at_once(
    crew: Crew, url: str, tmp_path: Path, workers: int, unit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    opening = Open(url=url, catalog=str(write_catalog(tmp_path, POLICY % unit)))
    each = 1000 // workers
    told = hammer(crew.first(workers), opening, Hammer(requests=BY_TURNS, times=each, tasks=each))
    assert len(told) == 1000
    assert not any(answer.degraded for answer in told)

    truth = read(url, WHO)
    counted: Counter[date] = Counter()
    for now, granted in truth.log:
        began = _unit(unit, now)
        assert granted == (1 if counted[began] < LIMIT else 0)
        counted[began] += granted
    assert max(counted.values()) == LIMIT
    check_acknowledged(truth, told)
    check_consistent(truth)
    with capsys.disabled():
        print(f"\n  {workers} workers, {LIMIT} a {unit}: {len(told)} answers, {conflicts(told)} version conflicts")
