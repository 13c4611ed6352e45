"""Bodies: counted while they arrive, and read strictly.

Strict means what msgspec refuses (NaN, infinite numbers, broken UTF-8, lone surrogates, too deep nesting, anything
after the document) and repeated keys, which it takes the last of: two readers of one document must not see two things.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec

from api.asgi import Message, Receive
from api.headers import RequestHeaders
from api.misfits import misfit
from api.problems import Problem


class Disconnected(Exception):  # noqa: N818 - what happened, not an error
    """The client left before its request was complete: there is nobody to answer."""


class _DuplicateKeyError(ValueError):
    pass


def media_type(headers: RequestHeaders) -> bytes:
    """Without its parameters, in lower case; empty where there is none."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


def require_json(headers: RequestHeaders) -> None:
    """Raises Problem unless the body says it is application/json."""
    if media_type(headers) != b"application/json":
        raise Problem("unsupported_media_type", "send the body with Content-Type: application/json")


def refuse_announced(headers: RequestHeaders, limit: int) -> None:
    """Raises Problem if Content-Length is above `limit` bytes."""
    announced = headers.get(b"content-length")
    if announced is None:
        return
    if not announced.isdigit():
        raise Problem("invalid_request", "Content-Length must be a number")
    if len(announced) > 18 or int(announced) > limit:
        raise too_large(limit)


async def read_body(receive: Receive, limit: int, within: float) -> bytes:
    """The whole body, of at most `limit` bytes, if it comes within so many seconds.

    Raises Problem, as soon as it is longer, and Disconnected.
    """
    chunks, length, more = [], 0, True
    try:
        async with asyncio.timeout(within):
            while more:
                message = await receive()
                chunks.append(_chunk(message, limit - length))
                length += len(chunks[-1])
                more = message.get("more_body", False)
    except TimeoutError:
        raise too_late(within) from None
    return b"".join(chunks)


def _chunk(message: Message, room: int) -> bytes:
    if message["type"] == "http.disconnect":
        raise Disconnected
    chunk: bytes = message.get("body", b"")
    if len(chunk) > room:
        raise Problem("body_too_large", "the body is longer than this service takes")
    return chunk


def too_late(within: float) -> Problem:
    return Problem("request_timeout", f"the body did not arrive within {within:g} s")


def too_large(limit: int) -> Problem:
    return Problem("body_too_large", f"the body may have at most {limit} bytes")


def decode_strictly(
    decoder: msgspec.json.Decoder[Any], body: bytes, keys_in: Callable[[Any], int] | None = None
) -> Any:
    """What `decoder` makes of the body. Raises Problem.

    `keys_in` says of what was decoded how many keys its document has at least. Every key brings a colon, and a
    repeated one a colon too many: where there are just as many colons as keys, the slower look for repeats is spared.
    """
    try:
        decoded = decoder.decode(body)
        if keys_in is None or body.count(b":") != keys_in(decoded):
            _find_repeats(body.decode().lstrip())
    except msgspec.ValidationError as error:
        raise misfit(str(error), decoder.type, _loosely(body)) from None
    except _DuplicateKeyError as error:
        raise Problem("duplicate_key", str(error)) from None
    except RecursionError:
        raise Problem("invalid_json", "the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise Problem("invalid_json", "the body is not UTF-8") from None
    except ValueError as error:  # msgspec.DecodeError, or a number with too many digits to be read
        raise Problem("invalid_json", str(error)) from None
    return decoded


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len(dict(pairs)) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _DuplicateKeyError(f"the key {json.dumps(name)[:60]} comes twice")
            seen.add(name)


_find_repeats = json.JSONDecoder(object_pairs_hook=_refuse_repeats).raw_decode


def _loosely(body: bytes) -> Any:
    """What the body says, whatever its shape; None where that can't be read to its end."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
