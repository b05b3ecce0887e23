"""The command line: its help is right, its mistakes are named, and it starts fast."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner, Result

from crm_online import __version__
from crm_online.simulation.datasets import FORMATS
from crm_online.simulation.ordering import ORDERS
from crm_online.simulation.replay import Step
from streams import options
from streams.apps import ROLES
from streams.cli import app
from streams.feeding import Fed
from streams.patience import trying
from tests.builders import product_viewed


def _leaves(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        place = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from _leaves(command, place)
        else:
            yield place, command


COMMANDS: dict[str, Any] = dict(_leaves(typer.main.get_command(app)))
# Each costs tenths of a second that `--help` must not take.
HEAVY = ["aiokafka", "confluent_kafka", "faust", "numba", "numpy", "pandas", "pydantic", "redis"]


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "80", **environment})


def _examples() -> Iterator[tuple[str, str]]:
    for name, command in COMMANDS.items():
        for line in inspect.cleandoc(command.help).splitlines():
            if re.match(r"  (CRM_\w+=\S+ )?crm-online", line):
                yield name, line.strip()


EXAMPLES = list(_examples())


def test_there_is_every_command() -> None:
    wanted = {"worker", "topics", "replay", "simulate", "show", "score", "config", "demo", "verify"}
    wanted |= {"adopt", "reset", "backup", "restore", "profile"} | {"features", "consistency"}
    wanted |= {f"dead-letters {name}" for name in ("list", "show", "replay")}
    wanted |= {f"evaluate {name}" for name in ("churn", "value", "segments", "next-item")}
    wanted |= {f"models {name}" for name in ("list", "compare", "promote", "rollback")}
    wanted |= {f"items {name}" for name in ("load", "list", "show")}
    wanted |= {f"rules {name}" for name in ("check", "simulate")} | {"uplift"}
    wanted |= {f"export {name}" for name in ("segment", "at-risk", "recommendations")}
    wanted |= {f"endpoints {name}" for name in ("list", "enable")}
    assert set(COMMANDS) == wanted
    assert {name for name, _ in EXAMPLES} == wanted


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_in_the_help_can_be_typed(name: str, example: str) -> None:
    typed = re.sub(r"\$\(.*?\)", "today", example)
    words = shlex.split(re.split(r" (?:[|>]|&&) ", typed)[0])
    words = words[words.index("crm-online") + 1 :]
    path = name.split()
    assert words[: len(path)] == path
    with COMMANDS[name].make_context(name, words[len(path) :]):
        pass  # parsed without an error


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_stay_on_lines_of_their_own(name: str, example: str) -> None:
    lines = [line.strip() for line in run(*name.split(), "--help").output.splitlines()]
    assert example in lines


def test_help_names_exit_codes_and_where_to_start() -> None:
    text = " ".join(run("--help").output.split())
    assert "3 Kafka or Redis is away" in text
    assert "141 the reader of a pipe went away" in text
    assert "crm-online COMMAND --help options and examples" in text
    assert "traceback" not in text


def test_version() -> None:
    assert run("--version").output == f"crm-online {__version__}\n"


def test_help_needs_no_heavy_import() -> None:
    code = f"import sys, streams.cli; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_choices_are_those_of_the_readers() -> None:
    assert get_args(get_args(options.Format)[0]) == FORMATS
    assert get_args(get_args(get_args(options.Order)[0])[0]) == ORDERS
    assert (*ROLES, "web") == options.ROLES


@pytest.fixture
def events(tmp_path: Path) -> str:
    file = tmp_path / "events.jsonl"
    file.write_text("", "utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "FILE", "--max-ahead", "-1"], "--max-ahead takes days above zero"),
        (["score", "FILE", "--max-ahead", "soon"], "--max-ahead takes days above zero"),
        (["score", "FILE", "--format", "clicks", "--item", "sku"], "go with --format csv only"),
        (["score", "FILE", "--item", "sku"], "--customer and --at"),
        (["score", "FILE", "--format", "csv"], "--customer and --at"),
        (["score", "FILE", "--set", "horizon=3"], "did you mean horizon_days?"),
        (["replay", "FILE", "--speed", "0"], "speed '0' is neither 'max' nor a factor"),
        (["replay", "FILE", "--format", "csv", "--customer", "c"], "--customer and --at"),
        (["simulate", "--rate", "0", "--output", "-"], "rate must be above zero"),
        (["show", "c-1", "--redis", "nonsense"], "the flag for redis: no address of a Redis"),
        (["config", "--set", 'churn_model={"class": "os.system"}'], "CRM_CHURN_MODEL: os.system"),
        (["dead-letters", "list", "--reason", "nope"], "there are: control-characters, empty, "),
        (["items", "load", "TABLE"], "has no column 'item_id'; its columns are: customer, day"),
        (["score", "TABLE", "--format", "clicks"], "has no columns 'SessionId', 'ItemId', 'Time'"),
        (["worker", "--roles", "dance"], "--roles takes all, or some of score,learn,cache"),
        (["config", "--settings", "/none.toml"], "/none.toml cannot be read"),
    ],
)
def test_wrong_use_exits_with_2_and_one_sentence(
    events: str, tmp_path: Path, arguments: list[str], said: str
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("customer,day\nc-1,2024-01-01\n", "utf-8")
    files = {"FILE": events, "TABLE": str(table)}
    result = run(*[files.get(each, each) for each in arguments])
    assert result.exit_code == 2
    (sentence,) = [line for line in result.stderr.splitlines() if not line.endswith("…")]
    assert said in sentence  # beside the progress of what takes long
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["items", "load", "FILE"], "nothing was loaded: events.jsonl holds no item"),
        (["items", "load", "TABLE", "--id", "day", "--price", "customer"], "line 2, price: 'c-1'"),
        (["score", "FILE"], "the file holds no event"),
        (["score", "FILE", "--format", "clicks"], "the file holds no event"),
        (["evaluate", "churn", "FILE"], "the file holds no event"),
        (["evaluate", "next-item", "CLICKS", "CLICKS"], "line 2, column time: a time that cannot"),
    ],
)
def test_what_is_wrong_inside_a_file_exits_with_1_and_one_sentence(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    contents = {
        "FILE": ("events.jsonl", ""),
        "TABLE": ("table.csv", "customer,day\nc-1,2024-01-01\n"),
        "CLICKS": ("clicks.tsv", "session\titem\ttime\ns\tx\tsoon\n"),
    }
    for name, content in contents.values():
        (tmp_path / name).write_text(content, encoding="utf-8")
    files = {key: str(tmp_path / name) for key, (name, _) in contents.items()}
    result = run(*[files.get(each, each) for each in arguments])
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [["score"], ["score", "x", "--order", "none"], ["sing"]])
def test_wrong_syntax_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_wrong_choice_names_the_right_ones() -> None:
    result = run("score", "x", "--format", "csvv")
    assert "Value error" not in result.stderr
    assert "'csvv' is not one of" in " ".join(result.stderr.split())


def test_what_is_not_utf_8_is_said_once_for_each_reason(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"".join(b"x" * n + b"\xff\n" for n in range(40)))
    result = run("score", str(file))
    assert result.exit_code == 1
    (refused,) = [line for line in result.stderr.splitlines() if "refused" in line]
    assert refused.startswith("crm-online: refused 40 events: not-utf8, such as: ")


def test_a_table_in_latin_1_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_text("who,at\nJürgen,2024-01-01\nc-1,2024-01-01\n", "latin-1")
    result = run("score", str(file), "--format", "csv", "--customer", "who", "--at", "at")
    assert "looks like Latin-1 (Windows-1252): save it as UTF-8" in result.stderr
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"], ["score", "--help"]])
def test_a_reader_that_goes_away_is_141(arguments: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "streams", *arguments]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


def test_no_library_speaks_before_the_sentence() -> None:
    command = [sys.executable, "-m", "streams", "dead-letters", "list", "--kafka", "127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith(b"crm-online: Kafka at 127.0.0.1:9 does not answer")
    assert done.stderr.count(b"\n") == 1


def test_a_long_wait_says_what_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    told, said = Event(), list[str]()

    def tell(text: str) -> None:
        said.append(text)
        told.set()

    monkeypatch.setattr("streams.patience.QUIET_SECONDS", 0.01)
    monkeypatch.setattr("streams.patience.structlog.is_configured", lambda: False)
    monkeypatch.setattr("streams.patience.say", tell)
    with trying("Kafka at nowhere:1"):
        assert told.wait(30.0)
    assert said == ["trying Kafka at nowhere:1 …"]


@pytest.mark.parametrize(("too_late", "code"), [(0, 0), (1, 0), (2, 1)])
@pytest.mark.parametrize("command", [["replay", "FILE"], ["simulate", "--customers", "1"]])
def test_a_feed_says_what_was_too_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], too_late: int, code: int
) -> None:
    async def feed(steps: Iterable[Step], *_: object, settle: bool, **__: object) -> Fed:
        assert settle
        list(steps)
        return Fed(2, too_late)

    monkeypatch.setattr("streams.feed_command.feed", feed)
    file = tmp_path / "events.jsonl"
    file.write_bytes(product_viewed("mug"))
    result = run(*[str(file) if each == "FILE" else each for each in command], "--json")
    assert (result.exit_code, json.loads(result.stdout)["too_late"]) == (code, too_late)
    said = f"{too_late} of 2 events were more than 7 days behind what crm.events held"
    assert (said in result.stderr) == bool(too_late)


def test_a_table_in_a_pipe_has_no_blanks_at_its_ends() -> None:
    lines = run("config").stdout.splitlines()
    assert len(lines) > 40
    assert [line for line in lines if line != line.rstrip()] == []


def test_unknown_variable_exits_with_2() -> None:
    result = run("config", CRM_HORIZON_DAY="3")
    assert result.exit_code == 2
    assert "did you mean CRM_HORIZON_DAYS?" in result.stderr


def test_traceback_shows_where_an_error_was_raised() -> None:
    result = run("--traceback", "show", "c-1", "--redis", "nonsense")
    assert result.exit_code == 1
    assert type(result.exception).__name__ == "ConfigurationError"


def test_an_unforeseen_error_is_no_traceback_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.show_config.show_settings", lambda *_, **__: 1 / 0)
    result = run("config")
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError" in result.stderr
    assert "--traceback" in result.stderr


def test_an_error_without_a_text_makes_no_empty_sentence() -> None:
    from streams.exits import _sentence

    assert "TimeoutError" in _sentence(TimeoutError())


def test_days_before_months_are_no_success(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_text("who,at\nc-1,01/02/2024\nc-1,13/02/2024\n", "utf-8")
    result = run("score", str(file), "--customer", "who", "--at", "at")
    assert result.exit_code == 1
    assert "some times have the day before the month" in result.stderr
    assert "skipped 1 row: day-before-month, in line 3" in result.stderr
