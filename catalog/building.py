"""Building: from a checked catalog to the plan that decisions run on."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from catalog.actions import Action
from catalog.building_limits import budgets_of, keys_for, keys_of, matters_for, policies_of
from catalog.calendar import zone_named
from catalog.keeping import kept_of
from catalog.limits import LIFETIME
from catalog.loading import LoadedCatalog, load_catalog
from catalog.models import ModelPropensity
from catalog.plan import (
    Asked,
    Channel,
    ContextWeights,
    ControlGroup,
    PartPlan,
    Plan,
    QuietHours,
    ScorePlan,
    Treatment,
    mask_of,
    schedule_of,
)
from catalog.quiet_hours import microseconds
from catalog.scores import Score
from catalog.series import Aggregates
from catalog.spec import treatment_id
from rules.history import CONTACTED, RESPONDED, asked, longest_asked
from rules.index import Index, Terms
from rules.masks import bits
from rules.programs import Program, compile_program
from rules.syntax import Const, Node, attributes_in

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def load_plan(path: Path, now: datetime | None = None) -> Plan:
    """The catalog at `path` (a file or a directory), compiled. Raises CatalogError with every error found."""
    return build_plan(load_catalog(path, now))


def build_plan(catalog: LoadedCatalog) -> Plan:
    return _Builder(catalog).plan()


class _Builder:
    def __init__(self, catalog: LoadedCatalog) -> None:
        self._catalog = catalog
        self._spec = catalog.spec
        self._actions = list(self._spec.actions)
        self._channels = list(self._spec.channels)
        self._width = len(self._actions)
        self._terms = Terms()
        self._treatments = self._grid()

    def plan(self) -> Plan:
        spec, computed = self._spec, self._catalog.environment.derived
        policies = policies_of(spec, self._declared(), self._program, self._reads)
        actions = list(spec.actions.values())
        every_channel = range(len(self._channels))
        channels = {name: self._channel(name) for name in self._channels}
        return Plan(
            digest=self._catalog.digest,
            name=spec.name,
            zone=zone_named(spec.timezone),
            customer_types=spec.customer,
            context_types=spec.context,
            purposes=tuple(spec.purposes),
            derived={name: compile_program(tree) for name, tree in computed.items()},
            derived_types={name: tree.kind for name, tree in computed.items()},
            width=self._width,
            declared=mask_of(self._declared()),
            treatments=tuple(self._treatments),
            channels=channels,
            placements=self._placements(),
            schedule=schedule_of((_micros(action.from_), _micros(action.until)) for action in actions),
            eligible=self._index("eligible"),
            applicable=self._index("applicable"),
            suitable=self._index("suitable"),
            consent_masks=self._consent_masks(),
            needs=self._needs(),
            policies=policies,
            policy_names=tuple(policy.name for policy in policies),
            budgets=budgets_of(spec, self._declared()),
            limits=tuple(policy.limit for policy in policies),
            customer_limits=tuple(number for number, policy in enumerate(policies) if policy.customers is not None),
            keys=keys_of(spec, self._program),
            history=max((self._asked_for(), *(matters_for(policy, self._declared()) for policy in policies))),
            reach=max((policy.reach for policy in policies if not policy.lifetime), default=0),
            pausing=any(policy.after for policy in policies),
            asking=self._asking(),
            propensity=np.array([_constant(action) for _ in every_channel for action in actions]),
            value=np.array([action.value for _ in every_channel for action in actions]),
            lever=np.array([action.lever_factor for _ in every_channel for action in actions]),
            factors=tuple(self._factors()),
            ranking=self._ranking(),
            use_propensity=spec.arbitration.propensity,
            use_value=spec.arbitration.value,
            use_lever=spec.arbitration.lever,
            context_weights=self._context_weights() if spec.arbitration.context else None,
            exploration_rate=spec.exploration.rate,
            control=self._control(),
            preferred=None if spec.preferred_channel is None else self._program("preferred_channel"),
            fallback=self._fallback(),
            models=self._catalog.models,
            scored=self._scored(),
            aggregates=self._aggregates(),
            segments={name: self._program(f"segments.{name}") for name in spec.segments},
            scores={name: self._score(name, score) for name, score in spec.scores.items()},
            names_zone=spec.names_zone,
            quiet=tuple(channel.quiet for channel in channels.values() if channel.quiet is not None),
        )

    def _program(self, path: str) -> Program:
        return compile_program(self._catalog.checked[path].tree)

    def _reads(self, path: str) -> frozenset[str]:
        return frozenset(name for owner, name in attributes_in(self._catalog.checked[path].tree) if owner == "customer")

    def _asked_for(self) -> int:
        """How long ago contacts may be that rules ask about, in microseconds."""
        spans = (longest_asked(rule.tree) for rule in self._catalog.checked.values())
        return max(spans, default=timedelta()) // timedelta(microseconds=1)

    def _asking(self) -> dict[str, Asked]:
        found: dict[str, Asked] = {}
        for call in (call for rule in self._catalog.checked.values() for call in asked(rule.tree)):
            names = [str(arg.value) for arg in call.args if isinstance(arg, Const)]
            span = longest_asked(call) // timedelta(microseconds=1) if call.function == CONTACTED else LIFETIME
            known = found.get(names[0], Asked(0, frozenset()))
            kinds = names[1:] if call.function == RESPONDED else []
            found[names[0]] = Asked(max(known.within, span), known.responses.union(kinds))
        return found

    def _aggregates(self) -> Aggregates:
        checked = self._catalog.checked
        paths = {name: f"aggregates.{name}.where" for name in self._spec.aggregates}
        trees = {name: checked[path].tree for name, path in paths.items() if path in checked}
        return kept_of(self._spec, {name: (tree, compile_program(tree)) for name, tree in trees.items()})

    def _score(self, name: str, score: Score) -> ScorePlan:
        parts = (
            PartPlan(part, each.weight, each.missing, self._program(f"scores.{name}.parts.{part}.value"))
            for part, each in score.parts.items()
        )
        return ScorePlan(tuple(parts), tuple((score.bands or {}).items()))

    def _grid(self) -> list[Treatment | None]:
        grid: list[Treatment | None] = [None] * (self._width * len(self._channels))
        row = {name: place for place, name in enumerate(self._actions)}
        for name, action, channel, _ in self._spec.treatments():
            bit = self._channels.index(channel) * self._width + row[name]
            valid_for = self._spec.valid_for(name, channel)
            grid[bit] = Treatment(
                bit=bit,
                id=treatment_id(name, channel),
                action=name,
                channel=channel,
                group=action.group or "",
                direction=self._spec.channels[channel].direction,
                purpose=self._spec.purpose_of(name, channel),
                placements=frozenset(self._spec.placements_of(name, channel)),
                valid_for=None if valid_for is None else valid_for // timedelta(microseconds=1),
                content=self._catalog.templates[treatment_id(name, channel)],
                keys=keys_for(self._spec, name, channel),
                counts_toward_caps=action.counts_toward_caps,
            )
        return grid

    def _factors(self) -> Iterable[tuple[float, float, float]]:
        for _ in self._channels:
            for action in self._spec.actions.values():
                yield _constant(action), action.value, action.lever_factor

    def _ranking(self) -> tuple[tuple[int, float], ...]:
        """By the same product, in the same order, that arbitration takes where no context weight holds."""
        used = self._spec.arbitration
        ranked = []
        for treatment, (propensity, value, lever) in zip(self._treatments, self._factors(), strict=True):
            if treatment is not None:
                priority = propensity if used.propensity else 1.0
                priority = priority * value if used.value else priority
                ranked.append((treatment.bit, priority * lever if used.lever else priority))
        return tuple(sorted(ranked, key=lambda pair: (-pair[1], pair[0])))

    def _declared(self) -> list[Treatment]:
        return [treatment for treatment in self._treatments if treatment is not None]

    def _channel(self, name: str) -> Channel:
        rule = self._catalog.checked.get(f"channels.{name}.address")
        mask = mask_of(treatment for treatment in self._declared() if treatment.channel == name)
        address = None if rule is None else compile_program(rule.tree)
        asks_context = rule is not None and self._asks_context(rule.tree)
        declared = self._spec.channels[name]
        quiet, placements = self._quiet(name), frozenset(declared.placements)
        return Channel(name, declared.direction, mask, address, asks_context, quiet, placements)

    def _asks_context(self, tree: Node) -> bool:
        derived = self._catalog.environment.derived
        return any(
            owner == "context" or (owner == "customer" and name in derived and self._asks_context(derived[name]))
            for owner, name in attributes_in(tree)
        )

    def _quiet(self, channel: str) -> QuietHours | None:
        hours = self._spec.channels[channel].quiet_hours
        obeying = [
            treatment
            for treatment in self._declared()
            if treatment.channel == channel and self._spec.actions[treatment.action].obeys_quiet_hours
        ]
        if hours is None or not obeying:
            return None
        spans: dict[int, int] = {}
        for treatment in obeying:
            if treatment.valid_for is not None and hours.mode == "hold":
                spans[treatment.valid_for] = spans.get(treatment.valid_for, 0) | 1 << treatment.bit
        start, end = microseconds(hours.from_), microseconds(hours.to)
        return QuietHours(start, end, mask_of(obeying), hours.mode == "hold", tuple(sorted(spans.items())))

    def _placements(self) -> dict[str, int]:
        names = dict.fromkeys(name for channel in self._spec.channels.values() for name in channel.placements)
        return {
            name: mask_of(treatment for treatment in self._declared() if name in treatment.placements) for name in names
        }

    def _index(self, gate: str) -> Index:
        checked = self._catalog.checked
        return Index([checked.get(f"actions.{name}.{gate}") for name in self._actions], self._terms)

    def _scored(self) -> dict[str, int]:
        masks: dict[str, int] = {}
        for treatment in self._declared():
            given = self._spec.actions[treatment.action].propensity
            if isinstance(given, ModelPropensity):
                masks[given.model] = masks.get(given.model, 0) | 1 << treatment.bit
        return masks

    def _consent_masks(self) -> dict[str, int]:
        return {
            purpose: mask
            for purpose in self._spec.purposes
            if (mask := mask_of(treatment for treatment in self._declared() if treatment.purpose == purpose))
        }

    def _needs(self) -> dict[tuple[str, str], int]:
        needs: dict[tuple[str, str], int] = {}
        for treatment in self._declared():
            for name in treatment.content.needs:
                needs[name] = needs.get(name, 0) | 1 << treatment.bit
        return needs

    def _context_weights(self) -> ContextWeights | None:
        entries = [
            (place, self._catalog.checked[f"actions.{name}.context_weights.{key}.when"], weight.percent)
            for place, (name, action) in enumerate(self._spec.actions.items())
            for key, weight in action.context_weights.items()
        ]
        if not entries:
            return None
        index = Index([rule for _, rule, _ in entries], self._terms)
        return ContextWeights(
            index, np.array([place for place, _, _ in entries]), np.array([percent for _, _, percent in entries])
        )

    def _control(self) -> ControlGroup | None:
        """Withheld are the treatments of the purposes named, and inbound ones that have no purpose to tell by."""
        group = self._spec.control_group
        if group is None or group.share == 0:
            return None
        named = self._spec.control_purposes
        withheld = mask_of(t for t in self._declared() if t.purpose is None or t.purpose in named)
        return ControlGroup(group.share, self._spec.control_salt, withheld)

    def _fallback(self) -> dict[str, Treatment]:
        """Per placement the first inbound treatment of the declared action that fits it and asks for no consent."""
        found: dict[str, Treatment] = {}
        for placement, action in self._spec.fallback.items():
            fitting = self._placements()[placement]
            candidates = (t for bit in bits(fitting) if (t := self._treatments[bit]) is not None)
            found[placement] = next(t for t in candidates if t.action == action and t.purpose is None)
        return found


def _constant(action: Action) -> float:
    """The propensity as a number; where a model gives it, the most it can be."""
    return 1.0 if isinstance(action.propensity, ModelPropensity) else action.propensity


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)
