"""Events of one request: what becomes of them, what they cost, and whom they hold up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from crm_online.settings import Settings
from streams.web.lots import LOT_BYTES, Lot, make_lot, take_apart
from streams.web.problems import Problem

pytestmark = pytest.mark.asyncio

NOW = 1.8e9
FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
EXACT = (
    b'{"event":"Product Viewed","userId":123456789012345678901,"messageId":%s,'
    b'"properties":{"product_id":98765432109876543210987,"price":12.345000000000000000001},'
    b'"context":{"own":18446744073709551617.00}}' % (b"9" * 100)
)


async def made(body: bytes, kind: str, **settings: Any) -> Lot:
    return await make_lot(take_apart(body, kind), Settings(**settings), 4, NOW, b"")


async def test_what_is_sent_goes_on_digit_by_digit() -> None:
    batch = b'{"batch":[%s],"context":{"n":1}}' % EXACT.replace(b"{", b'{"type":"track",', 1)
    for body, kind in ((EXACT, "track"), (batch, "batch")):
        lot = await made(body, kind)
        ((_, message),) = lot.taken
        assert message.key == b"123456789012345678901"
        written, sent = (FIELDS.decode(each) for each in (message.value or b"", EXACT))
        assert bytes(written.pop("type")) == b'"track"'
        assert written.pop("receivedAt")
        assert {name: bytes(raw) for name, raw in written.items()} == {
            name: bytes(raw) for name, raw in sent.items()
        }


@pytest.mark.parametrize("number", ["12.5", "1e30", "9" * 101, "1" * 400])
async def test_a_number_that_is_no_id_is_refused_by_name(number: str) -> None:
    lot = await made(b'{"userId":%s}' % number.encode(), "page")
    assert [each.reason for each in lot.rejected] in (["wrong-type"], ["id-too-long"])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [(b'{"na\xffme":1}', "not-utf8"), (b'{"name":"\xff"}', "not-utf8"), (b"[1]", "wrong-type")],
)
async def test_an_event_in_another_encoding_is_one_bad_event(bad: bytes, reason: str) -> None:
    good = b'{"type":"page","userId":"c-1"}'
    lot = await made(b'{"batch":[%s,%s]}' % (bad, good), "batch")
    assert [(each.place, each.reason) for each in lot.rejected] == [(0, reason)]
    assert len(lot.taken) == 1


async def test_what_a_batch_says_for_all_holds_for_those_without_their_own() -> None:
    events = b'{"type":"page","userId":1},{"type":"page","userId":2,"context":{"b":2}}'
    shared = b'"context":{"a":1},"integrations":null,"sentAt":"2026-03-01T12:00:00Z"'
    lot = await made(b'{"batch":[%s],%s}' % (events, shared), "batch")
    values = [json.loads(message.value or b"") for _, message in lot.taken]
    assert [value["context"] for value in values] == [{"a": 1}, {"b": 2}]
    assert all(value["sentAt"] == "2026-03-01T12:00:00Z" for value in values)
    assert all("integrations" not in value for value in values)


@pytest.mark.parametrize("letters", [30_000, 400_000])  # each event is taken, or each is refused
async def test_a_batch_cannot_grow_beyond_bounds_by_its_context(letters: int) -> None:
    event = {"type": "page", "userId": "c-1"}
    batch = {"batch": [event] * 2_500, "context": {"x": "y" * letters}}
    with pytest.raises(Problem, match=str(LOT_BYTES)) as caught:
        await made(json.dumps(batch).encode(), "batch")
    assert (caught.value.status, caught.value.code) == (413, "too-large")


async def test_a_large_batch_gives_way_to_others() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(other())
    event = {"type": "page", "userId": "c-1"}
    lot = await made(json.dumps({"batch": [event] * 2_500}).encode(), "batch")
    beside.cancel()
    assert len(lot.taken) == 2_500
    assert turns >= 50
