"""Aggregates: attributes of a customer that Tino keeps from their events."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from catalog.fields import Declared, Duration, Expression, must
from catalog.series import Function

MOST_VALUES = 10_000
MOST_TILES = 400
"""In window and offset together: what the state of a customer keeps of one series stays bounded."""

DEFAULT_MOST = {Function.DISTINCT: 1000, Function.VALUES: 64}
_FEW_TILES = 32
_TILES = tuple(
    timedelta(seconds=seconds) for seconds in (1, 5, 15, 60, 5 * 60, 15 * 60, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)
)
_NO_OFFSET = timedelta()


def _most(raw: object) -> object:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= MOST_VALUES:
        raise must(f"a whole number from 1 to {MOST_VALUES:,}", raw)
    return raw


def _read(what: str) -> Any:
    return Field(default=None, min_length=1, description=what)


class Aggregate(Declared):
    """One figure of a customer, by exactly one function, over the events of a window or over all events ever."""

    count: str | None = _read("An event type: how many there were.")
    sum: str | None = _read("`event.property`, a number: what it adds up to.")
    min: str | None = _read("`event.property`: the least of it.")
    max: str | None = _read("`event.property`: the most of it.")
    mean: str | None = _read("`event.property`, a number: its mean.")
    first: str | None = _read("`event.property`: what it was at the earliest event.")
    last: str | None = _read("`event.property`: what it was at the latest event.")
    distinct: str | None = _read("`event.property`: how many different values it had.")
    values: str | None = _read("`event.property`, a string: which values it had, sorted.")
    days_since: str | None = _read("An event type: whole days of 24 hours since the latest.")
    window: Duration | None = Field(default=None, description="How far back events count. Default: for ever.")
    offset: Duration | None = Field(
        default=None, description="How long before now the window ends, to tell a trend. Default: it ends now."
    )
    tile: Duration | None = Field(
        default=None,
        description="The step in which events leave the window; divides `window` and `offset`, into at most "
        f"{MOST_TILES} steps. Default: a usual one that makes at most {_FEW_TILES} of the window.",
    )
    where: Expression | None = Field(
        default=None, description="CEL, true or false, of `event.<property>`: which events count. Default: all."
    )
    most: Annotated[int, BeforeValidator(_most), Field(ge=1, le=MOST_VALUES)] | None = Field(
        default=None,
        description=f"Of `distinct` (default {DEFAULT_MOST[Function.DISTINCT]}) and `values` "
        f"(default {DEFAULT_MOST[Function.VALUES]}): how many values are kept, those seen last.",
    )

    @model_validator(mode="after")
    def _one_function(self) -> "Aggregate":
        given = [function.value for function in Function if getattr(self, function) is not None]
        if len(given) != 1:
            wanted = f"have exactly one function ({', '.join(Function)}), not {' and '.join(given) or 'none'}"
            raise PydanticCustomError("must", "must {wanted}", {"wanted": wanted})
        return self

    @property
    def function(self) -> Function:
        return next(function for function in Function if getattr(self, function) is not None)

    @property
    def of(self) -> str:
        """The event type, or event type and property, that the function is of."""
        return str(getattr(self, self.function))

    @property
    def step(self) -> timedelta | None:
        """The tile: as written, else a usual one. None where there is no window, or no usual one fits it.

        It is the shortest that makes few tiles of the window, else the longest of those that do not make too many:
        fewer tiles are less to keep, but a tile as long as the window would see anything between nothing and all of it.
        """
        if self.window is None or self.tile is not None:
            return self.tile
        span = self.window + (self.offset or _NO_OFFSET)
        fitting = [
            tile
            for tile in _TILES
            if tile <= self.window and not self.window % tile and not span % tile and span / tile <= MOST_TILES
        ]
        few = (tile for tile in fitting if self.window / tile <= _FEW_TILES)
        return next(few, fitting[-1] if fitting else None)

    @property
    def bound(self) -> int:
        """How many values are kept, where values are kept."""
        return self.most or DEFAULT_MOST.get(self.function, DEFAULT_MOST[Function.DISTINCT])
