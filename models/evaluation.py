"""Evaluation: how good propensities are, and how good they are beyond knowing the group.

Groups differ in how often they succeed, so a model that knows only the group already looks like one: it ranks contacts
of a good group above those of a poor one. What it knows of customers shows only inside a group: there a constant, the
group's base rate in the training rows, has an AUC of 0.5 and the log loss to beat.

AUC        the chance that a contact that succeeded got more than one that didn't, equal ones counting half
log loss   the mean of −ln(probability given to what happened); lower is better
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Truth = NDArray[np.bool_]
Given = NDArray[np.float64]

PARTS = 5
_SURE = 1e-15


@dataclass(frozen=True, slots=True)
class Part:
    """Contacts of similar propensity: how many, the mean given and the share that succeeded."""

    contacts: int
    given: float
    succeeded: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Contacts of one group, or all. `base_rate` is the group's in the training rows; `auc` None with one outcome."""

    group: str
    contacts: int
    succeeded: int
    base_rate: float
    given: float
    log_loss: float
    base_log_loss: float
    auc: float | None
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`within` is the AUC between contacts of the same group; `by_group` the AUC of knowing the group alone."""

    groups: tuple[Measured, ...]
    all: Measured
    within: float | None
    by_group: float | None

    @property
    def useful(self) -> bool:
        """Whether it says more than the group's base rate does."""
        return self.all.log_loss < self.all.base_log_loss and (self.within or 0.5) > 0.5


def evaluate(
    given: Given, truth: Truth, groups: Sequence[str], trained_groups: Sequence[str], trained_truth: Truth
) -> Evaluation:
    """`given` and `truth` of the test rows; a group without training rows has the base rate of all of them."""
    overall = float(trained_truth.mean())
    trained, tested = np.array(trained_groups), np.array(groups)
    names = sorted(set(groups))
    rates = {n: float(trained_truth[trained == n].mean()) if (trained == n).any() else overall for n in names}
    base = np.array([rates[name] for name in groups])
    measured = []
    for name in names:
        here = tested == name
        measured.append(_measured(name, given[here], truth[here], base[here]))
    return Evaluation(tuple(measured), _measured("all", given, truth, base), _within(measured), auc(base, truth))


def _measured(group: str, given: Given, truth: Truth, base: Given) -> Measured:
    order = np.argsort(given, kind="stable")
    parts = [each for each in np.array_split(order, PARTS) if len(each)]
    return Measured(
        group,
        len(truth),
        int(truth.sum()),
        float(base.mean()),
        float(given.mean()),
        log_loss(given, truth),
        log_loss(base, truth),
        auc(given, truth),
        tuple(Part(len(each), float(given[each].mean()), float(truth[each].mean())) for each in parts),
    )


def _within(measured: Sequence[Measured]) -> float | None:
    """Each group's AUC, weighted by how many pairs it compares."""
    pairs = [(m.auc, m.succeeded * (m.contacts - m.succeeded)) for m in measured if m.auc is not None]
    total = sum(count for _, count in pairs)
    return sum(value * count for value, count in pairs) / total if total else None


def auc(given: Given, truth: Truth) -> float | None:
    """From the ranks (the Mann-Whitney statistic); None where only one outcome occurs."""
    yes = int(truth.sum())
    no = len(truth) - yes
    if not yes or not no:
        return None
    _, place, counts = np.unique(given, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[truth].sum() - yes * (yes + 1) / 2) / (yes * no))


def log_loss(given: Given, truth: Truth) -> float:
    kept = np.clip(given, _SURE, 1 - _SURE)
    return float(-np.log(np.where(truth, kept, 1 - kept)).mean())
