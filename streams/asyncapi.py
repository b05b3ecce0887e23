"""An AsyncAPI 3 document of every topic: who writes it, who reads it, and what stands on it.

References
----------
AsyncAPI 3.0.0; its Kafka bindings 0.5.0 carry partitions and cleanup policies.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pydantic.json_schema import models_json_schema

from crm_online import __version__
from crm_online.contract.events import SEGMENT_EVENT
from crm_online.contract.items import CatalogueItem
from crm_online.contract.records import RECORDS, DeadLetterHeaders
from crm_online.settings import Settings
from streams.options import ROLES
from streams.topics import TopicPlan, plan

__all__ = ["TOPICS", "Topic", "asyncapi_document"]

REF: Final = "#/components/schemas/{model}"
EVENT: Final = "event"
ITEM: Final = "item"
TICK: Final = "crm.tick"
DEAD_LETTER: Final = "dead-letter"
INTERNAL: Final = "internal"  # its form is nobody else's business


class Topic(NamedTuple):
    """What a topic is for.

    Parameters
    ----------
    summary
        In one line.
    key
        What its records are keyed by.
    messages
        Names of messages: of ``crm.…`` records, their types.
    writers, readers
        Roles; others than roles are in the summary.
    """

    summary: str
    key: str
    messages: tuple[str, ...]
    writers: tuple[str, ...]
    readers: tuple[str, ...]


TOPICS: Final[dict[str, Topic]] = {
    "events": Topic(
        "Customer events in; written by you, by the intake and by replays.",
        "customer id",
        (EVENT, TICK, "crm.treatment"),
        ("web", "score", "act"),
        ("score",),
    ),
    "scores": Topic(
        "All scores of a customer, at every event.",
        "customer id",
        ("crm.score.updated", TICK, "crm.rules"),
        ("score", "act"),
        ("cache", "act"),
    ),
    "recommendations": Topic(
        "The newest list of next items for a customer.",
        "customer id",
        ("crm.recommendations.updated",),
        ("score",),
        ("cache",),
    ),
    "outcomes": Topic(
        "Predictions as they are opened, and beside what happened.",
        "prediction id",
        (
            "crm.prediction.opened",
            "crm.prediction.settled",
            "crm.next_item.settled",
            "crm.treatment.settled",
        ),
        ("score",),
        ("learn",),
    ),
    "interactions": Topic(
        "Who touched which item.",
        "none",
        ("crm.interactions.observed",),
        ("score",),
        ("learn", "score"),
    ),
    "items": Topic("The catalogue; written by you.", "item id", (ITEM,), (), ("score",)),
    "models": Topic(
        "Signed snapshots of models.",
        "model name, slot, chunk",
        (INTERNAL,),
        ("learn",),
        ("score", "learn"),
    ),
    "state": Topic(
        "States of customers, and how far each partition has come.",
        "customer id; reserved keys begin with a zero byte",
        (INTERNAL,),
        ("score",),
        ("score",),
    ),
    "actions": Topic(
        "What marketing should do, and what was held back, with the reason.",
        "customer id",
        ("crm.action.decided",),
        ("act",),
        ("cache", "deliver"),
    ),
    "actions.retry": Topic(
        "Actions that an endpoint did not take, to be tried again.",
        "customer id",
        ("crm.action.decided",),
        ("deliver",),
        ("deliver",),
    ),
    "endpoints": Topic(
        "How endpoints of webhooks stand.", "endpoint", (INTERNAL,), ("deliver",), ("deliver",)
    ),
    "action-state": Topic(
        "What each customer was sent.", "customer id", (INTERNAL,), ("act",), ("act",)
    ),
    "metrics": Topic(
        "Quality, drift, contests, and what workers do.",
        "role, worker, name",
        (
            "crm.quality.updated",
            "crm.drift.updated",
            "crm.contest.updated",
            "crm.uplift.updated",
            "crm.worker.updated",
        ),
        ROLES,
        ("web",),
    ),
    "dead-letters": Topic(
        "Rejected bytes, with the reason in headers.", "as rejected", (DEAD_LETTER,), ("score",), ()
    ),
}
CLOUD_EVENT: Final = {
    "type": "object",
    "description": "CloudEvents 1.0, Kafka binary mode.",
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "The same for every repeat."},
        "ce_source": {"type": "string"},
        "ce_type": {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "content-type": {"type": "string", "const": "application/json"},
        "traceparent": {"type": "string", "description": "Of the event, where it has one (W3C)."},
    },
}


def asyncapi_document(settings: Settings) -> dict[str, Any]:
    """Return the document.

    Parameters
    ----------
    settings
        For the names, partitions and policies of topics.
    """
    planned = {topic.name: topic for topic in plan(settings)}
    channels = {
        noun: _channel(topic, planned[settings.topic(noun)]) for noun, topic in TOPICS.items()
    }
    operations = {}
    for noun, topic in TOPICS.items():
        for action, roles in (("send", topic.writers), ("receive", topic.readers)):
            for role in roles:
                operations[f"{role}.{action}.{noun}"] = {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{noun}"},
                    "tags": [{"name": role}],
                }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "crm-online",
            "version": __version__,
            "description": "Every topic; `crm` is the setting `app`.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(topic: Topic, planned: TopicPlan) -> dict[str, Any]:
    policy = planned.config["cleanup.policy"].split(",")
    return {
        "address": planned.name,
        "summary": topic.summary,
        "description": f"Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in topic.messages},
        "bindings": {
            "kafka": {
                "topic": planned.name,
                "partitions": planned.partitions,
                "replicas": planned.replication_factor,
                "topicConfiguration": {"cleanup.policy": policy},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _messages() -> dict[str, Any]:
    made: dict[str, Any] = {
        EVENT: {"title": "Event", "payload": {"$ref": REF.format(model="Event")}},
        ITEM: {"title": "Item", "payload": {"$ref": REF.format(model="CatalogueItem")}},
        TICK: {
            "title": "Tick",
            "summary": "Event time moves on; signed on crm.events.",
            "payload": {"type": "object"},
        },
        "crm.treatment": {
            "title": "Treatment",
            "summary": "A customer was treated, or is in the control group; signed.",
            "payload": {"type": "object"},
        },
        "crm.rules": {
            "title": "Rules",
            "summary": "From here on these rules are in force; signed.",
            "payload": {"description": "The file."},
        },
        DEAD_LETTER: {
            "title": "Dead letter",
            "contentType": "application/octet-stream",
            "headers": {"$ref": REF.format(model="DeadLetterHeaders")},
            "payload": {"description": "The rejected bytes."},
        },
        INTERNAL: {
            "title": "Internal record",
            "contentType": "application/octet-stream",
            "payload": {"description": "Read by this program alone."},
        },
    }
    for name, model in RECORDS.items():
        made[name] = {
            "title": model.__name__,
            "summary": (model.__doc__ or "").partition("\n")[0],
            "headers": {"$ref": REF.format(model="CloudEvent")},
            "payload": {"$ref": REF.format(model=model.__name__)},
        }
    return {name: {"name": name} | message for name, message in sorted(made.items())}


def _schemas() -> dict[str, Any]:
    _, records = models_json_schema(
        [(model, "serialization") for model in RECORDS.values()]
        + [(CatalogueItem, "validation"), (DeadLetterHeaders, "validation")],
        ref_template=REF,
    )
    event = SEGMENT_EVENT.json_schema(ref_template=REF)
    schemas = records["$defs"] | event.pop("$defs") | {"Event": event, "CloudEvent": CLOUD_EVENT}
    return dict(sorted(schemas.items()))
