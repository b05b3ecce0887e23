"""What was refused is shown, mended and put back: once, whatever dies in between."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crm_online.customers.progress import read_progress
from crm_online.dead_letters import MAX_BYTES, dead_letter
from crm_online.errors import (
    BrokerUnavailable,
    ConfigurationError,
    EventRejected,
    SnapshotError,
)
from crm_online.events import parse_event
from crm_online.internal import PROGRESS_KEY, TICK_KEY, TICK_TYPE
from crm_online.log import LogRecord, Message
from crm_online.settings import Settings
from streams.dead_letters.letters import Letter, Letters
from streams.dead_letters.listing import list_dead_letters
from streams.dead_letters.marks import PUT_BACK, Mark, Place, parse_place
from streams.dead_letters.mending import Mended, mend
from streams.dead_letters.putting_back import PutBack, putting_back
from streams.dead_letters.reading import LetterReader
from streams.dead_letters.replaying import replay_dead_letters
from streams.dead_letters.showing import show_dead_letter
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.embedded.server import HOST, free_ports
from streams.feeding import partition_of
from tests.builders import START, order_completed, product_viewed
from tests.streams.job import PARTITIONS, Tail, declared_settings, shelved, working
from tests.streams.workers import append

GOOD = order_completed("spade", user="ann", at=START + 60.0)
WHOLE = product_viewed("mug", user="bob", message_id="own-1")
BROKEN = GOOD[:-1]
ORDERS = 1


@pytest.fixture
def settings(app: str, broker: MockBroker | RealKafka, valkey: Valkey) -> Settings:
    return declared_settings(app, broker, valkey)


def refused(
    settings: Settings, value: bytes, offset: int = 17, reason: str = "malformed-json"
) -> Message:
    """Make a dead letter as a scorer does."""
    record = LogRecord(offset, 1_700_000_000_000, b"ann", value)
    rejection = EventRejected(reason, "as the test says")
    return dead_letter(record, rejection, settings.topic("events"), 3)


def lay(settings: Settings, *messages: Message) -> None:
    """Put records on the dead letters of partition 3."""
    asyncio.run(append(settings, "dead-letters", 3, *messages))


def put_back(settings: Settings, *places: str, **more: Any) -> int:
    return replay_dead_letters(settings, places=places, json=True, **more)


def mended(folder: Path, value: bytes = GOOD) -> Path:
    file = folder / "mended.json"
    file.write_bytes(value)
    return file


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


async def standing(settings: Settings, noun: str = "events") -> list[Any]:
    """Read all that stands on a topic."""
    async with Tail(settings, noun) as tail:
        await tail.read_all()
        return tail.records[noun]


def events(settings: Settings) -> list[Any]:
    return asyncio.run(standing(settings))


def marks(settings: Settings) -> list[str]:
    records = asyncio.run(standing(settings, "dead-letters"))
    return [json.loads(r.value)["state"] for r in records if PUT_BACK in dict(r.headers)]


@asynccontextmanager
async def interrupted(settings: Settings) -> AsyncIterator[tuple[PutBack, list[Mended]]]:
    """Go as far as a run that dies: the letter of the topic is mended, nothing is written."""
    async with LetterReader(settings) as reader, putting_back(settings, reader) as writer:
        letters = list((await reader.letters()).newest_first())
        yield writer, [mend(each, GOOD, settings, time.time()) for each in letters]


class TestRoundTrip:
    async def _scored(self, settings: Settings, tail: Tail) -> Any:
        await tail.until_applied()
        await tail.read_all()
        return shelved(tail.records["state"])["ann"]

    @pytest.mark.asyncio
    async def test_mended_event_is_scored_once(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wrong = partition_of(b"ann", PARTITIONS) ^ 1
        async with Tail(settings, "state", "dead-letters") as tail, working(settings, ("score",)):
            # Under no key and on the wrong partition: the put-back must find the right one.
            await append(settings, "events", wrong, Message(None, BROKEN))
            await tail.until(lambda: bool(tail.records["dead-letters"]))
            await asyncio.to_thread(show_dead_letter, settings, f"{wrong}@0", raw=True)
            assert capsys.readouterr().out.encode() == BROKEN

            file = mended(tmp_path)
            code = await asyncio.to_thread(put_back, settings, f"{wrong}@0", file=file)
            assert code == 0
            assert said(capsys)["put_back"] == [f"{settings.app}.events[{wrong}]@0"]
            assert (await self._scored(settings, tail)).orders == ORDERS

            code = await asyncio.to_thread(put_back, settings, f"{wrong}@0", file=file)
            assert code == 1
            assert said(capsys)["refused"][0]["reason"] == "already-put-back"
            assert len(await standing(settings)) == 2

    @pytest.mark.asyncio
    async def test_repeat_within_the_ring_changes_nothing(self, settings: Settings) -> None:
        """Two runs at the same time may both append: their events have one name."""
        async with Tail(settings, "state") as tail, working(settings, ("score",)):
            await append(settings, "dead-letters", 3, refused(settings, BROKEN))
            async with interrupted(settings) as (writer, ready):
                await writer.put_back(ready)
            async with interrupted(settings) as (writer, ready):
                late = [mend(_again(ready[0].letter), GOOD, settings, time.time())]
                await writer.put_back(late)
            state = await self._scored(settings, tail)
        standing = [r.value for r in tail.records["state"] if r.key == PROGRESS_KEY]
        assert (state.orders, max(read_progress(v).duplicates for v in standing)) == (ORDERS, 1)


def _again(letter: Letter) -> Letter:
    letter.put_back = 0
    return letter


class TestPutBack:
    def test_event_stands_under_its_customer_with_none_of_the_old_headers(
        self, settings: Settings
    ) -> None:
        letter = refused(settings, GOOD, reason="reserved-key")
        forged = letter._replace(key=TICK_KEY, headers=[*letter.headers, ("ce_type", TICK_TYPE)])
        lay(settings, forged)
        assert put_back(settings, f"{settings.app}.events[3]@17") == 0
        (event,) = events(settings)
        assert event.key == b"ann"
        assert event.partition == partition_of(b"ann", PARTITIONS)
        assert event.headers == ((PUT_BACK, f"{settings.app}.events[3]@17".encode()),)
        sent = json.loads(event.value)
        assert sent.pop("messageId").startswith("put-back-")
        assert sent == json.loads(GOOD)
        assert marks(settings) == ["begun", "done"]

    def test_own_message_id_and_every_byte_stay(self, settings: Settings) -> None:
        value = WHOLE.replace(b'"mug"', b' "mug" ')
        lay(settings, refused(settings, value))
        assert put_back(settings, "3@17") == 0
        assert events(settings)[0].value == value

    def test_what_would_be_refused_again_is_refused(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay(settings, refused(settings, BROKEN))
        assert put_back(settings, "3@17") == 1
        assert said(capsys)["refused"][0]["reason"] == "malformed-json"
        for value, reason in [
            (b"", "empty"),
            (GOOD.replace(b'"ann"', b'""'), "missing-id"),
            (GOOD[:-1] + b',"extra":"' + b"x" * settings.max_event_bytes + b'"}', "too-large"),
        ]:
            assert put_back(settings, "3@17", file=mended(tmp_path, value)) == 1
            assert said(capsys)["refused"][0]["reason"] == reason
        assert events(settings) == []
        assert marks(settings) == []

    def test_no_room_for_a_message_id_is_refused(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        room = settings.max_event_bytes - len(GOOD) - len(b',"extra":""')
        value = GOOD[:-1] + b',"extra":"' + b"x" * room + b'"}'
        assert len(value) == settings.max_event_bytes
        lay(settings, refused(settings, BROKEN))
        assert put_back(settings, "3@17", file=mended(tmp_path, value)) == 1
        assert said(capsys)["refused"][0]["reason"] == "too-large"

    def test_truncated_is_refused_and_goes_back_whole(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        large = GOOD[:-1] + b',"extra":"' + b"x" * MAX_BYTES + b'"}'
        lay(settings, refused(settings, large, reason="too-large"))
        generous = settings.model_copy(update={"max_event_bytes": 2 * MAX_BYTES})
        assert put_back(generous, "3@17") == 1
        (refusal,) = said(capsys)["refused"]
        assert refusal["reason"] == "truncated"
        assert f"{len(large):,}" in refusal["message"]
        assert "--file" in refusal["message"]
        assert put_back(settings, "3@17", file=mended(tmp_path)) == 0

    def test_force_puts_back_once_more_under_another_name(self, settings: Settings) -> None:
        lay(settings, refused(settings, GOOD))
        assert put_back(settings, "3@17") == 0
        assert put_back(settings, "3@17") == 1
        assert put_back(settings, "3@17", force=True) == 0
        names = {json.loads(event.value)["messageId"] for event in events(settings)}
        assert len(names) == 2

    def test_one_bad_place_keeps_no_other_back(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay(settings, refused(settings, GOOD, 1), refused(settings, BROKEN, 2))
        assert put_back(settings, "3@1", "3@2", "3@3") == 1
        found = said(capsys)
        assert len(found["put_back"]) == 1
        assert {each["reason"] for each in found["refused"]} == {
            "malformed-json",
            "no-such-letter",
        }

    def test_reason_chooses_what_is_not_yet_put_back(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        some = [refused(settings, GOOD, offset, "time-in-future") for offset in range(1200)]
        lay(settings, *some, refused(settings, GOOD, 5000, "other"))
        assert put_back(settings, reason="time-in-future") == 0
        assert len(said(capsys)["put_back"]) == 1200
        sources = [dict(event.headers)[PUT_BACK] for event in events(settings)]
        assert sources == [f"{settings.app}.events[3]@{n}".encode() for n in range(1200)]
        assert put_back(settings, reason="time-in-future") == 0
        assert said(capsys)["put_back"] == []
        assert put_back(settings, reason="too-deep") == 1
        assert said(capsys)["put_back"] == []

    def test_sentences(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay(settings, refused(settings, BROKEN))
        file = mended(tmp_path)
        assert replay_dead_letters(settings, places=["3@17"], file=file) == 0
        shown = capsys.readouterr()
        assert shown.out == f"1 event put back: {settings.app}.events[3]@17\n"
        assert "too late to count" in shown.err
        assert replay_dead_letters(settings, places=["3@17"], file=file) == 1
        assert "already-put-back" in capsys.readouterr().err


class TestDeath:
    """A run may die at any step; the next one makes good."""

    @pytest.mark.asyncio
    async def test_before_the_event(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await append(settings, "dead-letters", 3, refused(settings, GOOD))
        async with interrupted(settings) as (writer, ready):
            await writer.begin(ready)
        assert await asyncio.to_thread(put_back, settings, "3@17") == 0
        assert len(said(capsys)["put_back"]) == 1
        assert len(await standing(settings)) == 1

    @pytest.mark.asyncio
    async def test_after_the_event(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await append(settings, "dead-letters", 3, refused(settings, GOOD))
        async with interrupted(settings) as (writer, ready):
            await writer.begin(ready)
            await writer.append(ready)
        assert await asyncio.to_thread(list_dead_letters, settings, json=True) == 0
        assert said(capsys)["dead_letters"][0]["state"] == "begun"
        assert await asyncio.to_thread(put_back, settings, "3@17") == 0
        found = said(capsys)
        assert (found["put_back"], len(found["recorded"])) == ([], 1)
        assert await asyncio.to_thread(put_back, settings, "3@17") == 1
        assert len(await standing(settings)) == 1

    @pytest.mark.asyncio
    async def test_twice_before_anyone_looked(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The first of two beginnings is the one whose event stands on the log."""
        await append(settings, "dead-letters", 3, refused(settings, GOOD))
        async with interrupted(settings) as (writer, ready):
            await writer.begin(ready)
            await writer.append(ready)
            await writer.begin(ready)
        assert await asyncio.to_thread(put_back, settings, "3@17") == 0
        assert len(said(capsys)["recorded"]) == 1

    def test_log_that_holds_no_answer(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        letter = refused(settings, GOOD)
        letters = Letters()
        letters.apply(3, [LogRecord(0, 0, letter.key, letter.value, letter.headers)])
        place = Place(settings.topic("events"), 3, 17)
        digest = next(letters.newest_first()).digest
        lay(settings, letter, Mark("begun", digest, 0, 999).message(place))
        assert put_back(settings, "3@17") == 1
        assert said(capsys)["refused"][0]["reason"] == "in-doubt"
        assert put_back(settings, "3@17", force=True) == 0

    def test_of_the_scorer_refuses_a_record_twice(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay(settings, refused(settings, GOOD))
        assert put_back(settings, "3@17") == 0
        lay(settings, refused(settings, GOOD))
        assert put_back(settings, "3@17") == 1
        capsys.readouterr()
        assert list_dead_letters(settings, json=True) == 0
        found = said(capsys)
        assert [each["put_back"] for each in found["dead_letters"]] == [True]
        assert found["reasons"] == {"malformed-json": {"letters": 1, "put_back": 1}}


class TestShow:
    def test_list_is_newest_first(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay(settings, *[refused(settings, b"{%d" % n, n) for n in range(5)], Message(b"?", b"?"))
        lay(settings, refused(settings, b"", 9, "empty"))
        assert list_dead_letters(settings, limit=3, json=True) == 0
        shown = capsys.readouterr()
        found = json.loads(shown.out)
        name = settings.topic("events")
        places = [each["place"] for each in found["dead_letters"]]
        assert places == [f"{name}[3]@9", f"{name}[3]@4", f"{name}[3]@3"]
        assert found["reasons"]["malformed-json"] == {"letters": 5, "put_back": 0}
        assert "1 record on the topic" in shown.err
        assert list_dead_letters(settings, reason="empty") == 0
        table = capsys.readouterr().out
        assert "3@9 " in table
        assert "3@4 " not in table

    def test_places_in_a_narrow_list_are_whole(
        self,
        settings: Settings,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("COLUMNS", "40")
        lay(settings, refused(settings, BROKEN, 123_456_789_012))
        assert list_dead_letters(settings) == 0
        assert "3@123456789012 " in capsys.readouterr().out

    def test_list_of_nothing(self, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
        assert list_dead_letters(settings) == 0
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "no dead letters" in shown.err

    def test_letter_is_pretty_where_it_is_json(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay(settings, refused(settings, b'{"total":1e400,"a":"\xc2\x9b"}'))
        assert show_dead_letter(settings, "3@17") == 0
        out = capsys.readouterr().out
        assert '  "total": 1e400,\n' in out
        assert '"a": "\\x9b"' in out
        assert "EventRejected:malformed-json" in out

    def test_letter_that_is_too_deep_to_be_read(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay(settings, refused(settings, b"[" * 20_000))
        assert show_dead_letter(settings, "3@17") == 0
        assert "[" * 20_000 in capsys.readouterr().out

    def test_letter_that_is_no_text(
        self, settings: Settings, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        value = b"\x1b[2J\x00\xff{"
        lay(settings, refused(settings, value))
        assert show_dead_letter(settings, "3@17", raw=True) == 0
        assert capfdbinary.readouterr().out == value
        assert show_dead_letter(settings, "3@17") == 0
        assert rb"\x1b[2J\x00\xff{" in capfdbinary.readouterr().out
        assert show_dead_letter(settings, "3@17", json=True) == 0
        assert json.loads(capfdbinary.readouterr().out)["value"] == {"base64": "G1sySgD/ew=="}

    def test_place_without_a_letter(
        self, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lay(settings, refused(settings, BROKEN))
        assert show_dead_letter(settings, "2@17") == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert f"no dead letter of {settings.app}.events[2]@17" in shown.err
        assert show_dead_letter(settings, "elsewhere.events[2]@17") == 1
        assert f"of another topic than {settings.app}.events" in capsys.readouterr().err


class TestWrongUse:
    @pytest.mark.parametrize("text", ["", "17", "crm.events@17", "3@-1", "3@x", "a b[1]@2", "٣@1"])
    def test_place_that_is_none(self, text: str) -> None:
        with pytest.raises(ConfigurationError, match=r"write crm\.events\[3\]@17, or 3@17"):
            parse_place(text, "crm.events")

    def test_unclear_what_to_put_back(self, tmp_path: Path) -> None:
        nowhere = Settings(kafka="127.0.0.1:1")
        wrong: Sequence[dict[str, Any]] = (
            {},
            {"places": ["3@1"], "reason": "empty"},
            {"places": ["3@1", "3@2"], "file": mended(tmp_path)},
            {"reason": "empty", "file": mended(tmp_path)},
            {"reason": "no-such-reason"},
            {"places": ["3@1"], "file": tmp_path / "none"},
        )
        for given in wrong:
            with pytest.raises(ConfigurationError):
                replay_dead_letters(nowhere, **given)

    def test_no_broker(self) -> None:
        settings = Settings(kafka=f"{HOST}:{free_ports(1)[0]}")
        with pytest.raises(BrokerUnavailable, match="check CRM_KAFKA"):
            list_dead_letters(settings)

    @pytest.mark.real
    def test_no_topic(self, app: str, real_kafka: RealKafka) -> None:
        settings = Settings(app=app, kafka=real_kafka.address)
        with pytest.raises(ConfigurationError, match="crm-online topics"):
            list_dead_letters(settings)

    def test_put_back_of_a_newer_version(self, settings: Settings) -> None:
        place = Place("crm.events", 3, 17)
        for mark in (
            Mark("done", "", 0, 0, version=2).message(place),
            Message(None, b"?", [(PUT_BACK, b"crm.events[3]@17")]),
        ):
            with pytest.raises(SnapshotError, match="newer version"):
                Letters().apply(3, [LogRecord(0, 0, *mark)])


class TestMending:
    @pytest.mark.parametrize(
        "extra", [b'"messageId":null', b'"messageId":""', b'"x":[1e400,"\xc3\xa4"]']
    )
    def test_name_is_added_and_nothing_else_changes(self, extra: bytes) -> None:
        value = GOOD[:-1] + b"," + extra + b"}"
        letter = Letter(Place("crm.events", 3, 17), 3, 0, 0, "r", "m", 1, 1, "d")
        found = mend(letter, value, Settings(), START + 100.0)
        before, after = (parse_event(v, START + 100.0, 32768, 300.0) for v in (value, found.value))
        assert after.message_id == letter.message_id()
        assert 0 < len(after.message_id) <= 100
        assert before.items == after.items
        assert extra.startswith(b'"messageId"') or extra in found.value

    def test_record_of_another_topic_of_the_name_is_another_letter(self) -> None:
        """A topic made anew begins at offset 0 again."""
        settings, place = Settings(), Place("crm.events", 3, 17)
        letters = Letters()
        first, second = (refused(settings, value) for value in (BROKEN, GOOD))
        letters.apply(3, [LogRecord(0, 0, *first)])
        old = letters.get(place)
        assert old is not None
        letters.apply(3, [LogRecord(1, 0, *Mark("done", old.digest, 0, 0).message(place))])
        assert _times(letters, place) == 1
        letters.apply(3, [LogRecord(2, 0, *second)])
        assert _times(letters, place) == 0


def _times(letters: Letters, place: Place) -> int:
    letter = letters.get(place)
    assert letter is not None
    return letter.put_back
