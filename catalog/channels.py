"""Channels: how a treatment reaches the customer."""

from typing import Literal

from pydantic import Field

from catalog.fields import Declared, Expression, Name, Names
from catalog.quiet_hours import QuietHours


class Channel(Declared):
    """How a treatment reaches the customer: inbound, the caller shows it; outbound, it is emitted."""

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
    quiet_hours: QuietHours | None = Field(
        default=None,
        description="When nothing is sent here, by each customer's own clock. Outbound only. Default: never.",
    )

    @property
    def inbound(self) -> bool:
        return self.direction == "inbound"
