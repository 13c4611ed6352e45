"""Attributes: every name that stands under `customer.`, whichever section declares it, and no name twice.

They are computed in the order of the sections here: each may build on what comes before it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.nodes import Path
from catalog.report import Report
from catalog.scores import BAND

RESERVED = ("timezone", "locale")
SEGMENTS = "segments"


def written(values: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """(name, where it is declared) of each attribute in the files' plain values, also of those declared wrongly."""
    for section in ("customer", "aggregates", "derived"):
        for name in _mapping(values, section):
            yield name, (section, name)
    for name, score in _mapping(values, "scores").items():
        yield name, ("scores", name)
        if isinstance(score, dict) and "bands" in score:
            yield name + BAND, ("scores", name)
    if SEGMENTS in values:
        yield SEGMENTS, (SEGMENTS,)


def declarations(values: Mapping[str, Any]) -> dict[str, Path]:
    """Where each attribute is declared first."""
    found: dict[str, Path] = {}
    for name, path in written(values):
        found.setdefault(name, path)
    return found


def check_names(report: Report) -> None:
    first: dict[str, Path] = {}
    for name, path in written(report.sources.values):
        if name in RESERVED and path[0] != "customer":
            report.error("wrong-value", path, f"`{name}` is reserved; it can't be computed", at_key=True)
        elif name in first:
            mark = report.sources.mark(first[name], at_key=True)
            message = f"`{name}` is already an attribute of the customer ({mark.file}, line {mark.line})"
            report.error("duplicate-name", path, message, at_key=True)
        first.setdefault(name, path)


def _mapping(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    found = values.get(section)
    return found if isinstance(found, dict) else {}
