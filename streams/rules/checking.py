"""What `crm-online rules check` prints: each rule in a sentence, or what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import typer

from crm_online.actions.files import check_traits, read_rules_file
from crm_online.actions.when import AllOf, AnyOf, CartLeft, Silent
from streams.exits import counted

if TYPE_CHECKING:
    from crm_online.actions.rules import RuleSet
    from crm_online.settings import Settings

__all__ = ["check_rules", "describe"]


def check_rules(settings: Settings, file: Path, *, json: bool) -> int:
    """Read a rules file and say what it says; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    file
        The rules.
    json
        Print JSON in place of sentences.

    Raises
    ------
    ConfigurationError
        Naming each fault and its line.
    """
    rules = read_rules_file(file)
    check_traits(rules, frozenset(settings.kept_traits))
    if json:
        about = {"version": rules.version, "rules": [rule.name for rule in rules.rules]}
        typer.echo(orjson.dumps(about).decode())
        return 0
    typer.echo(f"{file} is right: {counted(len(rules.rules), 'rule')}, version {rules.version}")
    for rule in rules.rules:
        typer.echo(f"  {rule.name}: {rule.action} by {rule.channel} when {describe(rule.when)}")
    typer.echo(_limits(rules))
    if rules.limits.per_hour < settings.partitions:
        typer.echo(
            f"  per_hour is shared out over {settings.partitions} partitions: customers of "
            f"{settings.partitions - rules.limits.per_hour} of them get nothing"
        )
    return 0


def describe(when: Any) -> str:
    """Say a trigger in words.

    Examples
    --------
    >>> from crm_online.actions.when import ChurnAbove, Silent
    >>> describe(AnyOf(any=[ChurnAbove(churn_above=0.7), Silent(silent_days=14)]))
    '(churn above 0.7 or silent for 14 days)'
    """
    if isinstance(when, AnyOf | AllOf):
        word, parts = (" or ", when.any) if isinstance(when, AnyOf) else (" and ", when.all)
        return f"({word.join(map(describe, parts))})"
    if isinstance(when, Silent):
        return f"silent for {when.silent_days:g} days"
    if isinstance(when, CartLeft):
        return f"a cart is left for {when.cart_left_hours:g} hours"
    (name, value), *_ = when.model_dump().items()
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    words: str = name.replace("_", " ")
    return f"an item is viewed {shown} times" if name == "viewed" else f"{words} {shown}"


def _limits(rules: RuleSet) -> str:
    caps = [f"{cap.at_most} in {counted(cap.days, 'day')}" for cap in rules.limits.overall]
    quiet = rules.quiet_hours
    hours = f"{quiet.begin:%H:%M} to {quiet.end:%H:%M}" if quiet is not None else "none"
    return (
        f"  a customer gets at most {' and '.join(caps) or 'any number'}; quiet hours: {hours}; "
        f"control group: {rules.control.share:.0%}; all together at most "
        f"{rules.limits.per_hour:,} an hour"
    )
