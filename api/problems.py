"""Problems: every error is told as RFC 9457 `application/problem+json`, with a code from this closed table.

Problem               raised anywhere on the way of a request, told to the caller
RequestError          (decision.request) what the catalog has no answer for; its codes are in the table too
StoreError            (features.errors) becomes `store_unavailable` where a caller waits for something to be stored
anything else         becomes `internal`: logged, and told without its text
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:tino:problem:"
RETRY_AFTER_SECONDS = 1
MOST_ERRORS = 20

# code: (status, title)
CODES: dict[str, tuple[int, str]] = {
    "invalid_json": (400, "The body is not valid JSON"),
    "duplicate_key": (400, "The body names a key twice in one object"),
    "duplicate_header": (400, "A header that may come once came twice"),
    "invalid_request": (400, "The request can't be understood"),
    "too_many_events": (400, "The batch holds more events than one may"),
    "unauthorized": (401, "A valid API key is required"),
    "forbidden": (403, "This API key may not do that"),
    "loopback_only": (403, "Without API keys only this machine is served"),
    "not_found": (404, "There is nothing at this path"),
    "unknown_customer": (404, "Nothing is known about this customer"),
    "unknown_decision": (404, "No record of this decision is kept"),
    "method_not_allowed": (405, "This path does not have that method"),
    "request_timeout": (408, "The body did not arrive in time"),
    "request_id_spent": (
        409,
        "The request was answered, and its record is no longer kept, or not one that this version reads",
    ),
    "too_many_merged": (409, "A customer is merged from as many ids as may be"),
    "body_too_large": (413, "The body is too long"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "missing_field": (422, "A required field is missing"),
    "unknown_field": (422, "A field is not known here"),
    "invalid_value": (422, "A value has the wrong type, or is out of its range"),
    "wrong_type": (422, "A value is not of the type the catalog declares"),
    "invalid_id": (422, "An identifier can't be used"),
    "invalid_parameter": (422, "A parameter can't be used"),
    "invalid_cursor": (422, "The cursor is not one of ours"),
    "unknown_channel": (422, "The catalog declares no such channel"),
    "unknown_placement": (422, "The catalog declares no such placement"),
    "unknown_context": (422, "The catalog declares no such context"),
    "unknown_attribute": (422, "The catalog declares no such attribute"),
    "unknown_purpose": (422, "The catalog declares no such purpose"),
    "unknown_timezone": (422, "There is no such time zone"),
    "duplicate_placement": (422, "A placement is asked for twice"),
    "unreachable_placement": (422, "A placement is asked for, and none of its channels"),
    "too_many": (422, "More is asked for than one answer holds"),
    "statement_in_future": (422, "The consent was stated in the future"),
    "from_the_future": (422, "The event lies in the future"),
    "out_of_range": (422, "A figure would leave the range it can be kept in"),
    "invalid_idempotency_key": (422, "The Idempotency-Key can't be used"),
    "request_id_conflict": (422, "Idempotency-Key and request_id differ"),
    "request_id_reused": (422, "This request id came with another body before"),
    "replay_timeout": (503, "Making the decision again took too long"),
    "internal": (500, "Something went wrong here"),
    "archive_busy": (503, "Records are being archived just now"),
    "store_unavailable": (503, "The store can't be reached or is not up to it"),
    "not_ready": (503, "This worker is not ready"),
    "overloaded": (503, "Too many requests wait for an answer"),
}

Headers = list[tuple[bytes, bytes]]


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An error as a caller is told it. `pointer` is a JSON pointer into the body, `parameter` a name in path or query.

    `errors` lists the findings where there are several; the problem itself is then the first of them. `stored` says
    what was stored all the same, where anything was.
    """

    stored: Mapping[str, Sequence[str]] = MappingProxyType({})

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        pointer: str | None = None,
        parameter: str | None = None,
        errors: Sequence[dict[str, str]] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.pointer = pointer
        self.parameter = parameter
        self.errors = errors
        self.headers = headers

    @property
    def status(self) -> int:
        return CODES[self.code][0]

    def body(self, request_id: bytes) -> bytes:
        status, title = CODES[self.code]
        told: dict[str, Any] = {
            "type": TYPE_PREFIX + self.code,
            "title": title,
            "status": status,
            "detail": self.detail,
            "code": self.code,
        }
        for name in ("pointer", "parameter", "errors"):
            if found := getattr(self, name):
                told[name] = found
        if self.stored:
            told["stored"] = dict(self.stored)
        # The pointer to the whole document is the empty string.
        if self.pointer == "":
            told["pointer"] = ""
        told["request_id"] = request_id.decode("ascii")
        return orjson.dumps(told)

    def all_headers(self) -> Headers:
        """Its own headers, and those its status asks for."""
        headers = [(b"content-type", MEDIA_TYPE.encode()), *self.headers]
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        elif self.status == 503:
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
        elif self.status in (408, 413):
            # What is left of the body is not wanted.
            headers.append((b"connection", b"close"))
        return headers


def of_findings(findings: Sequence[tuple[str, str, str]]) -> Problem:
    """One problem of several findings (code, pointer, detail), at least one; the first MOST_ERRORS are listed."""
    code, pointer, detail = findings[0]
    errors = [{"code": each[0], "pointer": each[1], "detail": each[2]} for each in findings[:MOST_ERRORS]]
    return Problem(code, detail, pointer=pointer, errors=errors if len(errors) > 1 else ())


def internal() -> Problem:
    return Problem("internal", "the error was logged under this request id")


def unavailable(reason: str) -> Problem:
    return Problem("store_unavailable", reason)
