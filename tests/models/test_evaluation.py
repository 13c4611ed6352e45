"""AUC and log loss by hand, and that knowing only the group is seen for what it is."""

from typing import Any

import numpy as np
import pytest

from models.evaluation import auc, evaluate, log_loss


def truth(*values: int) -> Any:
    return np.array(values, dtype=np.bool_)


@pytest.mark.parametrize(
    ("given", "succeeded", "expected"),
    [
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], 1.0),
        ([0.4, 0.3, 0.2, 0.1], [0, 0, 1, 1], 0.0),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], 0.5),
        ([0.5, 0.5, 0.9], [0, 1, 1], 0.75),
        ([0.5, 0.6], [1, 1], None),
    ],
)
def test_auc(given: list[float], succeeded: list[int], expected: float | None) -> None:
    assert auc(np.array(given), truth(*succeeded)) == expected


def test_auc_and_log_loss_are_the_usual_ones() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="the extra `train` is not installed")
    chance = np.random.default_rng(1)
    given = np.round(chance.random(500), 2)
    succeeded = chance.random(500) < given
    assert auc(given, succeeded) == pytest.approx(metrics.roc_auc_score(succeeded, given))
    assert log_loss(given, succeeded) == pytest.approx(metrics.log_loss(succeeded, given))


def test_log_loss_of_being_sure_and_wrong_is_finite() -> None:
    assert 30 < log_loss(np.array([0.0]), truth(1)) < 40


def test_knowing_only_the_group_looks_good_over_all_and_is_nothing_within() -> None:
    chance = np.random.default_rng(2)
    groups = ["good"] * 500 + ["poor"] * 500
    rate = np.array([0.5] * 500 + [0.05] * 500)
    succeeded = chance.random(1000) < rate
    found = evaluate(rate, succeeded, groups, groups, succeeded)
    assert found.all.auc is not None
    assert found.all.auc == found.by_group
    assert found.all.auc > 0.7
    assert found.within == 0.5
    assert not found.useful


def test_what_is_known_beyond_the_group_shows_within() -> None:
    chance = np.random.default_rng(3)
    groups = ["good"] * 500 + ["poor"] * 500
    rate = np.where(chance.random(1000) < 0.5, 2.0, 0.1) * np.array([0.4] * 500 + [0.1] * 500)
    succeeded = chance.random(1000) < rate
    found = evaluate(rate, succeeded, groups, groups, succeeded)
    assert found.within is not None
    assert found.within > 0.7
    assert found.useful
    good, poor = found.groups
    assert good.base_rate == pytest.approx(succeeded[:500].mean())
    assert poor.log_loss < poor.base_log_loss
    assert sum(part.contacts for part in good.parts) == 500
    assert [part.given for part in good.parts] == sorted(part.given for part in good.parts)


def test_a_group_without_training_rows_has_the_base_rate_of_all() -> None:
    found = evaluate(np.array([0.2, 0.3]), truth(0, 1), ["new", "new"], ["old"] * 4, truth(1, 0, 0, 0))
    assert found.groups[0].base_rate == 0.25
