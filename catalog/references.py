"""References: every name the catalog uses must be one it declares, and fit where it is used."""

from collections.abc import Iterable, Iterator
from typing import Any

from catalog.attributes import RESERVED, check_names
from catalog.channels import Channel
from catalog.nodes import Path
from catalog.policies import CUSTOMERS, Scope
from catalog.report import Report, did_you_mean
from catalog.series import OUTCOMES
from catalog.spec import Catalog, treatment_id
from rules.types import AttributeType


class Names:
    """Every name declared in the files, also those whose declaration is wrong: using them is no further error."""

    def __init__(self, raw: Any) -> None:
        self.outcomes = {*OUTCOMES, *_texts(raw.get("outcomes"))}
        self.attributes = _keys(raw.get("customer"))
        self.purposes = _texts(raw.get("purposes"))
        self.channels = _keys(raw.get("channels"))
        self.actions = _keys(raw.get("actions"))
        actions = [action for action in _values(raw.get("actions")) if isinstance(action, dict)]
        self.groups = _texts(action.get("group") for action in actions)
        self.treatments = {
            treatment_id(name, channel)
            for name in self.actions
            for channel in _keys(_get(raw["actions"][name], "treatments"))
        }


def _get(raw: Any, key: str) -> Any:
    return raw.get(key) if isinstance(raw, dict) else None


def _keys(raw: Any) -> set[str]:
    return set(raw) if isinstance(raw, dict) else set()


def _values(raw: Any) -> list[Any]:
    return list(raw.values()) if isinstance(raw, dict) else []


def _texts(raw: Any) -> set[str]:
    return {item for item in raw if isinstance(item, str)} if isinstance(raw, (list, Iterator)) else set()


def check_references(spec: Catalog, report: Report) -> None:
    names = Names(report.sources.values)
    _check_attributes(spec, report)
    for name, channel in spec.channels.items():
        _check_channel(("channels", name), channel, names, report)
        _check_quiet_hours(spec, name, channel, names, report)
    for name, action in spec.actions.items():
        _check_name("purpose", action.purpose, names.purposes, ("actions", name, "purpose"), report)
        for channel_name in action.treatments:
            _check_treatment(spec, name, channel_name, names, report)
    for name, policy in spec.contact_policies.items():
        _check_scope(("contact_policies", name, "scope"), policy.scope, names, report)
        if policy.after is not None:
            for key in ("outcome", "without"):
                path = ("contact_policies", name, "after", key)
                _check_name("outcome", getattr(policy.after, key), names.outcomes, path, report)
        if policy.timezone == CUSTOMERS and "timezone" not in names.attributes:
            message = "`timezone` is `customer`, but `customer` has no `timezone`: declare `timezone: string` there"
            report.error("unknown-name", ("contact_policies", name, "timezone"), message)
    for name, budget in spec.budgets.items():
        _check_scope(("budgets", name, "scope"), budget.scope, names, report)
    _check_control_group(spec, names, report)
    for placement, action_name in spec.fallback.items():
        _check_fallback(spec, placement, action_name, names, report)


def _check_name(noun: str, name: str | None, known: Iterable[str], path: Path, report: Report) -> None:
    if name is not None and name not in known:
        report.error("unknown-name", path, f"`{name}` is not a declared {noun}{did_you_mean(name, known)}")


def _check_attributes(spec: Catalog, report: Report) -> None:
    for name in RESERVED:
        if spec.customer.get(name, AttributeType.STRING) is not AttributeType.STRING:
            message = f"`{name}` is reserved and must be of type string, not {spec.customer[name]}"
            report.error("wrong-value", ("customer", name), message)
    check_names(report)


def _check_channel(path: Path, channel: Channel, names: Names, report: Report) -> None:
    _check_name("purpose", channel.purpose, names.purposes, (*path, "purpose"), report)
    if channel.inbound and channel.address is not None:
        message = "`address` has no meaning on an inbound channel: the caller shows its treatments"
        report.error("wrong-value", (*path, "address"), message, at_key=True)
    if not channel.inbound and channel.placements:
        message = "`placements` have no meaning on an outbound channel: nobody fills them"
        report.error("wrong-value", (*path, "placements"), message, at_key=True)
    # An address that is there but wrong has been reported already.
    raw = report.sources.values["channels"][path[-1]] if not channel.inbound and channel.address is None else {}
    if not channel.inbound and channel.address is None and "address" not in raw:
        message = "`address` is missing: an outbound channel needs one, in CEL, such as `customer.email`"
        report.error("missing-key", (*path, "address"), message, at_key=True)


def _check_quiet_hours(spec: Catalog, name: str, channel: Channel, names: Names, report: Report) -> None:
    path = ("channels", name, "quiet_hours")
    if channel.quiet_hours is None:
        return
    if channel.inbound:
        message = "`quiet_hours` have no meaning on an inbound channel: the customer is there"
        report.error("wrong-value", path, message, at_key=True)
    elif "timezone" not in report.sources.values and "timezone" not in names.attributes:
        message = (
            "`quiet_hours` go by a clock, and there is none: declare `timezone: string` under `customer`, "
            "or the catalog's `timezone`"
        )
        report.error("missing-key", path, message, at_key=True)


def _check_treatment(spec: Catalog, action: str, channel_name: str, names: Names, report: Report) -> None:
    path = ("actions", action, "treatments", channel_name)
    channel = spec.channels.get(channel_name)
    if channel is None:
        if channel_name not in names.channels:
            hint = did_you_mean(channel_name, names.channels)
            report.error("unknown-name", path, f"`{channel_name}` is not a declared channel{hint}", at_key=True)
        return
    placements = spec.actions[action].treatments[channel_name].placements
    if not channel.inbound and placements is not None:
        message = "`placements` have no meaning on an outbound channel"
        report.error("wrong-value", (*path, "placements"), message, at_key=True)
    elif placements is not None:
        for place, placement in enumerate(placements):
            at = (*path, "placements", str(place))
            _check_name(f"placement of {channel_name}", placement, channel.placements, at, report)
    if not channel.inbound and spec.purpose_of(action, channel_name) is None:
        message = (
            f"outbound without a purpose: give `{action}` or channel `{channel_name}` a `purpose`, "
            "so that the customer's consent can be looked up"
        )
        report.error("missing-purpose", path, message, at_key=True)


def _check_scope(path: Path, scope: Scope, names: Names, report: Report) -> None:
    known = {
        "direction": {"inbound", "outbound"},
        "channel": names.channels,
        "group": names.groups,
        "action": names.actions,
        "treatment": names.treatments,
    }
    for key, declared in known.items():
        for place, name in enumerate(getattr(scope, key) or ()):
            _check_name(key, name, declared, (*path, key, str(place)), report)


def _check_control_group(spec: Catalog, names: Names, report: Report) -> None:
    group = spec.control_group
    if group is None:
        return
    for place, purpose in enumerate(group.purposes or ()):
        _check_name("purpose", purpose, names.purposes, ("control_group", "purposes", str(place)), report)
    if not spec.control_purposes:
        message = "`purposes` is missing: say which purposes the control group does not get (`marketing` is not one)"
        report.error("missing-key", ("control_group", "purposes"), message, at_key=True)


def _check_fallback(spec: Catalog, placement: str, action: str, names: Names, report: Report) -> None:
    path = ("fallback", placement)
    inbound = {name: channel for name, channel in spec.channels.items() if channel.inbound}
    if not any(placement in channel.placements for channel in inbound.values()):
        known = {name for channel in inbound.values() for name in channel.placements}
        message = f"`{placement}` is not a placement of any inbound channel{did_you_mean(placement, known)}"
        report.error("unknown-name", path, message, at_key=True)
        return
    _check_name("action", action, names.actions, path, report)
    if action not in spec.actions:
        return
    fitting = [
        name
        for name in spec.actions[action].treatments
        if name in inbound and placement in spec.placements_of(action, name)
    ]
    if not fitting:
        report.error("fallback", path, f"`{action}` has no inbound treatment that fits `{placement}`")
    elif all(spec.purpose_of(action, name) is not None for name in fitting):
        purpose = spec.purpose_of(action, fitting[0])
        message = f"`{action}` needs consent (purpose `{purpose}`); a fallback is shown when consent can't be known"
        report.error("fallback", path, message)
