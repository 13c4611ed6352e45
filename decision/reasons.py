"""The closed vocabularies of an answer. They grow; a member never changes its meaning."""

from enum import StrEnum


class Status(StrEnum):
    """What kind of answer this is."""

    DECIDED = "decided"
    FALLBACK = "fallback"
    NOTHING = "nothing"
    CONTROL = "control"


class Gate(StrEnum):
    """The steps that can rule a treatment out, in the order they are asked."""

    DATES = "dates"
    ELIGIBLE = "eligible"
    APPLICABLE = "applicable"
    SUITABLE = "suitable"
    REACHABLE = "reachable"
    CONSENT = "consent"
    CONTENT = "content"
    QUIET_HOURS = "quiet_hours"
    CONTACT_POLICY = "contact_policy"
    BUDGET = "budget"
    MODEL = "model"


class Reason(StrEnum):
    """Why the answer is what it is. For `nothing` and `fallback`: the gate that took out the last candidate."""

    RANKED = "ranked"
    EXPLORED = "explored"
    CONTROL_GROUP = "control_group"
    NO_TREATMENT = "no_treatment"
    OUT_OF_DATES = "out_of_dates"
    NOT_ELIGIBLE = "not_eligible"
    NOT_APPLICABLE = "not_applicable"
    NOT_SUITABLE = "not_suitable"
    NOT_REACHABLE = "not_reachable"
    NO_CONSENT = "no_consent"
    QUIET_HOURS = "quiet_hours"
    CONTACT_POLICY = "contact_policy"
    BUDGET = "budget"
    UNRENDERABLE = "unrenderable"
    NOT_SCORED = "not_scored"
    DEGRADED = "degraded"


class Degradation(StrEnum):
    """What could not be relied on while answering.

    With `model` it is the models named in the record, and the answer does without what they score. With any other the
    answer contacts nobody.

    `provisional` comes beside `deadline` or `store_unavailable`: a commit was under way whose reply never came, and it
    may count. The answer names its decision id; a retry with the same request id gets what was committed.
    """

    STORE_UNAVAILABLE = "store_unavailable"
    STORE_FULL = "store_full"
    DEADLINE = "deadline"
    CLOCK = "clock"
    CONTENTION = "contention"
    MODEL = "model"
    PROVISIONAL = "provisional"


EMPTIED_BY: dict[Gate, Reason] = {
    Gate.DATES: Reason.OUT_OF_DATES,
    Gate.ELIGIBLE: Reason.NOT_ELIGIBLE,
    Gate.APPLICABLE: Reason.NOT_APPLICABLE,
    Gate.SUITABLE: Reason.NOT_SUITABLE,
    Gate.REACHABLE: Reason.NOT_REACHABLE,
    Gate.CONSENT: Reason.NO_CONSENT,
    Gate.QUIET_HOURS: Reason.QUIET_HOURS,
    Gate.CONTACT_POLICY: Reason.CONTACT_POLICY,
    Gate.BUDGET: Reason.BUDGET,
    Gate.CONTENT: Reason.UNRENDERABLE,
    Gate.MODEL: Reason.NOT_SCORED,
}
