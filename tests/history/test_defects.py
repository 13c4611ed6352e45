"""Each defect that is put into a copy of the code is found, by the checker that finds nothing without it."""

from pathlib import Path

import pytest

from tests.history.cluster import Cluster
from tests.history.defects import DEFECTS, LIMITS, WAYS, Defect, seeded
from tests.history.limits import write_catalog
from tests.history.run import CUSTOMERS, told
from tests.history.ways import Scene

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: str(defect.name))
def test_a_defect_is_found(tmp_path: Path, defect: Defect, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = write_catalog(tmp_path, LIMITS)
    with Cluster(tmp_path, catalog, defect.workers, code=seeded(defect, tmp_path)) as cluster:
        scene = Scene(cluster, CUSTOMERS[0])
        defect.way(scene)
        scene.close()
        violations = told(cluster, LIMITS).violations
    with capsys.disabled():
        print(f"\n  {defect.name}: {len(violations)} violations; {violations[0].text if violations else ''}")
    assert defect.rules <= {violation.rule for violation in violations}


def test_the_same_ways_break_nothing_without_them(tmp_path: Path) -> None:
    with Cluster(tmp_path, write_catalog(tmp_path, LIMITS), workers=2) as cluster:
        for number, way in enumerate(WAYS):
            scene = Scene(cluster, f"c-{number}")
            way(scene)
            scene.close()
        assert told(cluster, LIMITS, [f"c-{number}" for number in range(len(WAYS))]).violations == []
