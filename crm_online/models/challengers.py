"""Contests as the settings describe them: the model that is configured, and its challengers."""

from __future__ import annotations

import json
from typing import Any, Final

from crm_online.errors import ConfigurationError
from crm_online.model_specs import ModelSpec
from crm_online.models.active import new_models
from crm_online.models.contest import MAIN, Contest, Entry
from crm_online.settings import Settings

__all__ = ["CONTESTED", "new_contests", "new_entries"]

CONTESTED: Final = ("churn", "value")
SHARE: Final = "share"


def new_contests(settings: Settings) -> dict[str, Contest]:
    """Build the contest of every model that has one, untaught.

    Parameters
    ----------
    settings
        Of the whole program.

    Raises
    ------
    ConfigurationError
        Where an estimator cannot be built; the message names the setting and the challenger.

    Examples
    --------
    >>> forest = {"class": "river.forest.AMFClassifier", "seed": 7, "share": 0.25}
    >>> contest = new_contests(Settings(churn_challengers={"forest": forest}))["churn"]
    >>> contest.champion, list(contest.contestants)
    ('main', ['main', 'forest'])
    """
    return {task: Contest(task, new_entries(settings, task)) for task in CONTESTED}


def new_entries(settings: Settings, task: str) -> dict[str, Entry]:
    """Build the contestants of one model; the first is the one that is configured itself."""
    main: ModelSpec = getattr(settings, f"{task}_model")
    challengers: dict[str, ModelSpec] = getattr(settings, f"{task}_challengers")
    entries = {MAIN: Entry(new_models(settings)[task], _text(main))}
    for name, described in challengers.items():
        spec = {key: part for key, part in described.items() if key != SHARE}
        model = _build(settings, task, name, spec)
        entries[name] = Entry(model, _text(spec), float(described.get(SHARE, 1.0)))
    return entries


def _build(settings: Settings, task: str, name: str, spec: ModelSpec) -> Any:
    try:
        return new_models(settings.model_copy(update={f"{task}_model": spec}))[task]
    except ConfigurationError as error:
        wrong, right = f"CRM_{task.upper()}_MODEL", f"CRM_{task.upper()}_CHALLENGERS: {name}"
        raise ConfigurationError(str(error).replace(wrong, right)) from error


def _text(spec: ModelSpec) -> str:
    return json.dumps(spec, sort_keys=True)
