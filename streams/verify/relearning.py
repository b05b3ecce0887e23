"""What a learner comes to that reads each outcome and each interaction exactly once."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crm_online.internal import DIRECTIVE_KEY, RESET_KEY
from crm_online.learning import Learner
from crm_online.models.next_item.ranker import NextItem
from crm_online.models.snapshots import ModelSnapshot, SnapshotReader
from crm_online.scores import Interaction, InteractionBatch
from streams.verify.checks import Check, Tally, check_equal
from streams.verify.facts import interaction_facts, outcome_facts
from streams.verify.truth import Mark, Touch, Truth, ce_id_of

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings

__all__ = ["Index", "Models", "Relearned"]

Lane = tuple[int, bool]
Values = dict[str, object]
LEARNED: Final = ("churn", "value", "segments", "clusters", "quality")

_batch: Final = msgspec.json.Decoder(InteractionBatch).decode
_unpack: Final = msgspec.msgpack.Decoder().decode


class Models:
    """The newest snapshot of each model on the models topic."""

    def __init__(self, settings: Settings) -> None:
        self._reader = SnapshotReader(settings.signing_key.get_secret_value().encode())
        self.newest: dict[str, ModelSnapshot] = {}

    def apply(self, records: Sequence[Record]) -> None:
        """Take records of the topic, in order."""
        self.newest.update({each.name: each for each in self._reader.apply(records)})

    def offset(self, name: str) -> int:
        """Return the input offset of a model's newest snapshot; -1 before the first."""
        found = self.newest.get(name)
        return -1 if found is None else found.offset


class Relearned:
    """Reads the outcomes topic: compares it with the truth, and learns each outcome once.

    Parameters
    ----------
    settings
        Those of the workers.
    truth
        Of the run.
    """

    def __init__(self, settings: Settings, truth: Truth) -> None:
        self._learner = Learner(settings)
        self._tally: Tally[bytes] = Tally("churn and value outcomes", truth.outcomes)
        self._touches = truth.touches
        self._touched: dict[int, int] = {}
        self._seen: set[bytes] = set()
        self._settled = 0
        self.touch_check = Check("next-item outcomes")
        self.end = 0

    def apply(self, records: Sequence[Record]) -> None:
        """Take records of the topic, in order."""
        for record in records:
            if record.key in {RESET_KEY, DIRECTIVE_KEY}:
                continue
            kind, facts = outcome_facts(record.value or b"")
            if kind == "next_item":
                fresh = self._see_touch(ce_id_of(record), _unpack(facts))
            else:
                fresh = self._tally.see(ce_id_of(record), facts)
                self._settled += fresh and kind == "settled"
            if fresh:
                self._learner.process("outcomes", [record])
        self.end = records[-1].offset + 1

    def _see_touch(self, name: bytes, facts: dict[str, Any]) -> bool:
        """Compare a next-item outcome with its touch; tells whether a learner applies it.

        Which touches have an outcome depends on which lists went out, so a repeated stretch of
        the log may bring others than it did before; their learner goes by the touch's offset.
        """
        check, source = self.touch_check, facts["source"]
        place = source["partition"], source["offset"]
        touch = Touch(facts["customer_id"], facts["session"], facts["item_id"])
        if touch != self._touches.get(place):
            check.blame(f"there was no such touch at {place}")
        if name in self._seen:
            check.repeated += 1
        else:
            check.found += 1
        self._seen.add(name)
        fresh: bool = place[1] > self._touched.get(place[0], -1)
        self._touched[place[0]] = max(place[1], self._touched.get(place[0], -1))
        return fresh

    def finish(self, models: Models) -> list[Check]:
        """Return the comparisons of the topic, and of what the learner has published."""
        self.touch_check.expected = self.touch_check.found  # no number follows from the log
        expected: dict[str, object] = {"outcomes read": self.end}
        found: dict[str, object] = {"outcomes read": models.offset("quality") + 1}
        for name in LEARNED:
            slot, snapshot = self._learner.slots[name], models.newest.get(name)
            if snapshot is None and not slot.changed:
                continue  # nothing to learn, nothing to publish
            marks = snapshot.model[1] if snapshot is not None else {}
            lanes = slot.snapshot()[1].keys() | marks.keys()
            expected |= _taught(name, slot.snapshot(), lanes)
            if snapshot is not None:
                found |= _taught(name, snapshot.model, lanes)
        for name in ("churn", "quality"):
            expected[f"outcomes of {name}"] = self._settled
            found[f"outcomes of {name}"] = _outcomes(models.newest.get(name))
        return [
            self._tally.finish(),
            self.touch_check,
            check_equal("learned once", expected, found),
        ]


class Index:
    """Reads the interactions topic: compares it with the truth, and learns each once.

    Parameters
    ----------
    settings
        Those of the workers.
    truth
        Of the run.
    """

    def __init__(self, settings: Settings, truth: Truth) -> None:
        self._model = NextItem(
            settings.max_items,
            settings.max_sessions,
            settings.repurchase_share,
            settings.rerank_sample,
        )
        self._tally: Tally[Mark] = Tally("interactions", truth.interactions)
        self.seen_at: dict[str, int] = {}
        self.warm_at = -1
        self.end = 0

    def apply(self, records: Sequence[Record]) -> None:
        """Take records of the topic, in order."""
        for record in records:
            if record.key == RESET_KEY:
                continue
            read = _batch(record.value or b"")
            fresh = [one for one in read.interactions if self._see(read.partition, one)]
            for one in fresh:
                self.seen_at[one.customer] = record.offset
            if fresh:
                self._model.learn_many(fresh)
            if self.warm_at < 0 and self._model.counters["items"]:
                self.warm_at = record.offset
        self.end = records[-1].offset + 1

    def _see(self, partition: int, one: Interaction) -> bool:
        return self._tally.see((partition, one.offset, one.index), interaction_facts(one))

    def finish(self, models: Models) -> list[Check]:
        """Return the comparisons of the topic, and of the index that was published."""
        expected: dict[str, object] = {
            "index": self._model.state_bytes(),
            "interactions read": self.end,
        }
        found: dict[str, object] = {"interactions read": models.offset("next_item") + 1}
        snapshot = models.newest.get("next_item")
        if snapshot is not None:
            found["index"] = snapshot.model[0]
        return [self._tally.finish(), check_equal("session index", expected, found)]


def _taught(name: str, held: tuple[Any, Mapping[Lane, object]], lanes: Iterable[Lane]) -> Values:
    """Return what a learner holds of a model: its content, and how far it is in each partition."""
    model, marks = held
    values: Values = {f"{name}: model": _content(model)}
    for lane in sorted(lanes):
        partition, touch = lane
        kind = "next-item outcomes" if touch else "outcomes"
        values[f"{name}: mark of {kind} in partition {partition}"] = marks.get(lane)
    return values


def _outcomes(snapshot: ModelSnapshot | None) -> int:
    """Count the settled predictions that a published model says it has learned."""
    if snapshot is None:
        return 0
    model = snapshot.model[0]
    settled: int = (
        model.settled + model.late if snapshot.name == "quality" else model.churned + model.active
    )
    return settled


def _content(model: object) -> bytes:
    """Pickle without references.

    A pickle says which equal strings, or types of arrays, are one object. That differs from process
    to process, and after a restart: names in the model come from a snapshot then, new ones from
    the log.
    """
    packed = io.BytesIO()
    pickler = pickle.Pickler(packed)
    pickler.fast = True
    pickler.dump(pickle.loads(pickle.dumps(model)))  # noqa: S301 - made in this line
    return packed.getvalue()
