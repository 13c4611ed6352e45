"""Encoding: a typed value as the few float32 columns that a model is fed.

It happens here and not in the ONNX graph, so that the graph has numbers only; and it is declared, feature by feature,
in the model's metadata, so that what a model is fed online is what it was trained on: both call `encoder_of`.

number     int, double, bool: one column, kept between `least` and `most`; with `log` as sign(x) * ln(1 + |x|)
days_ago   timestamp: days from then until now, as a number
one_of     string: a column for each category, one for any other, one for missing
some_of    list<string>: a column for each category that may be in it, one for any other, one for missing

A missing number is `fill`, or NaN without one; with `flag` another column is 1 where it is missing.
"""

import math
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from rules.types import AttributeType

# A float32 ends at 3.4e38; whatever a graph multiplies or adds up should stay well below.
LARGEST = 1e12
DAY = 86_400.0

Columns = tuple[float, ...]
Encoder = Callable[[Any, datetime], Columns]


class Encoding(StrEnum):
    NUMBER = "number"
    DAYS_AGO = "days_ago"
    ONE_OF = "one_of"
    SOME_OF = "some_of"


ENCODINGS: dict[AttributeType, Encoding] = {
    AttributeType.INT: Encoding.NUMBER,
    AttributeType.DOUBLE: Encoding.NUMBER,
    AttributeType.BOOL: Encoding.NUMBER,
    AttributeType.TIMESTAMP: Encoding.DAYS_AGO,
    AttributeType.STRING: Encoding.ONE_OF,
    AttributeType.STRING_LIST: Encoding.SOME_OF,
}


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing a model is told: whose (`customer`, `context`, `treatment`), its name and type, how it is encoded.

    `least`, `most` and `fill` are in the feature's own unit, before `log`.
    """

    owner: str
    name: str
    type: AttributeType
    encoding: Encoding
    log: bool = False
    fill: float | None = None
    flag: bool = False
    least: float | None = None
    most: float | None = None
    categories: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return f"{self.owner}.{self.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns, in order."""
        if self.encoding in (Encoding.NUMBER, Encoding.DAYS_AGO):
            return (self.path, f"{self.path} missing") if self.flag else (self.path,)
        return (*(f"{self.path} {name}" for name in self.categories), f"{self.path} other", f"{self.path} missing")


def encoder_of(feature: Feature) -> Encoder:
    """Takes a value of the feature's type, or None for missing, and the time of the decision."""
    match feature.encoding:
        case Encoding.NUMBER:
            return _number(feature)
        case Encoding.DAYS_AGO:
            number = _number(feature)
            return lambda value, now: number(None if value is None else (now - value).total_seconds() / DAY, now)
        case Encoding.ONE_OF:
            return _one_of(feature)
    return _some_of(feature)


def _number(feature: Feature) -> Encoder:
    least = -LARGEST if feature.least is None else max(feature.least, -LARGEST)
    most = LARGEST if feature.most is None else min(feature.most, LARGEST)
    shape = (math.log1p if least >= 0.0 else _signed_log) if feature.log else float
    filled = math.nan if feature.fill is None else shape(min(max(feature.fill, least), most))
    missing: Columns = (filled, 1.0) if feature.flag else (filled,)
    flag: Columns = (0.0,) if feature.flag else ()

    def number(value: Any, now: datetime) -> Columns:
        if value is None or math.isnan(value):
            return missing
        return (shape(least if value < least else most if value > most else value), *flag)

    return number


def _signed_log(value: float) -> float:
    return math.copysign(math.log1p(abs(value)), value)


def _one_of(feature: Feature) -> Encoder:
    size = len(feature.categories)
    known = {name: _unit(place, size + 2) for place, name in enumerate(feature.categories)}
    other, missing = _unit(size, size + 2), _unit(size + 1, size + 2)

    def one_of(value: Any, now: datetime) -> Columns:
        return missing if value is None else known.get(value, other)

    return one_of


def _some_of(feature: Feature) -> Encoder:
    size = len(feature.categories)
    places = {name: place for place, name in enumerate(feature.categories)}
    missing = _unit(size + 1, size + 2)

    def some_of(value: Any, now: datetime) -> Columns:
        if value is None:
            return missing
        found = [0.0] * (size + 2)
        for name in value:
            found[places.get(name, size)] = 1.0
        return tuple(found)

    return some_of


def _unit(place: int, size: int) -> Columns:
    return tuple(1.0 if each == place else 0.0 for each in range(size))
