"""Rules: when, who, what, and the limits; as written in a file, and as they stand on the log."""

from __future__ import annotations

from datetime import time
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Final, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from crm_online.actions.templates import check_template
from crm_online.actions.when import Part, Segment, When, depth, leaves

__all__ = [
    "MAX_CAP",
    "MAX_CAP_DAYS",
    "Cap",
    "Control",
    "Limits",
    "QuietHours",
    "Rule",
    "RuleSet",
    "Who",
]

MAX_CAP: Final = 50
MAX_CAP_DAYS: Final = 31
MAX_DEPTH: Final = 10  # of triggers within each other: what is read has to read back from the log

Name = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


def _clock(value: object) -> object:
    if isinstance(value, str | time):
        return value
    # YAML takes 21:00 for a number to the base of 60.
    raise ValueError('write a time of day in quotes, such as "21:00"')


Clock = Annotated[time, BeforeValidator(_clock)]
Share = Annotated[StrictFloat, Field(ge=0, lt=1)]


class Cap(Part):
    """At most so many within so many calendar days of the customer's time zone."""

    at_most: Annotated[StrictInt, Field(ge=1, le=MAX_CAP)]
    days: Annotated[StrictInt, Field(ge=1, le=MAX_CAP_DAYS)] = 1


class Who(Part):
    """Whom a rule is for; all that is said must hold."""

    segments: Annotated[list[Segment], Field(min_length=1)] | None = None
    value_tiers: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="Names of value_tiers."
    )
    traits: dict[
        StrictStr,
        Annotated[list[StrictStr | StrictBool | StrictFloat], Field(min_length=1)],
    ] = Field({}, description="Trait to the values that it may have.")


class Rule(Part):
    """One rule: when it comes true for whom, what is to be done."""

    name: Name
    action: Name = Field(description="What marketing tools know it by.")
    channel: Name = Field("email", description="Such as email, push or sms.")
    category: Annotated[StrictStr, Field(min_length=1, max_length=100)] = Field(
        "marketing", description="Of consent, as context.consent names it."
    )
    when: When
    who: Who = Who()
    priority: StrictInt = Field(0, description="The higher one is decided first.")
    caps: list[Cap] = Field([], max_length=5, description="Of this action, beside all others.")
    quiet_hours: StrictBool = Field(default=True, description="Whether quiet hours hold it back.")
    hold_hours: Annotated[StrictFloat, Field(gt=0, le=72)] = Field(
        24.0, description="What would be held for longer expires."
    )
    template: dict[Name, Annotated[StrictStr, Field(max_length=2000)]] = Field(
        {}, max_length=50, description="Template data; {segment} and the like are filled in."
    )
    items: Annotated[StrictInt, Field(ge=0, le=10)] = Field(
        3, description="How many recommended items go along."
    )

    @model_validator(mode="after")
    def _fillable(self) -> Self:
        for name, text in self.template.items():
            check_template(name, text)
        if depth(self.when) > MAX_DEPTH:
            raise ValueError(f"any and all lie within each other more than {MAX_DEPTH} deep")
        for leaf in leaves(self.when):
            leaf.belong_to(self.name)
        return self


class Limits(Part):
    """What no rule exceeds."""

    overall: list[Cap] = Field([Cap(at_most=1, days=1)], max_length=5)
    channels: dict[Name, list[Cap]] = Field({}, description="Caps of each channel.")
    per_hour: Annotated[StrictInt, Field(ge=1)] = Field(
        10_000, description="Of all customers together, in event time."
    )


class QuietHours(Part):
    """When nobody is to be disturbed, by the customer's own clock."""

    begin: Clock = Field(alias="from")
    end: Clock = Field(alias="to")

    @model_validator(mode="after")
    def _span(self) -> Self:
        if self.begin == self.end or self.begin.tzinfo or self.end.tzinfo:
            raise ValueError("from and to are two different times of day, such as 21:00 and 08:00")
        return self


class Control(Part):
    """Who is left alone, so that it can be seen what actions do."""

    share: Share = 0.1
    period_days: Annotated[StrictInt, Field(ge=1, le=366)] = Field(
        30, description="After so many days, groups are drawn anew."
    )
    salt: Annotated[StrictStr, Field(max_length=100)] = ""


class RuleSet(Part):
    """All rules of a job."""

    rules: list[Rule] = Field([], max_length=200)
    limits: Limits = Limits()
    quiet_hours: QuietHours | None = None
    control: Control = Control()
    value_tiers: dict[Name, Annotated[StrictFloat, Field(ge=0)]] = Field(
        {}, description="Name to the expected value at which it begins."
    )
    suppressed_customers: Annotated[list[StrictStr], Field(max_length=10_000)] = Field(
        [], description="Ids of those who get nothing."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {twice[0]}")
        for rule in self.rules:
            unknown = set(rule.who.value_tiers or ()) - self.value_tiers.keys()
            if unknown:
                raise ValueError(
                    f"rule {rule.name} names the value tier {min(unknown)}, which value_tiers "
                    "does not"
                )
        unused = self.limits.channels.keys() - {rule.channel for rule in self.rules}
        if self.rules and unused:
            raise ValueError(
                f"limits.channels caps {min(unused)}, and no rule has that channel: is it spelled "
                "as the rules spell it?"
            )
        return self

    @cached_property
    def text(self) -> str:
        """The rule set in one line of JSON, as it stands on the log."""
        return self.model_dump_json(by_alias=True)

    @cached_property
    def version(self) -> str:
        """Name of just these rules: 12 hexadecimal digits."""
        return blake2b(self.text.encode(), digest_size=6).hexdigest()

    def tier(self, value: float | None) -> str | None:
        """Return the name of the value tier that an expected value is in."""
        reached = [(at, name) for name, at in self.value_tiers.items() if (value or 0.0) >= at]
        return max(reached)[1] if reached else None
