"""Arbitration: what ranks the actions that passed every gate, and whom the ranking leaves out."""

from typing import Annotated

from pydantic import Field

from catalog.fields import Declared, Names, Number

Share = Annotated[Number, Field(ge=0, lt=1)]


class Arbitration(Declared):
    """Which factors make the priority P x C x V x L; one switched off counts as 1."""

    propensity: bool = Field(default=True, description="P, the probability of success.")
    context: bool = Field(default=True, description="C, 1 plus the context weights that hold.")
    value: bool = Field(default=True, description="V, the action's value.")
    lever: bool = Field(default=True, description="L, 1 plus the action's lever.")


class Exploration(Declared):
    """A share of decisions picks at random among what passed every gate, so that learning stays possible."""

    rate: Share = Field(description="Share of decisions, from 0 up to but not 1.")


class ControlGroup(Declared):
    """A fixed share of customers gets nothing of the given purposes; what they would have got is recorded."""

    share: Share = Field(description="Share of customers, from 0 up to but not 1.")
    salt: str | None = Field(
        default=None, min_length=1, description="Draws another group when changed. Default: the catalog's name."
    )
    purposes: Names | None = Field(
        default=None,
        min_length=1,
        description="What the group does not get, besides all that has no purpose. Default: `marketing`, if declared.",
    )
