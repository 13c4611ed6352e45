"""Expressions on values, each against the official evaluator: the same value of the same type, or both an error.

`x` and `y` are attributes wrapped in `dyn()`, so that operators also meet types which the checker would refuse.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rules.checking import Environment
from rules.errors import EvaluationError
from rules.programs import STEPS, Program, compile_program
from rules.types import AttributeType
from tests.rules.declared import NOW, Case
from tests.rules.oracle import ERROR, Answer, Oracle
from tests.rules.property import frame_of

ENVIRONMENT = Environment({"x": AttributeType.STRING, "y": AttributeType.STRING}, {})
ORACLE = Oracle()
LARGEST, SMALLEST = 2**63 - 1, -(2**63)


@cache
def compiled(text: str) -> Program:
    source = re.sub(r"\b(X|Y)\b", lambda name: f"dyn(customer.{name[0].lower()})", text)
    return compile_program(ENVIRONMENT.check(source, "any").tree)


def program(text: str, case: Case) -> Any:
    try:
        return compiled(text)(frame_of(case))
    except EvaluationError:
        return ERROR


@cache
def oracle(text: str) -> Answer:
    return ORACLE.compile(re.sub(r"\b(X|Y)\b", lambda name: f"customer.{name[0].lower()}", text))


def exact(value: Any) -> Any:
    """A value that compares as CEL tells values apart: by type, -0.0 from 0.0, NaN equal to NaN."""
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return type(value), repr(value) if isinstance(value, float) else value


def assert_agree(text: str, **customer: Any) -> None:
    case = Case(customer, {}, NOW, UTC)
    assert exact(program(text, case)) == exact(oracle(text)(case)), f"{text} on {customer}"


INTS = [0, 1, -1, 2, -7, 3, 2**53 + 1, LARGEST, SMALLEST, SMALLEST + 1, 2**32]
DOUBLES = [0.0, -0.0, 1.0, -2.5, 1e308, 5e-324, math.inf, -math.inf, math.nan, 2.0**53, 2.0**63]
OTHERS: list[Any] = ["", "a", "é", "e\u0301", "\uffff", "😀", True, False, [], [1], [1.0, True], ["a"], [math.nan]]
TIMES = [NOW, NOW + timedelta(microseconds=1), timedelta(0), timedelta(days=-1, microseconds=1)]


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("values", [INTS, DOUBLES, [*OTHERS, *TIMES, 1, 1.0]], ids=["int", "double", "mixed"])
def test_binary_operators(operator: str, values: list[Any]) -> None:
    for left, right in product(values, values):
        assert_agree(f"X {operator} Y", x=left, y=right)


@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_numbers_compare_across_types(operator: str) -> None:
    for left, right in product(INTS, DOUBLES):
        assert_agree(f"X {operator} Y", x=left, y=right)
        assert_agree(f"X {operator} Y", x=right, y=left)


def test_membership() -> None:
    lists: list[Any] = [[], [1], [1.0], [True], ["a", 1], [math.nan], [[1]], "abc", 5]
    for item, items in product([1, 1.0, True, "a", math.nan, [1], None], lists):
        if item is not None:
            assert_agree("X in Y", x=item, y=items)
        assert_agree("X in Y", y=items)


@pytest.mark.parametrize("text", ["-X", "!X", "size(X)", "X.size()", "string(X)", "int(X)", "double(X)"])
def test_unary_functions(text: str) -> None:
    values: list[Any] = [*INTS, *DOUBLES[:8], *OTHERS, "12", "1.5", "日本😀"]
    if text in ("string(X)", "int(X)"):
        values = [*INTS, "12", "x", 1.5, -1.5, True]
    for value in values:
        assert_agree(text, x=value)


@pytest.mark.parametrize("function", ["startsWith", "endsWith", "contains", "matches"])
def test_string_functions(function: str) -> None:
    for left, right in product(
        ["", "a", "ab", "é", "e\u0301", "😀b", "a\nb", 1], ["", "a", "b", "\u0301", "^a.b$", "(", True]
    ):
        assert_agree(f"X.{function}(Y)", x=left, y=right)


def test_items_of_lists() -> None:
    for items, index in product([[], ["a"], ["a", 1], "ab"], [0, 1, -1, LARGEST, "0", True]):
        assert_agree("X[Y]", x=items, y=index)


# An error on one side is absorbed by a deciding value on the other; a value that is no boolean is an error.
@pytest.mark.parametrize("text", ["X && Y", "X || Y", "!X || Y", "!(X && Y)", "X ? Y : 1", "X ? 1 : Y", "X == Y && Y"])
def test_short_circuits(text: str) -> None:
    values: list[Any] = [True, False, 1, "true", None]
    for left, right in product(values, values):
        customer = {name: value for name, value in (("x", left), ("y", right)) if value is not None}
        assert_agree(text, **customer)


@pytest.mark.parametrize(
    "text",
    [
        "X.exists(i, i > 1)",
        "X.all(i, i > 1)",
        "X.exists_one(i, i > 1)",
        "X.filter(i, i > 1)",
        "X.map(i, i + 1)",
        "X.map(i, i > 1, i * 2)",
        "X.exists(i, Y)",
        "X.all(i, Y)",
        "X.all(i, X.exists(j, j > i))",
        "X.exists(i, X.exists(i, i > 2) && i < 2)",
        "X.filter(i, i > 1).map(i, -i)",
        "X.map(i, X.filter(j, j < i))",
    ],
)
def test_comprehensions(text: str) -> None:
    lists: list[Any] = [[], [0, 1], [1, 2, 3], ["a", 2], [2, "a"], [2, 2], [0, "a"], [LARGEST], [True], "abc", 7]
    for items, other in product(lists, [True, False, 1]):
        assert_agree(text, x=items, y=other)
    assert_agree(text, y=True)


@pytest.mark.parametrize(
    "text",
    [
        "X.getHours()",
        "X.getFullYear()",
        'X.getDayOfWeek("America/Mexico_City")',
        'X.getDate("+05:45")',
        'X.getHours("Nowhere/Atlantis")',
        'X + duration("36h")',
        'X - duration("1ms")',
        "X - now",
        'X < timestamp("2026-03-29T00:30:00Z")',
        'X - timestamp("2026-01-01T00:00:00Z") > duration("24h")',
        "int(X)",
    ],
)
def test_times(text: str) -> None:
    for value in [NOW, NOW - timedelta(days=4000, microseconds=1), "2026-01-01T00:00:00Z", 5]:
        assert_agree(text, x=value)


# Durations are 64 bits of nanoseconds: what does not fit is an error.
@pytest.mark.parametrize("text", ["X - Y", "Y - X", 'X - Y + duration("1us")', 'Y - X - duration("1us")'])
def test_the_longest_duration(text: str) -> None:
    start = datetime(1700, 1, 1, tzinfo=UTC)
    longest = LARGEST // 1000
    for length in [longest - 1, longest, longest + 1, 2 * longest]:
        assert_agree(text, x=start + timedelta(microseconds=length), y=start)


@pytest.mark.parametrize(
    "text",
    [
        "customer.x.all(a, !customer.x.exists(b, a + b < 0))",
        "customer.x.exists(a, customer.x.exists(b, a + b < 0))",
        "customer.x.map(a, customer.x.filter(b, b > a)).size() == 0",
        "customer.x.all(a, customer.x.all(b, customer.x.all(c, a + b + c >= 0)))",
    ],
)
def test_comprehensions_that_take_too_long_have_no_answer(text: str) -> None:
    program = compiled(text.replace("customer.x", "X"))
    frame = frame_of(Case({"x": list(range(3_000))}, {}, NOW, UTC))
    assert frame.steps == STEPS
    with pytest.raises(EvaluationError, match="too many steps"):
        program(frame)
    assert frame.steps == 0


def test_each_outermost_comprehension_has_steps_of_its_own() -> None:
    program = compiled("X.all(a, a >= 0) && X.all(a, a < 1000000)")
    frame = frame_of(Case({"x": list(range(STEPS - 1))}, {}, NOW, UTC))
    for _ in range(3):
        assert program(frame) is True
    longer = frame_of(Case({"x": list(range(STEPS + 1))}, {}, NOW, UTC))
    with pytest.raises(EvaluationError, match="too many steps"):
        program(longer)


def test_days_are_counted_on_the_customers_wall_clock() -> None:
    madrid_spring = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)  # 00:30 on the day that has 23 hours
    for zone, hours, days in [("Europe/Madrid", 23, 1), ("UTC", 23, 0), ("UTC", 24, 1), ("UTC", -1, -1), ("UTC", 0, 0)]:
        case = Case({"x": madrid_spring + timedelta(hours=hours)}, {}, madrid_spring, ZoneInfo(zone))
        assert program("days_until(timestamp(X))", case) == days
        assert oracle("days_until(X)")(case) == days
    assert program("days_until(timestamp(X))", Case({"x": NOW}, {}, NOW, None)) == ERROR
