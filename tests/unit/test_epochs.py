"""Offsets mean nothing without the epoch of their log: places compare as (epoch, offset)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from crm_online.customers.partition import Partition, PartitionRestore, tombstone
from crm_online.customers.progress import Progress, next_epoch, progress_message, read_progress
from crm_online.customers.state import CustomerState
from crm_online.customers.store import decode_state, encode_state, moved
from crm_online.errors import ConfigurationError, SnapshotError
from crm_online.internal import PROGRESS_KEY, RESET_TYPE, read_reset, reset
from crm_online.learning import Learner
from crm_online.log import LogRecord, Message, Origin
from crm_online.models.snapshots import SnapshotReader, pack
from crm_online.replica import Replica
from crm_online.scores import Interaction, InteractionBatch
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from tests.logs import event, log_of

SETTINGS = Settings(horizon_days=14.0, allowed_lateness_days=200.0)
PLACES = ("epoch", "as_of", "scored_as_of", "offered_as_of")
LISTS = ("offered", "offered_session", "offered_model")  # by what the index knew then: as a batch
KEY = SETTINGS.signing_key.get_secret_value().encode()
HERE = Origin("crm.events", "new", 4)

values = st.lists(
    st.builds(
        event,
        st.sampled_from("abcd"),
        st.floats(0.0, 90.0),
        st.sampled_from(["Order Completed", "Product Viewed", "Email Delivered"]),
        message_id=st.none() | st.sampled_from(["m-1", "m-2"]),
        items=st.lists(st.sampled_from(["p-1", "p-2"]), max_size=2),
    ),
    max_size=24,
)


def run(scorer: Scorer, records: Sequence[LogRecord]) -> list[Any]:
    return list(scorer.process(0, records))


def fresh(settings: Settings = SETTINGS) -> Scorer:
    scorer = Scorer(settings)
    scorer.restore(0).finish()
    return scorer


def restored(messages: Sequence[Message], origin: Origin | None = None) -> tuple[Scorer, Any]:
    scorer = Scorer(SETTINGS)
    restore = scorer.restore(0)
    restore.apply(log_of(messages))
    restore.finish(origin)
    return scorer, restore


def shelf(scorer: Scorer) -> list[Message]:
    """All that stands on the state topic of a partition."""
    held = scorer.partitions[0]
    found = [Message(c.encode(), v) for c, v in held.store.packed.items()]
    found += [tombstone(c, *at) for c, at in held.gone.items()]
    return [*found, progress_message(held.progress)]


def states(scorer: Scorer) -> dict[str, Any]:
    found = {}
    for customer, packed in scorer.partitions[0].store.packed.items():
        fields = structs.asdict(decode_state(packed))
        fields["predictions"] = [structs.asdict(each) for each in fields["predictions"]]
        for name in (*PLACES, *LISTS):
            del fields[name]
        found[customer] = fields
    return found


def adopted(scorer: Scorer) -> list[Message]:
    """Raise the epoch as an operator does, in the partition's own record alone."""
    *snapshots, _ = shelf(scorer)
    progress = scorer.partitions[0].progress
    raised = structs.replace(
        progress, epoch=progress.epoch + 1, as_of=-1, lag=None, topic_id="new", partitions=4
    )
    return [*snapshots, progress_message(raised)]


@given(values, st.integers(0, 24), st.integers(0, 24))
def test_logs_one_after_the_other_come_to_what_one_log_comes_to(
    log: list[bytes], first: int, second: int
) -> None:
    cuts = sorted((min(first, len(log)), min(second, len(log))))
    whole, scorer = fresh(), fresh()
    expected = run(whole, log_of(log))
    found = run(scorer, log_of(log[: cuts[0]]))
    for start, end in ((cuts[0], cuts[1]), (cuts[1], len(log))):
        scorer, _ = restored(adopted(scorer))
        found += run(scorer, log_of(log[start:end]))
    assert states(scorer) == states(whole)
    assert scorer.partitions[0].progress.epoch == 2
    for noun in ("scores", "outcomes"):
        assert count(found, noun) == count(expected, noun)


def count(effects: Sequence[Any], noun: str) -> int:
    """Messages with a value, but for what came of lists."""
    found = (m.value for each in effects for m in each.outputs.get(noun, ()) if m.value)
    return sum(b'"kind":"next_item"' not in value for value in found)


@given(values, st.integers(0, 24), st.randoms())
def test_a_crash_after_an_adoption_loses_nothing(
    log: list[bytes], durable: int, random: Any
) -> None:
    """Snapshots of both epochs stand on the topic in any order; the own record lags behind."""
    before = fresh()
    run(before, log_of(log))
    topic = adopted(before)
    whole, _ = restored(topic)
    run(whole, log_of(log))
    dead, _ = restored(topic)
    run(dead, log_of(log[: min(durable, len(log))]))
    mixed = [*topic, *[m for m in shelf(dead) if m.key != PROGRESS_KEY]]
    random.shuffle(mixed)
    heir, _ = restored(mixed)
    run(heir, log_of(log))
    assert states(heir) == states(whole)


def test_what_a_new_log_changes_is_of_its_epoch() -> None:
    scorer = fresh()
    again = event("a", 2.0, message_id="m-1")
    run(scorer, log_of([event("b", 1.0), again, event("c", 2.5), event("a", 2.6)]))
    scorer, _ = restored(adopted(scorer))
    (effects,) = run(scorer, log_of([event("c", 3.0), again]))
    a, b, c = (decode_state(scorer.partitions[0].store.packed[each]) for each in "abc")
    assert (a.place, a.scored_as_of) == ((1, 3.0), -1.0)  # a repeat: not scored in this epoch
    assert (b.place, b.scored_as_of) == ((0, 1.0), 1.0)
    assert (c.place, c.scored_as_of) == ((1, 1.0), 1.0)
    assert b'"epoch":1' in effects.outputs["scores"][0].value


def test_a_removal_is_passed_by_a_higher_epoch_alone() -> None:
    partition = Partition(0)
    partition.gone["a"] = (0, 1e6)
    assert partition.has_gone("a", (0, 7.0))
    assert not partition.has_gone("a", (1, 0.0))
    partition.progress.epoch = 1
    partition.pass_over(-1)
    assert partition.gone == {}


def test_below_the_floor_of_a_reset_nothing_counts_and_all_is_removed() -> None:
    old = [Message(c.encode(), encode_state(CustomerState(as_of=9e6))) for c in "ab"]
    new = Message(b"c", encode_state(CustomerState(epoch=1, as_of=3.0)))
    floor = progress_message(Progress(epoch=1, floor=1, as_of=5))
    scorer, restore = restored([*old, tombstone("d", 0, 9e9), floor, new])
    held = scorer.partitions[0]
    assert set(held.store.packed) == {"c"}
    assert held.gone == {}
    assert restore.overtaken() == [tombstone("a", 1, 11.0), tombstone("b", 1, 11.0)]
    again, restore = restored([*old, floor, new, *restore.overtaken()])
    assert set(again.partitions[0].store.packed) == {"c"}
    assert restore.overtaken() == []


def test_notes_of_commands_are_no_state() -> None:
    note = Message(b"\0growth", b"{}")
    scorer, restore = restored([note, progress_message(Progress(as_of=7)), note])
    assert scorer.partitions[0].progress.as_of == 7
    assert not scorer.partitions[0].store.packed
    assert restore.overtaken() == scorer.partitions[0].right_ones(log_of([note])) == []


def test_a_snapshot_that_moves_is_the_same_customer() -> None:
    state = CustomerState(epoch=1, as_of=17.0, next_due=5.0, orders=3)
    found = decode_state(moved(encode_state(state), (2, -1.0)))
    assert found == structs.replace(state, epoch=2, as_of=-1.0)


class TestOrigin:
    def refused(self, progress: Progress, origin: Origin = HERE) -> str:
        restore = PartitionRestore(Partition(0))
        restore.apply(log_of([progress_message(progress)]))
        with pytest.raises(SnapshotError) as caught:
            restore.finish(origin)
        return str(caught.value)

    def test_another_topic_under_the_name_is_refused(self) -> None:
        said = self.refused(Progress(topic_id="old", partitions=4))
        assert said.startswith("crm.events was made anew: its id is new")
        assert "`crm-online adopt`" in said
        assert "`crm-online reset`" in said

    def test_partitions_that_were_added_are_refused(self) -> None:
        said = self.refused(Progress(topic_id="new", partitions=3))
        assert "crm.events has 4 partitions, and the state was made from 3" in said
        assert "`crm-online adopt`" in said

    @pytest.mark.parametrize(
        "progress", [Progress(), Progress(topic_id="new"), Progress(partitions=4)]
    )
    def test_what_was_not_known_is_taken_note_of(self, progress: Progress) -> None:
        scorer, _ = restored([progress_message(progress)], HERE)
        held = scorer.partitions[0].progress
        assert (held.topic_id, held.partitions) == ("new", 4)

    def test_a_broker_that_tells_no_id_changes_nothing(self) -> None:
        record = progress_message(Progress(topic_id="new", partitions=4))
        scorer, _ = restored([record], Origin("crm.events", "", 4))
        assert scorer.partitions[0].progress.topic_id == "new"


def test_a_record_of_the_first_version_is_read() -> None:
    first = b'{"version":1,"epoch":0,"as_of":7,"watermark":1.5,"lag":null,"events":8,"rejected":0,'
    first += b'"duplicates":0,"late":0,"too_late":0}'
    assert read_progress(first) == Progress(as_of=7, watermark=1.5, events=8)


def test_progress_of_a_newer_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(SnapshotError, match="newer crm-online"):
        read_progress(b'{"version":9}')
    with pytest.raises(SnapshotError, match="check CRM_APP"):
        read_progress(b"7")


def test_the_last_epoch_is_said_to_be_the_last() -> None:
    assert next_epoch(126) == 127
    with pytest.raises(ConfigurationError, match="CRM_APP"):
        next_epoch(127)


class TestReset:
    def test_is_told_from_other_records(self) -> None:
        (record, other) = log_of([reset(KEY, 3, 4), Message(b"p", b"{}")])
        found = read_reset(record, KEY)
        assert found is not None
        assert (found.epoch, found.partitions) == (3, 4)
        assert read_reset(other, KEY) is None

    def test_is_refused_where_another_key_signed_it(self) -> None:
        (record,) = log_of([reset(b"another", 3, 4)])
        for read in (Learner(SETTINGS), Replica(SETTINGS)):
            with pytest.raises(SnapshotError, match="CRM_SIGNING_KEY"):
                apply(read, [record])

    def test_of_a_newer_version_is_refused(self) -> None:
        from crm_online.signing import sign

        signature = sign(KEY, RESET_TYPE, b"[]").encode()
        headers = [("ce_type", RESET_TYPE), ("ce_signature", signature)]
        (record,) = log_of([Message(b"\0reset", b"[]", headers)])
        with pytest.raises(SnapshotError, match="newer crm-online"):
            read_reset(record, KEY)

    def test_models_are_those_of_what_came_behind_it_once(self) -> None:
        log = [event(c, float(day)) for day in range(40) for c in "ab"]
        first = run(fresh(), log_of(log))
        scorer = Scorer(SETTINGS)
        restore = scorer.restore(0)
        restore.apply(log_of([progress_message(Progress(epoch=1, floor=1))]))
        restore.finish()
        second = run(scorer, log_of(log))
        one, two = outcomes(first), outcomes(second)
        learner, truth = Learner(SETTINGS), Learner(SETTINGS)
        mark = reset(KEY, 1, 1)
        learner.process("outcomes", log_of([*one, mark, *one, *two[:9], mark, *two[5:]]))
        truth.process("outcomes", log_of(two))
        assert truth.quality.settled > 5
        for name, slot in learner.slots.items():
            assert pickled(slot.model) == pickled(truth.slots[name].model), name

    def test_the_index_is_that_of_what_came_behind_it_once(self) -> None:
        replica, truth = Replica(SETTINGS), Replica(SETTINGS)
        old, new = ([touches(epoch, n) for n in range(6)] for epoch in (0, 1))
        replica.apply(log_of([*old, reset(KEY, 1, 1), old[5], *new[:4]]))
        replica.apply(log_of([reset(KEY, 1, 1), *new[2:]], start=12))
        truth.apply(log_of(new))
        assert truth.model.counters["items"] > 0
        assert replica.model.state_bytes() == truth.model.state_bytes()


def apply(reader: Learner | Replica, records: Sequence[LogRecord]) -> None:
    if isinstance(reader, Learner):
        reader.process("outcomes", records)
    else:
        reader.apply(records)


def outcomes(effects: Sequence[Any]) -> list[Message]:
    return [message for each in effects for message in each.outputs.get("outcomes", ())]


def touches(epoch: int, number: int) -> Message:
    from msgspec import json

    found = [
        Interaction(number, i, f"c{number % 3}", 1, item, "Product Viewed", 1e9 + number)
        for i, item in enumerate(("x", f"y{epoch}"))
    ]
    return Message(None, json.encode(InteractionBatch(epoch, 0, found)))


def pickled(model: Any) -> bytes:
    from tests.models.pickles import spelled_out

    return repr(spelled_out(model)).encode()


class TestModelsOfAnotherInput:
    def test_a_higher_epoch_is_newer_whatever_its_offset(self) -> None:
        reader = SnapshotReader(KEY)
        old, new = pack("churn", 900, "old", KEY), pack("churn", -1, "new", KEY, epoch=1)
        assert [s.model for s in reader.apply(log_of(new))] == ["new"]
        assert reader.apply(log_of(old)) == []
        assert [s.place for s in SnapshotReader(KEY).apply(log_of([*new, *old]))] == [(1, -1)]

    def test_a_learner_goes_on_at_the_beginning_of_the_new_input(self) -> None:
        learner = Learner(SETTINGS)
        effects = run(fresh(), log_of([event(c, float(d)) for d in range(40) for c in "ab"]))
        learner.process("outcomes", log_of(outcomes(effects)))
        known = learner.quality.settled
        snapshots = SnapshotReader(KEY).apply(log_of(learner.publish()))
        moved_on = [each._replace(epoch=1, offset=-1, topic_id="new") for each in snapshots]
        heir = Learner(SETTINGS)
        assert heir.restore(moved_on, {"outcomes": "new"}) == {"outcomes": 0, "interactions": 0}
        heir.process("outcomes", log_of(outcomes(effects)))  # applied before: the marks say so
        assert heir.quality.settled == known > 0
        (quality,) = SnapshotReader(KEY).apply(log_of(heir.slots["quality"].publish()))
        assert (quality.epoch, quality.topic_id) == (1, "new")

    def test_snapshots_of_another_input_are_refused(self) -> None:
        (old,) = SnapshotReader(KEY).apply(log_of(pack("churn", 9, (None, {}), KEY, topic_id="a")))
        with pytest.raises(SnapshotError, match="`crm-online adopt`"):
            Learner(SETTINGS).restore([old], {"outcomes": "b"})

    def test_a_manifest_of_the_first_version_is_read(self) -> None:
        import hashlib
        import json
        import pickle

        from crm_online.models.snapshots import PURPOSE
        from crm_online.signing import sign

        chunk = pickle.dumps([1.0], protocol=5)
        body: dict[str, Any] = {"format": 1, "name": "churn", "offset": 5, "version": "churn@5"}
        body |= {"chunks": 1, "sha256": [hashlib.sha256(chunk).hexdigest()]}
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        body["signature"] = sign(KEY, PURPOSE, canonical)
        manifest = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        messages = [Message(b"churn/5/0", chunk), Message(b"churn", manifest)]
        assert [s.place for s in SnapshotReader(KEY).apply(log_of(messages))] == [(0, 5)]
