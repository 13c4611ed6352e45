"""Session: an ONNX file ready to run, checked as far as it can be without knowing the catalog.

One thread and no spinning: a decision's batch is small, and the cores belong to the other workers. And no telemetry:
since 1.29 the runtime's wheels report to their maker unless they are told not to before they are imported, and nobody
who runs a service of their own has agreed to that.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from models.errors import FeatureError, MetadataError, ModelFileError, ProbabilityError
from models.inputs import Rows
from models.metadata import read_metadata

Probabilities = NDArray[np.float64]

# The runtime's exceptions have no base of their own.
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *(each for each in vars(runtime).values() if isinstance(each, type) and issubclass(each, Exception)),
    *(RuntimeError, ValueError, TypeError),
)
_FATAL_ONLY = 4  # what goes wrong is raised; the runtime need not print it as well
_NUMBERS = ("tensor(float)", "tensor(double)")


class Session:
    """A model's file, loaded. `metadata` is what it says of itself.

    Raises ModelFileError on what the runtime can't load (an opset or operator it doesn't know among it), MetadataError,
    and FeatureError where the input is anything but one float32 matrix with a column for each of the metadata's.
    """

    def __init__(self, model: str, content: bytes) -> None:
        self.model = model
        try:
            self._session = onnxruntime.InferenceSession(content, _options(), providers=["CPUExecutionProvider"])
        except RUNTIME_ERRORS as error:
            reason = " ".join(str(error).split())
            message = f"ONNX Runtime {onnxruntime.__version__} can't load it (opset and operators): {reason}"
            raise ModelFileError(model, message) from None
        self.metadata = read_metadata(model, self._session.get_modelmeta().custom_metadata_map)
        self.width = sum(len(feature.columns) for feature in self.metadata.features)
        self._input = self._checked_input(self._session.get_inputs())
        self._outputs = [self._checked_output(self._session.get_outputs())]

    def probabilities(self, rows: Rows) -> Probabilities:
        """One per row. Raises ProbabilityError where running fails, or gives anything else."""
        try:
            (given,) = self._session.run(self._outputs, {self._input: rows})
        except RUNTIME_ERRORS as error:
            raise ProbabilityError(self.model, f"failed: {' '.join(str(error).split())}") from None
        found = np.asarray(given, dtype=np.float64)
        if found.ndim == 2 and found.shape[1] in (1, 2):
            found = found[:, -1]  # of two classes, the second is success
        if found.shape != (len(rows),):
            message = f"its output has the shape {np.shape(given)} for {len(rows)} rows; one probability each is needed"
            raise ProbabilityError(self.model, message)
        if not ((found >= 0.0) & (found <= 1.0)).all():  # NaN is neither
            wrong = found[~((found >= 0.0) & (found <= 1.0))][0]
            raise ProbabilityError(self.model, f"gave {wrong:g}, which is no probability")
        return found

    def _checked_input(self, inputs: list[Any]) -> str:
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            raise FeatureError(self.model, f"it has {len(inputs)} inputs ({names}); one matrix of float32 is needed")
        (given,) = inputs
        if given.type != "tensor(float)":
            hint = "; categories are encoded before the graph" if given.type == "tensor(string)" else ""
            raise FeatureError(self.model, f"input `{given.name}` is a {given.type}, not a tensor(float){hint}")
        if len(given.shape) != 2 or isinstance(given.shape[0], int):
            message = f"input `{given.name}` has the shape {given.shape}; any number of rows and {self.width} columns"
            raise FeatureError(self.model, f"{message} are needed")
        if isinstance(given.shape[1], int) and given.shape[1] != self.width:
            message = f"input `{given.name}` has {given.shape[1]} columns, but the features in its metadata"
            raise FeatureError(self.model, f"{message} make {self.width}")
        return str(given.name)

    def _checked_output(self, outputs: list[Any]) -> str:
        wanted = self.metadata.output
        found = next((each for each in outputs if each.name == wanted), None)
        if found is None:
            names = ", ".join(each.name for each in outputs)
            raise MetadataError(self.model, f"its metadata names the output `{wanted}`; the graph has {names}")
        if found.type not in _NUMBERS:
            raise ProbabilityError(self.model, f"output `{wanted}` is a {found.type}, not a tensor(float)")
        return str(wanted)


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options
