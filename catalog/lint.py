"""Lint: what loads, but can never do what it seems to say."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from catalog.contradictions import contradictory
from catalog.expressions import GATES
from catalog.models import ModelPropensity
from catalog.nodes import Path
from catalog.policy_lint import lint_budgets, lint_policies, lint_uncovered
from catalog.quiet_hours import DAY, QuietHours, microseconds
from catalog.report import Report, did_you_mean
from catalog.spec import Catalog
from catalog.template_checks import renders_bare
from catalog.templates import has_markup
from catalog.waiting import waiting_for_themselves
from rules.checking import CheckedRule
from rules.syntax import Call, Const, ListOf, Node

_KNOWN_TREATMENT_KEYS = ("placements", "valid_for")
_MINUTE = 60_000_000  # microseconds


def lint(spec: Catalog, checked: Mapping[str, CheckedRule], report: Report, now: datetime | None) -> None:
    """Warns of declarations without effect; with `now` (aware), also of times that have passed."""
    if not spec.actions:
        report.warning("no-actions", ("actions",), "no actions: every answer will be nothing")
    for name in spec.actions:
        _lint_action(spec, name, checked, report, now)
    for path, rule in checked.items():
        _lint_rule(tuple(path.split(".")), rule, report)
    _lint_aggregates(spec, report)
    _lint_waiting(spec, checked, report)
    _lint_channels(spec, report)
    lint_uncovered(spec, report)
    _lint_preferred(spec, checked, report)
    _lint_placements(spec, report)
    _lint_purposes(spec, report)
    lint_policies(spec, checked, report)
    lint_budgets(spec, report)
    _lint_models(spec, report)
    _lint_fallback(spec, report)


def _lint_action(
    spec: Catalog, name: str, checked: Mapping[str, CheckedRule], report: Report, now: datetime | None
) -> None:
    path, action = ("actions", name), spec.actions[name]
    if not action.treatments:
        report.warning("no-treatments", path, f"`{name}` has no treatments, so it is never chosen", at_key=True)
    if action.value == 0 and spec.arbitration.value:
        report.warning("value-zero", (*path, "value"), f"`value` of `{name}` is 0: every other action ranks above it")
    if action.propensity == 0 and spec.arbitration.propensity:
        message = f"`propensity` of `{name}` is 0: every other action ranks above it"
        report.warning("propensity-zero", (*path, "propensity"), message)
    if action.from_ and action.until and action.from_ >= action.until:
        message = f"`until` is not after `from`: `{name}` is never live"
        report.warning("never-live", (*path, "until"), message)
    elif action.until and now and action.until <= now:
        report.warning("past", (*path, "until"), f"`until` has passed: `{name}` is not live any more")
    rules = [checked[f"actions.{name}.{gate}"] for gate in GATES if getattr(action, gate) is not None]
    if all(rule.always is not False for rule in rules) and contradictory(rule.tree for rule in rules):
        gates = " and ".join(f"`{gate}`" for gate in GATES if getattr(action, gate) is not None)
        report.warning("never", path, f"{gates} can't all be true: `{name}` is never chosen", at_key=True)
    if not action.obeys_caps:
        _lint_uncapped(spec, name, report)
    for channel, treatment in action.treatments.items():
        _lint_treatment(spec, name, channel, set(treatment.content), report)


def _lint_uncapped(spec: Catalog, name: str, report: Report) -> None:
    channels = (channel for channel in spec.actions[name].treatments if channel in spec.channels)
    purposes = (spec.purpose_of(name, channel) for channel in channels)
    purpose = next((purpose for purpose in purposes if purpose in spec.marketing), None)
    if purpose is not None:
        message = (
            f"`{name}` obeys no contact policy, though its purpose is `{purpose}`: nothing limits how often it comes"
        )
        report.warning("uncapped", ("actions", name, "obeys_caps"), message)


def _lint_treatment(spec: Catalog, action: str, channel: str, content: set[str], report: Report) -> None:
    path = ("actions", action, "treatments", channel)
    declared = spec.channels.get(channel)
    if declared is None:
        return
    if not content:
        report.warning("no-content", path, f"`{action}` has nothing to show on `{channel}`", at_key=True)
    for key in sorted(content):
        known = next((name for name in _KNOWN_TREATMENT_KEYS if _alike(key, name)), None)
        if known:
            message = f"`{key}` is taken as content; did you mean `{known}`?"
            report.warning("content-key", (*path, key), message, at_key=True)


def _alike(key: str, name: str) -> bool:
    squeezed = key.lower().replace("-", "").replace("_", "").rstrip("s")
    return squeezed == name.replace("_", "").rstrip("s")


def _lint_rule(path: Path, rule: CheckedRule, report: Report) -> None:
    if rule.always is None or path[0] in ("derived", "scores"):
        return
    whose = "event" if path[0] == "aggregates" else "customer"
    if path[-1] in GATES and not rule.always:
        message = f"`{path[-1]}` is false for every customer: `{path[1]}` is never chosen"
        report.warning("never", path, message)
    elif path[-1] == "when" and not rule.always:
        report.warning("never", path, f"`when` is never true: weight `{path[-2]}` has no effect")
    elif path[0] in ("aggregates", "segments") and not rule.always:
        report.warning("never", path, f"`{path[-1]}` is false for every {whose}")
    elif rule.always and rule.source.strip() != "true":
        report.warning("always", path, f"`{path[-1]}` is true for every {whose}: it decides nothing")


def _lint_waiting(spec: Catalog, checked: Mapping[str, CheckedRule], report: Report) -> None:
    gates = {
        name: [checked[f"actions.{name}.{gate}"].tree for gate in GATES if getattr(action, gate) is not None]
        for name, action in spec.actions.items()
    }
    for name in waiting_for_themselves(gates):
        message = f"`{name}` waits for a contact that only comes after it: nobody is ever the first to get it"
        report.warning("waits-for-itself", ("actions", name), message, at_key=True)


def _lint_aggregates(spec: Catalog, report: Report) -> None:
    for name, aggregate in spec.aggregates.items():
        if aggregate.window is not None and aggregate.window == aggregate.step:
            message = f"the window of `{name}` is one tile: as one begins, all that was counted leaves at once"
            report.warning("one-tile", ("aggregates", name, "tile"), message)


def _lint_channels(spec: Catalog, report: Report) -> None:
    used = {channel for _, _, channel, _ in spec.treatments()}
    for name, channel in spec.channels.items():
        if name not in used:
            report.warning("unused-channel", ("channels", name), f"no treatment uses channel `{name}`", at_key=True)
        if channel.quiet_hours is not None and _open(channel.quiet_hours) == _MINUTE:
            message = (
                f"`quiet_hours` leave one minute of the day: to send nothing through `{name}`, "
                "give a contact policy a limit of 0"
            )
            report.warning("always-quiet", ("channels", name, "quiet_hours"), message)
        if channel.quiet_hours is not None and not spec.names_zone and _obeyed(spec, name):
            message = (
                f"customers without a `timezone` of their own get nothing through `{name}`, as it may be night there: "
                "give the catalog a `timezone` to go by"
            )
            report.warning("no-clock", ("channels", name, "quiet_hours"), message)


def _obeyed(spec: Catalog, channel: str) -> bool:
    """Whether something on `channel` obeys its quiet hours."""
    return any(action.obeys_quiet_hours for _, action, through, _ in spec.treatments() if through == channel)


def _open(hours: QuietHours) -> int:
    """How long in a day it isn't quiet, in microseconds; more than none, as they don't begin when they end."""
    return (microseconds(hours.from_) - microseconds(hours.to)) % DAY


def _lint_preferred(spec: Catalog, checked: Mapping[str, CheckedRule], report: Report) -> None:
    rule = checked.get("preferred_channel")
    names = dict.fromkeys(_written(rule.tree)) if rule is not None else {}
    for name in names:
        if name and name not in spec.channels:  # "" says that none is preferred
            message = f"`{name}` is not a declared channel{did_you_mean(name, spec.channels)}"
            report.warning("no-channel", ("preferred_channel",), message)


def _written(tree: Node) -> Iterator[str]:
    """The names that stand in `tree` as its value, or as one that it may come to."""
    match tree:
        case Const(value=str(name)):
            yield name
        case ListOf(items=items):
            for item in items:
                yield from _written(item)
        case Call(function="_?_:_", args=(_, then, otherwise)):
            yield from _written(then)
            yield from _written(otherwise)


def _lint_placements(spec: Catalog, report: Report) -> None:
    filled = {
        (channel, placement)
        for action, _, channel, _ in spec.treatments()
        if channel in spec.channels
        for placement in spec.placements_of(action, channel)
    }
    for name, channel in spec.channels.items():
        for place, placement in enumerate(channel.placements):
            if (name, placement) not in filled:
                message = f"no treatment fits placement `{placement}` of `{name}`"
                report.warning("unused-placement", ("channels", name, "placements", str(place)), message)


def _lint_purposes(spec: Catalog, report: Report) -> None:
    named = {channel.purpose for channel in spec.channels.values()}
    named |= {action.purpose for action in spec.actions.values()}
    for place, purpose in enumerate(spec.purposes):
        if purpose not in named:
            message = f"no channel or action has the purpose `{purpose}`"
            report.warning("unused-purpose", ("purposes", str(place)), message)


def _lint_models(spec: Catalog, report: Report) -> None:
    asked = {a.propensity.model for a in spec.actions.values() if isinstance(a.propensity, ModelPropensity)}
    for name in spec.models:
        if name not in asked:
            report.warning("unused-model", ("models", name), f"no action's `propensity` is model `{name}`", at_key=True)


def _lint_fallback(spec: Catalog, report: Report) -> None:
    for placement, action in spec.fallback.items():
        if action not in spec.actions:
            continue
        for channel, treatment in spec.actions[action].treatments.items():
            if channel not in spec.channels or placement not in spec.placements_of(action, channel):
                continue
            for key, text in treatment.content.items():
                if isinstance(text, str) and has_markup(text) and not renders_bare(text):
                    path = ("actions", action, "treatments", channel, key)
                    message = (
                        f"`{key}` is shown as the fallback of `{placement}`, where the customer may not be known: "
                        "give attributes a default, as in {{ customer.first_name | default('') }}"
                    )
                    report.warning("fallback-content", path, message)
