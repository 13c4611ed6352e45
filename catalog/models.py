"""Models: files that say how likely a treatment is to succeed, and which actions ask them."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from catalog.fields import AttributeName, Declared, Moment, Name, must

TREATMENT_FEATURES = ("action", "channel", "group", "direction", "value")
ROW_COLUMNS = ("customer_id", "test", "at", "known_at", *TREATMENT_FEATURES)  # of training rows, besides the label
_FEATURE = r"^(customer|context|treatment)\.[a-z][a-z0-9_]*$"


def _features(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if repeated is not None:
        raise PydanticCustomError("must", "names {name} twice", {"name": repeated})
    return names


def _label(name: str) -> str:
    if name in ROW_COLUMNS:
        raise must(f"a name that no other column of the rows has ({', '.join(ROW_COLUMNS)})", name)
    return name


class Model(Declared):
    """A model that gives propensities: an ONNX file, and what `tino train` makes it from."""

    onnx: str = Field(min_length=1, description="The ONNX file, relative to the folder of this file. Required.")
    label: Annotated[AttributeName, AfterValidator(_label)] | None = Field(
        default=None, description="The column of the training rows that says whether the contact succeeded."
    )
    features: Annotated[
        tuple[Annotated[str, Field(json_schema_extra={"pattern": _FEATURE})], ...],
        Field(strict=False, min_length=1),
        AfterValidator(_features),
    ] = Field(
        default=(),
        description="What the model is told: `customer.x` (derived ones too), `context.x`, `treatment.action`, "
        "`.channel`, `.group`, `.direction` or `.value`.",
    )
    test_from: Moment | None = Field(
        default=None,
        description="Training rows from then on only test it. Default: the last quarter of the rows, by time.",
    )


class ModelPropensity(Declared):
    """A propensity that a model gives, for each customer and treatment anew."""

    model: Name


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A declared model's file as it was when the catalog loaded: `sha256` of its bytes, in 64 hexadecimal digits.

    It is empty where the file is still to be made. `features` and `label` are what the catalog declares; empty where it
    leaves that to the file.
    """

    name: str
    path: Path
    sha256: str
    features: tuple[str, ...] = ()
    label: str | None = None


def _propensity(raw: Any) -> float | ModelPropensity:
    if isinstance(raw, ModelPropensity):
        return raw
    if isinstance(raw, dict):
        if set(raw) != {"model"} or not isinstance(raw["model"], str):
            raise must("a number from 0 to 1, or a model such as {model: renewal}", raw)
        return ModelPropensity(model=raw["model"])
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise must("a number from 0 to 1, or a model such as {model: renewal}", raw)
    if raw < 0:
        raise must("at least 0", raw)
    if raw > 1:
        raise must("at most 1", raw)
    return float(raw)


def _plain(given: float | ModelPropensity) -> float | dict[str, str]:
    return {"model": given.model} if isinstance(given, ModelPropensity) else given


Propensity = Annotated[
    float | ModelPropensity,
    PlainValidator(_propensity),
    PlainSerializer(_plain, return_type=Any),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {
                    "type": "object",
                    "properties": {"model": {"type": "string", "description": "The name of a declared model."}},
                    "required": ["model"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
