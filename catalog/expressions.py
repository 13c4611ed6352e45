"""Expressions: every piece of CEL in the catalog, checked against the declared types."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from catalog.nodes import Path
from catalog.report import Report
from catalog.spec import Catalog
from rules.checking import CheckedRule, Environment
from rules.errors import RuleError

GATES = ("eligible", "applicable", "suitable")
KEY = "key"  # wanted of what tells a policy's counters apart: a value of one of these types
_KEY_TYPES = ("string", "int", "bool")
_ATTRIBUTE = re.compile(r"\b(customer|context)\s*\.\s*(\w+)")


@dataclass(frozen=True, slots=True)
class Site:
    """A place that holds CEL, and the type wanted there."""

    path: Path
    source: str
    want: str


def sites(spec: Catalog) -> Iterator[Site]:
    """Every expression but the derived attributes."""
    for name, channel in spec.channels.items():
        if channel.address is not None:
            yield Site(("channels", name, "address"), channel.address, "string")
    for name, action in spec.actions.items():
        for gate in GATES:
            source = getattr(action, gate)
            if source is not None:
                yield Site(("actions", name, gate), source, "bool")
        for weight_name, weight in action.context_weights.items():
            yield Site(("actions", name, "context_weights", weight_name, "when"), weight.when, "bool")
    for name, policy in spec.contact_policies.items():
        for tail, source in policy.expressions():
            yield Site(("contact_policies", name, *tail), source, KEY)


def check_expressions(spec: Catalog, report: Report) -> tuple[Environment, dict[str, CheckedRule]]:
    """The environment they were checked in and the checked rules by path, the derived ones first and in order."""
    return _Checker(spec, report).all()


class _Checker:
    def __init__(self, spec: Catalog, report: Report) -> None:
        self._spec = spec
        self._report = report
        self._environment = Environment(spec.customer, spec.context)
        self._checked: dict[str, CheckedRule] = {}
        # Many actions share a rule; checking is the slowest step of loading.
        self._known: dict[tuple[str, str], CheckedRule | RuleError] = {}
        self._broken = _undeclarable(spec, report)
        self._later = set(spec.derived)

    def all(self) -> tuple[Environment, dict[str, CheckedRule]]:
        for name, source in self._spec.derived.items():
            self._derive(name, source)
            self._later.discard(name)
        for site in sites(self._spec):
            if self._sound(site.source):
                self._check(site)
        return self._environment, self._checked

    def _derive(self, name: str, source: str) -> None:
        path = ("derived", name)
        if name in self._spec.customer or not self._sound(source):
            self._broken.add(("customer", name))
            return
        try:
            self._checked[".".join(path)] = self._environment.derive(name, source)
        except RuleError as error:
            self._broken.add(("customer", name))
            self._complain(path, source, error)

    def _check(self, site: Site) -> None:
        key = (site.source, site.want)
        if key not in self._known:
            try:
                self._known[key] = self._key(site.source) if site.want == KEY else self._rule(site)
            except RuleError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, RuleError):
            self._complain(site.path, site.source, found)
        else:
            self._checked[".".join(site.path)] = found

    def _rule(self, site: Site) -> CheckedRule:
        return self._environment.check(site.source, site.want)

    def _key(self, source: str) -> CheckedRule:
        rule = self._environment.check(source, "any")
        if rule.kind not in _KEY_TYPES:
            raise RuleError(f"this is a {rule.kind}, but a key is a string, an int or a bool", 1, 1)
        return rule

    def _sound(self, source: str) -> bool:
        """Whether what it names was itself declared without fault; else its error would only be a consequence."""
        return not self._broken or self._broken.isdisjoint(_ATTRIBUTE.findall(source))

    def _complain(self, path: Path, source: str, error: RuleError) -> None:
        early = sorted(
            name for owner, name in _ATTRIBUTE.findall(source) if owner == "customer" and name in self._later
        )
        hint = f" ({early[0]} is derived, but not above this line)" if early else ""
        name = next(step for step in reversed(path) if not step.isdecimal())
        message = f"`{name}`: {error.message.splitlines()[0]}{hint}"
        self._report.error_inside("rule", path, message, error.line, error.column)


def _undeclarable(spec: Catalog, report: Report) -> set[tuple[str, str]]:
    """Attributes that stand in the files, but whose declaration was refused."""
    sections: tuple[tuple[str, str, Mapping[str, object]], ...] = (
        ("customer", "customer", spec.customer),
        ("customer", "derived", spec.derived),
        ("context", "context", spec.context),
    )
    broken = set()
    for owner, section, kept in sections:
        written = report.sources.values.get(section)
        broken |= {(owner, name) for name in (written if isinstance(written, dict) else ()) if name not in kept}
    return broken
