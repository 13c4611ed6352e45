"""History in rules: where contacts may be asked about, and by which names."""

from collections.abc import Collection
from datetime import timedelta

from catalog.nodes import Path
from catalog.references import Names
from catalog.report import did_you_mean
from rules.checking import CheckedRule, position
from rules.errors import RuleError
from rules.history import CONTACTED, RESPONDED, asked
from rules.syntax import Call, Const, Node


def refuse_history(rule: CheckedRule, path: Path, names: Names) -> None:
    """Raises RuleError where the rule at `path` asks about contacts but may not, or by names that nobody declares.

    Attributes that are computed, and what else is known of a customer, are worked out where contacts aren't at hand: in
    profiles, and from the files that models learn from.
    """
    for call in asked(rule.tree):
        if path[0] != "actions":
            said = f"{call.function} is for the rules of actions: `eligible`, `applicable`, `suitable` and `when`"
            raise _error(said, rule, call)
        _check_name("action", call, call.args[0], names.actions, rule)
        if call.function == RESPONDED:
            _check_name("outcome", call, call.args[1], names.outcomes, rule)
        if call.function == CONTACTED:
            _check_span(call, call.args[1], rule)


def _check_name(noun: str, call: Call, arg: Node, known: Collection[str], rule: CheckedRule) -> None:
    if not isinstance(arg, Const):
        raise _error(f"{call.function} needs the name of an {noun} in quotes", rule, arg)
    if arg.value not in known:
        raise _error(f"`{arg.value}` is not a declared {noun}{did_you_mean(arg.value, known)}", rule, arg)


def _check_span(call: Call, arg: Node, rule: CheckedRule) -> None:
    if not isinstance(arg, Const) or not arg.value > timedelta(0):
        raise _error(f'{call.function} needs a time longer than nothing, such as duration("24h")', rule, arg)


def _error(message: str, rule: CheckedRule, node: Node) -> RuleError:
    return RuleError(message, *position(rule.source, node.offset))
