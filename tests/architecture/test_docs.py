"""The documentation says what is there: links lead somewhere, snippets run, nothing is left out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from crm_online.actions.files import read_rules_file
from crm_online.cleaning import RULES as CLEANING
from crm_online.contract.records import RECORDS, DeadLetterHeaders
from crm_online.customers.features import FEATURES
from crm_online.dead_letters import REASONS
from crm_online.kinds import TRACK_KIND
from crm_online.models.segments import RFM_TABLE, SEGMENTS
from crm_online.settings import Settings
from crm_online.simulation.population_settings import PopulationSettings
from streams.apps import ROLES
from streams.cli import app
from streams.topics import plan

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (README, *sorted((ROOT / "docs").glob("*.md")))
}
EVENTS, RECORDS_PAGE = PAGES["docs/events.md"], PAGES["docs/records.md"]
MODELS, OPERATIONS = PAGES["docs/models.md"], PAGES["docs/operations.md"]

LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RUNNABLE = re.compile(r"<!-- runnable -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RULES = re.compile(r"<!-- rules -->\n```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:^|[`(\s])crm-online ([a-z][a-z-]+)")


def _links() -> Iterator[tuple[str, str]]:
    for page, text in PAGES.items():
        for target in LINK.findall(BLOCK.sub("", text)):
            if "://" not in target:
                yield page, target


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {each.replace(" ", "-") for each in plain}


def _commands() -> set[str]:
    group = typer.main.get_command(app)
    names: set[str] = set(getattr(group, "commands", ()))
    return names


def _blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page, block)
        for page, text in PAGES.items()
        for found, block in BLOCK.findall(text)
        if found == language
    ]


def _rules() -> list[tuple[str, str, str]]:
    return [(page, *found) for page, text in PAGES.items() for found in RULES.findall(text)]


def _cells(text: str, section: str) -> list[str]:
    part = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    firsts = re.findall(r"^\| (.+?) \|", part, re.MULTILINE)
    return [name for cell in firsts for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(("page", "target"), list(_links()))
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (ROOT / page).parent / path if path else ROOT / page
    assert found.exists()
    if anchor:
        assert anchor in _anchors(found.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("page", "code"),
    [(page, code) for page, text in PAGES.items() for code in RUNNABLE.findall(text)],
)
def test_a_runnable_snippet_runs(page: str, code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"


def test_the_readme_is_short() -> None:
    assert README.read_text(encoding="utf-8").count("\n") <= 150


@pytest.mark.parametrize(("page", "block"), _blocks("json"))
def test_json_is_json(page: str, block: str) -> None:
    json.loads(block)


@pytest.mark.parametrize(
    ("page", "block"), [b for b in _blocks("toml") if b not in {(p, t) for p, _, t in _rules()}]
)
def test_toml_holds_settings_that_exist(page: str, block: str) -> None:
    Settings(**tomllib.loads(block))


@pytest.mark.parametrize(("page", "language", "text"), _rules())
def test_rules_are_right(page: str, language: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / f"rules.{language}"
    file.write_text(text, encoding="utf-8")
    assert read_rules_file(file).rules


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {target.partition("#")[0] for page, target in _links() if page == "README.md"}
    assert {page for page in PAGES if page.startswith("docs/")} <= linked


def test_every_setting_is_in_operations_and_no_other() -> None:
    assert set(_cells(OPERATIONS, "Settings")) == set(Settings.model_fields)


def test_defaults_in_operations_are_those_of_the_settings() -> None:
    for name, shown in re.findall(r"^\| `(\w+)` \| `?([\w.]+)`? \|", OPERATIONS, re.MULTILINE):
        default = Settings.model_fields[name].default if name in Settings.model_fields else None
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert float(shown) == default, name


def test_every_command_is_in_operations() -> None:
    shown = {command.split()[1] for command in _cells(OPERATIONS, "Commands")}
    assert shown == _commands()


def test_no_page_names_a_command_that_is_not_there() -> None:
    pages = {name: text for name, text in PAGES.items() if name != "docs/decisions.md"}
    named = {(name, found) for name, text in pages.items() for found in COMMAND.findall(text)}
    prose = {"reads", "creates"}  # "crm-online reads customer events"
    assert {pair for pair in named if pair[1] not in _commands() | prose} == set()


def test_every_role_is_in_operations() -> None:
    assert set(_cells(OPERATIONS, "Roles")) >= set(ROLES)


def test_every_rejection_is_in_events_and_no_other() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in _core())
    raised = set(re.findall(r'EventRejected\(\s*"([a-z0-9-]+)"', sources)) | {"wrong-type"}
    assert set(_cells(EVENTS, "Rejections")) == raised == REASONS


def test_every_rule_of_cleaning_is_on_its_page_and_no_other() -> None:
    first = re.findall(r"^\| `([a-z-]+)` \|", PAGES["docs/cleaning.md"], re.MULTILINE)
    assert set(first) - {"observe", "reject"} == CLEANING.keys()


def _core() -> list[Path]:
    """Where events are read; readers of files, and the cache, have rejections of their own."""
    return sorted((ROOT / "crm_online").glob("*.py"))


def test_every_event_name_is_in_events() -> None:
    text = " ".join(EVENTS.split())
    assert [name for name in TRACK_KIND if name not in text] == []


def test_every_topic_and_record_is_in_records() -> None:
    nouns = set(_cells(RECORDS_PAGE, "Topics"))
    assert {topic.name for topic in plan(Settings())} <= nouns
    assert [kind for kind in RECORDS if f"## `{kind}`" not in RECORDS_PAGE] == []
    headers = {str(field.alias) for field in DeadLetterHeaders.model_fields.values()}
    assert set(_cells(RECORDS_PAGE, "Dead letters")) == headers


@pytest.mark.parametrize("kind", ["crm.score.updated", "crm.recommendations.updated"])
def test_examples_of_records_are_records(kind: str) -> None:
    example = (
        RECORDS_PAGE.partition(f"## `{kind}`")[2].partition("```json\n")[2].partition("```")[0]
    )
    RECORDS[kind].model_validate_json(example)


def test_every_feature_is_in_models_and_no_other() -> None:
    assert set(_cells(MODELS, "Features")) == set(FEATURES)


def test_the_table_of_segments_is_the_one_in_use() -> None:
    rows = re.findall(r"^\| [1-5] \| (.+) \|$", MODELS, re.MULTILINE)
    shown = [[SEGMENTS.index(name) for name in row.split(" | ")] for row in reversed(rows)]
    assert tuple(number for row in shown for number in row) == RFM_TABLE


def test_every_parameter_of_the_population_is_in_its_page() -> None:
    shown = _cells(PAGES["docs/population.md"], "Parameters")
    assert set(shown) >= {*PopulationSettings.__dataclass_fields__}
