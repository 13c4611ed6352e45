"""Expressions: every piece of CEL in the catalog, checked against the declared types."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from catalog.attributes import SEGMENTS, declarations, written
from catalog.event_types import event_types
from catalog.history import refuse_history
from catalog.keeping import Resolved
from catalog.nodes import Path
from catalog.references import Names
from catalog.report import Report
from catalog.scores import BAND, Score
from catalog.spec import Catalog
from rules.checking import CheckedRule, Environment
from rules.errors import RuleError
from rules.profile import band_tree, score_tree, segments_tree
from rules.syntax import Node

GATES = ("eligible", "applicable", "suitable")
KEY = "key"  # wanted of what tells a policy's counters apart
PART = "part"  # wanted of a part of a score
CHANNELS = "channel"  # wanted of what names the channels that a customer prefers
_CHOICES = {KEY: ("string", "int", "bool"), PART: ("double", "int", "bool"), CHANNELS: ("string", "list<string>")}
_ATTRIBUTE = re.compile(r"\b(customer|context|event)\s*\.\s*(\w+)")


@dataclass(frozen=True, slots=True)
class Site:
    """A place that holds CEL, and the type wanted there."""

    path: Path
    source: str
    want: str


def sites(spec: Catalog) -> Iterator[Site]:
    """Every expression but those that attributes are computed by."""
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
    if spec.preferred_channel is not None:
        yield Site(("preferred_channel",), spec.preferred_channel, CHANNELS)
    for name, policy in spec.contact_policies.items():
        for tail, source in policy.expressions():
            yield Site(("contact_policies", name, *tail), source, KEY)
        if policy.customer_limit is not None:
            yield Site(("contact_policies", name, "customer_limit"), policy.customer_limit, "int")


def check_expressions(
    spec: Catalog, kept: Mapping[str, Resolved], report: Report
) -> tuple[Environment, dict[str, CheckedRule]]:
    """The environment they were checked in and the checked rules by path, the derived ones first and in order.

    `kept` are the aggregates without fault.
    """
    return _Checker(spec, kept, report).all()


class _Checker:
    def __init__(self, spec: Catalog, kept: Mapping[str, Resolved], report: Report) -> None:
        self._spec = spec
        self._kept = kept
        self._report = report
        self._names = Names(report.sources.values)
        self._declared = declarations(report.sources.values)
        known = {name: each.kind for name, each in kept.items() if self._owns(name, "aggregates")}
        self._environment = Environment({**known, **spec.customer}, spec.context)
        self._checked: dict[str, CheckedRule] = {}
        # Many actions share a rule; checking is the slowest step of loading.
        self._known: dict[tuple[str, str, str], CheckedRule | RuleError] = {}
        self._broken = _undeclarable(spec, kept, report)
        self._later = {name for name, path in self._declared.items() if path[0] in ("derived", "scores", SEGMENTS)}

    def all(self) -> tuple[Environment, dict[str, CheckedRule]]:
        for name, source in self._spec.derived.items():
            self._derive(name, source)
            self._later.discard(name)
        self._filter()
        for name, score in self._spec.scores.items():
            self._score(name, score)
            self._later -= {name, name + BAND}
        self._segments()
        self._later.clear()
        for site in sites(self._spec):
            self._try(site)
        return self._environment, self._checked

    def _owns(self, name: str, section: str) -> bool:
        """Whether the attribute is that of `section`, and not of another that declares it before."""
        return name in self._declared and self._declared[name][0] == section

    def _derive(self, name: str, source: str) -> None:
        path = ("derived", name)
        if not self._owns(name, "derived") or not self._sound(source):
            self._broken.add(("customer", name))
            return
        try:
            rule = self._environment.derive(name, source)
            refuse_history(rule, path, self._names)
            self._checked[".".join(path)] = rule
        except RuleError as error:
            self._broken.add(("customer", name))
            self._complain(path, source, error)

    def _filter(self) -> None:
        """Checks which events aggregates count: expressions over one event and nothing else."""
        types = event_types(self._spec.events, self._spec.outcomes)
        environments: dict[str, Environment] = {}
        for name, each in self._kept.items():
            if each.where is None or not _sound_event(types[each.event], each, self._report):
                continue
            if each.event not in environments:
                environments[each.event] = Environment.of_event(types[each.event])
            path, source = ("aggregates", name, "where"), self._spec.aggregates[name].where or ""
            try:
                self._checked[".".join(path)] = environments[each.event].check(source)
            except RuleError as error:
                self._complain(path, source, error)

    def _score(self, name: str, score: Score) -> None:
        parts = {("scores", name, "parts", part, "value"): declared for part, declared in score.parts.items()}
        sound = [self._try(Site(path, declared.value, PART)) for path, declared in parts.items()]
        names = (name, name + BAND) if score.bands is not None else (name,)
        if all(sound) and all(self._owns(each, "scores") for each in names):
            trees = [self._checked[".".join(path)].tree for path in parts]
            self._define(score_trees(name, score, trees))
        else:
            self._broken |= {("customer", each) for each in names}

    def _segments(self) -> None:
        if not self._spec.segments:
            return
        paths = {name: (SEGMENTS, name) for name in self._spec.segments}
        sound = [self._try(Site(path, self._spec.segments[name], "bool")) for name, path in paths.items()]
        if all(sound) and self._owns(SEGMENTS, SEGMENTS):
            rules = {name: self._checked[".".join(path)].tree for name, path in paths.items()}
            self._define({SEGMENTS: segments_tree(rules)})
        else:
            self._broken.add(("customer", SEGMENTS))

    def _define(self, computed: Mapping[str, Node]) -> None:
        self._environment.define(computed)
        self._known.clear()  # what was unknown there is known now

    def _try(self, site: Site) -> bool:
        """Whether the expression is sound; what it names has been told already where that is not."""
        if not self._sound(site.source):
            return False
        key = (site.source, site.want, site.path[0])
        if key not in self._known:
            try:
                self._known[key] = self._rule(site)
            except RuleError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, RuleError):
            self._complain(site.path, site.source, found)
            return False
        self._checked[".".join(site.path)] = found
        return True

    def _rule(self, site: Site) -> CheckedRule:
        choice = _CHOICES.get(site.want)
        rule = self._environment.check(site.source, "any" if choice else site.want)
        refuse_history(rule, site.path, self._names)
        if choice and rule.kind not in choice:
            wanted = f"{', '.join(choice[:-1])} or {choice[-1]}"
            raise RuleError(f"this is a {rule.kind}, but a {site.want} is one of {wanted}")
        return rule

    def _sound(self, source: str) -> bool:
        """Whether what it names was itself declared without fault; else its error would only be a consequence."""
        return not self._broken or self._broken.isdisjoint(_ATTRIBUTE.findall(source))

    def _complain(self, path: Path, source: str, error: RuleError) -> None:
        early = sorted(
            name for owner, name in _ATTRIBUTE.findall(source) if owner == "customer" and name in self._later
        )
        hint = f" ({early[0]} is computed, but only after this)" if early else ""
        name = next(step for step in reversed(path) if not step.isdecimal())
        message = f"`{name}`: {error.message.splitlines()[0]}{hint}"
        self._report.error_inside("rule", path, message, error.line, error.column)


def score_trees(name: str, score: Score, values: Sequence[Node]) -> dict[str, Node]:
    """The attributes that a score comes to, given what computes each part's value."""
    parts = [(tree, part.weight, part.missing) for tree, part in zip(values, score.parts.values(), strict=True)]
    tree = score_tree(parts)
    return {name: tree} if score.bands is None else {name: tree, name + BAND: band_tree(tree, score.bands)}


def _undeclarable(spec: Catalog, kept: Mapping[str, Resolved], report: Report) -> set[tuple[str, str]]:
    """Attributes that stand in the files, but whose declaration was refused."""
    sound: dict[str, Collection[str]] = {
        "customer": spec.customer,
        "aggregates": kept,
        "derived": spec.derived,
        "scores": spec.scores,
    }
    broken = {
        ("customer", name)
        for name, path in written(report.sources.values)
        if path[0] != SEGMENTS and path[1] not in sound[path[0]]
    }
    rules = report.sources.values.get(SEGMENTS)
    if isinstance(rules, dict) and rules.keys() != spec.segments.keys():
        broken.add(("customer", SEGMENTS))
    context = report.sources.values.get("context")
    return broken | {
        ("context", name) for name in (context if isinstance(context, dict) else ()) if name not in spec.context
    }


def _sound_event(kept: Collection[str], each: Resolved, report: Report) -> bool:
    """Whether every property that the filter names was declared without fault, or isn't declared at all."""
    events = report.sources.values.get("events")
    written_there = events.get(each.event) if isinstance(events, dict) else None
    broken = {("event", name) for name in (written_there or ()) if name not in kept}
    return broken.isdisjoint(_ATTRIBUTE.findall(each.where or ""))
