"""Tiny ONNX files, made operator by operator, and catalogs that ask them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog.building import load_plan
from catalog.plan import Plan
from models.metadata import KEY

onnx = pytest.importorskip("onnx", reason="the extra `train` is not installed")

NUMBER = {"owner": "customer", "name": "visits", "type": "int", "encoding": "number", "fill": 0.0}
GROUP = {
    "owner": "treatment",
    "name": "group",
    "type": "string",
    "encoding": "one_of",
    "categories": ["growth", "retention"],
}

CATALOG = """catalog: 1
name: test
customer: {visits: int, spend: double, member: bool, since: timestamp, tier: string, segments: list<string>}
derived:
  spend_per_visit: customer.spend / double(customer.visits)
context: {page: string}
channels:
  web: {direction: inbound, placements: [banner]}
  app: {direction: inbound, placements: [feed]}
models:
  renewal: {onnx: renewal.onnx}
actions:
  grow: {value: 10, group: growth, propensity: {model: renewal}, treatments: {web: {title: a}, app: {title: a}}}
  keep: {value: 20, group: retention, propensity: {model: renewal}, treatments: {web: {title: b}}}
  thank: {value: 30, group: other, propensity: {model: renewal}, treatments: {app: {title: c}}}
  greet: {value: 1, propensity: 0.3, treatments: {web: {title: d}, app: {title: d}}}
"""


def metadata(*features: dict[str, Any], **changes: Any) -> dict[str, str]:
    said = {
        "format": 1,
        "features": list(features),
        "output": "probabilities",
        "label": "renewed",
        "trained_at": "2026-01-31T09:00:00Z",
    }
    kept = {name: value for name, value in (said | changes).items() if value is not None}
    return {KEY: json.dumps(kept)}


def logistic(
    weights: Sequence[float],
    said: dict[str, str],
    *,
    bias: float = 0.0,
    kind: int = onnx.TensorProto.FLOAT,
    opset: int = 15,
    rows: str | int = "N",
    last: str = "Sigmoid",
    columns: int = 2,
) -> bytes:
    """The bytes of a file that gives the logistic function of a weighted sum; `last` may be another operator."""
    helper, width = onnx.helper, len(weights)
    nodes = [
        helper.make_node("Gemm", ["features", "w", "b"], ["sum"]),
        helper.make_node(last, ["sum"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"] if columns == 2 else ["p"] * columns, ["probabilities"], axis=1),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array(values, dtype=np.float32), name)
        for name, values in (("w", np.reshape(weights, (width, 1))), ("b", [bias]), ("one", [1.0]))
    ]
    inputs = [helper.make_tensor_value_info("features", kind, [rows, width])]
    if kind != onnx.TensorProto.FLOAT:
        nodes = [helper.make_node("Identity", ["features"], ["same"]), *_constant_output(rows)]
    outputs = [helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, [rows, columns])]
    graph = helper.make_graph(nodes, "test", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    for key, value in said.items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())


def _constant_output(rows: str | int) -> list[Any]:
    value = onnx.numpy_helper.from_array(np.full((1, 2), 0.5, dtype=np.float32))
    return [onnx.helper.make_node("Constant", [], ["probabilities"], value=value)]


def plan_with(content: bytes, folder: Path, catalog: str = CATALOG) -> Plan:
    (folder / "renewal.onnx").write_bytes(content)
    (folder / "catalog.yaml").write_text(catalog, encoding="utf-8")
    return load_plan(folder / "catalog.yaml")
