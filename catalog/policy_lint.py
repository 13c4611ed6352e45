"""Policy lint: contact policies and budgets that load, but hold back nothing, or everything, or not what they say."""

from collections.abc import Mapping, Sequence

from catalog.actions import Action
from catalog.nodes import Path
from catalog.policies import ContactPolicy, Scope
from catalog.report import Report
from catalog.spec import Catalog
from rules.checking import CheckedRule
from rules.syntax import Const

_MOST_NAMED = 5
_TOLD_OF_SENDING = ("delivered", "bounced")  # of what the caller shows nobody tells these


def lint_policies(spec: Catalog, checked: Mapping[str, CheckedRule], report: Report) -> None:
    for name, policy in spec.contact_policies.items():
        path = ("contact_policies", name)
        if policy.limit == 0:
            message = f"`limit` is 0: what `{name}` covers is never chosen"
            report.warning("limit-zero", (*path, "limit"), message)
        own = checked.get(".".join((*path, "customer_limit")))
        if own is not None and isinstance(own.tree, Const):
            message = (
                f"`customer_limit` is {own.tree.value} for every customer: give the lower of it and `limit` as `limit`"
            )
            report.warning("always", (*path, "customer_limit"), message)
        _lint_scope(spec, path, policy.scope, "every contact on every channel", report)
        covered = _covered(spec, policy.scope)
        if covered:
            _lint_effect(path, policy, [action for action, _ in covered], report)
        if covered and all(spec.channels[channel].inbound for _, channel in covered):
            _lint_told(path, policy, report)


def lint_budgets(spec: Catalog, report: Report) -> None:
    for name, budget in spec.budgets.items():
        path = ("budgets", name)
        if budget.limit == 0:
            message = f"`limit` is 0: what `{name}` covers is never chosen"
            report.warning("limit-zero", (*path, "limit"), message)
        _lint_scope(spec, path, budget.scope, "every contact of every customer", report)


def lint_uncovered(spec: Catalog, report: Report) -> None:
    """Tells of the channels through which marketing is sent that no limit covers, though its actions obey caps."""
    limits = [policy.scope for policy in spec.contact_policies.values() if policy.limit is not None]
    uncovered: dict[str, list[str]] = {}
    for name, action, channel, _ in spec.treatments():
        if channel not in spec.channels or spec.channels[channel].inbound or not action.obeys_caps:
            continue
        direction, purpose = spec.channels[channel].direction, spec.purpose_of(name, channel)
        covered = any(scope.covers(direction, channel, action.group, name) for scope in limits)
        if purpose in spec.marketing and not covered:
            uncovered.setdefault(channel, []).append(name)
    for channel, names in uncovered.items():
        shown = ", ".join(f"`{name}`" for name in names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        message = f"no contact policy limits how often {shown}{more} may come through `{channel}`"
        report.warning("uncapped", ("channels", channel), message, at_key=True)


def _lint_scope(spec: Catalog, path: Path, scope: Scope, everything: str, report: Report) -> None:
    name = path[-1]
    if scope.unlimited:
        message = f"`{name}` has no scope: it counts and holds back {everything}"
        report.warning("unscoped", path, message, at_key=True)
    elif not _covered(spec, scope):
        report.warning("covers-nothing", (*path, "scope"), f"no treatment falls in the scope of `{name}`", at_key=True)


def _lint_effect(path: Path, policy: ContactPolicy, actions: Sequence[Action], report: Report) -> None:
    """Of a policy that covers `actions`. Where the limit is 0, or a customer's own may be, nothing has to count."""
    name = path[-1]
    if not any(action.obeys_caps for action in actions):
        message = f"`{name}` holds back nothing: no action that it covers obeys caps"
        report.warning("holds-nothing", path, message, at_key=True)
    elif policy.limit and policy.customer_limit is None and not any(action.counts_toward_caps for action in actions):
        message = f"`{name}` is never reached: no action that it covers counts toward caps"
        report.warning("holds-nothing", path, message, at_key=True)


def _lint_told(path: Path, policy: ContactPolicy, report: Report) -> None:
    """Of a policy that covers nothing but what is inbound."""
    for key in ("outcome", "without"):
        kind = getattr(policy.after, key, None)
        if kind in _TOLD_OF_SENDING:
            message = f"all that `{path[-1]}` covers is inbound: nobody tells that what the caller shows was {kind}"
            report.warning("never-told", (*path, "after", key), message)


def _covered(spec: Catalog, scope: Scope) -> list[tuple[Action, str]]:
    """The treatments in `scope`: the action of each, and its channel's name."""
    return [
        (action, channel)
        for name, action, channel, _ in spec.treatments()
        if channel in spec.channels and scope.covers(spec.channels[channel].direction, channel, action.group, name)
    ]
