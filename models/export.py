"""Export: a fitted estimator as the bytes of an ONNX file that gives the same probabilities."""

from typing import Any

import msgspec
import numpy as np

from models.algorithms import Fitted
from models.errors import TrainingError
from models.inputs import Rows
from models.metadata import KEY, Metadata, to_json
from models.session import Session

MOST_DIFFERENCE = 1e-5


def export(model: str, fitted: Fitted, metadata: Metadata, rows: Rows) -> tuple[bytes, float]:
    """The file, and how far its probabilities are from the library's, at most, over `rows`.

    Raises TrainingError where that is too far, ModelError where the file can't be run.
    """
    graph = fitted.onnx()
    session = Session(model, with_metadata(graph, metadata))
    parity = float(np.abs(session.probabilities(rows) - fitted.propensities(rows)).max())
    if not parity <= MOST_DIFFERENCE:
        message = f"the ONNX file's probabilities differ from the library's by up to {parity:.1e}"
        raise TrainingError(f"{message}; at most {MOST_DIFFERENCE:.0e} is accepted")
    return with_metadata(graph, msgspec.structs.replace(metadata, parity=parity)), parity


def with_metadata(graph: Any, metadata: Metadata) -> bytes:
    """`graph` is an onnx.ModelProto."""
    del graph.metadata_props[:]
    graph.metadata_props.add(key=KEY, value=to_json(metadata))
    content: bytes = graph.SerializeToString(deterministic=True)
    return content
