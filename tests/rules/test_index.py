"""The index by example, and its cost in counted work."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from rules.checking import Environment
from rules.index import Index, Terms
from rules.programs import Frame
from rules.types import AttributeType

ENVIRONMENT = Environment(
    {
        "age": AttributeType.INT,
        "visits": AttributeType.INT,
        "spent": AttributeType.DOUBLE,
        "tier": AttributeType.STRING,
        "vip": AttributeType.BOOL,
        "segments": AttributeType.STRING_LIST,
    },
    {"page": AttributeType.STRING},
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Counted(dict[str, Any]):
    """A customer that counts how often its attributes are asked for."""

    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.asked += 1
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.asked += 1
        return super().__getitem__(key)


def index(*sources: str | None, terms: Terms | None = None) -> Index:
    return Index([None if source is None else ENVIRONMENT.check(source) for source in sources], terms)


def matched(built: Index, customer: Mapping[str, Any], **context: Any) -> set[int]:
    mask = built.match(Frame(dict(customer), context, NOW))
    return {rule for rule in range(built.width) if mask >> rule & 1}


def test_a_match_names_the_rules_that_hold() -> None:
    built = index('customer.tier == "gold"', "customer.age > 18 && customer.age <= 30", 'context.page == "home"', None)
    assert matched(built, {"tier": "gold", "age": 30}, page="home") == {0, 1, 2, 3}
    assert matched(built, {"tier": "free", "age": 18}, page="home") == {2, 3}
    assert matched(built, {}) == {3}


def test_the_ends_of_intervals() -> None:
    built = index(*(f"customer.age {operator} 5" for operator in ("<", "<=", ">", ">=", "==", "!=")))
    assert matched(built, {"age": 4}) == {0, 1, 5}
    assert matched(built, {"age": 5}) == {1, 3, 4}
    assert matched(built, {"age": 6}) == {2, 3, 5}
    assert matched(built, {}) == set()


def test_a_missing_attribute_satisfies_neither_a_clause_nor_its_negative() -> None:
    built = index("customer.age < 5", "!(customer.age < 5)", "has(customer.age)", "!has(customer.age)")
    assert matched(built, {}) == {3}
    assert matched(built, {"age": 9}) == {1, 2}


def test_not_less_is_not_at_least_when_the_number_is_nan() -> None:
    ratio = "customer.spent / (customer.spent - customer.spent)"
    built = index(f"!({ratio} < 1.0)", f"{ratio} >= 1.0", f"{ratio} != 1.0")
    assert matched(built, {"spent": 0.0}) == {0, 2}


def test_a_constant_that_is_nan_compares_with_nothing() -> None:
    for other in ("customer.spent < 5.0", "customer.spent < 0.0 / 0.0"):
        built = index("customer.spent < 0.0 / 0.0", "customer.spent != double('NaN')", other)
        assert matched(built, {"spent": 7.0}) == {1}


def test_dividing_by_minus_zero_is_a_term_of_its_own() -> None:
    built = index("customer.spent / 0.0 < 1.0", "customer.spent / -0.0 < 1.0")
    assert matched(built, {"spent": 1.0}) == {1}


def test_true_is_not_one() -> None:
    built = index("customer.age == 1", "customer.age != 1", "customer.age in [1, 2]", "!(customer.age in [1])")
    assert matched(built, {"age": True}) == {1, 3}
    ordered = index("customer.age == 1", "customer.age != 1", "customer.age < 2", "!(customer.age < 1)")
    assert matched(ordered, {"age": True}) == {1}


def test_several_rows_of_one_rule_count_once() -> None:
    built = index("customer.age > 1 || customer.vip", "customer.vip ? customer.age > 3 : customer.age < 3")
    assert matched(built, {"age": 5, "vip": True}) == {0, 1}
    assert matched(built, {"vip": True}) == {0}
    assert matched(built, {"age": 0, "vip": False}) == {1}


def test_more_than_sixteen_rows_are_evaluated_as_written() -> None:
    alternatives = " && ".join(f"(customer.age == {n} || customer.visits > {n})" for n in range(6))
    built = index(alternatives, f"!({alternatives})", "customer.age == 3")
    assert matched(built, {"age": 3, "visits": 9}) == {0, 2}
    assert matched(built, {"age": 3, "visits": 2}) == {1, 2}
    assert matched(built, {"age": 3}) == {2}


def test_only_the_rules_asked_about_are_answered() -> None:
    built = index("customer.age > 1", "customer.age > 2 || customer.vip", "customer.age > 3")
    assert built.match(Frame({"age": 9}, {}, NOW), 0b110) == 0b110
    assert built.match(Frame({"age": 9}, {}, NOW), 0) == 0


def test_no_rules() -> None:
    assert index().match(Frame({}, {}, NOW)) == 0
    assert index().never == 0


@pytest.mark.parametrize("rules", [10, 100, 1000])
def test_a_match_asks_for_each_shared_attribute_once_however_many_rules(rules: int) -> None:
    tiers = ["free", "gold", "black"]
    built = index(
        *(
            f'customer.tier == "{tiers[n % 3]}" && customer.age > {n % 50} && customer.spent < {n}.5'
            for n in range(rules)
        ),
        None,
    )
    customer = Counted(tier="gold", age=25, spent=3.0)
    built.match(Frame(customer, {}, NOW))
    assert customer.asked == 3


def test_a_computed_term_is_computed_once_for_all_indexes_that_share_terms() -> None:
    terms = Terms()
    built = [index(*(f"customer.age * customer.visits > {n}" for n in range(9)), terms=terms) for _ in range(4)]
    customer = Counted(age=2, visits=3)
    frame = Frame(customer, {}, NOW)
    assert [each.match(frame) for each in built] == [0b111111] * 4
    assert customer.asked == 2


def test_nothing_is_computed_where_the_tables_leave_no_rule() -> None:
    built = index(*(f'customer.tier == "gold" && customer.age * customer.visits > {n}' for n in range(2)))
    customer = Counted(tier="free", age=2, visits=3)
    assert built.match(Frame(customer, {}, NOW)) == 0
    assert customer.asked == 1


def test_a_predicate_of_one_rule_runs_only_where_the_tables_let_it() -> None:
    built = index('customer.tier == "gold" && customer.visits % 2 == 1', 'customer.tier == "free"')
    customer = Counted(tier="free", visits=3)
    built.match(Frame(customer, {}, NOW))
    assert customer.asked == 1


@pytest.mark.untraced
def test_ten_thousand_rules_build_and_match() -> None:
    sources = [f"customer.age >= {n % 97} && customer.visits != {n}" for n in range(10_000)]
    built = index(*sources)
    mask = built.match(Frame({"age": 50, "visits": 7}, {}, NOW))
    assert mask.bit_count() == sum(n % 97 <= 50 and n != 7 for n in range(10_000))
