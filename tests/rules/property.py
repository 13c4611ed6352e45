"""The property: the index and the compiled programs answer what the official evaluator answers.

`python -m tests.rules.property SEED CATALOGS` checks it against whichever `rules` comes first on the path, up to the
first disagreement.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import rules
from rules.checking import CheckedRule
from rules.errors import EvaluationError
from rules.index import Index, Terms
from rules.normal import normalize
from rules.programs import Frame, Program, compile_program
from tests.rules.declared import DERIVED, Case, environment, random_case
from tests.rules.grammar import Grammar, Written
from tests.rules.oracle import ERROR, Answer, Oracle

ENVIRONMENT = environment()
ORACLE = Oracle()
DEFINED: dict[str, Answer] = {name: ORACLE.compile(source) for name, source in DERIVED.items()}


@dataclass
class Coverage:
    """What the cases were made of. A case is one rule on one customer."""

    cases: int = 0
    true: int = 0
    errors: int = 0
    missing: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)

    def shares(self) -> dict[str, float]:
        counts = {"true": self.true, "error": self.errors, "missing": self.missing, **self.kinds}
        return {name: count / self.cases for name, count in sorted(counts.items())}


def write_rule(grammar: Grammar) -> tuple[Written, CheckedRule, Answer]:
    written = grammar.rule()
    return written, ENVIRONMENT.check(written.user), ORACLE.compile(written.oracle)


def with_defined(case: Case) -> Case:
    """`case` as the oracle sees it: `has_<name>` says whether a derived attribute has a value."""
    defined = {f"has_{name}": answer(case) != ERROR for name, answer in DEFINED.items()}
    return Case({**case.customer, **defined}, case.context, case.now, case.zone)


def frame_of(case: Case) -> Frame:
    return Frame(dict(case.customer), dict(case.context), case.now, case.zone)


def run_program(program: Program, case: Case) -> Any:
    try:
        return program(frame_of(case))
    except EvaluationError:
        return ERROR


def present(case: Case) -> set[str]:
    return {*case.customer, *(f"context.{name}" for name in case.context)}


def check_catalog(random: Random, coverage: Coverage, customers: int = 10) -> None:
    grammar = Grammar(random)
    rules = [write_rule(grammar) for _ in range(random.choice([1, 2, 3, 5, 8, 13, 20, 40]))]
    trees = [rule for _, rule, _ in rules]
    wide = [bool(normalize(rule.tree).residuals) for rule in trees]
    whole = Index(trees)
    half = len(trees) // 2
    terms = Terms()
    singles = [(Index([rule]), compile_program(rule.tree)) for rule in trees]
    halves = [Index(trees[:half], terms), Index(trees[half:], terms)]
    for _ in range(customers):
        case = random_case(random)
        seen = with_defined(case)
        matched = whole.match(frame_of(case))
        shared = frame_of(case)
        joined = halves[0].match(shared) | halves[1].match(shared) << half
        among = random.getrandbits(len(trees))
        if whole.match(frame_of(case), among) != matched & among:
            coverage.disagreements.append(f"match(among={among:b}) of {[rule.source for rule in trees]} on {case}")
        for place, (written, _, ask) in enumerate(rules):
            expected = ask(seen)
            single, program = singles[place]
            _count(coverage, written, case, expected, wide[place])
            found = {
                "index": bool(matched >> place & 1),
                "two indexes": bool(joined >> place & 1),
                "alone": bool(single.match(frame_of(case))),
                "possible": expected is True and not whole.never >> place & 1,
            }
            wrong = [way for way, answer in found.items() if answer is not (expected is True)]
            value = run_program(program, case)
            if wrong or type(value) is not type(expected) or value != expected:
                coverage.disagreements.append(
                    f"{written.user}\n  wrong: {wrong}, program {value!r}, CEL {expected!r}\n"
                    f"  oracle: {written.oracle}\n  among {len(rules)} rules, on {case}"
                )


def _count(coverage: Coverage, written: Written, case: Case, expected: Any, wide: bool) -> None:
    coverage.cases += 1
    coverage.true += expected is True
    coverage.errors += expected == ERROR
    coverage.missing += not written.reads <= present(case)
    coverage.kinds.update(written.kinds)
    coverage.kinds["more than 16 rows"] += wide


def check_catalogs(seed: int, catalogs: int, *, to_the_end: bool = True) -> Coverage:
    coverage = Coverage()
    for number in range(catalogs):
        check_catalog(Random(f"{seed}/{number}"), coverage)
        if coverage.disagreements and not to_the_end:
            break
    return coverage


if __name__ == "__main__":
    result = check_catalogs(int(sys.argv[1]), int(sys.argv[2]), to_the_end=False)
    where = Path(rules.__file__).parent
    print(f"{len(result.disagreements)} disagreements in {result.cases} cases, rules from {where}")
    print("\n".join(result.disagreements[:3]))
