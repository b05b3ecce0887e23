"""The OpenAPI and AsyncAPI documents are current, whole, and sound."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from crm_online.contract.records import RECORDS
from crm_online.settings import Settings
from streams.asyncapi import TOPICS, asyncapi_document
from streams.documents import write_documents
from streams.options import ROLES
from streams.roles.act import ActRole
from streams.roles.cache import CacheRole
from streams.roles.deliver import DeliverRole
from streams.roles.learn import LearnRole
from streams.roles.score import ScoreRole
from streams.topics import plan

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    return asyncapi_document(Settings())


def _refs(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from _refs(each)
    elif isinstance(part, list):
        for each in part:
            yield from _refs(each)


def test_the_documents_in_the_repository_are_current(tmp_path: Path) -> None:
    for path in write_documents(tmp_path):
        assert path.read_text("utf-8") == (DOCS / path.name).read_text("utf-8"), "make schemas"


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_every_reference_leads_somewhere(name: str) -> None:
    document = json.loads((DOCS / name).read_text("utf-8"))
    refs = set(_refs(document))
    assert refs
    for ref in refs:
        part = document
        for step in ref.removeprefix("#/").split("/"):
            part = part[step]


@pytest.mark.parametrize("name", ["openapi.json", "asyncapi.json"])
def test_every_schema_is_one(name: str) -> None:
    document = json.loads((DOCS / name).read_text("utf-8"))
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_topic_is_a_channel_as_it_is_planned(asyncapi: dict[str, Any]) -> None:
    settings = Settings()
    planned = {topic.name: topic for topic in plan(settings)}
    assert {settings.topic(noun) for noun in TOPICS} == set(planned)
    for channel in asyncapi["channels"].values():
        kafka, topic = channel["bindings"]["kafka"], planned[channel["address"]]
        assert kafka["partitions"] == topic.partitions
        policy = ",".join(kafka["topicConfiguration"]["cleanup.policy"])
        assert policy == topic.config["cleanup.policy"]


def test_every_record_stands_on_a_topic_and_every_role_exists() -> None:
    shown = {message for topic in TOPICS.values() for message in topic.messages}
    assert set(RECORDS) <= shown
    assert {role for topic in TOPICS.values() for role in (*topic.writers, *topic.readers)} <= {
        *ROLES
    }


def test_topics_are_read_and_written_by_the_roles_that_do_so() -> None:
    roles: dict[str, Any] = {
        "score": ScoreRole,
        "learn": LearnRole,
        "cache": CacheRole,
        "act": ActRole,
        "deliver": DeliverRole,
    }
    for name, role in roles.items():
        known = {n for n, topic in TOPICS.items() if name in (*topic.readers, *topic.writers)}
        assert set(role.nouns) <= known
    assert {n for n, topic in TOPICS.items() if "cache" in topic.readers} == set(CacheRole.nouns)
    assert TOPICS["metrics"].writers == ROLES  # every role says how it is


def test_operations_tell_what_each_role_reads() -> None:
    page = (DOCS / "operations.md").read_text("utf-8")
    table = page.partition("## Roles\n")[2].partition("\n## ")[0]
    rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
    told = {role: set(re.findall(r"`crm\.([\w.-]+)`", row)) for role, row in rows.items()}
    own = {"state", "action-state", "models"}  # kept for oneself, or told in words
    for noun, topic in TOPICS.items():
        assert [r for r in topic.readers if noun not in told[r] | own] == []


def test_records_pass_by_the_document(asyncapi: dict[str, Any]) -> None:
    page = (DOCS / "records.md").read_text("utf-8")
    for kind in ("crm.score.updated", "crm.recommendations.updated"):
        example = page.partition(f"## `{kind}`")[2].partition("```json\n")[2].partition("```")[0]
        payload = asyncapi["components"]["messages"][kind]["payload"]
        schema = {"components": asyncapi["components"]} | payload
        jsonschema.Draft202012Validator(schema).validate(json.loads(example))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate({})
