"""What the learner knows of its models' quality, as records for ``crm.metrics``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isfinite
from typing import Final

import msgspec

from crm_online.cloudevents import event_id, headers
from crm_online.log import Message
from crm_online.metrics import (
    ActionEffect,
    ChangeOfChampion,
    ContestUpdate,
    DriftAlarm,
    DriftUpdate,
    QualityUpdate,
    Standing,
    UpliftUpdate,
)
from crm_online.models.contest import Contest
from crm_online.models.contestants import Contestant
from crm_online.models.snapshots import Place
from crm_online.monitoring.monitor import Monitor
from crm_online.monitoring.quality import Quality
from crm_online.monitoring.uplift import CONFIDENCE, Comparison, Uplift
from crm_online.monitoring.windows import WINDOWS, churn_figures, list_figures, value_figures
from crm_online.scores import Source

__all__ = ["Figures", "Reports", "live_figures"]

Figures = dict[str, float | None]
Update = QualityUpdate | DriftUpdate | ContestUpdate | UpliftUpdate

_encode: Final = msgspec.json.Encoder().encode


class Reports:
    """Encodes the state of quality, drift and contests.

    Parameters
    ----------
    app
        Prefix of topics.
    """

    def __init__(self, app: str) -> None:
        self._source = f"{app}/learn".encode()

    def messages(
        self,
        place: Place,
        monitor: Monitor,
        quality: Quality,
        contests: Mapping[str, Contest],
        uplift: Uplift,
    ) -> list[Message]:
        """Return one record per model and window, one on drift, one per contest and per action.

        Parameters
        ----------
        place
            Epoch and offset of the last outcome that the monitor has taken in.
        monitor
            Between two batches.
        quality
            Since the beginning.
        contests
            By model.
        uplift
            Of actions.
        """
        at = monitor.at
        if at is None:
            return []
        champions = {name: contest.champion for name, contest in contests.items()}
        named: list[tuple[str, str, Update]] = [
            (
                f"quality.{model}.{window}",
                "quality",
                QualityUpdate(
                    model, window, at, *place, champions.get(model, "main"), outcomes, figures
                ),
            )
            for model, window, outcomes, figures in (
                *live_figures(monitor, quality),
                *_held_out(uplift.held_out),
            )
        ]
        named.append(("drift", "drift", _drift(place, monitor)))
        named += [(f"contest.{n}", "contest", _contest(at, place, c)) for n, c in contests.items()]
        named += [
            (f"uplift.{name}", "uplift", _uplift(name, at, place, each))
            for name, each in uplift.actions.items()
        ]
        return [self._message(name, kind, place, at, update) for name, kind, update in named]

    def _message(self, name: str, kind: str, place: Place, at: datetime, update: Update) -> Message:
        epoch, offset = place
        ce_id = event_id("", Source(epoch, 0, offset), name)
        ce = headers(f"crm.{kind}.updated".encode(), self._source, ce_id, at)
        return Message(f"learn/-/{name}".encode(), _encode(update), ce)


def live_figures(monitor: Monitor, quality: Quality) -> Iterator[tuple[str, str, int, Figures]]:
    """Return model, window, how many outcomes it holds, and the figures.

    Parameters
    ----------
    monitor
        Between two batches.
    quality
        Since the beginning.
    """
    whole = quality.figures()
    settled, lists = int(whole["settled"] or 0), int(whole["next_items"] or 0)
    churn: Figures = {name: whole[name] for name in ("auc", "log_loss", "churn_rate")}
    value: Figures = {"mae": whole["value_mae"], "sum_ratio": whole["value_sum_ratio"]}
    yield "churn", "all", settled, _floats(churn)
    yield "value", "all", settled, _floats(value)
    yield "next_item", "all", lists, _floats({name: whole[name] for name in ("hit_rate", "mrr")})
    estimated = monitor.open.auc()
    for size in WINDOWS:
        window, rows = f"last-{size}", monitor.churn.newest(size)
        figures = churn_figures(rows)
        figures |= {"open": float(monitor.open.open), "estimated_auc": estimated}
        figures["gap"] = _difference(estimated, figures["auc"])
        yield "churn", window, len(rows), figures
        rows = monitor.value.newest(size)
        yield "value", window, len(rows), value_figures(rows)
        rows = monitor.lists.newest(size)
        yield "next_item", window, len(rows), list_figures(rows)


def _held_out(quality: Quality) -> Iterator[tuple[str, str, int, Figures]]:
    """Return figures of customers held out from actions, whose labels no action has changed."""
    figures = quality.figures()
    settled = int(figures["settled"] or 0)
    if settled:
        churn: Figures = {name: figures[name] for name in ("auc", "log_loss", "churn_rate")}
        yield "churn", "control", settled, _floats(churn)
        value: Figures = {"mae": figures["value_mae"], "sum_ratio": figures["value_sum_ratio"]}
        yield "value", "control", settled, _floats(value)


def _uplift(action: str, at: datetime, place: Place, found: Comparison) -> UpliftUpdate:
    effects = [
        ActionEffect(
            each.measure,
            each.treated,
            each.control,
            each.difference,
            each.low if isfinite(each.low) else None,
            each.high if isfinite(each.high) else None,
            each.verdict,
        )
        for each in found.differences()
    ]
    treated, control = found.counts
    return UpliftUpdate(
        action, at, *place, treated, control, found.expected, found.balanced, CONFIDENCE, effects
    )


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _floats(figures: Figures) -> Figures:
    return {name: None if value is None else float(value) for name, value in figures.items()}


def _drift(place: Place, monitor: Monitor) -> DriftUpdate:
    alarms = [DriftAlarm(*alarm) for alarm in monitor.alarms]
    bias = 2.0 * monitor.bias.mean - 1.0 if monitor.bias.width else 0.0
    stability = dict(monitor.shift.newest)
    return DriftUpdate(monitor.at, *place, stability, monitor.loss.mean, bias, alarms)


def _contest(at: datetime, place: Place, contest: Contest) -> ContestUpdate:
    standings = [
        _standing(each, champion=each.name == contest.champion)
        for each in contest.contestants.values()
    ]
    changes = [ChangeOfChampion(*change) for change in contest.changes]  # type: ignore[arg-type]
    return ContestUpdate(contest.task, at, *place, contest.champion, standings, changes)


def _standing(each: Contestant, *, champion: bool) -> Standing:
    evidence = each.evidence
    compared = evidence.compared
    return Standing(
        each.name,
        champion,
        each.share,
        each.since,
        each.learned,
        compared,
        each.loss / compared if compared else None,
        each.champion_loss / compared if compared else None,
        evidence.log_capital,
        evidence.log_needed,
        each.benched,
    )
