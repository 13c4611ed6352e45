"""Rights: whether Redis lets this user call all that our scripts call.

Redis asks that for each command by itself, also inside a script, and does not undo a script that is refused one half
way: a commit without the right to HINCRBY would leave a record, a message and a contact behind, and the budget as it
was. So each command is tried beforehand, on keys that mean nothing.
"""

from collections.abc import Sequence
from pathlib import Path

from features.errors import AuthRefused, OutOfMemory, ReadOnly, reply_error
from features.link import Link

SCRIPT = Path(__file__).with_name("rights.lua").read_bytes()
KINDS = ("string", "hash", "stream")


def scratch(kind: str) -> str:
    """A key that means nothing, all of them in one slot."""
    return f"tino:{{0}}:rights:{kind}"


async def check_rights(link: Link, within: float, script: bytes = SCRIPT, kinds: Sequence[str] = KINDS) -> None:
    """Tries what `script` calls, on keys of the `kinds` that it names. Raises AuthRefused, which names every command
    that is refused, and StoreError.
    """
    refused: dict[str, str] = {}
    for command, reason in await link.ask("EVAL", script, len(kinds), *map(scratch, kinds), within=within):
        error = reply_error(reason.decode(errors="replace").strip())
        if isinstance(error, OutOfMemory | ReadOnly):
            raise error
        refused.setdefault(command.decode(), str(error))
    if refused:
        first, why = next(iter(refused.items()))
        raise AuthRefused(
            f"Redis refuses what Tino's scripts call: {', '.join(refused)}. Let this user run it, or one may end "
            f"half way. Of {first} it says: {why}"
        )
