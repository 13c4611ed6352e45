"""What a catalog's aggregates come to: which series are kept, under which keys, and how far back."""

import pytest

from catalog.building import load_plan
from catalog.series import OUTCOMES, Aggregate, Aggregates, Function, Kept, Series
from rules.programs import Frame
from rules.types import AttributeType
from tests.catalog.conftest import Write
from tests.rules.declared import NOW

HEAD = """catalog: 1
name: kept
events:
  login: {}
  purchase: {amount: double, items: int, basket: string, vip: bool, at: timestamp, page: string}
"""
SECOND, DAY = 1_000_000, 86_400_000_000


def compiled(write: Write, *declared: str, rest: str = "") -> Aggregates:
    lines = [f"  a{number}: {{{each}}}" for number, each in enumerate(declared)]
    return load_plan(write(HEAD + rest + "\n".join(["aggregates:", *lines]) + "\n")).aggregates


def only(write: Write, declared: str) -> tuple[Aggregate, Series]:
    found = compiled(write, declared)
    return found.values[0], found.series[0]


@pytest.mark.parametrize(
    ("window", "tile"),
    [
        ("20s", "1s"),
        ("1m", "5s"),
        ("47s", "1s"),
        ("30m", "1m"),
        ("1h", "5m"),
        ("24h", "1h"),
        ("7d", "6h"),
        ("30d", "1d"),
        ("90d", "1d"),
        ("26w", "7d"),
        ("52w", "7d"),
        ("365d", "1d"),
        ("30d, offset: 30d", "1d"),
        ("30d, offset: 335d", "1d"),
        ("4w, offset: 52w", "1d"),
        ("1h, offset: 7d", "1h"),
    ],
)
def test_usual_tiles(window: str, tile: str, write: Write) -> None:
    left, right = (
        only(write, f"count: login, window: {window}"),
        only(write, f"count: login, window: {window}, tile: {tile}"),
    )
    assert left == right


@pytest.mark.parametrize(
    ("declared", "kept", "kind"),
    [
        ("count: login", Kept.ADDED, AttributeType.INT),
        ("sum: purchase.amount", Kept.ADDED, AttributeType.DOUBLE),
        ("sum: purchase.items", Kept.ADDED, AttributeType.INT),
        ("mean: purchase.items", Kept.ADDED, AttributeType.DOUBLE),
        ("min: purchase.at", Kept.LEAST, AttributeType.TIMESTAMP),
        ("max: purchase.basket", Kept.MOST, AttributeType.STRING),
        ("first: purchase.vip", Kept.FIRST, AttributeType.BOOL),
        ("last: purchase.amount", Kept.LAST, AttributeType.DOUBLE),
        ("distinct: purchase.vip", Kept.VALUES, AttributeType.INT),
        ("values: purchase.page", Kept.VALUES, AttributeType.STRING_LIST),
        ("days_since: purchase", Kept.LATEST, AttributeType.INT),
    ],
)
def test_what_a_function_keeps_and_gives(declared: str, kept: Kept, kind: AttributeType, write: Write) -> None:
    aggregate, series = only(write, declared)
    assert (series.kept, aggregate.kind, aggregate.function.value) == (kept, kind, declared.partition(":")[0])
    assert (series.tile, series.horizon, aggregate.window, aggregate.offset) == (0, 0, 0, 0)
    assert load_plan(write(HEAD + f"aggregates: {{a: {{{declared}}}}}")).aggregates.types == {"a": kind}


def test_windows_in_microseconds(write: Write) -> None:
    aggregate, series = only(write, "sum: purchase.amount, window: 30d, offset: 60d")
    assert (aggregate.window, aggregate.offset) == (30 * DAY, 60 * DAY)
    assert (series.tile, series.horizon, series.sums, series.scale) == (DAY, 90 * DAY, True, 1_000_000)
    aggregate, series = only(write, "days_since: login, window: 30d")
    assert (aggregate.window, series.tile, series.horizon) == (30 * DAY, 0, 30 * DAY)


def test_those_that_need_the_same_share_it(write: Write) -> None:
    found = compiled(
        write,
        "sum: purchase.amount, window: 30d",
        "mean: purchase.amount, window: 90d, offset: 30d, tile: 1d",
        "sum: purchase.amount, window: 30d, where: event.items > 1",
        "count: purchase, window: 30d",
        "count: purchase, window: 7d, tile: 1d",
    )
    assert [each.series for each in found.values] == [0, 0, 1, 2, 2]
    assert [each.horizon for each in found.series] == [120 * DAY, 30 * DAY, 30 * DAY]
    assert found.horizon == 120 * DAY
    assert [each.sums for each in found.series] == [True, True, False]


def test_for_ever_is_the_longest(write: Write) -> None:
    found = compiled(write, "days_since: login, window: 30d", "days_since: login", "count: login, window: 30d")
    assert [each.horizon for each in found.series] == [0, 30 * DAY]
    assert found.horizon == 0
    assert compiled(write, "count: login, window: 30d").horizon == 30 * DAY


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("count: login, window: 7d", "count: login, window: 7d, tile: 1d"),
        ("count: login, window: 7d", "count: purchase, window: 7d"),
        ("sum: purchase.items", "sum: purchase.amount"),
        ("min: purchase.items", "max: purchase.items"),
        ("first: purchase.items", "last: purchase.items"),
        ("last: purchase.items, window: 7d", "last: purchase.items, window: 7d, offset: 7d"),
        ("distinct: purchase.page", "values: purchase.page, most: 1000"),
        ("values: purchase.page", "values: purchase.page, most: 65"),
        ("count: login", "days_since: login"),
        ("count: purchase", "sum: purchase.items"),
        ("count: purchase, where: event.items > 1", "count: purchase, where: event.items > 2"),
    ],
)
def test_those_that_need_other_things_do_not(one: str, other: str, write: Write) -> None:
    first, second = compiled(write, one, other).series
    assert first.key != second.key


def test_keys_are_of_what_is_kept_alone(write: Write) -> None:
    """They stand in customers' states: that these change must never go unnoticed."""
    found = compiled(
        write,
        "count: login, window: 7d",
        "sum: purchase.amount, where: event.items > 1",
        "values: purchase.page, window: 90d",
        "distinct: purchase.page, window: 90d",
        "days_since: login",
    )
    assert [each.key for each in found.series] == KEYS
    longer = compiled(write, "count: login, window: 1d, tile: 6h, offset: 30d", rest="outcomes: [shared]\n")
    assert longer.series[0].key == KEYS[0]


KEYS = [736583649, 2221205063, 2333829990, 3247916902, 3574129453]


def test_a_property_of_another_type_is_kept_anew(write: Write) -> None:
    before = compiled(write, "max: purchase.items").series[0].key
    text = HEAD.replace("items: int", "items: string") + "aggregates: {a: {max: purchase.items}}"
    assert load_plan(write(text)).aggregates.series[0].key != before


def test_only_the_newest_tile_of_a_value_is_needed_where_windows_end_now(write: Write) -> None:
    declared = ("last: purchase.items, window: 7d", "values: purchase.page, window: 7d", "first: purchase.items")
    assert [each.newest for each in compiled(write, *declared).series] == [True, True, False]
    assert not compiled(write, "distinct: purchase.page, window: 7d, offset: 7d").series[0].newest


def test_which_events_feed_what_and_need_which_properties(write: Write) -> None:
    found = compiled(
        write,
        "sum: purchase.amount",
        "count: purchase, where: has(event.vip) && event.page.startsWith('a')",
        "count: click",
        "days_since: login",
        rest="outcomes: [shared]\n",
    )
    assert {event: [each.event for each in fed] for event, fed in found.of_event.items()} == {
        "purchase": ["purchase", "purchase"],
        "click": ["click"],
        "login": ["login"],
    }
    assert found.needed == {
        "purchase": frozenset({"amount", "vip", "page"}),
        "click": frozenset(),
        "login": frozenset(),
    }
    assert found.outcomes == {*OUTCOMES, "shared"}
    assert found.declared["purchase"]["amount"] is AttributeType.DOUBLE
    assert found.declared["shared"] == {}


def test_filters_run_on_the_event_alone(write: Write) -> None:
    _, series = only(write, "count: purchase, where: event.amount > 5")
    assert series.where is not None
    assert series.where(Frame({}, {"amount": 5.5}, NOW)) is True
    assert series.where(Frame({"amount": 9.0}, {"amount": 5.0}, NOW)) is False


def test_values_are_bounded(write: Write) -> None:
    bounds = [
        only(write, declared)[1].most
        for declared in ("distinct: purchase.page", "values: purchase.page", "values: purchase.page, most: 10000")
    ]
    assert bounds == [1000, 64, 10_000]
    assert [only(write, f"{function}: purchase.page")[1].whole for function in ("distinct", "values")] == [False, True]


def test_event_types_may_be_called_as_elsewhere(write: Write) -> None:
    text = "catalog: 1\nname: names\nevents: {com.example.paid: {amount: int}, Order Completed: {orderId: string}}\n"
    text += "aggregates: {a: {sum: com.example.paid.amount}, b: {last: Order Completed.orderId},"
    text += " c: {count: com.example.paid}}"
    found = load_plan(write(text)).aggregates
    assert [(each.event, each.property) for each in found.series] == [
        ("com.example.paid", "amount"),
        ("Order Completed", "orderId"),
        ("com.example.paid", None),
    ]


def test_a_catalog_without_aggregates_keeps_nothing(write: Write) -> None:
    found = load_plan(write("catalog: 1\nname: none\n")).aggregates
    assert (found.series, found.values, found.horizon, found.outcomes) == ((), (), 0, frozenset(OUTCOMES))


def test_nobody_writes_an_aggregate(write: Write) -> None:
    plan = load_plan(write(HEAD + "customer: {tier: string}\naggregates: {logins: {count: login}}\n"))
    assert list(plan.customer_types) == ["tier"]
    assert plan.aggregates.values[0].function is Function.COUNT
