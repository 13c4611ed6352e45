"""Scoring: the propensity of every candidate that a model is asked about, in one run per model.

What a treatment adds to a model's row is known when the catalog loads, and many treatments add the same (all those of
one group, say, or simply nothing). So each distinct addition is a row of a matrix, made once; a decision copies it, or
the rows of its candidates if these are fewer, fills in the customer's columns, runs all of them together and spreads
the answers out. A model of the customer alone runs one row, whatever the number of candidates.

A model that fails on a decision, or gives what is no probability, gives nothing for any of its candidates: the decision
goes on without them, and says so. Pure: the same candidates, frame and plan give the same scores.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from catalog.models import ModelFile
from catalog.plan import Plan
from models.errors import ModelError
from models.inputs import Inputs, of_treatment
from models.loading import open_model, read_content
from models.session import Session
from rules.masks import bits, positions
from rules.programs import Frame

_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # nothing that is said of a treatment depends on it


@dataclass(frozen=True, slots=True)
class ModelScores:
    """What one model gave: `bits` of treatments, ascending, and their propensities in [0, 1]."""

    model: str
    bits: list[int]
    propensities: list[float]


@dataclass(slots=True)
class Scored:
    """`propensities` by treatment bit; `degraded` are the models that gave nothing, by name; `late` those of them that
    were not asked, as there was no time.
    """

    propensities: dict[int, float] = field(default_factory=dict)
    scores: tuple[ModelScores, ...] = ()
    degraded: tuple[str, ...] = ()
    late: tuple[str, ...] = ()


def unasked(plan: Plan, candidates: int, frame: Frame) -> Scored:
    """As Models.score, without asking any."""
    names = tuple(name for name, mask in plan.scored.items() if candidates & mask)
    return Scored(degraded=names, late=names)


class Models:
    """The models of one plan, loaded and checked; one of it per worker.

    `read` gives a model's bytes, and may raise OSError. Raises ModelError.
    """

    def __init__(self, plan: Plan, read: Callable[[ModelFile], bytes] = read_content) -> None:
        opened = {name: open_model(file, plan, read) for name, file in plan.models.items()}
        self._asked = [
            _Asked(name, mask, opened[name], Inputs(opened[name].metadata.features, plan), plan)
            for name, mask in plan.scored.items()
        ]

    def score(self, candidates: int, frame: Frame, plan: Plan) -> Scored:
        """`candidates` is a mask of treatments; those whose propensity is a number are not looked at."""
        scored = Scored()
        for asked in self._asked:
            wanted = candidates & asked.mask
            if not wanted:
                continue
            try:
                scores = asked.scores(wanted, frame)
            except ModelError:
                scored.degraded += (asked.name,)
                continue
            scored.scores += (scores,)
            scored.propensities.update(zip(scores.bits, scores.propensities, strict=True))
        return scored


class _Asked:
    """One model and the treatments in `mask` that ask it: treatment `bit` has row `_row_of[bit]` of `_rows`."""

    def __init__(self, name: str, mask: int, session: Session, inputs: Inputs, plan: Plan) -> None:
        self.name = name
        self.mask = mask
        self._session = session
        self._inputs = inputs
        rows: dict[tuple[float, ...], int] = {}
        self._row_of = np.zeros(len(plan.treatments), dtype=np.intp)
        for bit in bits(mask):
            said = tuple(inputs.of_treatment(of_treatment(plan.treatment(bit), plan), _ANY_TIME))
            # NaN is not equal to itself: a treatment with one may get a row of its own, which costs little.
            self._row_of[bit] = rows.setdefault(said, len(rows))
        self._rows = np.zeros((len(rows), len(inputs.names)), dtype=np.float32)
        self._rows[:, inputs.treated] = np.array(list(rows), dtype=np.float32)

    def scores(self, wanted: int, frame: Frame) -> ModelScores:
        """Raises ProbabilityError."""
        listed = positions(wanted)
        place = self._row_of[listed]
        fewer = len(listed) < len(self._rows)
        rows = self._rows[place] if fewer else self._rows.copy()
        rows[:, self._inputs.asked] = self._inputs.of_frame(frame)
        found = self._session.probabilities(rows)
        return ModelScores(self.name, listed.tolist(), (found if fewer else found[place]).tolist())
