"""Training: past contacts in, an ONNX file and an honest account of it out.

The file that is written is the model that was tested, not one fitted again to all rows: its figures are its own. It is
refused where it can't be trusted: if labels dealt out at random seem predictable, the figures measure something else;
if the ONNX file gives other probabilities than the library, it is another model.
"""

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from catalog.models import ModelFile
from catalog.plan import Plan
from models.algorithms import ALGORITHMS, OPSET, OUTPUT, Algorithm
from models.contacts import read_contacts
from models.encoding import Feature
from models.errors import TrainingError
from models.evaluation import Evaluation, Truth, auc, evaluate
from models.export import export
from models.fitting import fit_features, matrix, outcomes
from models.inputs import Inputs, Rows
from models.loading import open_model
from models.metadata import Metadata
from models.split import Split, split

PERMUTATIONS = 20
MOST_OFF_CHANCE = 0.03
SEED = 20170101


@dataclass(frozen=True, slots=True)
class Task:
    """What the catalog says of the model to be trained. `test_from` None: the last quarter of the rows."""

    model: str
    label: str
    features: tuple[str, ...]
    test_from: datetime | None
    algorithm: str


@dataclass(frozen=True, slots=True)
class Permuted:
    """AUCs of models that learned from, and were tested on, labels dealt out at random: their mean, least and most."""

    runs: int
    mean: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Trained:
    task: Task
    features: tuple[Feature, ...]
    split: Split
    evaluation: Evaluation
    permuted: Permuted
    parity: float
    content: bytes


def train(task: Task, data: Path, plan: Plan, trained_at: datetime) -> Trained:
    """Raises TrainingError, and ImportFileError on a file that can't be read."""
    algorithm = ALGORITHMS[task.algorithm]
    parts = split(read_contacts(data, plan, task.label, task.features), task.test_from)
    features = fit_features(task.features, parts.train, plan, fill=algorithm.fill)
    inputs = Inputs(features, plan)
    rows, tested = matrix(inputs, parts.train), matrix(inputs, parts.test)
    truth, tested_truth = outcomes(parts.train), outcomes(parts.test)
    fitted = algorithm.fit(rows, truth)
    evaluation = evaluate(
        fitted.propensities(tested),
        tested_truth,
        [contact.group for contact in parts.test],
        [contact.group for contact in parts.train],
        truth,
    )
    permuted = permuted_labels(algorithm, rows, tested, truth, tested_truth)
    metadata = Metadata(
        format=1,
        features=features,
        output=OUTPUT,
        label=task.label,
        trained_at=trained_at,
        algorithm=task.algorithm,
        opset=OPSET,
        rows=len(parts.train),
        measured=_figures(evaluation, permuted),
    )
    content, parity = export(task.model, fitted, metadata, np.concatenate([rows, tested]))
    return Trained(task, features, parts, evaluation, permuted, parity, content)


def _figures(evaluation: Evaluation, permuted: Permuted) -> dict[str, float]:
    """What the file's metadata says of the test; figures that there are none of are left out."""
    figures = {
        "auc": evaluation.all.auc,
        "auc_within_groups": evaluation.within,
        "auc_by_group": evaluation.by_group,
        "auc_permuted_labels": permuted.mean,
        "log_loss": evaluation.all.log_loss,
        "log_loss_base_rate": evaluation.all.base_log_loss,
    }
    return {name: round(value, 6) for name, value in figures.items() if value is not None}


def save(trained: Trained, path: Path, plan: Plan) -> None:
    """Writes the file whole or not at all, once it has passed all that a model has to pass to be served.

    Raises ModelError, OSError.
    """
    task = trained.task
    file = ModelFile(task.model, path, hashlib.sha256(trained.content).hexdigest(), task.features, task.label)
    open_model(file, plan, lambda _: trained.content)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(trained.content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def permuted_labels(algorithm: Algorithm, rows: Rows, tested: Rows, truth: Truth, tested_truth: Truth) -> Permuted:
    """Raises TrainingError where labels that mean nothing seem to be predictable."""
    labels = np.concatenate([truth, tested_truth])
    chance = np.random.default_rng(SEED)
    found = []
    for _ in range(PERMUTATIONS):
        dealt = chance.permutation(labels)
        learned, asked = dealt[: len(rows)], dealt[len(rows) :]
        if 0 < learned.sum() < len(learned):
            found.append(auc(algorithm.fit(rows, learned).propensities(tested), asked))
    known = [each for each in found if each is not None]
    if not known:
        raise TrainingError("too few rows: labels dealt out at random leave one side with a single outcome")
    permuted = Permuted(len(known), float(np.mean(known)), min(known), max(known))
    if abs(permuted.mean - 0.5) > MOST_OFF_CHANCE:
        message = f"with labels dealt out at random its AUC is {permuted.mean:.3f}, not 0.5 ± {MOST_OFF_CHANCE}"
        raise TrainingError(f"{message}: something leaks between learning and testing, or there are too few rows")
    return permuted
