"""Gone: which names a catalog declares and the next one doesn't, that contacts and counters may bear.

A contact keeps the labels that it was made with, and limits and pauses count by them: what is given another name is to
them something else. So is a budget's counter. A catalog can't say that a name was another before, so whoever puts one
in force is told what no longer is there; it may have been taken out, which is all right.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.bundle import Bundle, values_in

_CONTACTS = (
    "contacts keep the names that they were made with, and limits and pauses that go by another don't count them: of "
    "what was only renamed, customers may be contacted again as if they hadn't been"
)
_BUDGETS = "a budget under another name begins with all of its limit"
_ATTRIBUTES = "what customers have stated there is read no more, and no limit of their own that it was"
_SECTIONS = {
    "channels": _CONTACTS,
    "actions": _CONTACTS,
    "groups": _CONTACTS,
    "budgets": _BUDGETS,
    "customer": _ATTRIBUTES,
}
_MOST = 5


def gone(before: Bundle, after: Bundle) -> list[str]:
    """A sentence for each kind of names that `before` declares and `after` doesn't. Raises BundleError."""
    old, new = _names(values_in(before)), _names(values_in(after))
    return list(_told(old, new))


def _names(values: Mapping[str, Any]) -> dict[str, set[str]]:
    found = {section: set(_mapping(values.get(section))) for section in _SECTIONS}
    actions = map(_mapping, _mapping(values.get("actions")).values())
    found["groups"] = {str(action["group"]) for action in actions if action.get("group")}
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _told(old: Mapping[str, set[str]], new: Mapping[str, set[str]]) -> Iterator[str]:
    for section, meaning in _SECTIONS.items():
        names = sorted(old[section] - new[section])
        if names:
            more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
            listed = ", ".join(f"`{name}`" for name in names[:_MOST])
            yield f"{section}: the catalog before declared {listed}{more}, and this one doesn't: {meaning}"
