"""`crm-online verify` on a real Kafka: exact with real workers, and not with broken ones."""

from __future__ import annotations

import json
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from crm_online.errors import ConfigurationError
from crm_online.settings import Settings
from streams.configuration import load
from streams.embedded import RealKafka, Valkey
from streams.verify.command import run_verify, verify
from streams.verify.report import as_json
from streams.verify.run import Figures, Trial
from streams.verify.schedule import Kind, Wanted
from streams.verify.workers import variables
from tests.streams.broken_worker import RULES

BROKEN = Path(__file__).with_name("broken_worker.py")
KILLED, PAUSED = 5000, 20_000  # events that a kill, and a pause, may have repeated at the most
FOUND = {
    "stale-restore": "customer states",
    "early-commit": "customer states",
    "no-rewind": "scores",
    "no-dedupe": "customer states",
    "no-marks": "learned once",
    "older-writes": "cache",
}


def broken(rule: str, folder: Path, kafka: RealKafka, valkey: Valkey) -> Figures:
    settings = Settings(kafka=kafka.address, redis=SecretStr(valkey.url), max_batch=50)
    entry = (sys.executable, str(BROKEN), rule, str(folder))
    # A second one that joins at once has all positions looked up anew, and so hides the fault.
    workers = 1 if rule.startswith("no-rewind") else 2
    return verify(settings, Trial(events=10_000, workers=workers, seed=1, entry=entry))


@pytest.mark.real
@pytest.mark.timeout(600)
def test_a_short_run_with_kills_and_a_pause_is_exact(
    real_kafka: RealKafka, valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(kafka=real_kafka.address, redis=SecretStr(valkey.url))
    code = run_verify(
        settings,
        kills=4,
        pauses=1,
        broker_restarts=0,
        cache_outages=0,
        events=100_000,
        workers=2,
        seed=1,
        keep=False,
        json=True,
    )
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["exact"], found["differences"]
    assert code == 0
    assert found["events"] >= 100_000
    assert (found["kills"], found["pauses"], found["missing"]) == (4, 1, 0)
    assert found["differences"] == []
    assert found["repeated"] <= 4 * KILLED + PAUSED
    assert found["scored_while_disturbed"] > 0  # else it proves nothing
    assert not any("verify-" in name for name in real_kafka._admin().list_topics(timeout=10).topics)


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(600)
def test_workers_that_leave_and_join_in_order_repeat_nothing(
    real_kafka: RealKafka, valkey: Valkey
) -> None:
    settings = Settings(kafka=real_kafka.address, redis=SecretStr(valkey.url))
    figures = verify(settings, Trial(events=50_000, workers=2, seed=1))
    assert figures.exact, as_json(figures)
    assert figures.done[Kind.LEAVE] == figures.done[Kind.JOIN] == 1
    assert figures.outcome.repeated == 0


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_million_events_through_every_disturbance_stay_exact(seed: int) -> None:
    wanted = Wanted(kills=20, pauses=6, broker_restarts=2, cache_outages=3)
    figures = verify(Settings(), Trial(1_000_000, 3, seed, wanted))
    assert figures.exact, as_json(figures)
    assert [figures.done[kind] for kind in (Kind.KILL, Kind.PAUSE, Kind.BROKER, Kind.CACHE)] == [
        *wanted
    ]
    assert figures.outcome.repeated <= 20 * KILLED + (6 + 2) * PAUSED


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_switched_off_is_found(
    rule: str, tmp_path: Path, real_kafka: RealKafka, valkey: Valkey
) -> None:
    figures = broken(rule, tmp_path, real_kafka, valkey)
    inexact = {check.name for check in figures.outcome.checks if not check.exact}
    assert FOUND[rule] in inexact
    assert not figures.exact


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", RULES)
def test_the_same_stall_with_every_rule_kept_is_exact(
    rule: str, tmp_path: Path, real_kafka: RealKafka, valkey: Valkey
) -> None:
    figures = broken(f"{rule}-kept", tmp_path, real_kafka, valkey)
    assert figures.exact, as_json(figures)


@pytest.mark.parametrize(
    ("wanted", "option"),
    [
        (Wanted(broker_restarts=1), "--broker-restarts"),
        (Wanted(cache_outages=1), "--cache-outages"),
    ],
)
def test_servers_that_are_not_ours_are_left_alone(wanted: Wanted, option: str) -> None:
    settings = Settings(kafka="127.0.0.1:1", redis=SecretStr("redis://127.0.0.1:1/0"))
    with pytest.raises(ConfigurationError, match=f"{option} needs"):
        verify(settings, Trial(100, 1, 1, wanted))


def test_settings_reach_the_workers_as_variables() -> None:
    settings = Settings(
        kafka="kafka:9092",
        redis=SecretStr("redis://:sesame@cache/0"),
        max_ahead_days=None,
        declare_topics=False,
        activity_kinds=("Order Completed",),
        rates={"USD": Decimal("0.92"), "GBP": {date(2024, 1, 1): Decimal("1.15")}},
    )
    found = dict(variables(settings))
    assert found["CRM_REDIS"] == "redis://:sesame@cache/0"
    assert found["CRM_MAX_AHEAD_DAYS"] == "none"
    assert found["CRM_DECLARE_TOPICS"] == "false"
    assert json.loads(found["CRM_ACTIVITY_KINDS"]) == ["Order Completed"]
    assert load(environment={"CRM_RATES": found["CRM_RATES"]}).rates == settings.rates
