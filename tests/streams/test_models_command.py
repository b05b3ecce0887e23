"""`crm-online models` on a broker: shows what the learner says, and tells it what to do."""

from __future__ import annotations

import asyncio
import json
from functools import cache

import pytest
from typer.testing import CliRunner, Result

from crm_online import Learner
from crm_online.log import LogRecord, Message
from crm_online.settings import Settings
from streams.cli import app as command_line
from streams.embedded import MockBroker, RealKafka
from streams.model_commands.reading import read_live
from streams.producer import OutputProducer
from streams.topics import create_missing
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work
from tests.outcomes import history, log_of

CHALLENGERS = {
    "prior": {"class": "river.dummy.PriorClassifier"},
    "broken": {"class": "river.dummy.NoChangeClassifier", "share": 0.5},
}
CONTESTED = Settings(min_outcomes=20, churn_challengers=CHALLENGERS)


@cache
def taught() -> Learner:
    learner = Learner(CONTESTED)
    learner.process("outcomes", log_of(history(400, touches=10)))
    learner.contests["churn"].contest.contestants["broken"].benched = "it predicted no probability"
    return learner


@pytest.fixture
def settings(app: str, broker: MockBroker | RealKafka) -> Settings:
    real = isinstance(broker, RealKafka)
    found = Settings(app=app, kafka=broker.address, partitions=4, declare_topics=real)
    create_missing(found)
    learner = taught()
    learner._reported = (-1, -1)
    asyncio.run(append(found, "metrics", learner.metrics()))
    asyncio.run(append(found, "outcomes", [Message(b"p", b"{}")]))
    return found


async def append(settings: Settings, noun: str, messages: list[Message]) -> None:
    producer = OutputProducer(settings, lambda error: None)
    await producer.start()
    await producer.deliver(settings.topic(noun), 0, messages)
    await producer.stop()


def run(settings: Settings, *arguments: str) -> Result:
    where = ["--kafka", settings.kafka, "--app", settings.app]
    return CliRunner().invoke(command_line, ["models", *arguments, *where])


def orders(settings: Settings) -> list[LogRecord]:
    """Read what was written behind the first record of the outcomes."""

    async def read() -> list[LogRecord]:
        async with Scan(settings, Work()) as scan:
            bounds = await scan.bounds("outcomes", 1)
            found = [r async for _, records in scan.read("outcomes", bounds, "") for r in records]
        return [LogRecord(r.offset, 0, r.key, r.value, r.headers) for r in found[1:]]

    return asyncio.run(read())


def test_a_record_of_a_newer_version_is_told_and_the_rest_is_shown(settings: Settings) -> None:
    newer = Message(b"k", b'{"of": "a newer version"}', [("ce_type", b"crm.drift.updated")])
    asyncio.run(append(settings, "metrics", [newer]))
    done = run(settings, "list", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["models"]
    assert "holds 1 record that this version cannot read" in " ".join(done.stderr.split())


def test_list_and_compare_show_what_the_learner_says(settings: Settings) -> None:
    found = json.loads(run(settings, "list", "--json").stdout)
    churn = next(each for each in found["models"] if each["model"] == "churn")
    assert churn["champion"] == "main"
    assert [each["name"] for each in churn["contestants"]] == ["main", "prior", "broken"]
    assert churn["version"] == f"churn@{taught().watch.offset}"
    windows = {(each["model"], each["window"]) for each in found["quality"]}
    assert ("churn", "last-1000") in windows
    assert ("next_item", "last-10000") in windows
    table = run(settings, "list").stdout
    assert "benched: it predicted no probability" in table
    assert "expected_auc" in table
    assert "late 0, unscored 0" in table
    assert "rated: predictions whose label is known" in run(settings, "list").stderr
    compared = json.loads(run(settings, "compare", "churn", "--json").stdout)
    assert [each["model"] for each in compared] == ["churn"]
    assert "prior" in run(settings, "compare").stdout


def test_promote_and_rollback_are_records_that_the_learner_follows(settings: Settings) -> None:
    done = run(settings, "promote", "churn", "prior", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["done"]
    learner = Learner(CONTESTED)
    learner.process("outcomes", log_of(history(400, touches=10)))
    end = learner.watch.offset
    (order,) = orders(settings)
    learner.process("outcomes", [order._replace(offset=end + 1)])
    contest = learner.contests["churn"].contest
    assert (contest.champion, contest.changes[-1].why) == ("prior", "by hand")
    asyncio.run(append(settings, "metrics", learner.metrics()))
    assert asyncio.run(read_live(settings)).contests["churn"].champion == "prior"
    assert run(settings, "rollback", "churn").exit_code == 0
    learner.process("outcomes", [orders(settings)[1]._replace(offset=end + 2)])
    assert contest.champion == "main"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("promote", "churn", "nobody"), "there are broken, main, prior"),
        (("promote", "churn", "main"), "champion of churn already"),
        (("promote", "churn", "broken"), "is benched"),
        (("promote", "segments", "main"), "name churn or value"),
        (("rollback", "churn"), "nobody to roll back to"),
        (("compare", "quality"), "name churn or value"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    settings: Settings, arguments: tuple[str, ...], words: str
) -> None:
    refused = run(settings, *arguments)
    assert refused.exit_code == 2
    assert words in " ".join(refused.stderr.split())
    assert orders(settings) == []


def test_who_was_not_compared_yet_is_named_with_the_reason(
    app: str, broker: MockBroker | RealKafka
) -> None:
    real = isinstance(broker, RealKafka)
    found = Settings(app=app, kafka=broker.address, partitions=4, declare_topics=real)
    create_missing(found)
    young = Learner(Settings(min_outcomes=500, churn_challengers={"prior": CHALLENGERS["prior"]}))
    young.process("outcomes", log_of(history(200)))
    asyncio.run(append(found, "metrics", young.metrics()))
    said = " ".join(run(found, "compare", "churn").stderr.split())
    assert "not compared yet: prior (" in said
    assert "from 500 outcomes of each kind on (CRM_MIN_OUTCOMES of the learner)" in said


def test_before_the_first_outcome_it_says_so(app: str, broker: MockBroker | RealKafka) -> None:
    real = isinstance(broker, RealKafka)
    empty = Settings(app=app, kafka=broker.address, partitions=4, declare_topics=real)
    create_missing(empty)
    asyncio.run(append(empty, "metrics", [Message(b"score/w/lag", b"{}")]))  # another role's
    assert "no outcome was learned" in run(empty, "list").stderr
    refused = run(empty, "promote", "churn", "prior")
    assert (refused.exit_code, "says nothing of churn yet" in " ".join(refused.stderr.split())) == (
        2,
        True,
    )


def test_another_signing_key_is_refused_before_anything_is_written(settings: Settings) -> None:
    learner = Learner(CONTESTED)
    learner.process("outcomes", log_of(history(20, touches=2)))
    asyncio.run(append(settings, "models", learner.publish()))
    done = run(
        settings, "promote", "churn", "prior", "--set", "signing_key=another-key-of-32-bytes"
    )
    assert done.exit_code == 1
    assert "not signed with our key" in done.stderr
    assert not orders(settings)
