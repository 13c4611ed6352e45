"""The digest: one name for everything a catalog means.

Equal for the same meaning however it is written: comments, white space, files, quotes, defaults spelt out, and the
order of keys where order means nothing. The order of actions and of their treatments settles ties, so it counts, as
does that of segments, which are listed in it, and of a score's parts, which are added up in it; and content is kept as
written. Of a model's file the bytes count, not where it lies.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from catalog.budgets import Budget
from catalog.models import ModelFile
from catalog.policies import ContactPolicy
from catalog.spec import Catalog


def digest(spec: Catalog, models: Mapping[str, ModelFile]) -> str:
    """ "sha256:" and 64 hexadecimal digits."""
    canonical = spec.model_dump(by_alias=True, exclude_defaults=True)
    canonical["purposes"] = sorted(spec.purposes)
    if spec.outcomes:
        canonical["outcomes"] = sorted(spec.outcomes)
    for name, aggregate in canonical.get("aggregates", {}).items():
        aggregate |= {"tile": spec.aggregates[name].step, "most": spec.aggregates[name].bound}
    if spec.segments:
        canonical["segments"] = list(spec.segments.items())
    for score in canonical.get("scores", {}).values():
        score["parts"] = list(score["parts"].items())
    actions = canonical.pop("actions", {})
    caps: dict[str, Mapping[str, ContactPolicy | Budget]]
    caps = {"contact_policies": spec.contact_policies, "budgets": spec.budgets}
    for section, declared in caps.items():
        for name, cap in canonical.get(section, {}).items():
            if declared[name].calendar is not None:
                cap["timezone"] = declared[name].timezone or spec.timezone
            if "per" in cap:
                cap["per"] = sorted(cap["per"])
            cap["scope"] = {key: sorted(names) for key, names in cap.get("scope", {}).items()}
    if spec.quiet:
        canonical["timezone"] = spec.timezone if spec.names_zone else None
    if spec.control_group is not None:
        canonical["control_group"] |= {"salt": spec.control_salt, "purposes": sorted(spec.control_purposes)}
    for name, model in canonical.get("models", {}).items():
        del model["onnx"]  # where a file lies is no matter
        model["sha256"] = models[name].sha256 if name in models else None
    hashed = hashlib.sha256(_text(canonical))
    for name, action in actions.items():  # one at a time: all at once would hold up others for long
        hashed.update(_text([name, {**action, "treatments": list(action.get("treatments", {}).items())}]))
    return "sha256:" + hashed.hexdigest()


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode() + b"\n"


def _plain(value: Any) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.0f}s"
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"not part of a catalog: {value!r}")
