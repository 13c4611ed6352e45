"""Replay: a recorded decision is made again, from what its record holds, and compared with what came of it then.

There are two promises. The *logic* gives the same answer, byte for byte, for ever: gates, policies, arbitration, draws
and texts, with the propensities that the record holds. The *models* give the same propensities within a millionth: the
order in which a processor adds up a product may differ from machine to machine, and with it the last digits.

The answer that was recorded is only looked at when the new one is there.
"""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson

from catalog.plan import Plan
from decision.answer import answer_body
from decision.decide import decide
from decision.record import Outcome, Record, Scores, outcome_of
from decision.request import NextActionRequest, RequestError, resolve
from decision.view import view_of
from features.encoding import decode
from models.scoring import Models, ModelScores, Scored
from rules.programs import Frame

TOLERANCE = 1e-6
_ABSENT = "(absent)"
_request = msgspec.json.Decoder(NextActionRequest)


class Difference(NamedTuple):
    """One field that came out otherwise; `field` is a path such as answer/actions/0/priority."""

    field: str
    recorded: Any
    replayed: Any


class ReplayError(ValueError):
    """The record can't be decided again: it was made by another catalog, or what it holds can't be read."""


def replay(plan: Plan, record: Record, models: Models | None = None) -> list[Difference]:
    """What differs when `record` is decided again by `plan`, which must be the plan of its catalog.

    With `models` they are asked again, too. Raises ReplayError.
    """
    if plan.digest != record.catalog:
        raise ReplayError(f"the decision was made by the catalog {record.catalog}, not by {plan.digest}")
    try:
        request, customer = _request.decode(record.request), decode(record.state)
    except msgspec.MsgspecError as error:
        raise ReplayError(f"the record's request or state can't be read: {error}") from None
    differing: list[Difference] = []

    def recorded(candidates: int, frame: Frame) -> Scored:
        if models is not None:
            differing.extend(_differing_models(record, models.score(candidates, frame, plan)))
        return _scored(record)

    try:
        ask = resolve(request, plan, recorded=True)
    except RequestError as error:
        return [Difference("request", record.request.decode(errors="replace"), str(error))]
    decision = decide(plan, ask, view_of(plan, customer), record.at, record.seed, recorded, record.budgets)
    answer = answer_body(plan, request.customer_id, decision, record.id, decision.degraded)
    if request.customer_id != record.customer_id:
        differing.append(Difference("customer_id", record.customer_id, request.customer_id))
    if answer != record.answer:
        differing += _compare("answer", _json(record.answer), _json(answer)) or [
            Difference("answer", record.answer.decode(errors="replace"), answer.decode())
        ]
    return [*differing, *_compare("", _plain(record.outcome), _plain(outcome_of(plan, decision)))]


def _plain(outcome: Outcome) -> dict[str, Any]:
    parts = {"removed": outcome.removed, "left": outcome.left, "pressure": outcome.pressure}
    return {**parts, "withheld": _json(outcome.withheld)}


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def _scored(record: Record) -> Scored:
    scores = tuple(ModelScores(each.model, *_read(each)) for each in record.scores)
    propensities = {bit: p for each in scores for bit, p in zip(each.bits, each.propensities, strict=True)}
    return Scored(propensities, scores, record.degraded, record.late)


def _read(scores: Scores) -> tuple[list[int], list[float]]:
    try:
        bits, propensities = np.frombuffer(scores.bits, "<u4"), np.frombuffer(scores.propensities, "<f8")
    except ValueError as error:
        raise ReplayError(f"the scores of the model {scores.model!r} can't be read: {error}") from None
    if len(bits) != len(propensities):
        raise ReplayError(f"the model {scores.model!r} has {len(propensities)} scores for {len(bits)} treatments")
    return bits.tolist(), propensities.tolist()


def _differing_models(record: Record, again: Scored) -> Iterator[Difference]:
    """But for models that were not asked then: there is nothing to compare with."""
    late = set(record.late)
    before = _by_model(_scored(record).scores)
    now = {name: scores for name, scores in _by_model(again.scores).items() if name not in late}
    for model in dict.fromkeys((*before, *now)):
        old, new = before.get(model, {}), now.get(model, {})
        for bit in dict.fromkeys((*old, *new)):
            was, is_now = old.get(bit), new.get(bit)
            if was is None or is_now is None or abs(was - is_now) > TOLERANCE:
                yield Difference(f"scores/{model}/{bit}", was, is_now)
    if set(record.degraded) - late != set(again.degraded) - late:
        yield Difference("degraded", list(record.degraded), list(again.degraded))


def _by_model(scores: Iterable[ModelScores]) -> dict[str, dict[int, float]]:
    return {each.model: dict(zip(each.bits, each.propensities, strict=True)) for each in scores}


def _compare(path: str, recorded: Any, replayed: Any) -> list[Difference]:
    """The innermost fields that differ, by type too."""
    if isinstance(recorded, dict) and isinstance(replayed, dict):
        pairs = [(name, recorded.get(name, _ABSENT), replayed.get(name, _ABSENT)) for name in {**recorded, **replayed}]
    elif isinstance(recorded, list) and isinstance(replayed, list):
        both = enumerate(zip_longest(recorded, replayed, fillvalue=_ABSENT))
        pairs = [(str(place), old, new) for place, (old, new) in both]
    elif type(recorded) is type(replayed) and recorded == replayed:
        return []
    else:
        return [Difference(path, recorded, replayed)]
    inside = f"{path}/" if path else ""
    return [found for name, old, new in pairs for found in _compare(f"{inside}{name}", old, new)]
