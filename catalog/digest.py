"""The digest: one name for everything a catalog means.

Equal for the same meaning however it is written: comments, white space, files, quotes, defaults spelt out, and the
order of keys where order means nothing. The order of actions and of their treatments settles ties, so it counts; and
content is kept as written.
"""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from catalog.spec import Catalog


def digest(spec: Catalog) -> str:
    """ "sha256:" and 64 hexadecimal digits."""
    canonical = spec.model_dump(by_alias=True)
    canonical["purposes"] = sorted(spec.purposes)
    canonical["actions"] = [
        [name, {**action, "treatments": list(action["treatments"].items())}]
        for name, action in canonical["actions"].items()
    ]
    for policy in canonical["contact_policies"].values():
        policy["scope"] = {key: sorted(names) for key, names in policy["scope"].items() if names is not None}
    if spec.control_group is not None:
        canonical["control_group"] |= {"salt": spec.control_salt, "purposes": sorted(spec.control_purposes)}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_text)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _text(value: Any) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.0f}s"
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"not part of a catalog: {value!r}")
