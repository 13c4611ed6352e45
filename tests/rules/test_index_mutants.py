"""Mutants of the index: the property must catch each, and pass on an unchanged copy.

A mutant is a copy of the package with one piece of text replaced, put first on the path of a new interpreter.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEED, CATALOGS = "11", "50"

MUTANTS = {
    "the clauses of one term are ORed": (
        "tables.py",
        "    held = (1 << positions.count) - 1\n    for atom in atoms:\n        held &= positions.holding(atom)\n",
        "    held = 0\n    for atom in atoms:\n        held |= positions.holding(atom)\n",
    ),
    "!(a < k) becomes a >= k": (
        "normal.py",
        "    return Atom(node, positive, term, operator, constants, positive)\n",
        '    if operator == "_<_" and not positive:\n'
        '        return Atom(node, positive, term, "_>=_", constants, True)\n'
        "    return Atom(node, positive, term, operator, constants, positive)\n",
    ),
    "<= leaves out the end of its interval": (
        "tables.py",
        '            case "_<=_":\n                return (1 << (places[0] + 1)) - 1\n',
        '            case "_<=_":\n                return (1 << places[0]) - 1\n',
    ),
    "missing is false, so that ! of it holds": (
        "tables.py",
        "    nan = foreign = absent\n",
        "    nan = foreign = absent\n"
        "    for row, atoms in by_row.items():\n"
        "        absent |= all(not atom.wanted for atom in atoms) << row\n",
    ),
    "True is found as 1 in an ordered table": (
        "tables.py",
        "            return between[bisect_left(breaks, value)] if value == value else nan  # noqa: PLR0124\n"
        "        return absent if value is MISSING else foreign\n",
        "            return between[bisect_left(breaks, value)] if value == value else nan\n"
        "        return absent if value is MISSING else at.get(value, foreign)\n",
    ),
    "True is found as 1": (
        "tables.py",
        "            return at.get(value, other) if value == value else nan  # noqa: PLR0124\n"
        "        return absent if value is MISSING else foreign\n",
        "            return at.get(value, other) if value == value else nan\n"
        "        return absent if value is MISSING else at.get(value, foreign)\n",
    ),
}


def disagreements(rules: Path) -> int:
    """How often the rules package in the folder `rules` disagrees with the official evaluator in the first catalog
    in which it does.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "tests.rules.property", SEED, CATALOGS],
        cwd=rules,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(rules), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.match(r"(\d+) disagreements in (\d+) cases, rules from (.+)\n", ran.stdout)
    assert found, ran.stdout + ran.stderr
    assert Path(found[3]).parent == rules, "the copy was not the one imported"
    disagreeing = int(found[1])
    assert disagreeing or int(found[2]) >= 2000
    return disagreeing


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "rules", tmp_path / "rules", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_an_unchanged_copy_passes(copy: Path) -> None:
    assert disagreements(copy) == 0


@pytest.mark.parametrize("name", MUTANTS)
def test_the_property_catches(name: str, copy: Path) -> None:
    file, text, replacement = MUTANTS[name]
    source = copy / "rules" / file
    before = source.read_text()
    assert before.count(text) == 1, f"{file} has changed: renew this mutant"
    source.write_text(before.replace(text, replacement))
    assert disagreements(copy) > 0
