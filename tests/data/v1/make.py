"""Writes the records beside it; once 0.1.0 is released, no later version may write them anew.

python make.py, with the crm_online of that version on the path.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from crm_online.customers.store import decode_state
from crm_online.inprocess import InProcess
from crm_online.internal import PROGRESS_KEY, tick
from crm_online.log import Effects, LogRecord, Message
from crm_online.settings import Settings
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings

FOLDER = Path(__file__).parent
SETTINGS = Settings(
    signing_key="stored with the tests",
    horizon_days=14.0,
    active_days=20.0,
    state_ttl_days=40.0,
    min_outcomes=5,
    max_items=200,
    max_sessions=256,
    max_batch=100,
)
OUTPUTS = ("scores", "recommendations", "outcomes", "interactions")
KEPT = 3  # records of each type
FOLLOWING = 8  # events scored after the snapshots


def main() -> None:
    settings = PopulationSettings(customers=24, days=90.0, seed=11, items=60)
    whole = [
        LogRecord(offset, int(event.at * 1000), event.customer.encode(), event.value)
        for offset, event in enumerate(Population(settings).events())
    ]
    log, following = whole[:-FOLLOWING], whole[-FOLLOWING:]
    both = InProcess(SETTINGS)
    effects: list[Effects] = []
    for first in range(0, len(log), SETTINGS.max_batch):
        effects += both.process(0, log[first : first + SETTINGS.max_batch])
    _write("state", _standing(effects))
    published = [m for slot in both.learner.slots.values() for m in slot.publish()]
    _write("models", [*published, *both.learner.publish_next_item()])
    for noun in OUTPUTS:
        _write(noun, _last_of_each_type(m for e in effects for m in e.outputs.get(noun, ())))
    ended = tick(b"stored with the tests", at=whole[-1].timestamp / 1000.0)
    _write("events", [*[Message(record.key, record.value) for record in following], ended])
    held = both.scorer.partitions[0]
    expected: dict[str, Any] = {
        "customers": {c: _fields(v) for c, v in sorted(held.store.packed.items())},
        "progress": msgspec.to_builtins(held.progress),
        "quality": {"settled": both.learner.quality.settled, "late": both.learner.quality.late},
        "next_offset": held.progress.as_of + 1,
    }
    after = list(both.scorer.process(0, following))
    expected["scores"] = [json.loads(m.value or b"") for e in after for m in e.outputs["scores"]]
    (FOLDER / "expected.json").write_bytes(msgspec.json.encode(expected) + b"\n")


def _standing(effects: Sequence[Effects]) -> list[Message]:
    """What compaction leaves of the state topic: the last record of each key."""
    last: dict[bytes | None, Message] = {}
    for each in effects:
        for message in [*each.snapshots, *([each.progress] if each.progress else [])]:
            last[message.key] = message
    assert PROGRESS_KEY in last
    assert any(message.value is None for message in last.values())
    return list(last.values())


def _last_of_each_type(messages: Iterable[Message]) -> list[Message]:
    left: defaultdict[bytes, int] = defaultdict(lambda: KEPT)
    found = []
    for message in reversed(list(messages)):
        kind = dict(message.headers).get("ce_type", b"removal")
        left[kind] -= 1
        if left[kind] >= 0:
            found.append(message)
    return found[::-1]


def _fields(packed: bytes) -> dict[str, Any]:
    state = decode_state(packed)
    predictions = [msgspec.structs.asdict(each) for each in state.predictions]
    return msgspec.structs.asdict(state) | {"predictions": predictions}


def _write(name: str, messages: Iterable[Message]) -> None:
    lines = [
        json.dumps([_text(m.key), _text(m.value), [[n, _text(v)] for n, v in m.headers]]) + "\n"
        for m in messages
    ]
    (FOLDER / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


if __name__ == "__main__":
    main()
