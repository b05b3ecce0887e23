"""What `crm-online models promote` and `rollback` do: a signed record on the models' input."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from crm_online.errors import ConfigurationError
from crm_online.internal import directive
from streams.model_commands.reading import check_key, read_live
from streams.topics import partition_count
from streams.upkeep.reporting import Report, print_report
from streams.upkeep.writing import writing

if TYPE_CHECKING:
    from crm_online.log import Message
    from crm_online.metrics import ContestUpdate
    from crm_online.settings import Settings

__all__ = ["promote", "roll_back"]


def promote(settings: Settings, model: str, name: str, *, json: bool = False) -> int:
    """Make a contestant champion; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    model
        ``"churn"`` or ``"value"``.
    name
        Of the contestant.
    json
        Print JSON in place of a sentence.

    Raises
    ------
    ConfigurationError
        Where nobody like that can be promoted.
    SnapshotError
        Where our signing key is not the learner's.
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    contest = asyncio.run(read_live(settings)).contest(settings, model)
    _check(contest, name)
    _write(settings, directive(_key(settings), model, "promote", name))
    return _report("promote", f"{name} becomes champion of {model}", model, json=json)


def roll_back(settings: Settings, model: str, *, json: bool = False) -> int:
    """Make the champion before this one champion again; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    model
        ``"churn"`` or ``"value"``.
    json
        Print JSON in place of a sentence.

    Raises
    ------
    ConfigurationError
        Where there was no other.
    SnapshotError
        Where our signing key is not the learner's.
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    contest = asyncio.run(read_live(settings)).contest(settings, model)
    if not any(change.kind in {"promoted", "rolled-back"} for change in contest.changes):
        raise ConfigurationError(
            f"{contest.champion} has been champion of {model} from the beginning: there is nobody "
            f"to roll back to; promote one by `crm-online models promote {model} NAME`"
        )
    _write(settings, directive(_key(settings), model, "rollback", ""))
    return _report(
        "rollback", f"the champion of {model} before this one comes back", model, json=json
    )


def _check(contest: ContestUpdate, name: str) -> None:
    found = {each.name: each for each in contest.contestants}
    if name not in found:
        raise ConfigurationError(
            f"{name!r} does not learn {contest.model}: there are "
            f"{', '.join(sorted(found))}; add it to CRM_{contest.model.upper()}_CHALLENGERS "
            "and restart the learner"
        )
    if found[name].champion:
        raise ConfigurationError(f"{name} is champion of {contest.model} already")
    if found[name].benched:
        raise ConfigurationError(
            f"{name} is benched ({found[name].benched}): correct it in "
            f"CRM_{contest.model.upper()}_CHALLENGERS and restart the learner"
        )


def _key(settings: Settings) -> bytes:
    return settings.signing_key.get_secret_value().encode()


def _write(settings: Settings, message: Message) -> None:
    partition_count(settings, "outcomes")  # which says where there is no such topic
    asyncio.run(check_key(settings))  # or the learner would pass the record over

    async def write() -> None:
        async with writing(settings) as writer:
            await writer.write("outcomes", 0, [message])

    asyncio.run(write())


def _report(action: str, sentence: str, model: str, *, json: bool) -> int:
    report = Report(action, f"{sentence} as soon as the learner comes to this record")
    report.then = f"`crm-online models compare {model}` shows when it has"
    return print_report(report, json=json)
