"""The profile explained: which segments a customer is in, and what each of their scores is made of. Pure.

The figures are those that rules see: both come from the same functions in rules.profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from catalog.plan import Plan, ScorePlan
from rules.profile import band_at, holding, part_of, weighted
from rules.programs import Frame


@dataclass(frozen=True, slots=True)
class ScorePart:
    """`value` is what the part counts, from 0 to 1; where it had none (`missing`), what counts instead."""

    name: str
    weight: float
    value: float
    missing: bool


@dataclass(frozen=True, slots=True)
class ScoreValue:
    """A score from 0 to 100; `band` is None where the catalog declares none."""

    value: float
    band: str | None
    parts: tuple[ScorePart, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    segments: tuple[str, ...]
    scores: Mapping[str, ScoreValue]


def profile_of(plan: Plan, frame: Frame) -> Profile:
    """What `frame`, made by Plan.frame of the customer's attributes and aggregates, comes to."""
    segments = tuple(name for name, rule in plan.segments.items() if holding(rule)(frame))
    return Profile(segments, {name: _explained(score, frame) for name, score in plan.scores.items()})


def _explained(score: ScorePlan, frame: Frame) -> ScoreValue:
    shares = [part_of(part.program)(frame) for part in score.parts]
    parts = tuple(
        ScorePart(part.name, part.weight, part.missing if share is None else share, share is None)
        for part, share in zip(score.parts, shares, strict=True)
    )
    value = weighted([part.value for part in parts], [part.weight for part in parts])
    names = [name for name, _ in score.bands]
    return ScoreValue(value, names[band_at(value, [bound for _, bound in score.bands])] if names else None, parts)
