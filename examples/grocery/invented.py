"""What the data does not have and a decision needs: addresses and consents. Invented, and the same at every run.

A household's share of luck is a hash of its number and the purpose, so that no answer depends on another's.
"""

import hashlib
from typing import Any

import pyarrow as pa

from examples.grocery.source import Ints

HAS_APP = 0.40
# Share that said yes, share that said no; the rest were never asked, which is a no as well.
CONSENTS = {"marketing": (0.70, 0.15), "service": (0.95, 0.02)}


def invented_columns(households: Ints) -> dict[str, Any]:
    numbers = households.tolist()
    consents = {
        f"consent:{purpose}": pa.array([answer(number, purpose) for number in numbers], pa.bool_())
        for purpose in CONSENTS
    }
    return {
        "email": pa.array([f"household-{number}@example.com" for number in numbers], pa.string()),
        "push_token": pa.array([push_token(number) for number in numbers], pa.string()),
        **consents,
    }


def push_token(household: int) -> str | None:
    """A token for the households said to have the app, about two in five."""
    return f"example-push-token-{household}" if luck(household, "app") < HAS_APP else None


def answer(household: int, purpose: str) -> bool | None:
    """True: granted. False: withdrawn. None: never asked."""
    yes, no = CONSENTS[purpose]
    drawn = luck(household, f"consent:{purpose}")
    if drawn < yes:
        return True
    return False if drawn < yes + no else None


def luck(household: int, about: str) -> float:
    """A number in [0, 1) that depends on nothing but the household and what it is about."""
    digest = hashlib.sha256(f"{about}:hh-{household}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
