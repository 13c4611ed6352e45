"""Past contacts: the rows that a model learns from, with what was known when each was made.

A row has `customer_id`, `at` (when the contact was made), the label (true or false), any of `action`, `channel`,
`group` and `value`, and a column `customer.x` or `context.x` for each attribute, holding what it was at `at`. What the
row doesn't say of its treatment is looked up in the catalog. `known_at`, if given, is when the outcome was known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from catalog.plan import Plan, Treatment
from features.columns import BadRow, Columns, ImportRow
from features.rows import read_rows
from models.errors import TrainingError
from models.inputs import TREATMENT_TYPES
from rules.programs import Frame
from rules.types import AttributeType

MOST_REPORTED = 10


@dataclass(frozen=True, slots=True)
class Contact:
    """`labels` is what the model may be told of the treatment; `known_at` when `succeeded` was known."""

    frame: Frame
    labels: dict[str, Any]
    known_at: datetime
    succeeded: bool

    @property
    def at(self) -> datetime:
        return self.frame.now

    @property
    def group(self) -> str:
        return self.labels.get("group") or "no group"


def read_contacts(path: Path, plan: Plan, label: str, features: Iterable[str]) -> list[Contact]:
    """In the order made. Raises TrainingError on rows that are wrong, ImportFileError on a file that can't be read."""
    types = {
        "at": AttributeType.TIMESTAMP,
        "known_at": AttributeType.TIMESTAMP,
        label: AttributeType.BOOL,
        **TREATMENT_TYPES,
        **{f"customer.{name}": kind for name, kind in {**plan.customer_types, **plan.aggregates.types}.items()},
        **{f"context.{name}": kind for name, kind in plan.context_types.items()},
    }
    needed = [name.removeprefix("treatment.") for name in features if name.startswith("treatment.")]
    known = {treatment.action: treatment for treatment in plan.treatments if treatment is not None}
    contacts, bad = [], []
    for line, row in read_rows(path, Columns(types, (), zone=plan.zone)):
        try:
            contacts.append(_contact(row, plan, known, label, needed))
        except ValueError as error:
            bad.append(f"{path.name}:{line}: {error}")
    if bad:
        more = f"\n... and {len(bad) - MOST_REPORTED} more" if len(bad) > MOST_REPORTED else ""
        raise TrainingError("rows that can't be used:\n" + "\n".join(bad[:MOST_REPORTED]) + more)
    return sorted(contacts, key=lambda contact: contact.at)


def _contact(
    row: ImportRow | BadRow, plan: Plan, known: Mapping[str, Treatment], label: str, needed: list[str]
) -> Contact:
    if isinstance(row, BadRow):
        raise ValueError(row.reason)
    cells = row.attributes
    for column in ("at", label):
        if column not in cells:
            raise ValueError(f"`{column}` is missing")
    at = cells["at"]
    known_at = cells.get("known_at", at)
    if known_at < at:
        raise ValueError(f"`known_at` ({known_at.isoformat()}) is before `at` ({at.isoformat()})")
    labels = _labels(cells, plan, known)
    lacking = next((name for name in needed if name not in labels), None)
    if lacking is not None:
        raise ValueError(f"`{lacking}` is missing, and the catalog doesn't tell it from {_named(cells)}")
    frame = plan.frame(_owned("customer", cells), _owned("context", cells), at)
    return Contact(frame, labels, known_at, cells[label])


def _owned(owner: str, cells: dict[str, Any]) -> dict[str, Any]:
    prefix = f"{owner}."
    return {name.removeprefix(prefix): value for name, value in cells.items() if name.startswith(prefix)}


def _labels(cells: dict[str, Any], plan: Plan, known: Mapping[str, Treatment]) -> dict[str, Any]:
    """What the row says of its treatment, and for the rest what the catalog says of its action and channel."""
    labels: dict[str, Any] = {}
    channel = plan.channels.get(cells.get("channel", ""))
    if channel is not None:
        labels["direction"] = channel.direction
    treatment = known.get(cells.get("action", ""))
    if treatment is not None:
        labels |= {"group": treatment.group or None, "value": plan.factors[treatment.bit][1]}
    return labels | {name: cells[name] for name in TREATMENT_TYPES if name in cells}


def _named(cells: dict[str, Any]) -> str:
    named = [f"{name} {cells[name]!r}" for name in ("action", "channel") if name in cells]
    return " and ".join(named) or "a row without action and channel"
