"""What routes take from a request: ids as steps of the path, and a body that says it is JSON."""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Path, Request

from api.bodies import require_json
from api.problems import Problem
from features.keys import LONGEST_ID

_CONTROLS = dict.fromkeys((*range(0x20), 0x7F))


def decoded(name: str, text: str) -> str:
    """A step of the path, which is still percent-encoded. Raises Problem."""
    try:
        value = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise Problem("invalid_id", "percent-encoded bytes must be UTF-8", parameter=name) from None
    if not 1 <= len(value) <= LONGEST_ID or value.translate(_CONTROLS) != value:
        raise Problem("invalid_id", f"expected 1 to {LONGEST_ID} characters, none of control", parameter=name)
    return value


def _customer_id(
    customer_id: Annotated[str, Path(description="1 to 256 characters, percent-encoded; a slash is %2F.")],
) -> str:
    return decoded("customer_id", customer_id)


def _purpose(purpose: Annotated[str, Path(description="A purpose the catalog declares.")]) -> str:
    return decoded("purpose", purpose)


CustomerId = Annotated[str, Depends(_customer_id)]
Purpose = Annotated[str, Depends(_purpose)]


async def _json(request: Request) -> bytes:
    require_json(dict(request.scope["headers"]))
    return await request.body()


JsonBody = Annotated[bytes, Depends(_json)]
