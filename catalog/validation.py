"""Validation: the sources' plain values against the models, every fault at its place.

To find the faults of rules, references and templates in the same run, what is wrong is taken out (or a stand-in put
for what is missing) and the rest validated again: the spec returned beside errors is for checking on, never for use.
"""

import copy
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from catalog.actions import Action, ContextWeight, Treatment
from catalog.aggregates import Aggregate
from catalog.arbitration import Arbitration, ControlGroup, Exploration
from catalog.budgets import Budget
from catalog.channels import Channel
from catalog.expressions import GATES
from catalog.fields import Declared
from catalog.models import Model
from catalog.nodes import Path, empty_values
from catalog.policies import After, ContactPolicy, Scope
from catalog.quiet_hours import QuietHours
from catalog.report import Report, did_you_mean
from catalog.retention import Retention
from catalog.scores import Part, Score
from catalog.spec import Catalog
from rules.types import shown, valid_zone

# Which model a place in the file belongs to; `*` stands for a name the catalog chooses.
_MODELS: dict[Path, type[Declared]] = {
    (): Catalog,
    ("aggregates", "*"): Aggregate,
    ("scores", "*"): Score,
    ("scores", "*", "parts", "*"): Part,
    ("channels", "*"): Channel,
    ("channels", "*", "quiet_hours"): QuietHours,
    ("actions", "*"): Action,
    ("actions", "*", "context_weights", "*"): ContextWeight,
    ("actions", "*", "treatments", "*"): Treatment,
    ("contact_policies", "*"): ContactPolicy,
    ("models", "*"): Model,
    ("contact_policies", "*", "scope"): Scope,
    ("contact_policies", "*", "after"): After,
    ("budgets", "*"): Budget,
    ("budgets", "*", "scope"): Scope,
    ("arbitration",): Arbitration,
    ("exploration",): Exploration,
    ("control_group",): ControlGroup,
    ("retention",): Retention,
}
_NAMED = (
    "aggregates",
    "scores",
    "channels",
    "actions",
    "contact_policies",
    "budgets",
    "models",
)  # sections of names the catalog chooses
# For the required fields whose absence should not hide what else is wrong beside them.
_STAND_INS: dict[str, Any] = {
    "catalog": 1,
    "name": "unnamed",
    "value": 0,
    "limit": 1,
    "rolling": "1d",
    "calendar": "day",
    "percent": 0,
}
_WANTED = {
    "string_type": "text (quote it)",
    "string_too_short": "text, not empty",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping of names",
    "model_type": "a mapping",
    "too_short": "a list of at least one name",
}
_LIMITS = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "less than {lt:g}",
}
_ROUNDS = 8
_RULES = (*GATES, "when", "where", "address", "preferred_channel", "customer_limit")


def validate(report: Report) -> Catalog | None:
    """The declared catalog; where `report.failed`, only what of it is sound, or None."""
    raw = report.sources.values
    _report_empty(report)
    for turn in range(_ROUNDS):
        try:
            return Catalog.model_validate(raw, context={"zone": _zone(raw)})
        except ValidationError as faults:
            errors = faults.errors(include_url=False)
        if turn == 0:
            for error in errors:
                _report(error, raw, report)
            raw = copy.deepcopy(raw)
        for error in errors:
            _repair(raw, error)
    return None


def _zone(raw: dict[str, Any]) -> ZoneInfo:
    named = raw.get("timezone", "UTC")
    return ZoneInfo(named if isinstance(named, str) and valid_zone(named) else "UTC")


def _report_empty(report: Report) -> None:
    """A key without a value is refused, whatever it is: an empty gate would be none at all, and nobody would know."""
    for path, listed in empty_values(report.sources.root):
        if listed:
            message = f"an item of `{path[-2]}` is empty: write a value or leave it out"
        else:
            wanted = "a rule" if path[-1] in _RULES or path[0] in ("derived", "segments") else "a value"
            message = f"`{path[-1]}` is empty: write {wanted} or leave the key out"
        report.error("empty", path, message, at_key=True)


def _report(error: ErrorDetails, raw: dict[str, Any], report: Report) -> None:
    path, at_key = _path(error)
    name = path[-1] if path else "the catalog"
    match error["type"]:
        case "missing":
            if not _explained(raw, path):
                report.error("missing-key", path, f"`{name}` is missing: {_described(path)}", at_key=True)
        case "extra_forbidden":
            _report_unknown(path, report)
        case "unsupported":
            report.error("unsupported", path, f"`{name}` {error['msg']}")
        case _ if error["input"] is None:
            pass  # empty, which is reported already
        case "must":
            report.error("wrong-value", path, f"`{name}` {error['msg']}", at_key)
        case _:
            message = f"`{name}` must be {_wanted(error)}, not {shown(error['input'])}"
            report.error("wrong-value", path, message, at_key)


def _path(error: ErrorDetails) -> tuple[Path, bool]:
    """The path in the file, and whether it is the key itself that is wrong."""
    steps = tuple(str(step) for step in error["loc"])
    return (steps[:-1], True) if steps and steps[-1] == "[key]" else (steps, False)


def _wanted(error: ErrorDetails) -> str:
    kind, details = error["type"], error.get("ctx", {})
    if kind in _LIMITS:
        return _LIMITS[kind].format_map(details)
    if kind in ("enum", "literal_error"):
        return str(details["expected"]).replace("'", "")
    return _WANTED.get(kind, error["msg"])


def model_at(path: Path) -> type[Declared] | None:
    """The model of the mapping at `path`."""
    return _MODELS.get(tuple("*" if step % 2 and path[0] in _NAMED else name for step, name in enumerate(path)))


def _report_unknown(path: Path, report: Report) -> None:
    name, owner = path[-1], model_at(path[:-1])
    if owner is None:
        report.error("unknown-key", path, f"`{name}` is not known here", at_key=True)
    elif name in owner.unsupported:
        message = f"`{name}` is not supported by this version; {owner.unsupported[name]}"
        report.error("unsupported", path, message, at_key=True)
    else:
        hint = did_you_mean(name, (field.alias or key for key, field in owner.model_fields.items()))
        place = ".".join(path[:-1]) or "a catalog"
        report.error("unknown-key", path, f"`{name}` is not a key of {place}{hint}", at_key=True)


def _described(path: Path) -> str:
    owner = model_at(path[:-1])
    field = owner.model_fields.get(path[-1]) if owner else None
    return (field.description if field else None) or "it is required"


def _explained(raw: dict[str, Any], path: Path) -> bool:
    """Whether an unsupported key stands beside: what is missing is then a consequence of it."""
    owner, beside = model_at(path[:-1]), raw
    for step in path[:-1]:
        beside = beside[step]
    return owner is not None and not owner.unsupported.keys().isdisjoint(beside)


def _repair(raw: dict[str, Any], error: ErrorDetails) -> None:
    path, _ = _path(error)
    if error["type"] == "missing":
        if path[-1] in _STAND_INS and model_at(path[:-1]) is not Part:  # of these, value is an expression
            _put(raw, path, _STAND_INS[path[-1]])
        else:
            _remove(raw, path[:-1])
    else:
        _remove(raw, path)


def _parent(raw: Any, path: Path) -> Any:
    for step in path[:-1]:
        if isinstance(raw, dict) and step in raw:
            raw = raw[step]
        elif isinstance(raw, list) and int(step) < len(raw):
            raw = raw[int(step)]
        else:
            return None
    return raw


def _put(raw: Any, path: Path, value: Any) -> None:
    parent = _parent(raw, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value


def _remove(raw: Any, path: Path) -> None:
    parent = _parent(raw, path) if path else None
    if isinstance(parent, dict):
        parent.pop(path[-1], None)
    elif isinstance(parent, list) and int(path[-1]) < len(parent):
        # Emptied rather than removed, so that the places of the others stay what the remaining errors say.
        parent[int(path[-1])] = f"removed-{path[-1]}"
