"""The index and the programs against the official evaluator, on random catalogs and customers."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rules.grammar import KINDS
from tests.rules.property import Coverage, check_catalog, check_catalogs

pytestmark = pytest.mark.untraced


@pytest.fixture(scope="module")
def coverage() -> Coverage:
    return check_catalogs(seed=20260329, catalogs=90)


def test_no_case_disagrees_with_the_official_evaluator(coverage: Coverage) -> None:
    assert not coverage.disagreements, "\n".join(coverage.disagreements[:5])
    assert coverage.cases >= 2000


def test_the_cases_reach_every_kind_of_rule(coverage: Coverage, capsys: pytest.CaptureFixture[str]) -> None:
    shares = coverage.shares()
    with capsys.disabled():
        print(f"\n  {coverage.cases} cases:", ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    assert {kind for kind in KINDS if shares.get(kind, 0) < 0.05} == set()
    assert shares["true"] >= 0.2
    assert shares["missing"] >= 0.2
    assert shares["error"] >= 0.05


# The same property again, so that hypothesis may shrink what it finds to a small catalog.
@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_hypothesis_finds_no_disagreement(random: Random) -> None:
    coverage = Coverage()
    check_catalog(random, coverage, customers=1)
    assert not coverage.disagreements, coverage.disagreements[0]
