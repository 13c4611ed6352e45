"""Coded columns: each distinct value once, and by row its number.

A file of a million rows has a few thousand distinct amounts and a dozen departments. So what takes Python to look at
(is it of the declared type, does a filter hold, what does a set keep of it) is looked at once per value, and rows are
numbers.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.customer import micros
from rules.types import EARLIEST, LATEST

_EARLIEST, _LATEST = micros(EARLIEST), micros(LATEST)
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Coded:
    """`values[codes[row]]` is the value in a row.

    `plain` says that all values are such as JSON has, each of the same type; `moments` are those of times, in
    microseconds since 1970, where a calendar holds all of them.
    """

    __slots__ = ("_made", "_values", "codes", "moments", "plain")

    def __init__(self, codes: Ints, values: list[Any] | pa.Array, *, plain: bool = False) -> None:
        self.codes = codes
        self.plain = plain
        self.moments: Ints | None = None
        self._values = values
        self._made: dict[object, Mapped] = {}

    @property
    def values(self) -> list[Any]:
        """Python's own; of a million times they take a second to make."""
        if not isinstance(self._values, list):
            self._values = _python(self._values)
        return self._values

    @property
    def widest(self) -> int:
        """About how many bytes a value has at most."""
        if self.moments is not None:
            return 32
        return max((len(value) if isinstance(value, str | list | dict) else 8 for value in self.values), default=0)

    def mapped(self, key: object, make: Callable[[Any], Any]) -> "Mapped":
        """`make` of each value; `key` names it, so that it is made once."""
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Mapped(self.values, make)
        return found


class Mapped:
    """What became of each value: `made`, with None where that can't be, for which `errors` says why."""

    __slots__ = ("errors", "made")

    def __init__(self, values: Iterable[Any], make: Callable[[Any], Any]) -> None:
        self.made: list[Any] = []
        self.errors: dict[int, ValueError] = {}
        for code, value in enumerate(values):
            try:
                self.made.append(make(value))
            except ValueError as error:
                self.made.append(None)
                self.errors[code] = error

    @property
    def objects(self) -> NDArray[np.object_]:
        """`made`, to be picked from by codes."""
        found = np.empty(len(self.made), dtype=object)
        found[:] = self.made
        return found

    @property
    def present(self) -> Mask:
        return np.array([value is not None for value in self.made], dtype=bool)


def coded(values: Sequence[Any]) -> Coded:
    """Of Python's own values, as JSON gives them."""
    if values and values[0].__class__ is str:
        try:
            return coded_column(pa.chunked_array([pa.array(values, pa.string())]))
        except (pa.ArrowException, TypeError, UnicodeEncodeError):
            pass  # not all of them are
    numbers: dict[tuple[type, Any], int] = {}
    kept: list[Any] = []
    codes: list[int] = []
    for value in values:
        code = numbers.setdefault(_key(value), len(kept))
        if code == len(kept):
            kept.append(value)
        codes.append(code)
    return Coded(np.array(codes, dtype=np.int64), kept)


def _key(value: Any) -> tuple[type, Any]:
    """True is not 1, nor is 1.0."""
    return value.__class__, repr(value) if value.__class__ in (list, dict, float) else value


def coded_column(column: pa.ChunkedArray) -> Coded:
    """Of a column of Arrow. A time finer than a microsecond is cut. A value that no calendar holds is kept as an
    OutOfRange.
    """
    if pa.types.is_null(column.type):
        return Coded(np.zeros(len(column), np.int64), [None])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = column.combine_chunks()
    if isinstance(column.type, pa.BaseExtensionType):
        return coded([_shown(value) for value in _python(column)])
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    if pa.types.is_nested(column.type):
        return coded(_python(column))
    encoded = pc.dictionary_encode(column, null_encoding="encode")
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    found = Coded(codes, encoded.dictionary, plain=_is_plain(encoded.dictionary))
    found.moments = _moments(encoded.dictionary)
    return found


def _shown(value: Any) -> Any:
    """Arrow's own types that JSON has not: a UUID as text."""
    return str(value) if isinstance(value, UUID) else value


def _is_plain(values: pa.Array) -> bool:
    kind = values.type
    if pa.types.is_floating(kind):
        return values.null_count == 0 and bool(np.isfinite(values.to_numpy()).all())
    return bool(pa.types.is_string(kind) or pa.types.is_signed_integer(kind) or pa.types.is_boolean(kind))


def _moments(values: pa.Array) -> Ints | None:
    if not pa.types.is_timestamp(values.type) or values.null_count:
        return None
    try:
        found: Ints = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return found if len(found) and found.min() >= _EARLIEST and found.max() <= _LATEST else None


class OutOfRange(Exception):  # noqa: N818
    """Stands for a value that Python can't have."""


def _python(column: pa.Array) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return [_python_of_one(value) for value in column]


def _python_of_one(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (OverflowError, ValueError) as error:
        return OutOfRange(str(error))
