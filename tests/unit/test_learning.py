"""The learner: each outcome teaches once, in log order, whatever is repeated or restarted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online import InProcess, Learner, Scorer, Settings
from crm_online.errors import SnapshotError
from crm_online.log import LogRecord, Message
from crm_online.models.editions import KEPT, Editions
from crm_online.models.next_item import Query
from crm_online.models.snapshots import ModelSnapshot, SnapshotReader
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from tests.models.pickles import spelled_out

SETTINGS = Settings(horizon_days=5, min_outcomes=5, max_batch=50)
KEY = SETTINGS.signing_key.get_secret_value().encode()
NAMES = ("churn", "value", "segments", "clusters", "quality", "monitor")


@cache
def topics() -> dict[str, tuple[LogRecord, ...]]:
    """Return what a small history left on the learner's two inputs."""
    people = Population(PopulationSettings(customers=10, days=28, seed=5))
    both = InProcess(SETTINGS)
    records = [
        LogRecord(offset, int(e.at * 1000), e.customer.encode(), e.value)
        for offset, e in enumerate(people.events())
    ]
    effects = [e for i in range(0, len(records), 10) for e in both.process(0, records[i : i + 10])]
    return {
        noun: tuple(log([m for e in effects for m in e.outputs.get(noun, ())]))
        for noun in ("outcomes", "interactions")
    }


def log(messages: Sequence[Message | LogRecord]) -> list[LogRecord]:
    return [LogRecord(i, 0, m.key, m.value, m.headers) for i, m in enumerate(messages)]


def taught(records: Sequence[LogRecord]) -> Learner:
    learner = Learner(SETTINGS)
    learner.process("outcomes", records)
    return learner


def read(messages: Sequence[Message]) -> list[ModelSnapshot]:
    return SnapshotReader(KEY).apply(log(messages))


def frozen(learner: Learner) -> dict[str, bytes]:
    return {name: spelled_out(learner.slots[name].snapshot()) for name in NAMES}


def test_there_is_something_to_learn() -> None:
    assert {kind for record in topics()["outcomes"] for kind in [_kind(record)]} == {
        b"crm.prediction.opened",
        b"crm.prediction.settled",
        b"crm.next_item.settled",
    }


def _kind(record: LogRecord) -> bytes:
    return dict(record.headers)["ce_type"]


@settings(max_examples=10)
@given(st.data())
def test_stops_and_repeats_anywhere_change_nothing(data: st.DataObject) -> None:
    records = list(topics()["outcomes"])
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(records))] * 2)))
    # A scorer that comes back writes again what it had written, then goes on.
    doubled = log([*records[:end], *records[start:end], *records[end:]])
    stops = sorted(data.draw(st.lists(st.integers(0, len(doubled)), max_size=3)))
    topic: list[Message] = []
    learner, begin = Learner(SETTINGS), 0
    for stop in stops:
        learner.process("outcomes", doubled[begin:stop])
        topic += learner.publish()
        learner = Learner(SETTINGS)
        begin = learner.restore(read(topic))["outcomes"]
    learner.process("outcomes", doubled[begin:])
    assert frozen(learner) == frozen(taught(doubled))
    assert frozen(learner) == frozen(taught(records))


def test_sizes_of_batches_change_nothing() -> None:
    records = topics()["outcomes"]
    one_by_one = Learner(SETTINGS)
    for record in records:
        one_by_one.process("outcomes", [record])
    assert frozen(one_by_one) == frozen(taught(records))


def test_a_snapshot_is_named_by_the_last_outcome_it_knows() -> None:
    records = topics()["outcomes"][:40]
    assert {s.offset for s in read(taught(records).publish())} == {39}


def test_only_what_changed_is_published() -> None:
    records = topics()["outcomes"]
    first = next(i for i, record in enumerate(records) if _kind(record).endswith(b"opened"))
    learner = taught(records[first : first + 1])
    assert {s.name for s in read(learner.publish())} == {
        "monitor",
        "segments",
        "clusters",
        "quality",
    }
    assert learner.publish() == []


def test_readers_see_how_far_it_has_come_even_where_nothing_was_learned() -> None:
    records = topics()["outcomes"]
    touch = next(record for record in records if _kind(record) == b"crm.next_item.settled")
    learner = taught(records)
    learner.publish()
    learner.process("outcomes", [touch._replace(offset=len(records))])
    assert [(s.name, s.offset) for s in read(learner.publish())] == [("quality", len(records))]


def test_it_goes_on_from_the_oldest_of_its_snapshots() -> None:
    records = topics()["outcomes"]
    early, late = read(taught(records[:50]).publish()), read(taught(records[:90]).publish())
    mixed = [s for s in late if s.name != "churn"] + [s for s in early if s.name == "churn"]
    learner = Learner(SETTINGS)
    assert learner.restore(mixed)["outcomes"] == 50
    learner.process("outcomes", records[50:])
    assert frozen(learner) == frozen(taught(records))


def test_snapshots_it_does_not_know_are_passed_over() -> None:
    learner = Learner(SETTINGS)
    found = learner.restore([ModelSnapshot("of-a-newer-version", 7, "of-a-newer-version@7", None)])
    assert found == {"outcomes": 0, "interactions": 0}


@pytest.mark.parametrize("noun", ["outcomes", "interactions"])
@pytest.mark.parametrize("value", [None, b"", b"{}", b'{"kind":"unheard-of"}'])
def test_foreign_records_are_refused_with_what_to_do(noun: str, value: bytes | None) -> None:
    with pytest.raises(SnapshotError, match=r"offset 3 .*CRM_APP"):
        Learner(SETTINGS).process(noun, [LogRecord(3, 0, None, value)])


def test_the_session_index_goes_on_from_its_snapshot() -> None:
    records = topics()["interactions"]
    half = len(records) // 2
    first, whole = Learner(SETTINGS), Learner(SETTINGS)
    first.process("interactions", records[:half])
    whole.process("interactions", records)
    heir = Learner(SETTINGS)
    assert heir.restore(read(first.publish_next_item()))["interactions"] == half
    heir.process("interactions", records[half - 5 :])
    assert heir.replica.model.state_bytes() == whole.replica.model.state_bytes()


def test_interactions_written_again_are_learned_once() -> None:
    records = list(topics()["interactions"])
    once, twice = Learner(SETTINGS), Learner(SETTINGS)
    once.process("interactions", records)
    twice.process("interactions", log([*records[:30], *records[10:30], *records[30:]]))
    assert twice.replica.model.state_bytes() == once.replica.model.state_bytes()


def test_the_session_index_is_published_where_it_moved_only() -> None:
    learner = Learner(SETTINGS)
    assert learner.publish_next_item() == []
    learner.process("interactions", topics()["interactions"])
    (snapshot,) = read(learner.publish_next_item())
    assert snapshot.offset == len(topics()["interactions"]) - 1
    assert learner.publish_next_item() == []


def test_scorers_adopt_the_re_ranker_and_learn_the_rest_themselves() -> None:
    records = topics()["interactions"]
    learner, scorer = Learner(SETTINGS), Scorer(SETTINGS)
    learner.process("interactions", records)
    scorer.replica.apply(records)
    untaught = scorer.replica.model.ranker_bytes()
    assert untaught != learner.replica.model.ranker_bytes()
    for snapshot in read(learner.publish_ranker()):
        scorer.adopt(snapshot)
    assert scorer.replica.model.ranker_bytes() == learner.replica.model.ranker_bytes()
    queries = [Query("nobody", 1, (item,)) for item in _items(records)]
    asked = [
        model.recommend_many(queries) for model in (scorer.replica.model, learner.replica.model)
    ]
    assert asked[0] == asked[1]


def test_the_re_ranker_is_published_where_it_moved_only() -> None:
    learner = Learner(SETTINGS)
    assert learner.publish_ranker() == []
    learner.process("interactions", topics()["interactions"])
    messages = learner.publish_ranker()
    assert sum(len(message.value or b"") for message in messages) < 8000
    assert learner.publish_ranker() == []


def test_an_older_re_ranker_comes_too_late() -> None:
    records = topics()["interactions"]
    learner, scorer = Learner(SETTINGS), Scorer(SETTINGS)
    learner.process("interactions", records[: len(records) // 2])
    (older,) = read(learner.publish_ranker())
    learner.process("interactions", records)
    (newer,) = read(learner.publish_ranker())
    (whole,) = read(learner.publish_next_item())
    for snapshot in (newer, older):
        scorer.adopt(snapshot)
    assert scorer.replica.model.ranker_bytes() == newer.model
    scorer.adopt(whole)
    scorer.adopt(older)
    assert scorer.replica.model.ranker_bytes() == newer.model
    assert scorer.replica.offset == whole.offset


def _items(records: Sequence[LogRecord]) -> set[str]:
    return {
        touch[4] for record in records for touch in json.loads(record.value or b"")["interactions"]
    }


def test_snapshots_are_signed_with_the_key_of_the_settings() -> None:
    other = SETTINGS.model_copy(update={"signing_key": type(SETTINGS.signing_key)("other")})
    learner = Learner(other)
    learner.process("outcomes", topics()["outcomes"])
    with pytest.raises(SnapshotError, match="CRM_SIGNING_KEY"):
        read(learner.publish())


def test_a_successor_removes_what_its_predecessors_have_published() -> None:
    standing: dict[bytes | None, bytes | None] = {}
    reader, offset = SnapshotReader(KEY), 0
    for _ in range(4):  # learners, one after the other
        editions = Editions("churn", KEY)
        editions.go_on(reader.standing("churn"))
        for _ in range(2):
            offset += 1
            messages = editions.publish(offset, ["a" * 100])
            reader.apply(LogRecord(i, 0, *message) for i, message in enumerate(messages))
            standing |= {message.key: message.value for message in messages}
    chunks = [key for key, value in standing.items() if value is not None and b"/" in (key or b"")]
    assert len(chunks) == KEPT


def test_a_snapshot_written_again_is_not_removed_with_its_former_self() -> None:
    editions = Editions("churn", KEY)
    editions.go_on([((0, 6), 1), ((0, 7), 1)])
    assert all(message.value is not None for message in editions.publish(7, [0.5]))
    removed = [m.key for m in editions.publish(8, [0.5]) if m.value is None]
    assert removed == [b"churn/6/0"]


@pytest.mark.parametrize("noun", ["outcomes", "interactions"])
def test_snapshots_of_each_input_go_on_from_it_and_are_refused_beside_another(noun: str) -> None:
    ids = {"outcomes": "one", "interactions": "two"}
    learner = Learner(SETTINGS)
    learner.restore([], ids)
    for each, records in topics().items():
        learner.process(each, records)
    whole = learner.publish() + learner.publish_whole()
    snapshots = read(whole + learner.publish_ranker() + learner.publish_next_item())
    assert {each.name for each in snapshots} >= {*NAMES, "next_item", "next_item_ranker"}
    ends = {each: len(records) for each, records in topics().items()}
    assert Learner(SETTINGS).restore(snapshots, ids) == ends
    with pytest.raises(SnapshotError, match="another topic"):
        Learner(SETTINGS).restore(snapshots, ids | {noun: "anew"})
