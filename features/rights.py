"""Rights: whether Redis lets this user call all that our scripts call.

Redis asks that for each command by itself, also inside a script, and does not undo a script that is refused one half
way: a commit without the right to HINCRBY would leave a record, a message and a contact behind, and the budget as it
was. So each command is tried beforehand, on keys that mean nothing.
"""

from pathlib import Path

from features.errors import AuthRefused, OutOfMemory, ReadOnly, reply_error
from features.link import Link

SCRIPT = Path(__file__).with_name("rights.lua").read_bytes()
SCRATCH = tuple(f"tino:{{0}}:rights:{kind}" for kind in ("string", "hash", "stream"))


async def check_rights(link: Link, within: float) -> None:
    """Raises AuthRefused, which names every command that is refused, and StoreError."""
    refused: dict[str, str] = {}
    for command, reason in await link.ask("EVAL", SCRIPT, len(SCRATCH), *SCRATCH, within=within):
        error = reply_error(reason.decode(errors="replace").strip())
        if isinstance(error, OutOfMemory | ReadOnly):
            raise error
        refused.setdefault(command.decode(), str(error))
    if refused:
        first, why = next(iter(refused.items()))
        raise AuthRefused(
            f"Redis refuses what Tino's scripts call: {', '.join(refused)}. Let this user run it, or a commit may end "
            f"half way. Of {first} it says: {why}"
        )
