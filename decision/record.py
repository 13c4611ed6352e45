"""The record of a decision: everything it was made from, and what came of it.

It is one msgpack array. The inputs are kept as the bytes they were (the request as JSON, the customer's state as it
stood in Redis), so that writing a record copies and replaying it reads exactly what the decision saw. What the inputs
give, decided again, must be what stands in `outcome`; see decision.replay.

A later format appends fields with a default, and records from before are read as ever. Where that would not do it
changes `version`, and whoever reads only another one says so.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import orjson

from catalog.plan import Plan
from decision.answer import action_of
from decision.decide import Decision
from decision.request import NextActionRequest
from decision.view import view_of
from features.consents import UNDATED
from features.customer import Consent, Contact, Customer, moment
from features.encoding import decode
from features.profile import ScoreValue, profile_of
from models.scoring import ModelScores

RECORD_VERSION = 3


class Scores(msgspec.Struct, frozen=True, array_like=True):
    """What a model said: `propensities` are little-endian doubles, one for each of the treatments in `bits`.

    `bits` are little-endian 32-bit numbers of treatments in the catalog's grid, ascending.
    """

    model: str
    bits: bytes
    propensities: bytes


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What came of a decision, apart from the answer itself.

    `removed` counts the treatments each gate took out, `left` is what each contact policy allowed before the answer,
    `withheld` what a customer of the control group would have got, as JSON. `pressure` has, of each contact policy that
    made the answer another, the priority lost to it.
    """

    removed: Mapping[str, int]
    left: Mapping[str, int]
    withheld: bytes = b"[]"
    pressure: Mapping[str, float] = {}


class Record(msgspec.Struct, frozen=True, array_like=True):
    """`at` is the service time of the decision in microseconds since 1970 UTC; `seed` (64 bits) where it drew from.

    `request` is JSON; `state` the customer's state as features.encoding has it, b"" for one nobody knows;
    `answer` the bytes that were sent; `degraded` the models that could not be relied on, of which `late` were not asked
    for want of time; `budgets` what was left of those budgets of which it was known that it might not do.
    """

    version: int
    id: str
    customer_id: str
    at: int
    catalog: str
    seed: int
    request: bytes
    state: bytes
    answer: bytes
    outcome: Outcome
    scores: tuple[Scores, ...] = ()
    degraded: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    budgets: Mapping[str, int] = {}


class RecordError(ValueError):
    """Bytes that are no record this version can read."""


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Record)
_request = msgspec.json.Encoder().encode


def record_body(
    plan: Plan, request: NextActionRequest, state: bytes, decision: Decision, decision_id: str, answer: bytes
) -> bytes:
    """`state` is what the customer's state was when this was decided, as bytes."""
    return _encode(
        Record(
            RECORD_VERSION,
            decision_id,
            request.customer_id,
            decision.now,
            plan.digest,
            decision.seed,
            _request(request),
            state,
            answer,
            outcome_of(plan, decision),
            tuple(map(scores_of, decision.scored.scores)),
            decision.scored.degraded,
            decision.scored.late,
            decision.budgets,
        )
    )


def scores_of(scored: ModelScores) -> Scores:
    bits, propensities = np.array(scored.bits, "<u4"), np.array(scored.propensities, "<f8")
    return Scores(scored.model, bits.tobytes(), propensities.tobytes())


def outcome_of(plan: Plan, decision: Decision) -> Outcome:
    removed = decision.removed
    left = dict(zip(plan.policy_names, decision.left, strict=True))
    if not decision.withheld and not decision.pressure:
        return Outcome(removed, left)
    withheld: list[dict[str, Any]] = [action_of(pick) for pick in decision.withheld]
    return Outcome(removed, left, _request(withheld), pressure_of(plan, decision))


def pressure_of(plan: Plan, decision: Decision) -> dict[str, float]:
    return {plan.policy_names[number]: lost for number, lost in decision.pressure.items()}


def read_record(body: bytes) -> Record:
    """Raises RecordError."""
    try:
        record = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise RecordError(f"this is no record of a decision: {error}") from None
    if record.version != RECORD_VERSION:
        raise RecordError(f"this record has format {record.version}, this Tino reads {RECORD_VERSION}")
    return record


def as_data(record: Record, plan: Plan | None = None) -> dict[str, Any]:
    """The record for people to read, as what JSON can say: its parts unpacked.

    With `plan`, which must be that of its catalog, also what was worked out of the customer's events at that moment.
    """
    customer = decode(record.state)
    worked_out = {} if plan is None else _worked_out(plan, customer, record.at)
    return {
        **{name: getattr(record, name) for name in ("version", "id", "customer_id", "at", "catalog")},
        "seed": str(record.seed),  # 64 bits are more than a number of JSON holds everywhere
        "request": orjson.loads(record.request),
        "customer": {
            "attributes": customer.attributes,
            "consents": {purpose: _consent(given) for purpose, given in customer.consents.items()},
            "contacts": [_contact(contact) for contact in customer.contacts],
            "test": customer.test,
            **worked_out,
        },
        "removed": record.outcome.removed,
        "left": record.outcome.left,
        "withheld": orjson.loads(record.outcome.withheld),
        "pressure": record.outcome.pressure,
        "propensities": {scores.model: _spelled(scores) for scores in record.scores},
        "degraded": list(record.degraded),
        **({"budgets": record.budgets} if record.budgets else {}),
        "answer": orjson.loads(record.answer),
    }


def _worked_out(plan: Plan, customer: Customer, at: int) -> dict[str, Any]:
    attributes = view_of(plan, customer).at(at).attributes
    profile = profile_of(plan, plan.frame(attributes, {}, moment(at)))
    return {
        "aggregates": {each.name: attributes.get(each.name) for each in plan.aggregates.values},
        "segments": list(profile.segments),
        "scores": {name: _score(score) for name, score in profile.scores.items()},
    }


def _score(score: ScoreValue) -> dict[str, Any]:
    parts = {part.name: {"value": part.value, "weight": part.weight, "missing": part.missing} for part in score.parts}
    return {"value": score.value, "band": score.band, "parts": parts}


def _consent(given: Consent) -> dict[str, Any]:
    told = msgspec.structs.asdict(given)
    return {**told, "at": None} if given.at == UNDATED else told


def _contact(contact: Contact) -> dict[str, Any]:
    """Without what is as it mostly is: `responses` where there were none, `valid_for` without an end, and so on."""
    told = {**msgspec.structs.asdict(contact), "responses": list(map(msgspec.structs.asdict, contact.responses))}
    usual = {"responses": [], "valid_for": 0, "counts_toward_caps": True, "purpose": "", "held": 0}
    return {name: value for name, value in told.items() if name not in usual or value != usual[name]}


def _spelled(scores: Scores) -> list[tuple[int, float]]:
    bits, propensities = np.frombuffer(scores.bits, "<u4"), np.frombuffer(scores.propensities, "<f8")
    return list(zip(bits.tolist(), propensities.tolist(), strict=True))


def answer_in(body: bytes) -> bytes:
    """The answer that a record keeps, byte for byte what was sent. Raises RecordError."""
    return read_record(body).answer
