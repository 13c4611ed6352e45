"""Channels: how a treatment reaches the customer."""

from typing import ClassVar, Literal

from pydantic import Field

from catalog.fields import Declared, Expression, Name, Names


class Channel(Declared):
    """How a treatment reaches the customer: inbound, the caller shows it; outbound, it is emitted."""

    unsupported: ClassVar[dict[str, str]] = {"quiet_hours": "leave it out and hold messages in the sending system"}

    direction: Literal["inbound", "outbound"] = Field(
        description="`inbound`: the caller shows the treatment (in-app, web). `outbound`: it is emitted (email, push)."
    )
    purpose: Name | None = Field(
        default=None,
        description="Why customers are contacted here unless the action says otherwise; each needs the customer's yes.",
    )
    address: Expression | None = Field(
        default=None,
        description="CEL giving the text address, such as `customer.email`. Outbound only, and required there: a "
        "customer without it can't be reached.",
    )
    placements: Names = Field(
        default=(),
        description="The spots the caller can fill, such as `home-banner`. Inbound only.",
        examples=[["home-banner"]],
    )

    @property
    def inbound(self) -> bool:
        return self.direction == "inbound"
