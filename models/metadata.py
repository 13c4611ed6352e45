"""Metadata: what a model's file says of itself, as JSON under the key `tino` of its ONNX metadata."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from models.encoding import ENCODINGS, Encoding, Feature
from models.errors import MetadataError

KEY = "tino"
FORMAT = 1


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`features` in the order of the input's columns; `output` names the graph's output with the probabilities.

    `parity` is the largest difference seen, at training, between the library's probabilities and this file's; None for
    a file that was not made by `tino train`. `measured` is what the test rows gave.
    """

    format: Literal[1]
    features: Annotated[tuple[Feature, ...], msgspec.Meta(min_length=1)]
    output: str
    label: str
    trained_at: datetime
    algorithm: str = ""
    opset: int = 0
    rows: int = 0
    parity: float | None = None
    measured: dict[str, float] = {}


def to_json(metadata: Metadata) -> str:
    return msgspec.json.encode(metadata).decode()


def read_metadata(model: str, given: dict[str, str]) -> Metadata:
    """Raises MetadataError where there is none, or it can't be understood."""
    if KEY not in given:
        message = f"its metadata has no `{KEY}`, which says what the columns of its input are; `tino train` writes it"
        raise MetadataError(model, message)
    try:
        raw = msgspec.json.decode(given[KEY])
        version = raw.get("format") if isinstance(raw, dict) else None
        if version != FORMAT:
            raise MetadataError(model, f"its metadata has the format {version!r}; this version reads {FORMAT}")
        metadata = msgspec.convert(raw, Metadata)
    except msgspec.MsgspecError as error:
        raise MetadataError(model, f"its metadata can't be understood: {error}") from None
    for feature in metadata.features:
        wrong = _fault(feature)
        if wrong:
            raise MetadataError(model, f"its metadata on `{feature.path}`: {wrong}")
    return metadata


def _fault(feature: Feature) -> str | None:
    wanted = ENCODINGS[feature.type]
    if feature.encoding is not wanted:
        return f"a {feature.type} is encoded as {wanted}, not {feature.encoding}"
    if feature.encoding in (Encoding.ONE_OF, Encoding.SOME_OF):
        return _category_fault(feature)
    if feature.least is not None and feature.most is not None and feature.least > feature.most:
        return f"`least` {feature.least:g} is more than `most` {feature.most:g}"
    return None


def _category_fault(feature: Feature) -> str | None:
    if not feature.categories:
        return "`categories` are missing"
    if len(set(feature.categories)) < len(feature.categories):
        return "`categories` names one twice"
    return None
