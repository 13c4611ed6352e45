"""Each defect that is put into a copy of the code is found, by the checker that finds nothing without it."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tests.history.cluster import Cluster
from tests.history.defects import DEFECTS, LIMITS, WAYS, Defect, seeded
from tests.history.limits import write_catalog
from tests.history.run import told_of_each
from tests.history.statements import Violation
from tests.history.ways import Scene

Way = Callable[[Scene], None]
pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("together", DEFECTS, ids=lambda together: ", ".join(defect.name for defect in together))
def test_a_defect_is_found(tmp_path: Path, together: Sequence[Defect], capsys: pytest.CaptureFixture[str]) -> None:
    found = violations(tmp_path, [defect.way for defect in together], seeded(together, tmp_path))
    with capsys.disabled():
        for defect, mine in zip(together, found, strict=True):
            print(f"\n  {defect.name}: {len(mine)} violations; {mine[0].text if mine else ''}", end="")
    for defect, mine in zip(together, found, strict=True):
        assert defect.rules <= {violation.rule for violation in mine}, defect.name


def test_the_same_ways_break_nothing_without_them(tmp_path: Path) -> None:
    assert violations(tmp_path, WAYS) == [[] for _ in WAYS]


def violations(folder: Path, ways: Iterable[Way], code: Path | None = None) -> list[list[Violation]]:
    """On each way, which a customer of its own is taken."""
    customers = []
    with Cluster(folder, write_catalog(folder, LIMITS), workers=2, code=code) as cluster:
        for number, way in enumerate(ways):
            customers.append(f"c-{number}")
            scene = Scene(cluster, customers[-1])
            way(scene)
            scene.close()
        return told_of_each(cluster, LIMITS, customers)
