"""From rows to a file that serves: it learns what is there, nothing where nothing is, and says so."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from catalog.building import build_plan, load_plan
from catalog.loading import load_catalog
from catalog.plan import Plan
from models import algorithms, training
from models.algorithms import ALGORITHMS, Algorithm, Fitted, float32_thresholds
from models.contacts import read_contacts
from models.errors import FeatureError, TrainingError
from models.evaluation import Truth
from models.fitting import matrix
from models.inputs import Inputs, Rows
from models.loading import open_model
from models.report import report
from models.scoring import Models
from models.session import Session
from models.training import Task, Trained, permuted_labels, save, train
from tests.models.rows import CATALOG, made_up, write

pytest.importorskip("skl2onnx", reason="the extra `train` is not installed")

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
FEATURES = tuple(line.strip(" -") for line in CATALOG.splitlines() if line.startswith("      - "))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    return build_plan(load_catalog(tmp_path, trained=False))


def trained(plan: Plan, folder: Path, algorithm: str = "logistic", meaning: float = 1.0) -> Trained:
    data = write(made_up(1600, meaning=meaning), folder / "rows.parquet")
    return train(Task("renewal", "renewed", FEATURES, None, algorithm), data, plan, NOW)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_learns_what_is_there_and_serves_it(algorithm: str, plan: Plan, tmp_path: Path) -> None:
    if algorithm == "lightgbm":
        pytest.importorskip("lightgbm", reason="the extra `train` is not installed", exc_type=ImportError)
    found = trained(plan, tmp_path, algorithm)
    assert found.evaluation.useful
    assert found.evaluation.within is not None
    assert found.evaluation.within > 0.7
    assert found.permuted.mean == pytest.approx(0.5, abs=0.03)
    assert found.parity <= 1e-5

    save(found, tmp_path / "renewal.onnx", plan)
    served = load_plan(tmp_path)
    models = Models(served)
    contacts = read_contacts(tmp_path / "rows.parquet", served, "renewed", FEATURES)
    session = open_model(served.models["renewal"], served)
    learned = session.probabilities(matrix(Inputs(session.metadata.features, served), contacts))
    bits = {t.action: t.bit for t in served.treatments if t is not None}
    for contact, expected in list(zip(contacts, learned, strict=True))[:200]:
        scored = models.score(served.declared, contact.frame, served)
        assert scored.propensities[bits[contact.labels["action"]]] == pytest.approx(expected, abs=1e-6)


def test_the_file_says_what_it_is(plan: Plan, tmp_path: Path) -> None:
    found = trained(plan, tmp_path)
    said = Session("renewal", found.content).metadata
    assert (said.label, said.trained_at, said.algorithm, said.rows) == ("renewed", NOW, "logistic", 1200)
    assert said.parity == found.parity
    assert tuple(feature.path for feature in said.features) == FEATURES
    assert said.measured["auc"] == pytest.approx(found.evaluation.all.auc, abs=1e-6)
    by_name = {feature.path: feature for feature in said.features}
    assert by_name["customer.tier"].categories == ("free", "pro")
    assert by_name["customer.member"].flag
    assert not by_name["customer.visits"].flag
    assert by_name["customer.visits"].log


def test_the_same_rows_give_the_same_bytes(plan: Plan, tmp_path: Path) -> None:
    assert trained(plan, tmp_path).content == trained(plan, tmp_path).content


def test_a_model_that_knows_only_the_group_is_told_so(plan: Plan, tmp_path: Path) -> None:
    found = trained(plan, tmp_path, meaning=0.0)
    assert found.evaluation.all.auc is not None
    assert found.evaluation.all.auc > 0.6
    assert not found.evaluation.useful
    assert any(line.startswith("WARNING") for line in report(found))


def test_the_report_names_groups_base_rates_and_random_labels(plan: Plan, tmp_path: Path) -> None:
    text = "\n".join(report(trained(plan, tmp_path)))
    for part in ("growth", "retention", "base rate", "within groups", "random labels", "parity"):
        assert part in text
    assert "WARNING" not in text


def test_figures_that_measure_something_else_are_found_out() -> None:
    """An algorithm that is told how the labels are dealt out predicts what nobody can predict."""
    labels = np.arange(400) % 3 == 0
    dealer = np.random.default_rng(training.SEED)

    def told(rows: Rows, truth: Truth) -> Fitted:
        dealt = dealer.permutation(labels)
        return Fitted(lambda given: dealt[len(rows) :].astype(np.float64), lambda: None)

    rows = np.zeros((200, 1), dtype=np.float32)
    with pytest.raises(TrainingError, match=r"with labels dealt out at random its AUC is 1\.000"):
        permuted_labels(Algorithm(told, fill=True), rows, rows, labels[:200], labels[200:])


def test_a_file_that_gives_other_probabilities_is_refused(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bent(rows: Rows, truth: Truth) -> Fitted:
        fitted = algorithms.logistic(rows, truth)
        return Fitted(lambda given: fitted.propensities(given) * 0.999, fitted.onnx)

    monkeypatch.setitem(ALGORITHMS, "logistic", Algorithm(bent, fill=True))
    with pytest.raises(TrainingError, match="differ from the library's by up to"):
        trained(plan, tmp_path)


def test_a_feature_that_is_never_there_is_refused(plan: Plan, tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "customer.tier"} for row in made_up(400)]
    with pytest.raises(TrainingError, match=r"`customer\.tier` is missing in every row"):
        train(Task("renewal", "renewed", FEATURES, None, "logistic"), write(rows, tmp_path / "r.parquet"), plan, NOW)


def test_nothing_is_written_that_could_not_be_served(plan: Plan, tmp_path: Path) -> None:
    found = trained(plan, tmp_path)
    other = replace(found, task=replace(found.task, label="bought"))
    with pytest.raises(FeatureError, match="trained on the label `renewed`"):
        save(other, tmp_path / "new" / "renewal.onnx", plan)
    assert not (tmp_path / "new").exists()


def test_thresholds_pass_the_same_float32() -> None:
    """A threshold between two float32 neighbours, nearer to the upper one, must stay below it."""
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    between = float(low) + 0.75 * (float(high) - float(low))
    assert np.float32(between) == high
    text = float32_thresholds(f"tree\ntree_sizes=12 34\nthreshold={between!r} {float(high)!r}\nleaf_value=1\n")
    assert text.splitlines() == ["tree", f"threshold={float(low)!r} {float(high)!r}", "leaf_value=1"]


def test_a_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, truth = np.zeros((2, 1), dtype=np.float32), np.array([True, False])
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    for algorithm in ALGORITHMS.values():
        with pytest.raises(TrainingError, match=r"pip install 'tino-decide\[train\]'"):
            algorithm.fit(rows, truth)


def test_lightgbm_without_its_openmp_library_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lightgbm.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TrainingError, match="install libgomp, or train with logistic"):
        algorithms.lightgbm(np.zeros((2, 1), dtype=np.float32), np.array([True, False]))
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)
