"""Policy checks: what a contact policy counts from must be something that is told, and end if it isn't."""

from collections.abc import Iterator

from catalog.nodes import Path
from catalog.policies import ContactPolicy
from catalog.report import Report
from catalog.spec import Catalog, treatment_id


def check_counting(spec: Catalog, report: Report) -> None:
    """Reports policies that wait for an impression or a delivery where that could last for ever, or never comes."""
    for name, policy in spec.contact_policies.items():
        path = ("contact_policies", name, "counts")
        if policy.counts == "delivery":
            _check_delivery(spec, name, policy, path, report)
        if policy.counts in ("delivery", "impression"):
            _check_ends(spec, name, policy, path, report)


def _check_delivery(spec: Catalog, name: str, policy: ContactPolicy, path: Path, report: Report) -> None:
    for action, channel in _covered(spec, policy):
        if spec.channels[channel].inbound:
            message = (
                f"`counts` is delivery, but `{name}` covers {treatment_id(action, channel)}, which is inbound: nobody "
                "tells of the delivery of what the caller shows. Give it `scope: {direction: outbound}`, or count by "
                "impression"
            )
            report.error("wrong-value", path, message)
            return


def _check_ends(spec: Catalog, name: str, policy: ContactPolicy, path: Path, report: Report) -> None:
    endless = [treatment_id(*each) for each in _covered(spec, policy) if spec.valid_for(*each) is None]
    if endless:
        more = f" and {len(endless) - 1} more" if len(endless) > 1 else ""
        message = (
            f"`counts` is {policy.counts}, but {endless[0]}{more} that `{name}` covers has no `valid_for`: until its "
            f"{policy.counts} is told it would keep its place for ever. Give {endless[0]} a `valid_for`, such as 2d"
        )
        report.error("wrong-value", path, message)


def _covered(spec: Catalog, policy: ContactPolicy) -> Iterator[tuple[str, str]]:
    """The treatments, as action and channel, whose contacts the policy counts."""
    for name, action, channel, _ in spec.treatments():
        declared = spec.channels.get(channel)
        if declared is None or not action.counts_toward_caps:
            continue
        if policy.scope.covers(declared.direction, channel, action.group, name):
            yield name, channel
