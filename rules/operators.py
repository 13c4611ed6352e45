"""CEL's operators on Python values: what Python does differently is here (CEL language definition, "Standard
definitions"). Every function raises EvaluationError where CEL has an error.
"""

import math
import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from rules.errors import EvaluationError
from rules.types import EARLIEST, INT64_MAX, INT64_MIN, LATEST, LONGEST

_NUMBERS = (int, float)


def equal(left: Any, right: Any) -> bool:
    """CEL's `==`: numbers compare across types, anything else of two types differs (`true` is not `1`)."""
    if type(left) is not type(right):
        return type(left) in _NUMBERS and type(right) in _NUMBERS and float(left) == float(right)
    if type(left) is list:
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def not_equal(left: Any, right: Any) -> bool:
    return not equal(left, right)


def contains_item(item: Any, items: Any) -> bool:
    if type(items) is not list:
        raise EvaluationError("in needs a list")
    if type(item) is str:  # equal to nothing but the same text, so Python's own test is exact
        return item in items
    return any(equal(item, other) for other in items)


def ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compared(left: Any, right: Any) -> bool:
        if type(left) is not type(right):
            if type(left) not in _NUMBERS or type(right) not in _NUMBERS:
                raise EvaluationError("values of these types have no order")
            return compare(float(left), float(right))
        if type(left) is list:
            raise EvaluationError("lists have no order")
        return compare(left, right)

    return compared


def add(left: Any, right: Any) -> Any:
    if type(left) is type(right):
        if type(left) is int:
            return int64(left + right)
        if type(left) in (float, str, list):
            return left + right
        if type(left) is timedelta:
            return _duration(lambda: left + right)
    elif isinstance(left, datetime) and isinstance(right, timedelta):
        return _timestamp(lambda: left + right)
    elif isinstance(left, timedelta) and isinstance(right, datetime):
        return _timestamp(lambda: right + left)
    raise EvaluationError("+ has no meaning for these types")


def subtract(left: Any, right: Any) -> Any:
    if type(left) is type(right):
        if type(left) is int:
            return int64(left - right)
        if type(left) is float:
            return left - right
        if type(left) in (timedelta, datetime):
            return _duration(lambda: left - right)
    elif isinstance(left, datetime) and isinstance(right, timedelta):
        return _timestamp(lambda: left - right)
    raise EvaluationError("- has no meaning for these types")


def multiply(left: Any, right: Any) -> Any:
    if type(left) is type(right) is int:
        return int64(left * right)
    if type(left) is type(right) is float:
        return left * right
    raise EvaluationError("* has no meaning for these types")


def divide(left: Any, right: Any) -> Any:
    """Integers divide towards zero; doubles by IEEE 754, so that x / 0.0 is an infinity or NaN."""
    if type(left) is type(right) is float:
        if right:
            return left / right
        if left == 0.0 or math.isnan(left) or math.isnan(right):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    if type(left) is type(right) is int:
        if right == 0:
            raise EvaluationError("division by zero")
        quotient = abs(left) // abs(right)
        return int64(quotient if (left < 0) == (right < 0) else -quotient)
    raise EvaluationError("/ has no meaning for these types")


def modulo(left: Any, right: Any) -> int:
    """The remainder takes the dividend's sign; the one quotient that overflows is an error here too."""
    if not type(left) is type(right) is int:
        raise EvaluationError("% has no meaning for these types")
    if right == 0:
        raise EvaluationError("modulo by zero")
    if left == INT64_MIN and right == -1:
        raise EvaluationError("integer overflow")
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def negate(value: Any) -> Any:
    if type(value) is int:
        return int64(-value)
    if type(value) is float:
        return -value
    raise EvaluationError("- has no meaning for this type")


def size(value: Any) -> int:
    if type(value) in (str, list):
        return len(value)
    raise EvaluationError("size needs a string or a list")


def item_at(items: Any, index: Any) -> Any:
    if type(items) is not list or type(index) is not int or not 0 <= index < len(items):
        raise EvaluationError("no such index")
    return items[index]


def on_strings(method: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    def called(text: Any, part: Any) -> bool:
        if type(text) is str and type(part) is str:
            return method(text, part)
        raise EvaluationError("needs strings")

    return called


def int64(value: int) -> int:
    if INT64_MIN <= value <= INT64_MAX:
        return value
    raise EvaluationError("integer overflow")


def _timestamp(compute: Callable[[], datetime]) -> datetime:
    try:
        value = compute()
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None
    if EARLIEST <= value <= LATEST:
        return value
    raise EvaluationError("timestamp overflow")


def _duration(compute: Callable[[], timedelta]) -> timedelta:
    try:
        value = compute()
    except OverflowError:
        raise EvaluationError("duration overflow") from None
    if -LONGEST <= value <= LONGEST:
        return value
    raise EvaluationError("duration overflow")


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "_==_": equal,
    "_!=_": not_equal,
    "_<_": ordered(operator.lt),
    "_<=_": ordered(operator.le),
    "_>_": ordered(operator.gt),
    "_>=_": ordered(operator.ge),
    "@in": contains_item,
    "_+_": add,
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": modulo,
    "_[_]": item_at,
    "startsWith": on_strings(str.startswith),
    "endsWith": on_strings(str.endswith),
    "contains": on_strings(str.__contains__),
}
UNARY: dict[str, Callable[[Any], Any]] = {"-_": negate, "size": size}
