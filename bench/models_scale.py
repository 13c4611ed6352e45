"""What scoring costs: `python -m bench.models_scale`, where the extra `train` is installed.

Two made-up models, a logistic regression and a hundred small trees, of twelve attributes and the treatment's value; the
values differ, so each candidate is a row of its own. Prints medians of single calls, in microseconds: of all that
scoring does, and of the runtime alone.
"""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np

from catalog.building import load_plan
from catalog.plan import Plan
from models.algorithms import ALGORITHMS, OUTPUT
from models.encoding import Encoding, Feature
from models.export import export
from models.loading import open_model
from models.metadata import Metadata
from models.scoring import Models
from rules.masks import bits
from rules.types import AttributeType

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ATTRIBUTES = tuple(f"figure_{number}" for number in range(12))
CANDIDATES = (1, 30, 300)
CALLS = 2_000


def made_up_model(algorithm: str) -> bytes:
    features = tuple(
        Feature(owner, name, AttributeType.DOUBLE, Encoding.NUMBER, log=True, fill=1.0)
        for owner, name in (*(("customer", name) for name in ATTRIBUTES), ("treatment", "value"))
    )
    chance = np.random.default_rng(1)
    rows = chance.random((4_000, len(features)), dtype=np.float32)
    truth = chance.random(len(rows)) < rows[:, 0] * rows[:, -1]
    said = Metadata(format=1, features=features, output=OUTPUT, label="made_up", trained_at=NOW)
    return export("likely", ALGORITHMS[algorithm].fit(rows, truth), said, rows)[0]


def plan_in(folder: Path, algorithm: str) -> Plan:
    attributes = ", ".join(f"{name}: double" for name in ATTRIBUTES)
    actions = "\n".join(
        f"  a{number}: {{value: {number}.5, propensity: {{model: likely}}, treatments: {{web: {{title: hello}}}}}}"
        for number in range(max(CANDIDATES))
    )
    (folder / "likely.onnx").write_bytes(made_up_model(algorithm))
    (folder / "catalog.yaml").write_text(
        f"catalog: 1\nname: scale\ncustomer: {{{attributes}}}\nmodels: {{likely: {{onnx: likely.onnx}}}}\n"
        f"channels: {{web: {{direction: inbound, placements: [banner]}}}}\nactions:\n{actions}\n",
        encoding="utf-8",
    )
    return load_plan(folder)


def microseconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(CALLS):
        start = perf_counter_ns()
        call()
        times.append(perf_counter_ns() - start)
    return median(times) / 1000


def measure(algorithm: str, plan: Plan) -> None:
    models, session = Models(plan), open_model(plan.models["likely"], plan)
    frame = plan.frame(dict.fromkeys(ATTRIBUTES, 0.5), {}, NOW)
    listed = list(bits(plan.declared))
    for count in CANDIDATES:
        candidates = sum(1 << bit for bit in listed[:count])
        rows = np.full((count, session.width), 0.5, dtype=np.float32)
        scoring = microseconds(partial(models.score, candidates, frame, plan))
        runtime = microseconds(partial(session.probabilities, rows))
        print(f"{algorithm:<12}{count:>12}{scoring:>12.1f}{runtime:>12.1f}")


def main() -> None:
    print(f"{'model':<12}{'candidates':>12}{'scoring µs':>12}{'runtime µs':>12}")
    for algorithm in ALGORITHMS:
        with tempfile.TemporaryDirectory() as folder:
            measure(algorithm, plan_in(Path(folder), algorithm))


if __name__ == "__main__":
    main()
