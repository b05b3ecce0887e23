"""What `crm-online models list` and `compare` print."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crm_online.metrics import ContestUpdate, Standing
from streams.exits import counted, say
from streams.model_commands.reading import Live, read_live
from streams.screen import screen

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["compare_models", "list_models"]

_LISTED: Final = ("model", "estimator", "state", "learned", "share", "since")
_FIGURES: Final = ("model", "window", "rated", "figures")
_COUNTS: Final = frozenset({"open", "late", "unscored"})
_COMPARED: Final = ("model", "challenger", "outcomes", "loss", "champion’s", "evidence", "needed")
_CHANGED: Final = ("model", "offset", "when", "what", "estimator", "before", "why")


def list_models(settings: Settings, *, json: bool = False) -> int:
    """Print all contestants, and how well each model does; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    json
        Print JSON in place of tables.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers.
    ConfigurationError
        Where the topic does not exist.
    """
    live = asyncio.run(read_live(settings))
    if json:
        _print_json(
            {
                "models": [_about(contest) for contest in live.contests.values()],
                "quality": [msgspec.to_builtins(each) for each in live.quality.values()],
                "drift": None if live.drift is None else msgspec.to_builtins(live.drift),
            }
        )
        return 0
    if not live.contests:
        say(f"{settings.topic('metrics')} holds no live metrics yet: no outcome was learned")
        return 0
    console = screen()
    rows = ((c, s) for c in live.contests.values() for s in c.contestants)
    _print(console, _LISTED, (_listed(contest, standing) for contest, standing in rows))
    _print(console, _FIGURES, _figures(live))
    if live.quality:
        say(
            "rated: predictions whose label is known, made in time and with a number; not so: "
            "late ones, and unscored ones, made before enough outcomes were known"
        )
    if live.drift is not None:
        _print(
            console,
            ("alarm", "name", "by now", "before", "when", "offset"),
            (
                (
                    a.kind,
                    a.name,
                    f"{a.value:.4f}",
                    f"{a.usual:.4f}",
                    f"{a.at:%Y-%m-%d %H:%M}",
                    f"{a.offset}",
                )
                for a in live.drift.alarms[-5:]
            ),
        )
    return 0


def compare_models(settings: Settings, model: str | None, *, json: bool = False) -> int:
    """Print challengers beside their champion, and all changes; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    model
        ``"churn"`` or ``"value"``; None for both.
    json
        Print JSON in place of tables.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers.
    ConfigurationError
        Where the topic does not exist, or says nothing of that model.
    """
    live = asyncio.run(read_live(settings))
    wanted = [*live.contests] if model is None else [live.contest(settings, model).model]
    contests = [live.contests[name] for name in wanted]
    if json:
        _print_json([_about(contest) for contest in contests])
        return 0
    console = screen()
    challengers = [(c, s) for c in contests for s in c.contestants if not s.champion]
    if not challengers:
        say("nobody challenges: name challengers in CRM_CHURN_CHALLENGERS or CRM_VALUE_CHALLENGERS")
    if waiting := [each for _, each in challengers if not each.compared and not each.benched]:
        say(_why_not_compared(waiting))
    _print(console, _COMPARED, (_compared(contest, each) for contest, each in challengers))
    _print(console, _CHANGED, (row for contest in contests for row in _changes(contest)))
    return 0


def _why_not_compared(waiting: Sequence[Standing]) -> str:
    """Say when those will be compared who are not, by what is in force at the learner."""
    needed = sorted({each.min_outcomes for each in waiting if each.min_outcomes is not None})
    from_ = " or ".join(f"{number:,}" for number in needed) or "some"
    some = ", ".join(f"{each.name} ({counted(each.learned, 'outcome')})" for each in waiting)
    return (
        f"learned, but not compared yet: {some}. Contestants predict from {from_} outcomes "
        "of each kind on (CRM_MIN_OUTCOMES of the learner): churned and active, or customers who "
        "spent. A low share takes longer, and after a change of champion all comparisons begin anew"
    )


def _about(contest: ContestUpdate) -> dict[str, Any]:
    return {**msgspec.to_builtins(contest), "version": _version(contest)}


def _version(contest: ContestUpdate) -> str:
    by = "" if contest.champion == "main" else f"/{contest.champion}"
    return f"{contest.model}@{contest.offset}{by}"


def _listed(contest: ContestUpdate, each: Standing) -> tuple[str, ...]:
    state = "champion" if each.champion else "challenger"
    if each.benched:
        state = f"benched: {each.benched}"
    since = "the beginning" if each.since < 0 else f"outcome {each.since}"
    return contest.model, each.name, state, f"{each.learned:,}", f"{each.share:g}", since


def _figures(live: Live) -> Iterable[tuple[str, ...]]:
    for (model, window), quality in sorted(live.quality.items()):
        known = (
            f"{n} {v:,.0f}" if n in _COUNTS else f"{n} {v:.4f}"
            for n, v in quality.figures.items()
            if v is not None
        )
        yield model, window, f"{quality.outcomes:,}", ", ".join(known)


def _compared(contest: ContestUpdate, each: Standing) -> tuple[str, ...]:
    return (
        contest.model,
        each.name,
        f"{each.compared:,}",
        _number(each.loss),
        _number(each.champion_loss),
        "benched" if each.benched else f"{each.evidence:.2f}",
        f"{each.needed:.2f}",
    )


def _changes(contest: ContestUpdate) -> Iterable[tuple[str, ...]]:
    for change in contest.changes:
        at = "" if change.at is None else f"{change.at:%Y-%m-%d %H:%M}"
        yield (
            contest.model,
            f"{change.offset}",
            at,
            change.kind,
            change.name,
            change.before,
            change.why,
        )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _print(console: Console, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    if table.row_count:
        console.print(table)
        console.print()


def _print_json(found: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
