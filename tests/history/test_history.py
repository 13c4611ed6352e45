"""Clients, workers and Redis, under all that may befall them; then what they were told is held against the log."""

from pathlib import Path

import pytest

from tests.history.counting import fullest
from tests.history.limits import ACTIONS, LONG, SHORT, Limit
from tests.history.run import lines_of, run

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize(("limits", "seed"), [(LONG, "1"), (SHORT, "2")], ids=["long windows", "short windows"])
def test_nothing_that_was_promised_is_broken(
    tmp_path: Path, limits: tuple[Limit, ...], seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    story = run(tmp_path, limits, seed)
    with capsys.disabled():
        print(f"\n{lines_of(story.table)}")
    assert story.violations == []
    assert set(story.harms.values()) == {1}
    assert story.conflicts > 0
    assert sum(each.unanswered for each in story.operations) > 0
    assert sum(each.cuts for each in story.operations) > 0
    assert story.log.reached.keys() == ACTIONS.keys(), "every limit was counted against"
    assert any(state.merged for state in story.log.states.values())
    assert story.late > 0
    assert story.given_back > 0
    if limits is LONG:
        assert [fullest(story.log, limit) for limit in limits] == [1, 3, 3, 20, 3, 3], (
            "every limit was reached, and held"
        )
