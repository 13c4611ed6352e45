"""A thousand requests at once for one customer, over several workers: the limit is reached, and nobody gives up.

`test_one_worker.py` does it within one.
"""

from pathlib import Path

import pytest

from tests.exactness.catalogs import at_most, write_catalog
from tests.exactness.crew import Crew
from tests.exactness.messages import Hammer, Open
from tests.exactness.test_limits import BY_TURNS, WHO, hammer
from tests.exactness.truth import check_exact, conflicts, read

AT_ONCE = 1_000
PATIENCE = 60.0


@pytest.mark.parametrize("limit", [3, 500])
@pytest.mark.parametrize("workers", [2, 4])
def test_a_thousand_at_once(
    crew: Crew, url: str, tmp_path: Path, workers: int, limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    each = AT_ONCE // workers
    told = hammer(
        crew.first(workers),
        Open(url=url, catalog=str(write_catalog(tmp_path, at_most(limit)))),
        Hammer(requests=BY_TURNS, times=each, tasks=each, seconds=PATIENCE),
    )
    with capsys.disabled():
        print(f"\n  {AT_ONCE} at once over {workers} workers, limit {limit}: {conflicts(told)} version conflicts")
    assert len(told) == AT_ONCE
    assert conflicts(told) > 0
    truth = read(url, WHO)
    assert len(truth.answers) == AT_ONCE, "each was answered by a decision of its own"
    check_exact(truth, told, limit)
