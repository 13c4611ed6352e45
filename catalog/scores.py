"""Scores: one figure from 0 to 100 made of weighted parts, such as a customer's health or a lead's promise."""

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from catalog.fields import Declared, Expression, Name, Number, must

HIGHEST = 100.0
BAND = "_band"  # behind a score's name: the attribute that holds its band


def _bands(bands: dict[str, float]) -> dict[str, float]:
    bounds = list(bands.values())
    if not bounds or bounds[0] != 0 or bounds[-1] > HIGHEST or any(a >= b for a, b in pairwise(bounds)):
        raise must("names, each with the score it begins at: from 0, ascending, at most 100", bands)
    return bands


class Part(Declared):
    """One part of a score: a value from 0 to 1, and how much it weighs beside the others."""

    value: Expression = Field(
        description="CEL, a number; less than 0 counts as 0, more than 1 as 1. Or true (1) or false (0). Required."
    )
    weight: Number = Field(
        ge=1e-6, le=1e6, description="How much it weighs; only the shares of the whole matter. Required."
    )
    missing: Number = Field(
        default=0.0, ge=0, le=1, description="What counts where the value can't be computed. Default: 0."
    )


def _parts(parts: dict[str, Part]) -> dict[str, Part]:
    if not parts:
        raise must("a mapping of at least one part, each with a value and a weight", parts)
    return parts


class Score(Declared):
    """The weighted mean of its parts, times 100; with `bands`, also the name of the band it falls in."""

    parts: Annotated[dict[Name, Part], AfterValidator(_parts)] = Field(
        description="What it is made of, by name. Required."
    )
    bands: Annotated[dict[Name, Number], AfterValidator(_bands)] | None = Field(
        default=None,
        description="Names, each with the score it begins at; the first at 0. Default: none.",
    )
