"""Commands as people run them: files good and bad, real servers, pipes, terminals and Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import pty
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from crm_online.settings import Settings
from crm_online.simulation.datasets import open_dataset
from crm_online.simulation.offline import score_history
from crm_online.simulation.replay import plan_replay
from crm_online.sinks.redis import CacheWriter, connect
from streams.cli import app as command_line
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.embedded.server import HOST, free_ports
from streams.topics import plan
from tests.builders import START, order_completed, product_viewed

DAY = 86_400.0
PARTITIONS = 4


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(command_line, arguments, env={"COLUMNS": "200", **environment})


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "streams", *arguments]


def history(days: int = 60) -> list[bytes]:
    found = []
    for day in range(days):
        at = START + day * DAY
        found.append(product_viewed(f"mug-{day % 5}", at=at, message_id=f"v{day}"))
        found.append(product_viewed("mug-1", "bob", at=at + 1, message_id=f"b{day}"))
    return [*found, order_completed("mug-1", at=START + days * DAY, message_id="o")]


def written(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return written(tmp_path / "events.jsonl", history())


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def ends(broker: MockBroker | RealKafka, topic: str) -> int:
    """Count the records of a topic."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "test", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        marks = [
            consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10) for p in partitions
        ]
    finally:
        consumer.close()
    return sum(high - low for low, high in marks)


class TestScore:
    def test_writes_scores_as_json_lines(self, events: Path) -> None:
        result = run("score", str(events))
        assert result.exit_code == 0
        assert {each["customer_id"] for each in records(result)} == {"ann", "bob"}
        assert "121 events in" in result.stderr

    def test_writes_settled_outcomes(self, events: Path) -> None:
        result = run("score", str(events), "--outcomes", "--set", "horizon_days=14")
        assert result.exit_code == 0
        assert {each["churned"] for each in records(result)} == {False}

    def test_reads_a_table_whose_rows_stand_in_any_order(self, tmp_path: Path) -> None:
        rows = [f"c{day},2024-01-{day:02},1{day}.50".encode() for day in range(1, 20)]
        random.Random(7).shuffle(rows)
        bad = b"c9,some day,1"
        file = written(tmp_path / "sales.csv", [b"client,day,total", *rows, bad])
        flags = ["--format", "csv", "--customer", "client", "--at", "day", "--amount", "total"]
        result = run("score", str(file), *flags)
        assert result.exit_code == 0
        at = [each["at"] for each in records(result)]
        assert at == sorted(at)
        assert len(at) >= 19
        assert "skipped 1 row: bad-time, in line 21" in result.stderr

    def test_leaves_events_as_they_arrived_where_told_to(self, tmp_path: Path) -> None:
        lines = [product_viewed("mug", at=START + at, message_id=f"{at}") for at in (9, 1)]
        result = run("score", str(written(tmp_path / "e", lines)), "--order", "arrival")
        assert [each["message_id"] for each in records(result)][:2] == ["9", "1"]
        result = run("score", str(written(tmp_path / "e", lines)))
        assert [each["message_id"] for each in records(result)][:2] == ["1", "9"]

    def test_takes_the_waits_from_the_settings(self, events: Path) -> None:
        assert run("score", str(events), CRM_MAX_AHEAD_DAYS="none").exit_code == 0
        assert run("score", str(events), CRM_MAX_AHEAD_DAYS="0").exit_code == 2


class TestBadFiles:
    def test_none(self, tmp_path: Path) -> None:
        result = run("score", str(tmp_path / "none"))
        assert (result.exit_code, result.stdout) == (2, "")
        assert "no file at" in result.stderr

    def test_folder(self, tmp_path: Path) -> None:
        result = run("replay", str(tmp_path))
        assert result.exit_code == 2
        assert "is a folder" in result.stderr

    @pytest.mark.parametrize("content", [b"", b"\n\n"])
    def test_empty(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "empty").write_bytes(content)
        result = run("score", str(tmp_path / "empty"))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "holds no event" in result.stderr

    @pytest.mark.parametrize("format_", ["online-retail", "rees46", "clicks"])
    def test_garbage_as_a_table(self, tmp_path: Path, format_: str) -> None:
        (tmp_path / "junk").write_bytes(random.Random(7).randbytes(5000))
        result = run("score", str(tmp_path / "junk"), "--format", format_)
        assert result.exit_code == 2
        assert "is not UTF-8: save it as UTF-8" in result.stderr
        assert result.stderr.strip().isprintable()

    def test_garbage_as_events_becomes_dead_letters(self, tmp_path: Path) -> None:
        (tmp_path / "junk").write_bytes(random.Random(7).randbytes(5000))
        result = run("score", str(tmp_path / "junk"))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "dead letters" in result.stderr

    def test_table_as_events(self, tmp_path: Path) -> None:
        (tmp_path / "sales.csv.gz").write_bytes(gzip.compress(b"client,day\nc,2024-01-01\n"))
        result = run("score", str(tmp_path / "sales.csv.gz"))
        assert result.exit_code == 2
        assert "say by --format what it holds" in result.stderr

    def test_gzip_that_is_cut_short(self, tmp_path: Path) -> None:
        (tmp_path / "cut.gz").write_bytes(gzip.compress(b"\n".join(history()))[:-20])
        result = run("score", str(tmp_path / "cut.gz"))
        assert result.exit_code == 1
        assert "cut short or damaged" in result.stderr


class TestShow:
    @pytest.fixture
    def cache(self, valkey: Valkey, events: Path) -> Valkey:
        asyncio.run(self._fill(Settings(redis=SecretStr(valkey.url)), events))
        return valkey

    async def _fill(self, settings: Settings, events: Path) -> None:
        steps = plan_replay(open_dataset(events, "segment"), DAY)
        async with connect(settings) as client:
            writer = CacheWriter(settings, client)
            for effects in score_history(steps, settings):
                for noun in ("scores", "recommendations"):
                    await writer.write(list(effects.outputs.get(noun, ())))

    def test_shows_what_the_cache_holds(self, cache: Valkey) -> None:
        result = run("show", "ann", "--redis", cache.url)
        assert result.exit_code == 0
        assert "Customer ann" in result.stdout
        assert "1 order" in result.stdout
        assert "\x1b" not in result.stdout

    def test_shows_it_as_json(self, cache: Valkey) -> None:
        result = run("show", "ann", "--json", CRM_REDIS=cache.url)
        assert json.loads(result.stdout)["scores"]["orders"] == 1

    def test_exits_with_1_for_a_customer_nobody_knows(self, cache: Valkey) -> None:
        for arguments in (["nobody"], ["nobody", "--json"], ["ann", "--app", "other"]):
            result = run("show", *arguments, "--redis", cache.url)
            assert (result.exit_code, result.stdout) == (1, "")
            assert "holds nothing on this customer" in result.stderr

    def test_exits_with_3_where_redis_is_away(self) -> None:
        (port,) = free_ports(1)
        result = run("show", "ann", "--redis", f"redis://:sesame@{HOST}:{port}")
        assert (result.exit_code, result.stdout) == (3, "")
        assert "CRM_REDIS" in result.stderr
        assert "sesame" not in result.stderr

    def test_exits_with_2_where_redis_refuses_us(self, valkey: Valkey) -> None:
        result = run("show", "ann", "--redis", f"redis://me:sesame@{HOST}:{valkey.port}")
        assert result.exit_code == 2
        assert "user or password in CRM_REDIS" in result.stderr
        assert "sesame" not in result.stderr


class TestTopics:
    @pytest.mark.real
    def test_creates_what_is_missing_and_leaves_the_rest(
        self, real_kafka: RealKafka, app: str
    ) -> None:
        flags = ["--kafka", real_kafka.address, "--app", app, "--json"]
        names = [topic.name for topic in plan(Settings(app=app))]
        missing = json.loads(run("topics", *flags, CRM_DECLARE_TOPICS="false").stdout)
        assert [each["topic"] for each in missing["differences"]] == names
        result = run("topics", *flags)
        assert (result.exit_code, json.loads(result.stdout)["created"]) == (0, names)
        result = run("topics", *flags)
        assert (result.exit_code, json.loads(result.stdout)["created"]) == (0, [])

    @pytest.mark.real
    def test_exits_with_1_and_names_what_differs(self, real_kafka: RealKafka, app: str) -> None:
        flags = ["--kafka", real_kafka.address, "--app", app]
        run("topics", *flags)
        result = run("topics", *flags, "--set", "partitions=3")
        assert result.exit_code == 1
        assert f"{app}.events: partitions is 8, planned 3" in result.stdout
        assert "was left as it is" in result.stderr

    def test_exits_with_3_where_kafka_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("streams.admin.TIMEOUT_SECONDS", 1.0)
        (port,) = free_ports(1)
        result = run("topics", "--kafka", f"{HOST}:{port}")
        assert (result.exit_code, result.stdout) == (3, "")
        assert "check CRM_KAFKA" in result.stderr
        assert result.stderr.count("\n") == 1


class TestReplay:
    def test_puts_every_line_on_the_topic(
        self, broker: MockBroker | RealKafka, app: str, events: Path
    ) -> None:
        topic = f"{app}.events"
        broker.create_topics({f"{app}.{noun}": PARTITIONS for noun in ("events", "state")})
        broker.create_topics({f"{app}.{noun}": 1 for noun in ("models", "outcomes")})
        flags = ["--kafka", broker.address, "--app", app, "--max-ahead", "none", "--json"]
        result = run("replay", str(events), *flags)
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["events"] == len(history())
        assert ends(broker, topic) == len(history()) + PARTITIONS  # a tick in each

    def test_says_that_topics_are_missing(
        self, real_kafka: RealKafka, app: str, events: Path
    ) -> None:
        result = run("replay", str(events), "--kafka", real_kafka.address, "--app", app)
        assert result.exit_code == 2
        assert "run `crm-online topics`" in result.stderr


class TestSimulate:
    def test_equal_seeds_give_equal_files(self, tmp_path: Path) -> None:
        files = [tmp_path / name for name in ("one", "two")]
        for file in files:
            flags = ["--customers", "20", "--days", "5", "--seed", "3", "--json"]
            result = run("simulate", *flags, "--output", str(file))
            assert json.loads(result.stdout)["events"] == file.read_bytes().count(b"\n")
        assert files[0].read_bytes() == files[1].read_bytes()

    def test_a_population_is_like_a_history(self, tmp_path: Path) -> None:
        history, like = tmp_path / "history.jsonl", tmp_path / "like.jsonl"
        flags = ["--customers", "40", "--days", "30", "--seed", "3"]
        assert run("simulate", *flags, "--output", str(history)).exit_code == 0
        result = run("simulate", "--like", str(history), "--output", str(like), "--json")
        assert result.exit_code == 0, result.output
        about = json.loads(result.stdout)
        assert about["customers"] == 40
        assert "like history.jsonl: customers 40, days " in result.stderr
        assert about["events"] == pytest.approx(history.read_bytes().count(b"\n"), rel=0.5)

    @pytest.mark.parametrize(
        ("flags", "code", "words"),
        [
            (("--like", "none.jsonl"), 2, "none.jsonl"),
            (("--format", "rees46"), 2, "--like"),
            (("--customer", "who"), 2, "--like"),
        ],
    )
    def test_what_it_cannot_be_like_is_told(
        self, flags: tuple[str, ...], code: int, words: str
    ) -> None:
        result = run("simulate", *flags, "--output", "-")
        assert result.exit_code == code
        assert words in result.output

    def test_a_file_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        result = run("simulate", "--output", str(tmp_path / "none" / "file"))
        assert result.exit_code == 1
        assert "No such file or directory" in result.stderr


class TestProcess:
    def test_a_reader_that_goes_away_ends_it_quietly(self) -> None:
        arguments = command("simulate", "--output", "-")
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stderr
            assert json.loads(process.stdout.readline())
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 141

    def test_ctrl_c_ends_it_with_a_word(self) -> None:
        arguments = command("simulate", "--output", "-", "--rate", "50")
        with subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Who runs the tests in the background makes its children ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        ) as process:
            assert process.stdout
            assert process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (130, b"crm-online: interrupted\n")

    def test_progress_is_a_bar_on_terminals_and_no_part_of_the_output(self, events: Path) -> None:
        code, out, screen = on_terminal("score", str(events))
        assert code == 0
        assert all(json.loads(line) for line in out.splitlines())
        assert "━" in screen
        assert "121 events in" in screen

    def test_errors_are_coloured_on_terminals_unless_unwanted(self) -> None:
        code, _, screen = on_terminal("score", "none", TERM="xterm")
        assert code == 2
        assert "\x1b[31m" in screen
        assert "\x1b[31m" not in on_terminal("score", "none", TERM="xterm", NO_COLOR="1")[2]

    def test_the_worker_warns_of_the_default_key(self) -> None:
        (port,) = free_ports(1)
        arguments = command("worker", "--kafka", f"{HOST}:{port}")
        with subprocess.Popen(arguments, stderr=subprocess.PIPE) as process:
            assert process.stderr
            assert b"CRM_SIGNING_KEY is the default" in process.stderr.readline()
            assert b'"event": "loading"' in process.stderr.readline()
            process.kill()


def on_terminal(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run with a terminal for standard error: exit code, output, what the terminal got."""
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", **environment}
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(command(*arguments), stdout=out, stderr=theirs, env=variables) as process,
    ):
        os.close(theirs)
        screen = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            while got := os.read(ours, 4096):
                screen += got
        os.close(ours)
        code = process.wait()
        out.seek(0)
        return code, out.read().decode(), screen.decode()
