"""`crm-online verify`: settings of a run, its lines and its exit code."""

from __future__ import annotations

import asyncio
import json as json_format
import logging
import secrets
import signal
import tempfile
import time
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Final

from crm_online.sinks.redis.connection import RETRIES, Link, connect
from streams.admin import Admin
from streams.exits import say
from streams.logs import configure_logs
from streams.screen import screen
from streams.verify.cleaning import remove_all
from streams.verify.report import as_json, as_table
from streams.verify.run import Run, Trial
from streams.verify.schedule import Wanted
from streams.verify.servers import serving

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.verify.run import Figures

__all__ = ["run_verify", "verify", "verify_settings"]

LINE_SECONDS: Final = 5.0
# Short terms, so that days of event time hold the whole life of predictions and customers.
OURS: Final[dict[str, object]] = {
    "declare_topics": True,
    "horizon_days": 14.0,
    "active_days": 30.0,
    "state_ttl_days": 50.0,
    "model_publish_seconds": 1.0,
    "next_item_publish_seconds": 5.0,
    "web_port": 0,
}
# Unless the user says otherwise.
DEFAULTS: Final[dict[str, object]] = {
    "partitions": 6,
    "max_batch": 500,
    "session_timeout_seconds": 6.0,
    "fetch_max_wait_seconds": 0.1,
}


def run_verify(  # noqa: PLR0913 - one for each option
    settings: Settings,
    *,
    kills: int,
    pauses: int,
    broker_restarts: int,
    cache_outages: int,
    events: int,
    workers: int,
    seed: int,
    keep: bool,
    json: bool,
) -> int:
    """Disturb a job of its own, and compare what it leaves with an undisturbed run.

    Parameters
    ----------
    settings
        Where Kafka and Redis are; what they do not name is started here, and only that can be
        taken away.
    kills, pauses, broker_restarts, cache_outages
        How often.
    events, workers, seed
        Length of the stream, workers at the beginning, and what decides everything random.
    keep
        Leave topics, groups and keys for a look at them.
    json
        Print one object in place of the table.

    Returns
    -------
    int
        0 where the job was exact, else 1.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop in order
    configure_logs(logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker is taken away on purpose
    wanted = Wanted(kills, pauses, broker_restarts, cache_outages)
    trial = Trial(events=events, workers=workers, seed=seed, wanted=wanted)
    figures = verify(settings, trial, keep=keep)
    if json:
        print(json_format.dumps(as_json(figures)))  # noqa: T201 - the result
    else:
        screen().print(as_table(figures))
    return 0 if figures.exact else 1


def verify(settings: Settings, trial: Trial, *, keep: bool = False) -> Figures:
    """Start what the settings do not name, do one run, and remove its traces."""
    with serving(verify_settings(settings, trial.seed), trial.wanted) as servers:
        _ask(servers.settings)
        folder = Path(tempfile.mkdtemp(prefix="crm-online-verify-"))
        try:
            return asyncio.run(Run(trial, servers, folder, _Lines()).run())
        finally:
            if keep:
                say(f"left as they are: {servers.settings.app}.* on your servers, logs in {folder}")
            else:
                rmtree(folder, ignore_errors=True)
                for sentence in remove_all(servers):
                    say(sentence, style="yellow")


def _ask(settings: Settings) -> None:
    """See that broker and cache answer, before minutes of work depend on them."""
    Admin(settings).partitions()
    asyncio.run(_ping(settings))


async def _ping(settings: Settings) -> None:
    client = connect(settings)
    try:
        await Link(client, RETRIES).send([("PING",)])
    finally:
        await client.aclose()


def verify_settings(settings: Settings, seed: int) -> Settings:
    """Return the settings of a run: the user's, under a prefix of its own, with short terms."""
    given = settings.model_fields_set
    defaults = {name: value for name, value in DEFAULTS.items() if name not in given}
    app = f"verify-{seed}-{secrets.token_hex(4)}"
    return settings.model_copy(update={**defaults, **OURS, "app": app})


class _Lines:
    """Says how far a run is, now and then; a new kind of line at once."""

    def __init__(self) -> None:
        self._said = -LINE_SECONDS
        self._kind = ""

    def __call__(self, line: str) -> None:
        kind = line.split(" ", 1)[0]
        now = time.monotonic()
        if kind != self._kind or now - self._said >= LINE_SECONDS:
            self._said, self._kind = now, kind
            say(line)
