"""What version 0.1.0 has stored is read by this one; what a newer one stored is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from pydantic import SecretStr

from crm_online.customers.partition import Partition, PartitionRestore
from crm_online.customers.progress import Progress, progress_message
from crm_online.customers.state import CustomerState, Prediction
from crm_online.customers.store import VERSION, decode_state, encode_state, peek
from crm_online.errors import SnapshotError
from crm_online.internal import PROGRESS_KEY
from crm_online.learning import Learner
from crm_online.log import LogRecord, Message
from crm_online.models.snapshots import ModelSnapshot, SnapshotReader
from crm_online.replica import Replica
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from crm_online.signing import sign
from crm_online.sinks.redis import CacheReader, CacheWriter, connect
from streams.embedded import Valkey

FIRST = Path(__file__).parents[1] / "data" / "v1"
EXPECTED: dict[str, Any] = json.loads((FIRST / "expected.json").read_bytes())
KEY = "stored with the tests"
SETTINGS = Settings(
    signing_key=SecretStr(KEY),
    horizon_days=14.0,
    active_days=20.0,
    state_ttl_days=40.0,
    min_outcomes=5,
    max_items=200,
    max_sessions=256,
)
UPDATE = "start (the newer|that) version"


class NextState(CustomerState, array_like=True, gc=False):
    """A customer as a version to come may store them: one more field behind the others."""

    loyalty_points: int = 0


def stored(name: str, first_offset: int = 0) -> list[LogRecord]:
    lines = (FIRST / f"{name}.jsonl").read_text().splitlines()
    read = [json.loads(line) for line in lines]
    return [
        LogRecord(n, 0, of(key), of(value), [(name, of(text) or b"") for name, text in headers])
        for n, (key, value, headers) in enumerate(read, first_offset)
    ]


def of(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def restored(records: Sequence[LogRecord]) -> tuple[Partition, int]:
    partition = Partition(0)
    restore = PartitionRestore(partition)
    restore.apply(records)
    return partition, restore.finish()


def snapshots() -> dict[str, ModelSnapshot]:
    return {each.name: each for each in SnapshotReader(KEY.encode()).apply(stored("models"))}


def fields(state: CustomerState) -> dict[str, Any]:
    predictions = [msgspec.structs.asdict(each) for each in state.predictions]
    found = msgspec.structs.asdict(state) | {"predictions": predictions}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
    return plain


def among(expected: Any, found: Any) -> Any:
    """Leave out of what was found the fields that the first version did not have."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: among(value, found.get(name)) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [among(*pair) for pair in zip(expected, found, strict=True)]
    return found


class TestFirstVersion:
    def test_customers_are_read_field_by_field(self) -> None:
        partition, _ = restored(stored("state"))
        assert len(EXPECTED["customers"]) > 10
        assert any(each["predictions"] for each in EXPECTED["customers"].values())
        found = {c: fields(decode_state(v)) for c, v in partition.store.packed.items()}
        assert found.keys() == EXPECTED["customers"].keys()
        assert among(EXPECTED["customers"], found) == EXPECTED["customers"]

    def test_the_partitions_own_record_says_where_to_go_on(self) -> None:
        partition, start = restored(stored("state"))
        assert start == EXPECTED["next_offset"] > 0
        held = msgspec.to_builtins(partition.progress)
        assert among(EXPECTED["progress"], held) == EXPECTED["progress"]

    def test_a_removal_stands_against_older_snapshots(self) -> None:
        records = stored("state")
        removal = next(r for r in records if r.value is None)
        assert removal.key is not None
        stale = LogRecord(0, 0, removal.key, encode_state(CustomerState(as_of=0.0)))
        partition, _ = restored([*records, stale])
        assert removal.key.decode() not in partition.store.packed

    def test_scoring_goes_on_with_its_models_as_it_would_have(self) -> None:
        scorer = Scorer(SETTINGS)
        for snapshot in snapshots().values():
            scorer.adopt(snapshot)
        restore = scorer.restore(0)
        restore.apply(stored("state"))
        events = [r._replace(timestamp=_at(r)) for r in stored("events", restore.finish())]
        found = [
            orjson.loads(message.value or b"")
            for effects in scorer.process(0, events[:-1])
            for message in effects.outputs["scores"]
        ]
        assert any(score["calibrated"] for score in EXPECTED["scores"])
        for old, new in zip(EXPECTED["scores"], found, strict=True):
            for name in ("score_id", "source", "segment", "cluster", "orders", "models"):
                assert new[name] == old[name]
            for name in ("churn_probability", "expected_value"):
                assert new[name] == pytest.approx(old[name], abs=1e-6)

    def test_its_ticks_move_time(self) -> None:
        scorer = Scorer(SETTINGS)
        scorer.restore(0).finish()
        list(scorer.process(0, stored("events")[-1:]))
        assert scorer.partitions[0].progress.watermark > 0.0
        assert scorer.partitions[0].progress.rejected == 0

    def test_learning_goes_on_at_its_offsets(self) -> None:
        found, learner = snapshots(), Learner(SETTINGS)
        assert found.keys() == {*learner.slots, "next_item"} - {"monitor", "uplift"}  # came later
        starts = learner.restore(found.values())
        assert min(starts.values()) > 0
        quality = {"settled": learner.quality.settled, "late": learner.quality.late}
        assert quality == EXPECTED["quality"]
        churn = learner.slots["churn"].model
        learner.process("outcomes", stored("outcomes", starts["outcomes"]))  # learned before
        assert (churn.churned + churn.active) == quality["settled"] + quality["late"]

    def test_its_outcomes_and_interactions_teach(self) -> None:
        learner = Learner(SETTINGS)
        learner.process("outcomes", stored("outcomes"))
        assert learner.quality.settled + learner.quality.late == 3
        learner.process("interactions", stored("interactions"))
        assert learner.replica.model.counters["items"] > 0

    @pytest.mark.asyncio
    async def test_its_scores_and_lists_are_cached(self, app: str, valkey: Valkey) -> None:
        settings = SETTINGS.model_copy(update={"app": app, "redis": SecretStr(valkey.url)})
        client = connect(settings)
        try:
            done = await CacheWriter(settings, client).write(
                stored("scores"), stored("recommendations")
            )
            assert (done.rejected, done.removed) == ([], 6)
            score = orjson.loads(next(r.value for r in stored("scores") if r.value) or b"")
            found = await CacheReader(settings, client).customer(score["customer_id"])
            assert found is not None
            assert found["scores"]["segment"] == score["segment"]
        finally:
            await client.aclose()


class TestNextVersionOfTheSameLayout:
    def test_it_reads_what_this_one_stores(self) -> None:
        packed = encode_state(CustomerState(as_of=7.0, orders=3))
        read = msgspec.msgpack.decode(packed, type=NextState)
        assert (read.orders, read.loyalty_points) == (3, 0)

    def test_this_one_reads_over_its_fields(self) -> None:
        packed = encode_state(NextState(as_of=7.0, next_due=9.0, orders=3, loyalty_points=5))
        assert peek(packed) == (0, 7.0, 9.0)
        assert decode_state(packed).orders == 3
        partition, _ = restored([LogRecord(0, 0, b"c-1", packed)])
        assert set(partition.store.packed) == {"c-1"}

    def test_what_this_one_stores_again_has_lost_them(self) -> None:
        """The reason why a field that cannot be lost takes two steps of an upgrade."""
        packed = encode_state(NextState(loyalty_points=5))
        again = encode_state(decode_state(packed))
        assert msgspec.msgpack.decode(again, type=NextState).loyalty_points == 0

    def test_this_one_reads_over_fields_of_predictions_and_of_the_partitions_record(self) -> None:
        prediction = [*msgspec.msgpack.decode(encode_state(Prediction(5.0, 100))), "more"]
        plain = msgspec.msgpack.decode(encode_state(CustomerState(as_of=2.0)))
        plain[CustomerState.__struct_fields__.index("predictions")] = [prediction]
        packed = msgspec.msgpack.encode(plain)
        assert decode_state(packed).predictions == [Prediction(5.0, 100)]
        progress = orjson.loads(progress_message(Progress(as_of=41)).value or b"")
        own = LogRecord(1, 0, PROGRESS_KEY, orjson.dumps(progress | {"more": [1]}))
        assert restored([own])[1] == 42

    @pytest.mark.parametrize("noun", ["outcomes", "interactions"])
    def test_this_one_reads_over_fields_of_records(self, noun: str) -> None:
        learner = Learner(SETTINGS)
        learner.process(noun, [_changed(r, more=1) for r in stored(noun)])
        assert learner.quality.settled + learner.quality.late + learner.replica.offset > 0


class TestNewerLayout:
    def test_customers_are_refused(self) -> None:
        assert VERSION == 1
        newer = encode_state(NextState(version=2, as_of=3.0))
        with pytest.raises(SnapshotError, match=f"state version 2.*{UPDATE}"):
            restored([LogRecord(0, 0, b"c-1", newer)])
        with pytest.raises(SnapshotError, match="state version 2"):
            decode_state(newer)

    def test_the_partitions_own_record_is_refused(self) -> None:
        newer = progress_message(Progress(version=2, as_of=3))
        with pytest.raises(SnapshotError, match=f"progress version 2.*{UPDATE}"):
            restored([LogRecord(0, 0, *newer)])

    def test_models_are_refused(self) -> None:
        manifest = next(r for r in stored("models") if r.key == b"churn")
        body = orjson.loads(manifest.value or b"") | {"format": 2}
        del body["signature"]
        plain = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        body["signature"] = sign(KEY.encode(), b"crm.model-snapshot", plain)
        newer = manifest._replace(value=orjson.dumps(body))
        with pytest.raises(SnapshotError, match=r"format 2.*update this worker"):
            SnapshotReader(KEY.encode()).apply([newer])

    @pytest.mark.parametrize("shape", [{}, {"customer_id": 7, "partition": "x"}])
    def test_outcomes_and_interactions_are_refused(self, shape: dict[str, Any]) -> None:
        outcome, batch = (
            _changed(stored(noun)[0], schema_version=2, **shape)
            for noun in ("outcomes", "interactions")
        )
        with pytest.raises(SnapshotError, match=f"outcomes topic .*schema_version 2.*{UPDATE}"):
            Learner(SETTINGS).process("outcomes", [outcome])
        with pytest.raises(SnapshotError, match=f"interactions topic .*schema_version 2.*{UPDATE}"):
            Replica(SETTINGS).apply([batch])

    @pytest.mark.asyncio
    @pytest.mark.parametrize("shape", [{}, {"source": "elsewhere"}])
    async def test_scores_and_lists_are_not_cached(
        self, app: str, valkey: Valkey, shape: dict[str, Any]
    ) -> None:
        settings = SETTINGS.model_copy(update={"app": app, "redis": SecretStr(valkey.url)})
        client = connect(settings)
        score, lists = (
            next(r for r in stored(noun) if r.value) for noun in ("scores", "recommendations")
        )
        try:
            writer = CacheWriter(settings, client)
            with pytest.raises(SnapshotError, match=f"scores topic .*{UPDATE}"):
                await writer.write([score, _changed(score, schema_version=2, **shape)])
            with pytest.raises(SnapshotError, match=f"recommendations topic .*{UPDATE}"):
                await writer.write([], [_changed(lists, schema_version=2, **shape)])
            assert await client.dbsize() == 0
        finally:
            await client.aclose()


def _at(record: LogRecord) -> int:
    if record.key is None or record.key[:1] == b"\0":
        return 0
    when = orjson.loads(record.value or b"")["timestamp"]
    return int(msgspec.json.decode(orjson.dumps(when), type=_datetime()).timestamp() * 1000)


def _datetime() -> Any:
    from datetime import datetime

    return datetime


def _changed(record: Message | LogRecord, **fields: Any) -> LogRecord:
    value = orjson.dumps(orjson.loads(record.value or b"") | fields)
    return LogRecord(getattr(record, "offset", 0), 0, record.key, value, record.headers)
