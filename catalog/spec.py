"""The catalog as declared: the root of the models, and the few answers that span them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from catalog.actions import DEFAULT_INBOUND_VALIDITY, Action, Treatment
from catalog.aggregates import Aggregate
from catalog.arbitration import Arbitration, ControlGroup, Exploration
from catalog.budgets import Budget
from catalog.channels import Channel
from catalog.event_types import EventTypes, Outcomes
from catalog.fields import AttributeName, Declared, Expression, Kind, Name, Names, Zone, must
from catalog.models import Model
from catalog.policies import ContactPolicy
from catalog.retention import Retention
from catalog.scores import Score

DEFAULT_CONTROL_PURPOSE = "marketing"


def _version(raw: Any) -> Any:
    if type(raw) is not int or raw != 1:
        raise must("1, the version of this format", raw)
    return raw


class Catalog(Declared):
    """A Tino catalog: which actions there are, for whom, on which channels, and how often."""

    catalog: Annotated[Literal[1], BeforeValidator(_version)] = Field(description="The format's version: 1.")
    name: Name = Field(description="What this catalog is called.")
    timezone: Zone = Field(default="UTC", description="IANA zone of dates written without one. Default: UTC.")
    customer: dict[AttributeName, Kind] = Field(
        default_factory=dict,
        description="Attributes of a customer and their types. `timezone` and `locale` are reserved, of type string.",
    )
    events: EventTypes = Field(
        default_factory=dict, description="Types of events, each with the properties it comes with and their types."
    )
    outcomes: Outcomes = Field(
        default=(), description="Types of events that answer a contact, besides those that always do."
    )
    aggregates: dict[AttributeName, Aggregate] = Field(
        default_factory=dict, description="Attributes of a customer that are kept from their events."
    )
    derived: dict[AttributeName, Expression] = Field(
        default_factory=dict,
        description="Attributes computed by CEL at decision time; each may use those above it.",
    )
    scores: dict[AttributeName, Score] = Field(
        default_factory=dict,
        description="Attributes from 0 to 100 made of weighted parts; each may use what is above it, and derived ones.",
    )
    segments: dict[Name, Expression] = Field(
        default_factory=dict,
        description="Rules over the profile, by name; `customer.segments` lists those that are true of the customer.",
    )
    context: dict[AttributeName, Kind] = Field(
        default_factory=dict, description="Facts that come with a request, and their types."
    )
    purposes: Names = Field(default=(), description="Why customers are contacted; each needs the customer's own yes.")
    channels: dict[Name, Channel] = Field(default_factory=dict, description="How treatments reach customers, by name.")
    preferred_channel: Expression | None = Field(
        default=None,
        description="CEL giving the channel a customer prefers, or a list, the most preferred first, such as "
        "`customer.preferred_channel`: an action that may be chosen there is not chosen on others.",
    )
    actions: dict[Name, Action] = Field(
        default_factory=dict, description="What may be done, by name. Of equal priorities the first written wins."
    )
    contact_policies: dict[Name, ContactPolicy] = Field(
        default_factory=dict, description="How often a customer may be reached, by name; all apply together."
    )
    budgets: dict[Name, Budget] = Field(
        default_factory=dict, description="How often something may be granted over all customers together, by name."
    )
    models: dict[Name, Model] = Field(
        default_factory=dict, description="Models that give propensities, by name; an action's `propensity` names one."
    )
    arbitration: Arbitration = Field(default_factory=Arbitration, description="Which factors rank the actions.")
    exploration: Exploration = Field(
        default_factory=lambda: Exploration(rate=0.0), description="Random picks. Default: none."
    )
    control_group: ControlGroup | None = Field(
        default=None, description="Customers left out, to measure what actions add."
    )
    fallback: dict[Name, Name] = Field(
        default_factory=dict,
        description="Placement: the action shown there when a decision can't be made. Its treatment needs no consent.",
    )
    retention: Retention = Field(
        default_factory=Retention, description="How long what has happened is kept. Default: for ever."
    )

    def treatments(self) -> Iterator[tuple[str, Action, str, Treatment]]:
        """(action name, action, channel name, treatment) of every treatment, in the order written."""
        for name, action in self.actions.items():
            for channel, treatment in action.treatments.items():
                yield name, action, channel, treatment

    def purpose_of(self, action: str, channel: str) -> str | None:
        """The purpose that a contact through this treatment has; it needs the customer's yes. None: needs none."""
        return self.actions[action].purpose or self.channels[channel].purpose

    def placements_of(self, action: str, channel: str) -> tuple[str, ...]:
        """The placements this treatment fits; empty for outbound."""
        own = self.actions[action].treatments[channel].placements
        return self.channels[channel].placements if own is None else own

    def valid_for(self, action: str, channel: str) -> timedelta | None:
        """How long an answer with this treatment stands; None, outbound, where nothing limits it."""
        own = self.actions[action].treatments[channel].valid_for
        return own or (DEFAULT_INBOUND_VALIDITY if self.channels[channel].inbound else None)

    @property
    def names_zone(self) -> bool:
        """Whether the catalog says itself what its time zone is: by the default alone nobody is sent to at night."""
        return "timezone" in self.model_fields_set

    @property
    def quiet(self) -> bool:
        return any(channel.quiet_hours is not None for channel in self.channels.values())

    @property
    def control_salt(self) -> str:
        return (self.control_group and self.control_group.salt) or self.name

    @property
    def control_purposes(self) -> tuple[str, ...]:
        """Purposes the control group does not get; empty without a control group."""
        if self.control_group is None:
            return ()
        default = tuple(name for name in self.purposes if name == DEFAULT_CONTROL_PURPOSE)
        return default if self.control_group.purposes is None else self.control_group.purposes

    @property
    def marketing(self) -> tuple[str, ...]:
        """The purposes that are marketing: what the control group does not get; without one, what is called so."""
        return self.control_purposes or (DEFAULT_CONTROL_PURPOSE,)


def treatment_id(action: str, channel: str) -> str:
    return f"{action}/{channel}"
