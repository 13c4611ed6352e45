"""Mistakes one could make, each put into a copy of the code, and the way on which each shows."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.history.cluster import ROOT
from tests.history.limits import SHORT
from tests.history.ways import (
    Scene,
    after_a_power_loss,
    agreed_elsewhere,
    asked_twice,
    by_a_fast_clock,
    by_a_slow_clock,
    by_turns,
    cut_and_refused,
    erased_after_a_no,
    failed_though_it_counts,
    failed_twice,
    late_and_refused,
    merged_with_a_cookie,
    past_all_windows,
    seen_late,
    sent_twice,
    spent_over_a_power_loss,
    withdrawn_by_another_clock,
    withdrawn_elsewhere,
)  # fmt: skip


class Defect(NamedTuple):
    """`text` stands in `file` once, and `instead` in the copy; on a way, `rules` are among those then violated."""

    name: str
    file: str
    text: str
    instead: str
    way: Callable[[Scene], None]
    rules: frozenset[str]


def _defect(name: str, file: str, text: str, instead: str, way: Callable[[Scene], None], *rules: str) -> Defect:
    return Defect(name, file, text, instead, way, frozenset(rules))


DEFECTS: Sequence[Sequence[Defect]] = (
    (
        _defect(
            "no version comparison",
            "features/commit.lua",
            "\nif version ~= expected then",
            "\nif false then",
            by_turns,
            "contacts",
        ),
    ),
    (
        _defect(
            "nothing is not compared",
            "features/commit.lua",
            "\nif version ~= expected then",
            "\nif version ~= expected and state ~= '' then",
            agreed_elsewhere,
            "latest",
        ),
        _defect(
            "version without its random part",
            "features/commit.py",
            "return (int.from_bytes(expected[:8]) + 1).to_bytes(8) + random",
            "return (int.from_bytes(expected[:8]) + 1).to_bytes(8) + bytes(8)",
            after_a_power_loss,
            "contacts",
            "latest",
        ),
        _defect(
            "fast clocks unchecked",
            "features/commit.lua",
            "if math.abs(now_us - server_us) > MOST_CLOCK_ERROR_US then",
            "if server_us - now_us > MOST_CLOCK_ERROR_US then",
            by_a_fast_clock,
            "time",
        ),
        _defect(
            "request id unchecked",
            "features/commit.lua",
            "if body_hash ~= '' then\n  local answered",
            "if false then\n  local answered",
            asked_twice,
            "recorded",
            "acknowledged",
        ),
    ),
    (
        _defect(
            "ids of events unchecked",
            "features/commit.lua",
            "if #known > 0 then",
            "if false then",
            sent_twice,
            "recorded",
        ),
        _defect(
            "clocks taken to agree about consent",
            "features/consents.py",
            "DOUBT = CLOCKS_APART + 1_000_000",
            "DOUBT = 0",
            withdrawn_by_another_clock,
            "latest",
            "acknowledged",
        ),
        _defect(
            "a contact given back twice",
            "decision/counted.py",
            "            elif not contact.responses or is_held(contact, kind):",
            "            elif contact.responses and not is_held(contact, kind):\n"
            "                holds.get(number, [0]).pop()\n"
            "            else:",
            failed_twice,
            "limit",
        ),
        _defect(
            "contacts left behind by a merge",
            "features/merging.py",
            "_contacts(one, two)",
            "_contacts(one, one)",
            merged_with_a_cookie,
            "limit",
            "contacts",
        ),
        _defect(
            "a no forgotten by an erasure",
            "features/suppression.py",
            "Consent(False, at, SOURCE)",
            "Consent(True, customer.erased + 1, SOURCE)",
            erased_after_a_no,
            "consent",
        ),
        _defect(
            "late impressions not counted",
            "decision/counted.py",
            "            if at is not None:",
            "            if at is not None and at < contact.ends(each.valid_for):",
            seen_late,
            "limit",
        ),
    ),
    (
        _defect(
            "consent read before the last commit",
            "features/store.py",
            "            return self.keep(commit.customer_id, outcome.stored)\n",
            "            moved = self.keep(commit.customer_id, outcome.stored)\n"
            "            moved.customer = msgspec.structs.replace(moved.customer, consents=customer.consents)\n"
            "            return moved\n",
            withdrawn_elsewhere,
            "consent",
        ),
        _defect(
            "a contact given back that counts from its decision",
            "decision/counted.py",
            "        for times in counts.decided:",
            "        for times in () if contact.responses else counts.decided:",
            failed_though_it_counts,
            "limit",
        ),
        _defect(
            "budgets unchecked",
            "features/commit.lua",
            "  if short then",
            "  if false then",
            spent_over_a_power_loss,
            "budget",
        ),
        _defect(
            "a lost commit taken for one that counts",
            "decision/doubt.py",
            "    except StoreError:\n        return False",
            "    except StoreError:\n        return True",
            cut_and_refused,
            "acknowledged",
        ),
        _defect(
            "slow clocks unchecked",
            "features/commit.lua",
            "if math.abs(now_us - server_us) > MOST_CLOCK_ERROR_US then",
            "if now_us - server_us > MOST_CLOCK_ERROR_US then",
            by_a_slow_clock,
            "time",
        ),
    ),
    (
        _defect(
            "consent stored as yes",
            "api/customer_changes.py",
            "Consent(body.granted, min(at, now), body.source)",
            "Consent(True, min(at, now), body.source)",
            withdrawn_elsewhere,
            "consent",
        ),
        _defect(
            "events acknowledged when their time is up",
            "features/event_waiting.py",
            '        self._answered(StoreTimeout("no reply in time"))',
            "        self._answer()",
            late_and_refused,
            "acknowledged",
        ),
        _defect(
            "one contact forgotten by compaction",
            "features/customer.py",
            "log = lasting(labels, log[:dropped], log[dropped:]) + log[dropped:]",
            "log = lasting(labels, log[:dropped], log[dropped:]) + log[dropped + 1 :]",
            past_all_windows,
            "contacts",
        ),
    ),
)
"""Those that stand together are put into one copy: on the way of one, the others do nothing."""

WAYS = tuple(dict.fromkeys(defect.way for together in DEFECTS for defect in together))
LIMITS = SHORT


def seeded(defects: Iterable[Defect], folder: Path) -> Path:
    """A folder with the packages that differ."""
    code = folder / "code"
    for defect in defects:
        package = Path(defect.file).parent
        if not (code / package).exists():
            shutil.copytree(ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
        file = code / defect.file
        text = file.read_text(encoding="utf-8")
        assert text.count(defect.text) == 1, f"{defect.file} has changed: {defect.text!r} isn't there just once"
        file.write_text(text.replace(defect.text, defect.instead), encoding="utf-8")
    return code
