"""Algorithms: what `tino train` can learn with, and how each becomes ONNX.

Their libraries are an extra that serving doesn't need, so they are imported only when asked for. Everything is
deterministic: one thread, fixed seeds, rows in the order they were made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.errors import TrainingError
from models.evaluation import Given, Truth
from models.inputs import Rows

INPUT, OUTPUT = "features", "probabilities"
GRAPH = "tino"  # the converters would name it by chance
OPSET = 15  # old enough for every runtime in use, new enough for both converters
PENALTY = 0.1  # scikit-learn's C: its inverse weighs the squared weights against the log loss of all rows
_EXTRA = "training needs more packages than serving: pip install 'tino-decide[train]'"


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted estimator: `propensities` gives one per row, `onnx` the same as an ONNX model (onnx.ModelProto)."""

    propensities: Callable[[Rows], Given]
    onnx: Callable[[], Any]


def logistic(rows: Rows, truth: Truth) -> Fitted:
    """Logistic regression on standardised columns, with an L2 penalty: few contacts succeed, and they drift."""
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise TrainingError(f"{_EXTRA} ({error})") from None
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=10_000, tol=1e-8))
    pipeline.fit(rows.astype(np.float64), truth.astype(np.int64))
    shape = [(INPUT, FloatTensorType([None, rows.shape[1]]))]
    return Fitted(
        lambda given: np.asarray(pipeline.predict_proba(given.astype(np.float64))[:, 1]),
        lambda: convert_sklearn(pipeline, GRAPH, shape, options={"zipmap": False}, target_opset=OPSET),
    )


def lightgbm(rows: Rows, truth: Truth) -> Fitted:
    """A hundred small gradient-boosted trees; they take missing numbers as they are."""
    try:
        from lightgbm import Booster, LGBMClassifier
        from onnxmltools.convert import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType
    except ImportError as error:
        raise TrainingError(f"{_EXTRA} ({error})") from None
    except OSError as error:  # the wheel is there, the OpenMP library it is linked to is not
        raise TrainingError(f"LightGBM can't be loaded ({error}): install libgomp, or train with logistic") from None
    trees = LGBMClassifier(
        n_estimators=100, learning_rate=0.03, num_leaves=7, min_child_samples=40, n_jobs=1, random_state=0,
        deterministic=True, force_row_wise=True, verbose=-1,
    )  # fmt: skip
    trees.fit(rows, truth.astype(np.int64))
    booster = Booster(model_str=float32_thresholds(trees.booster_.model_to_string()))
    shape = [(INPUT, FloatTensorType([None, rows.shape[1]]))]
    return Fitted(
        lambda given: np.asarray(booster.predict(given)),
        lambda: convert_lightgbm(booster, GRAPH, shape, zipmap=False, target_opset=OPSET),
    )


def float32_thresholds(model: str) -> str:
    """LightGBM's `model` with every threshold the largest float32 not above it.

    ONNX trees compare float32 with float32. The inputs are float32 as well, so no answer changes; but a threshold
    rounded upwards could pass the next input, and that contact would take the other branch.
    """
    lines = []
    for line in model.splitlines():
        if line.startswith("threshold="):
            exact = np.array(line.removeprefix("threshold=").split(), dtype=np.float64)
            near = exact.astype(np.float32)
            below = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
            lines.append("threshold=" + " ".join(repr(float(value)) for value in below))
        elif not line.startswith("tree_sizes="):  # sizes in bytes, which this changes; they may be left out
            lines.append(line)
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """`fill` says that it can't take missing numbers."""

    fit: Callable[[Rows, Truth], Fitted]
    fill: bool


ALGORITHMS = {"logistic": Algorithm(logistic, fill=True), "lightgbm": Algorithm(lightgbm, fill=False)}
