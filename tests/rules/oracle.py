"""The oracle: what the official CEL evaluator answers, with `customer` and `context` as maps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from cel_expr_python import cel

from rules.declarations import tino_functions
from rules.programs import to_official
from tests.rules.declared import Case

ERROR = "error"
DAY = 86_400_000_000
Answer = Callable[[Case], Any]


def wall_clock(moment: datetime, zone: tzinfo) -> int:
    """The customer's wall clock at `moment`, in microseconds since 1970-01-01 00:00 on that wall."""
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC) + offset) // timedelta(microseconds=1)


def whole_days(start: int, end: int) -> int:
    """Counted one by one: the largest number of whole days that, added to `start`, does not pass `end`."""
    days = 0
    while start + (days + 1) * DAY <= end:
        days += 1
    while start + days * DAY > end:
        days -= 1
    return days


class Oracle:
    """Compiles texts in an environment without declared attributes; an answer is a value or ERROR."""

    def __init__(self) -> None:
        self._case: Case | None = None
        maps = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
        self._env = cel.NewEnv(
            variables={"customer": maps, "context": maps, "now": cel.Type.TIMESTAMP},
            functions=tino_functions(self._days_until, lambda x, low, high: low < x <= high),
        )

    def _days_until(self, moment: datetime) -> int:
        case = self._case
        if case is None or case.zone is None:
            raise ValueError("unknown zone")
        return whole_days(wall_clock(case.now, case.zone), wall_clock(moment, case.zone))

    def compile(self, text: str) -> Answer:
        expression = self._env.compile(text)

        def answer(case: Case) -> Any:
            self._case = case
            result = expression.eval(
                data={
                    "customer": {name: to_official(value) for name, value in case.customer.items()},
                    "context": {name: to_official(value) for name, value in case.context.items()},
                    "now": to_official(case.now),
                }
            )
            return ERROR if result.type() == cel.Type.ERROR else result.plain_value()

        return answer
