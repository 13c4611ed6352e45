"""What a rule's author reads when an expression can't be loaded, and what loads."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rules.checking import CheckedRule, Environment
from rules.errors import RuleError
from rules.index import Index
from rules.programs import Frame
from rules.types import AttributeType

CUSTOMER = {
    "age": AttributeType.INT,
    "score": AttributeType.DOUBLE,
    "tier": AttributeType.STRING,
    "vip": AttributeType.BOOL,
    "since": AttributeType.TIMESTAMP,
    "segments": AttributeType.STRING_LIST,
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def environment() -> Environment:
    return Environment(CUSTOMER, {"page": AttributeType.STRING, "half": AttributeType.DOUBLE})


def check(source: str) -> CheckedRule:
    return environment().check(source)


def refused(source: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        check(source)
    return caught.value


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ('customer.teir == "x"', 1, 9, "customer.teir is not declared; did you mean customer.tier?"),
        ('context.pag == "x"', 1, 8, "context.pag is not declared; did you mean context.page?"),
        ("customer.zzz == 1", 1, 9, "customer.zzz is not declared"),
        ("has(customer.teir)", 1, 4, "customer.teir is not declared; did you mean customer.tier?"),
        ('tier == "x"', 1, 1, "tier is not known here; expressions may use customer, context and now"),
        ("nope(customer.age)", 1, 5, "nope is not known here; expressions may use customer, context and now"),
        ('customer.segments.exists(x, y == "a")', 1, 29, "y is not known here"),
        ('customer.age == "x"', 1, 14, "== has no meaning for (int, string)"),
        ("customer.score > customer.age", 1, 16, "> has no meaning for (double, int)"),
        ("customer.tier == null", 1, 15, "== has no meaning for (string, null_type)"),
        ("customer.age + 1", 1, 14, "this is an int, but a bool is needed here"),
        (
            'contacted("a")',
            1,
            10,
            'contacted is written contacted("action", duration("24h")), in the rules of actions alone',
        ),
        ("customer.vip and customer.vip", 1, 14, "`and` is written `&&`"),
        ("customer.score > 1 && customer.age == 1 OR customer.vip", 1, 41, "`OR` is written `||`"),
        ("not customer.vip", 1, 5, "`not` is written `!`"),
        ("not(customer.vip)", 1, 4, "`not` is written `!`"),
        ("customer.age = 1", 1, 14, "`=` is written `==`"),
        ("customer.age => 1", 1, 14, "`=>` is written `>=`"),
        ("customer.age <> 1", 1, 15, "`<>` is written `!=`"),
        ("customer.vip & customer.vip", 1, 14, "`&` is written `&&`"),
        ("customer.vip | customer.vip", 1, 14, "`|` is written `||`"),
        ('customer.tier == "a', 1, 18, "the text that begins here has no quote at its end"),
        ("customer.age >", 1, 15, "the expression isn't complete"),
        ("customer.age in (1, 2)", 1, 19, "`,` can't stand here"),
        ("customer.age > customer.score", 1, 14, "(int, double): make a double of the int, double(…)"),
        ("now - customer.since > 30", 1, 22, "> has no meaning for (duration, int)"),
        ("customer.since > 30", 1, 16, "> has no meaning for (timestamp, int)"),
        ("customer.segments == 'a'", 1, 19, "== has no meaning for (list<string>, string)"),
        ("customer.vip && customer.age", 1, 14, "&& has no meaning for (bool, int)"),
        ("customer.age > 0 &&\n  customer.zzz > 1", 2, 11, "customer.zzz is not declared"),
        ('"😀" == customer.tier && customer.zzz', 1, 33, "customer.zzz is not declared"),
    ],
)
def test_an_error_says_where_and_what_would_be_right(source: str, line: int, column: int, message: str) -> None:
    error = refused(source)
    assert (error.line, error.column) == (line, column)
    assert message in error.message


# Integer literals before the error have become doubles: the position is still that of the author's text.
@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("customer.score > 1 && customer.zzz", 1, 31),
        ("customer.score > 1 && customer.score < 2 &&\n  customer.zzz == 1", 2, 11),
        ('customer.score in [1, 2] &&\n\n customer.age == "x"', 3, 15),
        ("customer.score > 1 && 1u == 1u", 1, 23),
        ('customer.score > 1 && customer.since > timestamp("nope")', 1, 49),
        ("customer.score > 1 && customer.age == 1 / 0", 1, 41),
        ("customer.score>1&&customer.age", 1, 17),
    ],
)
def test_positions_hold_after_widening(source: str, line: int, column: int) -> None:
    error = refused(source)
    assert (error.line, error.column) == (line, column)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('{"a": 1}["a"] == 1', "maps"),
        ("null == null", "null"),
        ("1u == 1u", "unsigned numbers"),
        ('b"a" == b"a"', "bytes"),
        ("customer == customer", "customer as a value"),
        ('[customer].exists(c, c.tier == "x")', "customer as a value"),
        ('customer.segments.exists(now, now == "x")', "now as the variable of a comprehension"),
        ("type(customer.age) == int", "type"),
        ("dyn(customer).age == 1", "fields of anything but customer and context"),
        ("google.protobuf.Duration{seconds: 1} == now - customer.since", "messages"),
        ("google.protobuf.NullValue.NULL_VALUE == 0", "as a value"),
    ],
)
def test_what_rules_do_not_support_is_refused(source: str, said: str) -> None:
    error = refused(source)
    assert error.message.startswith("rules do not support ")
    assert said in error.message


@pytest.mark.parametrize("number", ["9007199254740993", "-9007199254740993", "9223372036854775807"])
@pytest.mark.parametrize("name", ["age", "score"])
def test_an_integer_that_no_double_holds_is_refused(name: str, number: str) -> None:
    assert f"{number} is not exact as a double" in refused(f"customer.{name} > {number}").message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('now - customer.since > duration("30d")', "duration: '30d' is not one: days and weeks are written in hours"),
        ('now - customer.since > duration("30d")', 'duration("720h")'),
        ('now - customer.since > duration("2 weeks")', 'duration("336h")'),
        ('now - customer.since > duration("soon")', "'soon' is not one: write a number and a unit"),
        ('customer.since > timestamp("nope")', "'nope' is not one: write a time with a zone"),
        ('customer.since - now > duration("500ns")', "duration: '500ns' is finer than a microsecond"),
        ('customer.since - now > duration("1.0000005s")', "finer than a microsecond"),
        ('customer.since > timestamp("2026-01-01T00:00:00.0000009Z")', "finer than a microsecond"),
        ('customer.since - now > duration("9223372037s")', "duration: '9223372037s' is longer than 292 years"),
        ("customer.age == 1 / 0", "/: division by zero"),
        ("customer.age == 1 % 0", "%: modulo by zero"),
        ("customer.age == -9007199254740992 * 9007199254740992", "*: integer overflow"),
    ],
)
def test_a_constant_without_a_value_is_refused(source: str, said: str) -> None:
    assert said in refused(source).message


@pytest.mark.parametrize(
    "source",
    [
        *("", "  \n", "\0", "customer.age > 0 \0", "customer.tier == '\ud800'", "customer.", "((", "customer.age >"),
        "(" * 100 + "customer.vip" + ")" * 100,
        "(" * 20_000 + "customer.vip" + ")" * 20_000,
        "[" * 5_000,
        "customer.age" + " + 1" * 5_000 + " > 0",
        " && ".join(["customer.vip"] * 10_000),
    ],
    ids=lambda source: repr(source[:12]),
)
def test_what_cannot_be_parsed_is_a_rule_error(source: str) -> None:
    assert refused(source).message


@pytest.mark.parametrize(
    "source",
    [
        'customer.since - now > duration("1us")',
        'customer.since - now > duration("-1.000001s")',
        'customer.since - now > duration("9223372036.854775s")',
        'customer.since > timestamp("2026-01-01T00:00:00.000001Z")',
        'customer.since > timestamp("2026-01-01T00:00:00.123456000+02:00")',
    ],
)
def test_times_in_whole_microseconds_load(source: str) -> None:
    assert check(source).kind == "bool"


@pytest.mark.untraced
def test_long_chains_load_and_match() -> None:
    frame = Frame({"age": 5000, "vip": True}, {}, NOW)
    for source in (
        "&&".join(f"customer.age>{number}" for number in range(4000)),
        "||".join(f"customer.age=={number}" for number in range(1000, 5001)),
        "||".join(["customer.vip"] * 6000),
        "!" * 1001 + "!customer.vip",
    ):
        assert Index([check(source)] * 2).match(frame) == 0b11


@pytest.mark.parametrize("step", ["customer.{0} + customer.{0}", "customer.{0} + 1"], ids=["doubling", "chain"])
def test_derived_attributes_that_multiply_are_refused(step: str) -> None:
    env = environment()

    def derive_many() -> None:
        env.derive("d0", "customer.age")
        for number in range(1, 1000):
            env.derive(f"d{number}", step.format(f"d{number - 1}"))

    with pytest.raises(RuleError, match="too large"):
        derive_many()


@pytest.mark.parametrize(
    "source",
    [
        *("customer.score >= 60", "60 <= customer.score", "customer.score in [1, 2, 3]", "-customer.score < 5"),
        *("customer.score > -5", "customer.score > - 5", "customer.score * 2 + 1 > 10", "customer.score > 1 // 1"),
        *("customer.score > (customer.vip ? 60 : 70)", "in_band(customer.score, 1, 100)", "1 + 2 < customer.score + 1"),
        *("customer.score in [1, 2.5]", "customer.score == 1 || customer.score > 2 && customer.score != 3"),
        "customer.score > 1 //\n + 2",
    ],
)
def test_integer_literals_widen_against_doubles(source: str) -> None:
    assert check(source).kind == "bool"


def test_widening_changes_no_integer_comparison() -> None:
    rule = check("customer.score > 10 && customer.age / 2 == 3")
    assert Index([rule]).match(Frame({"score": 10.5, "age": 7}, {}, NOW)) == 1


@pytest.mark.parametrize(
    ("source", "always"),
    [("true", True), ("1 > 2", False), ('"a" in ["a", "b"]', True), ("customer.vip", None), ("customer.age + 1", None)],
)
def test_always(source: str, always: bool | None) -> None:
    assert environment().check(source, "any").always is always


@pytest.mark.parametrize(
    ("source", "never"),
    [
        ("customer.age > 5 && customer.age < 5", True),
        ('customer.tier == "a" && customer.tier == "b"', True),
        ("customer.vip && !customer.vip", True),
        ("in_band(customer.age, 5, 5)", True),
        ("customer.age in [1, 2] && !(customer.age < 3)", True),
        ("customer.score < 1 && !(customer.score < 2)", True),
        ("false", True),
        ("!(customer.score < 1) && !(customer.score >= 1)", False),  # NaN
        ("customer.vip || !customer.vip", False),
        ("customer.age > 5 && customer.age < 7", False),
    ],
)
def test_contradictions_are_known_at_load(source: str, never: bool) -> None:
    assert bool(Index([check(source)]).never) is never


def test_derived_attributes() -> None:
    env = environment()
    assert env.derive("half", "customer.score / 2").kind == "double"
    assert env.derive("quarter", "customer.half / 2").kind == "double"
    both = [env.check("has(customer.half)"), env.check("has(context.half)"), env.check("customer.quarter >= 1")]
    index = Index(both)
    assert index.match(Frame({"score": 4.0}, {}, NOW)) == 0b101
    assert index.match(Frame({}, {"half": 1.0}, NOW)) == 0b010
    with pytest.raises(RuleError, match=r"can't be a list<int>"):
        env.derive("sizes", "customer.segments.map(s, size(s))")


def test_names_that_differ_in_spelling_alone_are_two_attributes() -> None:
    env = Environment({"a_b": AttributeType.INT, "aB": AttributeType.INT}, {})
    values: dict[str, Any] = {"a_b": 1, "aB": 2}
    assert Index([env.check("customer.a_b == 1 && customer.aB == 2")]).match(Frame(values, {}, NOW)) == 1
