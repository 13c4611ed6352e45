"""Fitting: how each feature is to be encoded, learned from the training rows alone."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.plan import Plan
from models.contacts import Contact
from models.encoding import DAY, ENCODINGS, Encoding, Feature
from models.errors import TrainingError
from models.inputs import Inputs, Rows, declared_types, reader_of
from rules.types import AttributeType

FEWEST_OF_A_CATEGORY = 5
MOST_CATEGORIES = 50


def fit_features(names: Sequence[str], contacts: Sequence[Contact], plan: Plan, *, fill: bool) -> tuple[Feature, ...]:
    """`names` as the catalog lists them. With `fill`, missing numbers become the median and a column says so."""
    types = declared_types(plan)
    return tuple(_fit(name, AttributeType(types[name]), contacts, plan, fill) for name in names)


def _fit(path: str, kind: AttributeType, contacts: Sequence[Contact], plan: Plan, fill: bool) -> Feature:
    owner, _, name = path.partition(".")
    values = [value for value in map(_reader(owner, name, plan), contacts) if value is not None]
    if not values:
        raise TrainingError(f"`{path}` is missing in every row to learn from: there is nothing to learn about it")
    if ENCODINGS[kind] in (Encoding.ONE_OF, Encoding.SOME_OF):
        return Feature(owner, name, kind, ENCODINGS[kind], categories=_categories(kind, values))
    numbers = np.array(values, dtype=np.float64)
    numbers = numbers[~np.isnan(numbers)]
    least, most = float(numbers.min()), float(numbers.max())
    return Feature(
        owner,
        name,
        kind,
        ENCODINGS[kind],
        # Amounts and counts: what doubles them means about the same wherever it starts.
        log=least >= 0.0 and kind is not AttributeType.BOOL,
        fill=float(np.median(numbers)) if fill else None,
        flag=fill and len(numbers) < len(contacts),
        least=least,
        most=most,
    )


def _reader(owner: str, name: str, plan: Plan) -> Callable[[Contact], Any]:
    if owner == "treatment":
        return lambda contact: contact.labels.get(name)
    read = reader_of(owner, name, plan)
    if declared_types(plan)[f"{owner}.{name}"] == AttributeType.TIMESTAMP:
        return lambda contact: _days_ago(read(contact.frame), contact)
    return lambda contact: read(contact.frame)


def _days_ago(then: Any, contact: Contact) -> float | None:
    return None if then is None else (contact.at - then).total_seconds() / DAY


def _categories(kind: AttributeType, values: list[Any]) -> tuple[str, ...]:
    """The most frequent, in alphabetical order; rare ones are `other`, as unknown ones will be."""
    items = values if kind is AttributeType.STRING else [item for value in values for item in set(value)]
    counted = sorted(Counter(items).items(), key=lambda pair: (-pair[1], pair[0]))
    frequent = [name for name, count in counted[:MOST_CATEGORIES] if count >= FEWEST_OF_A_CATEGORY]
    return tuple(sorted(frequent or [name for name, _ in counted[:1]] or [""]))


def matrix(inputs: Inputs, contacts: Sequence[Contact]) -> Rows:
    return np.stack([inputs.row(contact.frame, contact.labels) for contact in contacts])


def outcomes(contacts: Sequence[Contact]) -> NDArray[np.bool_]:
    return np.array([contact.succeeded for contact in contacts], dtype=np.bool_)
