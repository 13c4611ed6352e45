"""Contact policies: how often a customer may be reached."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from catalog.fields import Declared, Duration, NameOrNames, must

MAX_LIMIT = 1_000_000
_ONLY_ROLLING = "use `limit` with `rolling`"


def _limit(raw: object) -> object:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= MAX_LIMIT:
        raise must(f"a whole number from 0 to {MAX_LIMIT:,}", raw)
    return raw


class Scope(Declared):
    """What a policy counts and holds back: contacts that fit every key given; of a list, any name."""

    direction: NameOrNames | None = Field(default=None, description="`inbound`, `outbound` or both.")
    channel: NameOrNames | None = Field(default=None, description="One channel or a list.")
    group: NameOrNames | None = Field(default=None, description="One group of actions or a list.")
    action: NameOrNames | None = Field(default=None, description="One action or a list.")
    treatment: NameOrNames | None = Field(default=None, description="One treatment, as `action/channel`, or a list.")

    def covers(self, direction: str, channel: str, group: str | None, action: str) -> bool:
        """Whether the treatment of `action` on `channel` falls in this scope."""
        labels = (direction, channel, group, action, f"{action}/{channel}")
        wanted = (self.direction, self.channel, self.group, self.action, self.treatment)
        return all(names is None or label in names for names, label in zip(wanted, labels, strict=True))

    @property
    def unlimited(self) -> bool:
        return not self.model_fields_set


class ContactPolicy(Declared):
    """At most `limit` contacts of the scope in any `rolling` time; all policies apply, the strictest wins."""

    unsupported: ClassVar[dict[str, str]] = {
        "calendar": "use `rolling`, such as 24h or 7d",
        "lifetime": "use a long `rolling`, such as 3650d",
        "per": "write one policy each",
        "after": _ONLY_ROLLING,
        "pause": _ONLY_ROLLING,
        "counts": "a contact counts from the decision that grants it",
        "timezone": "a rolling window needs none",
    }

    limit: Annotated[int, BeforeValidator(_limit), Field(ge=0, le=MAX_LIMIT)] = Field(
        description="How many contacts are allowed in the window; 0 means never."
    )
    rolling: Duration = Field(description="The window, ending now: a time such as 30m, 24h, 7d or 4w.")
    scope: Scope = Field(default_factory=Scope, description="Which contacts. Without it: all of them.")
