"""The report of a training: what the model knows, and what just knowing the group would know."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from models.contacts import Contact
from models.evaluation import Measured
from models.training import Trained

_TABLE = "{:<20} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9} {:>6}"
_PARTS = "{:<20} {:>5} {:>9} {:>9} {:>9}"


def report(trained: Trained) -> Iterator[str]:
    """Line by line."""
    yield from _what(trained)
    yield ""
    yield from _groups(trained)
    yield ""
    yield from _calibration(trained.evaluation.groups)
    yield ""
    yield from _verdict(trained)


def _what(trained: Trained) -> Iterator[str]:
    parts, task = trained.split, trained.task
    columns = sum(len(feature.columns) for feature in trained.features)
    yield f"{task.model}: {task.algorithm}, {len(trained.features)} features in {columns} columns, label {task.label}"
    yield f"learned from  {_contacts(parts.train)}"
    yield f"tested on     {_contacts(parts.test)}, from {_day(parts.cut)} on"
    yield f"left out      {parts.open:,} contacts made before, whose outcome was not known yet"


def _contacts(contacts: Iterable[Contact]) -> str:
    listed = list(contacts)
    succeeded = sum(contact.succeeded for contact in listed)
    return f"{len(listed):,} contacts, {succeeded:,} succeeded ({succeeded / len(listed):.1%})"


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _groups(trained: Trained) -> Iterator[str]:
    yield _TABLE.format("", "", "", "", "", "log loss", "log loss", "").rstrip()
    yield _TABLE.format("test", "rows", "rate", "base rate", "predicted", "model", "base rate", "AUC")
    for measured in (*trained.evaluation.groups, trained.evaluation.all):
        yield _TABLE.format(
            measured.group,
            f"{measured.contacts:,}",
            f"{measured.succeeded / measured.contacts:.1%}",
            f"{measured.base_rate:.1%}",
            f"{measured.given:.1%}",
            f"{measured.log_loss:.4f}",
            f"{measured.base_log_loss:.4f}",
            _three(measured.auc),
        )


def _calibration(groups: Iterable[Measured]) -> Iterator[str]:
    yield _PARTS.format("by fifth", "rows", "predicted", "succeeded", "base rate")
    for measured in groups:
        for part in measured.parts:
            rates = (f"{rate:.1%}" for rate in (part.given, part.succeeded, measured.base_rate))
            yield _PARTS.format(measured.group, part.contacts, *rates)


def _verdict(trained: Trained) -> Iterator[str]:
    found, permuted = trained.evaluation, trained.permuted
    yield f"AUC            {_three(found.all.auc)}; of knowing the group alone {_three(found.by_group)}"
    yield f"within groups  {_three(found.within)}; of knowing the group alone 0.500"
    spread = f"{permuted.least:.3f} to {permuted.most:.3f}"
    yield f"random labels  {permuted.mean:.3f}, the mean of {permuted.runs} runs ({spread})"
    yield f"parity         {trained.parity:.1e}, the largest difference between the library and the ONNX file"
    if not found.useful:
        yield "WARNING: it predicts no better than each group's base rate; a number per group would do"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
