"""Actions: what may be done for a customer, and their treatments: one per channel."""

from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from catalog.fields import ContentValue, Declared, Duration, Expression, Moment, Name, Names, Number, must
from catalog.models import Propensity

LEAST_PERCENT = -100


def _sums_above_least(percents: list[float], which: str) -> None:
    total = sum(percents)
    if total <= LEAST_PERCENT:
        raise PydanticCustomError(
            "must",
            "must {which}add up to more than {least} percent, not {total}: to keep an action away, use a rule",
            {"which": which, "least": LEAST_PERCENT, "total": f"{total:g}"},
        )


def _lever(raw: Any) -> Any:
    if isinstance(raw, bool) or not isinstance(raw, (int, float, dict)):
        raise must("a percentage such as 20, or names with percentages", raw)
    return raw if isinstance(raw, dict) else {"lever": raw}


def _checked_lever(lever: dict[str, float]) -> dict[str, float]:
    _sums_above_least(list(lever.values()), "")
    return lever


class ContextWeight(Declared):
    """A weight on an action's priority that holds where `when` is true of the request."""

    when: Expression = Field(description="CEL, true or false, usually of `context`.")
    percent: Number = Field(
        gt=LEAST_PERCENT, description="Percent added to (or taken from) the priority while `when` is true."
    )


def _checked_weights(weights: dict[str, ContextWeight]) -> dict[str, ContextWeight]:
    # Any of them may hold without the others: the worst case is all of the negative ones together.
    _sums_above_least([min(0.0, weight.percent) for weight in weights.values()], "in its negative parts ")
    return weights


class Treatment(Declared):
    """One action on one channel. Every key not listed here is content: a Jinja template, a number or true/false."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ContentValue]

    placements: Names | None = Field(
        default=None,
        min_length=1,
        description="Which of the channel's placements it fits (inbound only). Default: all of them.",
    )
    valid_for: Duration | None = Field(
        default=None, description="How long an answer with it stands. Default: 30m inbound; outbound, no limit."
    )

    @property
    def content(self) -> dict[str, str | int | float | bool]:
        """The content as declared, templates uncompiled, in the order written."""
        return self.__pydantic_extra__


class Action(Declared):
    """Something worth doing for a customer: an offer, a nudge, a reminder, a task for a human."""

    unsupported: ClassVar[dict[str, str]] = {
        "for_each": "declare one action each",
    }

    description: str | None = Field(default=None, description="For people; never shown to a customer.")
    group: Name | None = Field(default=None, description="A label that contact policies and reports can name.")
    purpose: Name | None = Field(
        default=None, description="Why the customer is contacted; overrides the channel's purpose."
    )
    obeys_caps: bool = Field(
        default=True, description="`false`: no contact policy holds it back, such as a receipt. Default: true."
    )
    counts_toward_caps: bool = Field(
        default=True, description="`false`: its contacts count in no limit of a contact policy. Default: true."
    )
    eligible: Expression | None = Field(
        default=None,
        description="CEL gate: may this customer have it at all? True to pass; missing data does not pass.",
    )
    applicable: Expression | None = Field(default=None, description="CEL gate: does it make sense now?")
    suitable: Expression | None = Field(default=None, description="CEL gate: is it right for this customer?")
    obeys_quiet_hours: bool = Field(
        default=True,
        description="`false` for what is sent at any hour, such as a receipt. Default: true.",
    )
    from_: Moment | None = Field(
        default=None, alias="from", description="First instant, inclusive; without a zone, in the catalog's."
    )
    until: Moment | None = Field(default=None, description="End, exclusive; a date ends as that day begins.")
    value: Number = Field(
        ge=0, description="What success is worth, in a unit of your choice, the same for all actions."
    )
    lever: Annotated[
        dict[Name, Number],
        BeforeValidator(_lever),
        AfterValidator(_checked_lever),
        WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "object", "additionalProperties": {"type": "number"}}]}),
    ] = Field(
        default_factory=dict,
        description="Percent by which the business pushes (or holds back) it: a number or named numbers, added up; "
        "the sum must stay above -100.",
    )
    context_weights: Annotated[dict[Name, ContextWeight], AfterValidator(_checked_weights)] = Field(
        default_factory=dict,
        description="Named weights on its priority that depend on the request; those that hold are added up. The "
        "negative ones together must stay above -100 percent.",
    )
    propensity: Propensity = Field(
        default=1.0,
        description="Probability of success: a number from 0 to 1, or the model that gives it. Default: 1, so that the "
        "value alone ranks.",
    )
    treatments: dict[Name, Treatment] = Field(
        default_factory=dict, description="What is shown or sent, by channel; at most one per channel."
    )

    @property
    def lever_factor(self) -> float:
        """L of P x C x V x L: 1 plus the lever's percents; always above 0."""
        return 1 + sum(self.lever.values()) / 100


DEFAULT_INBOUND_VALIDITY = timedelta(minutes=30)
