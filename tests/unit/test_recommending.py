"""Lists with a catalogue: nothing that is not to be had, content where sessions say too little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online import InProcess, Settings
from crm_online.catalogue import CatalogueItem
from crm_online.fallback import ContentFallback, Wish
from crm_online.log import Effects, LogRecord
from crm_online.models.next_item import Candidate, Query
from crm_online.models.snapshots import SnapshotReader
from crm_online.replica import Replica
from tests.logs import event, log_of

SETTINGS = Settings(max_items=200, max_sessions=256, recommended_items=4)
ITEMS = [f"i{n}" for n in range(12)]
CLICKS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(ITEMS)), max_size=60)
CATALOGUE = st.dictionaries(
    st.sampled_from([*ITEMS, "cold-1", "cold-2"]),
    st.tuples(st.sampled_from(["red mug", "blue mug", "saw", ""]), st.booleans()),
)


def listing(entries: dict[str, tuple[str, bool]]) -> list[CatalogueItem]:
    return [CatalogueItem(i, name, available=there) for i, (name, there) in entries.items()]


def log(clicks: Sequence[tuple[str, str]]) -> list[LogRecord]:
    return log_of(
        [event(c, n / 1e4, "Product Viewed", items=[i]) for n, (c, i) in enumerate(clicks)]
    )


def run(both: InProcess, records: list[LogRecord], size: int = 7) -> list[Effects]:
    return [
        effects
        for first in range(0, len(records), size)
        for effects in both.process(0, records[first : first + size])
    ]


def lists(effects: list[Effects]) -> Iterator[dict[str, Any]]:
    for one in effects:
        for message in one.outputs.get("recommendations", ()):
            yield orjson.loads(message.value or b"")


@given(CLICKS, CATALOGUE)
@settings(max_examples=60, deadline=None)
def test_what_is_not_to_be_had_is_in_no_list(
    clicks: list[tuple[str, str]], entries: dict[str, tuple[str, bool]]
) -> None:
    both = InProcess(SETTINGS, items=listing(entries))
    gone = both.scorer.catalogue.unavailable
    for found in lists(run(both, log(clicks))):
        items = [each["item_id"] for each in found["items"]]
        assert gone.isdisjoint(items)
        assert len(set(items)) == len(items) <= SETTINGS.recommended_items
        scores = [each["score"] for each in found["items"]]
        assert scores == sorted(scores, reverse=True)


@given(CLICKS)
@settings(max_examples=20, deadline=None)
def test_a_catalogue_of_other_items_changes_nothing(clicks: list[tuple[str, str]]) -> None:
    other = [CatalogueItem("elsewhere", "red mug")]
    plain, listed = InProcess(SETTINGS), InProcess(SETTINGS, items=other)
    assert [e.outputs for e in run(plain, log(clicks))] == [
        e.outputs for e in run(listed, log(clicks))
    ]


@given(st.sets(st.sampled_from(ITEMS)))
@settings(max_examples=30, deadline=None)
def test_lists_are_full_while_the_model_knows_more(gone: set[str]) -> None:
    both = InProcess(SETTINGS)
    run(both, log([(c, i) for c in "abc" for i in ITEMS]))
    everything = both.scorer.replica.model.recommend_many([Query("d", 1, ("i3",))], 100)[0]
    both.scorer.catalogue.take(CatalogueItem(item, available=False) for item in gone)
    after = log([("d", "i3")])[0]._replace(offset=len(ITEMS) * 3)
    found = [each["item_id"] for one in lists(run(both, [after])) for each in one["items"]]
    left = [each.item for each in everything if each.item not in gone]
    assert set(found) <= set(left)
    assert len(found) == min(len(left), SETTINGS.recommended_items)


def test_an_item_that_nobody_touched_is_recommended_for_what_it_is_made_of() -> None:
    mugs = [CatalogueItem(f"mug-{n}", "red mug", "Kitchen") for n in range(3)]
    saws = [CatalogueItem(f"saw-{n}", "steel saw", "Tools") for n in range(30)]
    both = InProcess(SETTINGS, items=[*saws, *mugs])
    [found] = lists(run(both, log([("ann", "mug-0")])))
    first, second = [each for each in found["items"] if each["reason"]["source"] == "content"][:2]
    assert {first["item_id"], second["item_id"]} == {"mug-1", "mug-2"}
    assert first["reason"]["because"] == ["mug-0"]
    assert first["reason"]["text"] == "like mug-0 by name, category or price"


class TestFallback:
    @pytest.fixture
    def replica(self) -> Replica:
        return Replica(SETTINGS)

    def fill(self, replica: Replica, wish: Wish, size: int = 4) -> list[Candidate]:
        both = InProcess(SETTINGS, items=[CatalogueItem(f"m{n}", f"mug {n}") for n in range(9)])
        [found] = ContentFallback(both.scorer.catalogue, replica).fill([wish], size)
        return found

    def test_content_stands_between_sessions_and_what_trends(self, replica: Replica) -> None:
        above = Candidate("x", 1.4, "covisitation", ("m0",))
        trending = [Candidate(item, 0.9, "trending", ()) for item in ("t", "u")]
        found = self.fill(replica, Wish(Query("a", 1, ("m0",)), (), [above, *trending]))
        assert [each.source for each in found] == ["covisitation", *["content"] * 3]
        assert found[0] == above
        assert all(0.9 < each.score < 1.4 for each in found[1:])

    def test_what_was_touched_before_counts_where_the_session_is_empty(
        self, replica: Replica
    ) -> None:
        [first, *_] = self.fill(replica, Wish(Query("a", 1), ("unknown", "m3"), []))
        assert first.because == ("m3",)

    def test_own_and_excluded_items_do_not_come_back(self, replica: Replica) -> None:
        query = Query("a", 1, ("m0", "m1"), frozenset({"m2"}))
        found = self.fill(replica, Wish(query, ("m3",), []), size=20)
        assert {each.item for each in found} == {f"m{n}" for n in range(3, 9)}

    def test_full_lists_and_strangers_stay_as_they_are(self, replica: Replica) -> None:
        full = [Candidate("x", 2.5, "session-neighbours", ()) for _ in range(4)]
        assert self.fill(replica, Wish(Query("a", 1, ("m0",)), (), full)) == full
        assert self.fill(replica, Wish(Query("a", 1, ("?",)), ("?",), full[:1])) == full[:1]


def test_a_restarted_replica_makes_the_same_lists() -> None:
    catalogue = [CatalogueItem(item, f"mug {n % 3}") for n, item in enumerate([*ITEMS, "cold"])]
    first = InProcess(SETTINGS, items=catalogue)
    run(first, log([(c, i) for c in "abc" for i in ITEMS]))
    assert first.scorer.replica.content.learned == 3 * len(ITEMS)
    reader = SnapshotReader(SETTINGS.signing_key.get_secret_value().encode())
    messages = first.learner.publish_next_item()
    [snapshot] = reader.apply([LogRecord(n, 0, *m) for n, m in enumerate(messages)])
    second = InProcess(SETTINGS, items=catalogue)
    second.scorer.adopt(snapshot)
    wish = Wish(Query("z", 1, ("cold", "i4")), (), [])
    filled = [
        ContentFallback(both.scorer.catalogue, both.scorer.replica).fill([wish], 9)
        for both in (first, second)
    ]
    assert filled[0] == filled[1]
    more = [record._replace(offset=record.offset + 100) for record in log([("y", "i4")] * 2)]
    [effects] = run(first, more)
    [message] = effects.outputs["interactions"]
    second.scorer.replica.apply([LogRecord(first.scorer.replica.offset, 0, *message)])
    one, other = (both.scorer.replica.content for both in (first, second))
    assert one.state_bytes() == other.state_bytes()
    assert one.learned == 3 * len(ITEMS) + len(more)
