"""Inputs: the row of numbers that a model is fed for a customer, a context and a treatment.

The same code serves decisions and training: there the frame is one of the past, with the attributes of that moment.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.plan import Plan, Treatment
from models.encoding import Encoder, Feature, encoder_of
from rules.errors import EvaluationError
from rules.programs import Frame, Program
from rules.types import AttributeType

Rows = NDArray[np.float32]

TREATMENT_TYPES: Mapping[str, AttributeType] = {
    **dict.fromkeys(("action", "channel", "group", "direction"), AttributeType.STRING),
    "value": AttributeType.DOUBLE,
}


def declared_types(plan: Plan) -> dict[str, str]:
    """The type of everything a model may be told, by `owner.name`."""
    owners: Mapping[str, Mapping[str, str]] = {
        "customer": {**plan.customer_types, **plan.aggregates.types, **plan.derived_types},
        "context": plan.context_types,
        "treatment": TREATMENT_TYPES,
    }
    return {f"{owner}.{name}": str(kind) for owner, types in owners.items() for name, kind in types.items()}


def of_treatment(treatment: Treatment, plan: Plan) -> dict[str, Any]:
    """What a model may be told of a treatment; an action without a group lacks it."""
    return {
        "action": treatment.action,
        "channel": treatment.channel,
        "group": treatment.group or None,
        "direction": treatment.direction,
        "value": plan.factors[treatment.bit][1],
    }


class Inputs:
    """Features bound to a plan. `asked` and `treated` are the columns that frames and treatments fill.

    A row is one float32 per column, in the order of the features.
    """

    def __init__(self, features: Sequence[Feature], plan: Plan) -> None:
        self.names = tuple(name for feature in features for name in feature.columns)
        asked: list[int] = []
        treated: list[int] = []
        self._readers: list[tuple[Callable[[Frame], Any], Encoder]] = []
        self._labels: list[tuple[str, Encoder]] = []
        column = 0
        for feature in features:
            places = range(column, column := column + len(feature.columns))
            if feature.owner == "treatment":
                treated += places
                self._labels.append((feature.name, encoder_of(feature)))
            else:
                asked += places
                self._readers.append((reader_of(feature.owner, feature.name, plan), encoder_of(feature)))
        self.asked, self.treated = _places(asked), _places(treated)

    def of_frame(self, frame: Frame) -> list[float]:
        """The values of the columns `asked`."""
        values: list[float] = []
        for read, encode in self._readers:
            values += encode(read(frame), frame.now)
        return values

    def of_treatment(self, labels: Mapping[str, Any], now: datetime) -> list[float]:
        """The values of the columns `treated`; a label that is not there is missing."""
        values: list[float] = []
        for name, encode in self._labels:
            values += encode(labels.get(name), now)
        return values

    def row(self, frame: Frame, labels: Mapping[str, Any]) -> Rows:
        row = np.empty(len(self.names), dtype=np.float32)
        row[self.asked] = self.of_frame(frame)
        row[self.treated] = self.of_treatment(labels, frame.now)
        return row


def _places(columns: list[int]) -> NDArray[np.intp] | slice:
    """A slice, if that says the same: filling one is faster."""
    if columns and columns == list(range(columns[0], columns[-1] + 1)):
        return slice(columns[0], columns[-1] + 1)
    return np.array(columns, dtype=np.intp)


def reader_of(owner: str, name: str, plan: Plan) -> Callable[[Frame], Any]:
    """What a frame says of the customer's or the context's attribute; None where it is missing."""
    if owner == "context":
        return lambda frame: frame.context.get(name)
    derived = plan.derived.get(name)
    return _computed(derived) if derived is not None else lambda frame: frame.customer.get(name)


def _computed(program: Program) -> Callable[[Frame], Any]:
    """A derived attribute that can't be computed is missing."""

    def computed(frame: Frame) -> Any:
        try:
            return program(frame)
        except EvaluationError:
            return None

    return computed
