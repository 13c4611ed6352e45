"""`POST /events` in the API document: three shapes in, with an example of each."""

from typing import Any

from api.cloud_events import BATCH, ONE, CloudEvent
from api.event_answers import EventAnswer, EventsAnswer
from api.event_shapes import MOST_EVENTS, EventBody
from api.segment import SegmentBatch, SegmentMessage

STRUCTS = (EventBody, SegmentMessage, SegmentBatch, CloudEvent, EventAnswer, EventsAnswer)
"""What the document has to have schemas of."""

_OURS = {
    "id": "order-1001-line-1",
    "customer_id": "c-42",
    "type": "purchase",
    "at": "2026-01-31T09:00:00Z",
    "properties": {"amount": 3.99, "department": "PASTRY"},
}
_SEGMENT = {
    "type": "track",
    "event": "purchase",
    "userId": "c-42",
    "messageId": "022bb90c-bbac-11e4-8dfc-aa07a5b093db",
    "timestamp": "2026-01-31T09:00:00Z",
    "properties": {"amount": 3.99, "department": "PASTRY"},
}
_CLOUD = {
    "specversion": "1.0",
    "id": "1001-1",
    "source": "/shop/orders",
    "type": "purchase",
    "subject": "c-42",
    "time": "2026-01-31T09:00:00Z",
    "data": {"amount": 3.99, "department": "PASTRY"},
}


def operation(reference: str) -> dict[str, Any]:
    """`reference` makes a schema's reference of its `{name}`."""

    def of(struct: type) -> dict[str, Any]:
        return {"$ref": reference.format(name=struct.__name__)}

    def many(struct: type) -> dict[str, Any]:
        return {"type": "array", "maxItems": MOST_EVENTS, "items": of(struct)}

    wrapped = {
        "type": "object",
        "properties": {"events": many(EventBody)},
        "required": ["events"],
        "additionalProperties": False,
    }
    either = [of(EventBody), many(EventBody), wrapped, of(SegmentMessage), of(SegmentBatch)]
    return {
        "tags": ["events"],
        "summary": "What customers did",
        "description": (
            "One event or a batch; idempotent by id; answered once it is stored, and in force for the next decision of "
            "every worker. A CloudEvent may also come in binary mode: attributes in `ce-` headers, data as body."
        ),
        "operationId": "events",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": either},
                    "examples": {
                        "one": {"value": _OURS},
                        "batch": {"value": [_OURS]},
                        "segment": {"value": _SEGMENT},
                        "segment batch": {"value": {"batch": [_SEGMENT], "sentAt": "2026-01-31T09:00:05Z"}},
                    },
                },
                ONE.decode(): {"schema": of(CloudEvent), "example": _CLOUD},
                BATCH.decode(): {"schema": many(CloudEvent), "example": [_CLOUD]},
            },
        },
        "responses": {
            "200": {
                "description": "Stored, or known already; of a batch, what became of each",
                "content": {
                    "application/json": {
                        "schema": {"anyOf": [of(EventAnswer), of(EventsAnswer)]},
                        "examples": {
                            "one": {"value": {"id": "order-1001-line-1", "status": "stored"}},
                            "batch": {"value": _BATCH_ANSWER},
                        },
                    }
                },
            }
        },
        "security": [{"api_key": []}],
    }


_BATCH_ANSWER = {
    "stored": 1,
    "duplicates": 0,
    "refused": 1,
    "results": [
        {"id": "order-1001-line-1", "status": "stored"},
        {
            "id": "order-1001-line-2",
            "status": "refused",
            "code": "wrong_type",
            "pointer": "/properties/amount",
            "detail": "property 'amount': expected a finite number, got '3.99'",
        },
    ],
}
