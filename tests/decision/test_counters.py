"""Which counters a customer's values name."""

from hypothesis import given
from hypothesis import strategies as st

from decision.counters import KeyValues, matching


def _values(count: int) -> st.SearchStrategy[tuple[list[KeyValues], KeyValues]]:
    known = st.tuples(*[st.sampled_from(["x", "y", None])] * count)
    return st.tuples(st.lists(known, unique=True), st.tuples(*[st.sampled_from("xyz")] * count))


@given(st.integers(0, 6).flatmap(_values))
def test_what_is_unknown_may_be_any_value(values: tuple[list[KeyValues], KeyValues]) -> None:
    contacts, named = values
    may_belong = [
        known for known in contacts if all(each in (None, mine) for each, mine in zip(known, named, strict=True))
    ]
    assert sorted(matching({known: known for known in contacts}, named), key=str) == sorted(may_belong, key=str)
