"""The probe: rows that any model must give probabilities for before it may serve."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from models.encoding import LARGEST, Encoding, Feature, encoder_of
from models.errors import ProbabilityError
from models.inputs import Rows
from models.session import Session

_NOW = datetime(2020, 1, 1, tzinfo=UTC)
_LONG = timedelta(days=700_000)


def probe(session: Session) -> None:
    """Raises ProbabilityError where missing, typical or extreme values give anything but a probability each."""
    rows = probe_rows(session.metadata.features)
    for what, row in rows.items():
        try:
            session.probabilities(row.reshape(1, -1))
        except ProbabilityError as error:
            reason = str(error).removeprefix(f"model `{session.model}`: ")
            raise ProbabilityError(session.model, f"with {what} values: {reason}") from None
    session.probabilities(np.stack(list(rows.values())))


def probe_rows(features: Sequence[Feature]) -> dict[str, Rows]:
    """Rows with everything missing, typical, and as low and as high as it may get."""
    missing: list[float] = []
    typical: list[float] = []
    lowest: list[float] = []
    highest: list[float] = []
    for feature in features:
        encode = encoder_of(feature)
        low, high = _extremes(feature)
        missing += encode(None, _NOW)
        typical += encode(_typical(feature), _NOW)
        lowest += encode(low, _NOW)
        highest += encode(high, _NOW)
    rows = {"missing": missing, "typical": typical, "lowest": lowest, "highest": highest}
    return {what: np.array(row, dtype=np.float32) for what, row in rows.items()}


def _typical(feature: Feature) -> Any:
    match feature.encoding:
        case Encoding.NUMBER:
            return 0.0 if feature.fill is None else feature.fill
        case Encoding.DAYS_AGO:
            return _NOW - timedelta(days=min(max(feature.fill or 0.0, -_LONG.days), _LONG.days))
        case Encoding.ONE_OF:
            return feature.categories[0]
    return list(feature.categories)


def _extremes(feature: Feature) -> tuple[Any, Any]:
    match feature.encoding:
        case Encoding.NUMBER:
            return -LARGEST, LARGEST
        case Encoding.DAYS_AGO:
            return _NOW + _LONG, _NOW - _LONG
        case Encoding.ONE_OF:
            return "", feature.categories[-1]
    return [], ["", *feature.categories]
