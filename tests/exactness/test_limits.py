"""A limit is reached exactly, and never passed, however many worker processes race for one customer."""

from pathlib import Path

import pytest

from tests.exactness.catalogs import EMAIL, IN_APP, at_most, write_catalog
from tests.exactness.crew import Crew
from tests.exactness.messages import Change, Hammer, Open, Told
from tests.exactness.truth import check_exact, conflicts, grants, read

WHO = "c-42"
KNOWN = Change(customer_id=WHO, attributes={"email": "c@example.com"}, consents={"marketing": True}, at=1)
BY_TURNS = [{"customer_id": WHO, "channels": [EMAIL]}, {"customer_id": WHO, "channels": [IN_APP]}]
BOTH = {"customer_id": WHO, "channels": [EMAIL, IN_APP], "limit": 2}


def hammer(crew: Crew, opening: Open, command: Hammer) -> list[Told]:
    """All workers at once, for a customer who may be contacted and has not been."""
    crew.run(opening)
    crew.workers[0].run(KNOWN)
    warm(crew)
    return crew.told(command)


def warm(crew: Crew) -> None:
    """Every worker has the customer of now in its cache: all but the first to commit are sure to lose a try."""
    crew.told(Hammer(requests=[{"customer_id": WHO, "dry_run": True}], times=1))


@pytest.mark.parametrize("limit", [3, 300])
@pytest.mark.parametrize("workers", [2, 4])
def test_one_policy(
    crew: Crew, url: str, tmp_path: Path, workers: int, limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    opening = Open(url=url, catalog=str(write_catalog(tmp_path, at_most(limit))))
    told = hammer(crew.first(workers), opening, Hammer(requests=BY_TURNS, times=100 + limit // 2))
    with capsys.disabled():
        print(f"\n  {workers} workers, limit {limit}: {len(told)} answers, {conflicts(told)} version conflicts")
    assert conflicts(told) > 0
    assert sum(answer.status == "decided" for answer in told) == limit
    check_exact(read(url, WHO), told, limit)


def test_the_picks_of_one_answer_count_against_each_other(crew: Crew, url: str, tmp_path: Path) -> None:
    """An odd limit under answers of two: the last one gets a single pick."""
    told = hammer(
        crew.first(2),
        Open(url=url, catalog=str(write_catalog(tmp_path, at_most(31)))),
        Hammer(requests=[BOTH], times=50),
    )
    assert conflicts(told) > 0
    assert sum(answer.status == "decided" for answer in told) == 16
    check_exact(read(url, WHO), told, 31)


POLICIES = """\
  overall: {{limit: {overall}, rolling: 30d}}
  by-email: {{limit: 40, rolling: 7d, scope: {{channel: email}}}}
  in-the-app: {{limit: 30, rolling: 14d, scope: {{direction: inbound}}}}
  that-banner: {{limit: 1000, rolling: 365d, scope: {{action: banner}}}}"""


@pytest.mark.parametrize(("overall", "total"), [(50, 50), (1000, 70)], ids=["overall is strictest", "channels are"])
def test_several_policies(crew: Crew, url: str, tmp_path: Path, overall: int, total: int) -> None:
    told = hammer(
        crew.first(4),
        Open(url=url, catalog=str(write_catalog(tmp_path, POLICIES.format(overall=overall)))),
        Hammer(requests=BY_TURNS, times=120),
    )
    assert conflicts(told) > 0
    truth = read(url, WHO)
    check_exact(truth, told, total)
    channels = [channel for _, channel in grants(truth.answers.values())]
    assert channels.count(EMAIL) <= 40
    assert channels.count(IN_APP) <= 30
