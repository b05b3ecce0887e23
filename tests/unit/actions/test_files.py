"""Rules files: what is wrong is told with its line, and both formats say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from crm_online.actions.files import read_rules_file
from crm_online.actions.trying import try_rules
from crm_online.errors import ConfigurationError
from crm_online.settings import Settings
from streams.cli import app
from tests.acting import HOUR, START, Scores, rule_set, score

GOOD = """
[quiet_hours]
from = "21:00"
to = 08:00:00

[[rules]]
name = "a"
action = "a"
when.any = [
  { silent_days = 3 },
  { churn_above = 0.7 },
]

[[rules]]
name = "b"
action = "b"
when = { viewed = 2 }
[rules.who]
segments = ["lost"]
[rules.template]
subject = "Hello {customer_id}"
"""
SAME = """
quiet_hours: {from: "21:00", to: "08:00"}
rules:
  - name: a
    action: a
    when: {any: [{silent_days: 3}, {churn_above: 0.7}]}
  - name: b
    action: b
    when: {viewed: 2}
    who: {segments: [lost]}
    template: {subject: "Hello {customer_id}"}
"""


def written(tmp_path: Path, text: str, suffix: str = "toml") -> Path:
    file = tmp_path / f"rules.{suffix}"
    file.write_text(text, encoding="utf-8")
    return file


def fault(file: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_rules_file(file)
    return str(caught.value)


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    read = read_rules_file(written(tmp_path, GOOD))
    assert read == read_rules_file(written(tmp_path, SAME, "yaml"))
    assert [rule.name for rule in read.rules] == ["a", "b"]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("silent_days = 3", "silent_days = -3", 9, "greater than 0"),
        ('name = "b"', 'name = "a b"', 15, "rules.1.name"),
        ("viewed = 2", "vieved = 2", 17, "say one of segment_entered"),
        ('["lost"]', '["vip"]', 19, "there are champions"),
        ("[rules.who]", "[rules.whom]", 18, "there is no such key"),
        ('from = "21:00"', 'from = "25:00"', 3, "quiet_hours.from"),
        ('"Hello {customer_id}"', '"Hello {nmae}"', 14, "field {nmae} that nothing fills"),
        ('"Hello {customer_id}"', '"Hello {nmae"', 14, "template subject"),
        ('name = "b"', 'name = "a"', 1, "two rules are called a"),
        (
            "[quiet_hours]",
            "[limits.channels]\nsnail = [{ at_most = 1 }]\n[quiet_hours]",
            1,
            "limits.channels caps snail, and no rule has that channel",
        ),
        ("churn_above = 0.7", "churn_above = 0.7, rearm_below = 0.8", 9, "must lie below"),
    ],
)
def test_a_fault_in_toml_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert old in GOOD
    told = fault(written(tmp_path, GOOD.replace(old, new)))
    assert says in told
    assert f"line {line}, " in told


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("viewed: 2", "viewed: 0", 9, "rules.1.when.viewed"),
        ("churn_above: 0.7", "churn_above: high", 6, "rules.0.when.any.1.churn_above"),
        ("    action: b\n", "    action: b\n    action: c\n", 9, "action is said twice"),
        ("segments: [lost]", "segments: lost", 10, "rules.1.who.segments"),
        ("who:", "who", 10, "no YAML"),
        ("when: {viewed: 2}", "when:", 9, "say one of segment_entered"),
        ("when: {viewed: 2}", "when: silent", 9, "say one of segment_entered"),
        ("when: {viewed: 2}", "when: [1]", 9, "say one of segment_entered"),
        ("when: {viewed: 2}", "when: {value_above: .inf}", 9, "finite number"),
        ("segments: [lost]", "traits: {age: [.nan]}", 10, "finite number"),
        ("segments: [lost]", "segments: []", 10, "at least 1"),
        ("segments: [lost]", "traits: {age: []}", 10, "at least 1"),
        ('from: "21:00"', "from: 21:00", 2, "write a time of day in quotes"),
        ("when: {viewed: 2}", f"when: {'{any: [' * 10}{{viewed: 2}}{']}' * 10}", 7, "10 deep"),
    ],
)
def test_a_fault_in_yaml_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert old in SAME
    told = fault(written(tmp_path, SAME.replace(old, new), "yaml"))
    assert says in told
    assert f"line {line}" in told


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    assert "no TOML" in fault(written(tmp_path, "rules = ["))
    assert "cannot read the rules file" in fault(tmp_path / "none.toml")
    assert "line 1, the file" in fault(written(tmp_path, "- 1", "yml"))
    assert read_rules_file(written(tmp_path, "", "yaml")).rules == []


@pytest.mark.parametrize(
    "value", ["{viewed: 2024-02-30}", "!!bool x", "!!int ''", "!!timestamp x", "[" * 9999]
)
def test_what_no_library_can_read_is_a_fault_of_the_file(tmp_path: Path, value: str) -> None:
    rules = f"rules: [{{name: a, action: a, when: {value}}}]"
    assert "rules.yaml" in fault(written(tmp_path, rules, "yaml"))
    assert "rules.toml" in fault(written(tmp_path, f"rules = {'[' * 9999}"))


def test_yaml_that_grows_by_aliases_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]", *[f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 30)]]
    assert "line 2: write out what *a0 stands for" in fault(
        written(tmp_path, "\n".join(lines), "yaml")
    )


def command(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["rules", *map(str, arguments)], env={"COLUMNS": "200"})


def test_the_command_checks_a_file(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    told = command("check", file)
    assert told.exit_code == 0
    assert "(silent for 3 days or churn above 0.7)" in told.stdout
    assert json.loads(command("check", file, "--json").stdout)["rules"] == ["a", "b"]
    bad = command("check", written(tmp_path, GOOD.replace("viewed", "vieved")))
    assert bad.exit_code == 2
    assert "line 17" in bad.output


def test_the_command_says_where_the_global_rate_leaves_partitions_without_a_share(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, f"[limits]\nper_hour = 5\n{GOOD}")
    assert "customers of 3 of them" in command("check", file, "--set", "partitions=8").stdout
    assert "of them get nothing" not in command("check", file, "--set", "partitions=5").stdout


def test_the_command_tries_rules_on_scores(tmp_path: Path) -> None:
    log = Scores()
    for n in range(6):
        for customer in ("ann", "bob"):
            at = START + n * HOUR
            log.add(score(customer, at, event="Product Viewed", items=["p-1"]))
    past = tmp_path / "scores.jsonl"
    past.write_bytes(b"".join((record.value or b"") + b"\n" for record in log.records))
    file = written(tmp_path, '[[rules]]\nname = "a"\naction = "a"\nwhen = { viewed = 2 }\n')
    told = json.loads(command("simulate", file, "--from", past, "--json").stdout)
    [rule] = told["rules"]
    assert rule["delivered"] + rule["control"] == 2
    assert (told["scores"], told["customers"], told["version"]) == (
        12,
        2,
        read_rules_file(file).version,
    )
    assert "nothing was sent" in command("simulate", file, "--from", past).stdout
    assert command("simulate", file, "--from", "crm.nothing").exit_code == 2


def test_partitions_behind_each_other_and_broken_lines_are_tried_as_they_came(
    tmp_path: Path,
) -> None:
    log = Scores()
    for customer in ("ann", "bob"):  # as a topic of two partitions is read
        for n in range(6):
            at = START + n * 20 * HOUR
            log.add(score(customer, at, event="Product Viewed", items=["p-1"]))
    past = tmp_path / "scores.jsonl"
    lines = [(record.value or b"") + b"\n" for record in log.records]
    past.write_bytes(b"".join([*lines[:5], b'{"score_id": "cut o\n', *lines[5:]]))
    rules = '[control]\nshare = 0.0\n[[rules]]\nname = "a"\naction = "a"\nwhen = { viewed = 2 }\n'
    file = written(tmp_path, rules)
    told = json.loads(command("simulate", file, "--from", past, "--json").stdout)
    [rule] = told["rules"]
    assert (rule["delivered"], rule["customers"], rule["held_back"]) == (2, 2, {})
    assert (told["scores"], told["unreadable"]) == (12, 1)
    assert "1 line could not be read" in command("simulate", file, "--from", past).stdout


def test_a_trial_counts_what_limits_hold_back_and_lets_go_what_was_held() -> None:
    rules = rule_set(
        {"when": {"viewed": 1}},
        {"when": {"viewed": 1}, "priority": 1},
        limits={"overall": [{"at_most": 1}]},
        quiet_hours={"from": "20:00", "to": "07:00"},
    )
    log = Scores()
    for hours, event in ((0.0, "page"), (1.0, "Product Viewed"), (13.0, "page")):
        log.add(score("ann", START + hours * HOUR, event=event, items=["p-1"]))
    log.add(
        score("bob", START), score("bob", START + 15 * HOUR, event="Product Viewed", items=["p"])
    )
    log.add(score("bob", START + 24 * HOUR))
    values = [record.value or b"" for record in log.records]
    figures = try_rules(values, rules, Settings()).figures(rules)
    low, high = figures["rules"]
    assert (low["delivered"], high["delivered"]) == (0, 2)
    assert low["held_back"] == {"cap_overall": 2}
    assert (low["held"], high["held"]) == (1, 1)
    assert (figures["delivered"], figures["customers_reached"], figures["most_to_one"]) == (2, 2, 1)
