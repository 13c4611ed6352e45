"""Retention: how long what has happened is kept."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from catalog.fields import Declared, Duration, must

_DAY = timedelta(days=1)


def _a_day_at_least(raw: Any, parsed: ValidatorFunctionWrapHandler) -> timedelta:
    kept: timedelta = parsed(raw)
    if kept < _DAY:
        raise must("at least 1d, as days are removed as a whole", raw)
    return kept


Kept = Annotated[Duration, WrapValidator(_a_day_at_least)]


class Retention(Declared):
    """How long files of the archive are kept; a day goes as a whole, once all of it is older. Default: for ever."""

    decisions: Kept | None = Field(default=None, description="Records of decisions: a time such as 30d or 52w.")
    events: Kept | None = Field(default=None, description="Events: a time such as 400d.")
