"""A history put on the log: what its scorers only counted is told, and Ctrl-C ends it in order."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import plan_replay
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.feeding import Fed, feed
from tests.builders import START, product_viewed
from tests.streams.job import job_settings, working

DAY = 86_400.0


def history(days: range) -> list[RawEvent]:
    return [
        RawEvent(at, who, product_viewed("mug", who, at=at, message_id=f"{who}-{day}"))
        for day in days
        for at in (START + day * DAY,)
        for who in ("ann", "bob", "cyd", "dan")
    ]


@pytest.mark.asyncio
async def test_what_was_too_late_is_told(
    broker: MockBroker | RealKafka, valkey: Valkey, app: str
) -> None:
    settings = job_settings(app, broker, valkey)
    async with working(settings, ["score"]):
        newer = history(range(30, 33))
        assert await feed(plan_replay(newer, None), settings, settle=True) == Fed(12, 0)
        older = history(range(3))
        assert await feed(plan_replay(older, None), settings, settle=True) == Fed(12, 12)
        both = history(range(24, 28))  # all but the first is less than a week behind
        again = await feed(plan_replay(both, None), settings, settle=True)
        assert again == Fed(16, 4)


def test_ctrl_c_at_a_barrier_is_no_traceback(
    mock_broker: MockBroker, app: str, tmp_path: Path
) -> None:
    mock_broker.create_topics({f"{app}.{noun}": 4 for noun in ("events", "state")})
    mock_broker.create_topics({f"{app}.{noun}": 1 for noun in ("models", "outcomes")})
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(event.value + b"\n" for event in history(range(9))))
    arguments = ["replay", str(file), "--kafka", mock_broker.address, "--app", app]
    with subprocess.Popen(
        [sys.executable, "-m", "streams", *arguments],
        stderr=subprocess.PIPE,
        # Who runs the tests in the background makes its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        assert process.stderr
        assert process.stderr.readline().startswith(b"replaying")  # nobody reads: it waits
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"".join(line for line in said.splitlines(True) if b"%" not in line) == (
        b"crm-online: interrupted\n"
    )
