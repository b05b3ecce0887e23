"""Files of history become events; what cannot be used is counted and never fatal."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.errors import ConfigurationError
from crm_online.events import parse_event
from crm_online.simulation.columns import ColumnMap
from crm_online.simulation.datasets import FORMATS, open_dataset

RETAIL = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
REES46 = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id\n"


def written(folder: Path, text: str | bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_an_invoice_is_one_order_with_its_lines_and_exact_total(tmp_path: Path) -> None:
    text = RETAIL + (
        '1,A,"RED, BIG",6,2010-12-01 08:26:00,2.55,17850,UK\n'
        "1,B,,3,2010-12-01 08:27:00,0.10,17850,UK\n"
        "C2,A,,-6,2010-12-01 09:00:00,2.55,17850.0,UK\n"
        "3,A,,1,2010-12-01 08:00:00,1,,UK\n"
    )
    dataset = open_dataset(written(tmp_path, text), "online-retail")
    order, refund = dataset
    body = json.loads(order.value, parse_float=Decimal)
    assert (order.customer, order.at) == ("17850", 1291191960.0)
    assert (body["event"], body["messageId"], body["userId"]) == ("Order Completed", "1", "17850")
    assert body["properties"]["revenue"] == body["properties"]["total"] == Decimal("15.60")
    assert body["properties"]["products"][1] == {
        "product_id": "B",
        "price": Decimal("0.10"),
        "quantity": 3,
    }
    back = json.loads(refund.value, parse_float=Decimal)
    assert (back["event"], back["messageId"]) == ("Order Refunded", "C2")
    assert back["properties"]["order_id"] == "C2"
    assert back["properties"]["total"] == Decimal("15.30")
    assert back["properties"]["products"][0]["quantity"] == 6
    assert dataset.report.skipped == {"no-customer": 1}
    assert dataset.report.examples == {"no-customer": (5,)}
    assert (dataset.report.rows, dataset.report.events, dataset.progress) == (4, 2, 1.0)


def test_invoices_come_in_order_of_time_whatever_the_order_of_lines(tmp_path: Path) -> None:
    text = RETAIL + (
        "2,A,,1,2010-12-02 08:00:00,1,1,UK\n"
        "1,A,,1,2010-12-01 08:00:00,1,1,UK\n"
        "2,B,,1,2010-12-02 08:00:00,1,1,UK\n"
    )
    events = list(open_dataset(written(tmp_path, text), "online-retail"))
    assert [json.loads(event.value)["messageId"] for event in events] == ["1", "2"]
    assert len(json.loads(events[1].value)["properties"]["products"]) == 2


def test_bad_lines_of_invoices_are_skipped_by_reason(tmp_path: Path) -> None:
    text = RETAIL + (
        "1,A,,1,2010-12-01 08:00:00,1,1,UK\n"
        "1,A,,1,2010-12-01 08:00:00,1,2,UK\n"
        "1,A,,x,2010-12-01 08:00:00,1,1,UK\n"
        "1,A,,1,yesterday,1,1,UK\n"
        "1,A,,1,2010-12-01 08:00:00,NaN,1,UK\n"
        "1,,,1,2010-12-01 08:00:00,1,1,UK\n"
        "1,A\n"
    )
    dataset = open_dataset(written(tmp_path, text), "online-retail")
    assert len(list(dataset)) == 1
    assert dataset.report.skipped == {
        "second-customer-of-invoice": 1,
        "bad-quantity": 1,
        "bad-time": 1,
        "bad-amount": 1,
        "no-item": 1,
        "too-few-columns": 1,
    }


def test_rees46_names_categories_and_sessions(tmp_path: Path) -> None:
    text = (
        REES46.replace("user_id", "user_id,user_session")
        + "2019-10-01 00:00:00 UTC,view,1,11,a.b,brand,9.90,7,s\n"
        + "2019-10-01 00:00:01 UTC,cart,1,11,,,9.90,7,s\n"
        + "2019-10-01 00:00:02 UTC,remove_from_cart,1,11,,,9.90,7,s\n"
        + "2019-10-01 00:00:03 UTC,purchase,1,11,,,9.90,7,s\n"
        + "2019-10-01 00:00:04 UTC,refund,1,11,,,9.90,7,s\n"
    )
    dataset = open_dataset(written(tmp_path, text), "rees46")
    bodies = [json.loads(event.value) for event in dataset]
    names = ["Product Viewed", "Product Added", "Product Removed", "Order Completed"]
    assert [body["event"] for body in bodies] == names
    assert bodies[0]["properties"] == {
        "product_id": "1",
        "category": "a.b",
        "brand": "brand",
        "price": 9.9,
        "session_id": "s",
    }
    assert bodies[1]["properties"]["category"] == "11"
    assert bodies[3]["properties"]["revenue"] == 9.9
    assert bodies[3]["properties"]["products"][0]["quantity"] == 1
    assert dataset.report.skipped == {"unknown-event-type": 1}


def test_each_session_of_clicks_is_a_customer(tmp_path: Path) -> None:
    text = "SessionId\tItemId\tTime\tsplit\n5\t21\t1396314141.719\ttrain\n6\t22\t1396314153\ttest\n"
    first, second = open_dataset(written(tmp_path, text), "clicks")
    body = json.loads(first.value)
    assert (first.at, first.customer, body["anonymousId"]) == (1396314141.719, "5", "5")
    assert body["properties"] == {"product_id": "21"}
    assert second.customer == "6"


@pytest.mark.parametrize(
    ("kind", "item", "amount", "event"),
    [
        ("", "x", "", "Product Viewed"),
        ("", "", "9.5", "Order Completed"),
        ("", "x", "-9.5", "Order Refunded"),
        ("purchase", "x", "9.5", "Order Completed"),
        ("Cart Viewed", "", "", "Cart Viewed"),
        ('My "own" thing', "", "", 'My "own" thing'),
    ],
)
def test_columns_say_what_a_row_is(
    tmp_path: Path, kind: str, item: str, amount: str, event: str
) -> None:
    quoted = kind.replace('"', '""')
    text = f'who;when;what;worth;how\n7;2024-02-03;{item};{amount};"{quoted}"\n'
    columns = ColumnMap("who", "when", item="what", amount="worth", kind="how")
    (raw,) = open_dataset(written(tmp_path, text), "csv", columns=columns)
    parsed = parse_event(raw.value, raw.at, 32768, 300.0)
    assert (parsed.event, parsed.customer, parsed.at) == (event, "7", raw.at)
    if event in {"Order Completed", "Order Refunded"}:
        assert parsed.revenue == 950


def test_rows_with_nothing_but_customer_and_time_are_page_views(tmp_path: Path) -> None:
    (raw,) = open_dataset(
        written(tmp_path, "id,at\n7,2024-02-03T10:00:00+02:00\n"),
        "csv",
        columns=ColumnMap("id", "at"),
    )
    assert json.loads(raw.value)["type"] == "page"
    assert raw.at == 1706947200.0


def test_segment_lines_pass_byte_for_byte(tmp_path: Path) -> None:
    line = b'{"type":"track", "event":"X","userId":17850,"timestamp":"2024-01-01T00:00:00Z"}'
    (raw,) = open_dataset(written(tmp_path, b"\xef\xbb\xbf" + line + b"\r\n\n"), "segment")
    assert raw == (1704067200.0, "17850", line)


DAMAGED = (
    b'{"type":"track","event":"X","userId":"a","timestamp":"2024-01-01T00:00:00Z"}\n'
    b"{nonsense\n"
    b'{"type":"track","event":"X","timestamp":"2024-01-01T00:00:00Z"}\n'
    b'{"type":"track","event":"X","userId":"a"}\n'
    b'{"userId":["a"]}\n'
    b'{"userId":"\xff"}\n'
)


def test_damaged_segment_lines_are_skipped_by_reason(tmp_path: Path) -> None:
    dataset = open_dataset(written(tmp_path, DAMAGED), "segment")
    assert len(list(dataset)) == 1
    assert dataset.report.skipped == {
        "malformed-json": 2,
        "missing-id": 1,
        "missing-time": 1,
        "wrong-type": 1,
    }
    assert dataset.report.examples["malformed-json"] == (2, 6)


def test_damaged_segment_lines_pass_on_request(tmp_path: Path) -> None:
    events = list(open_dataset(written(tmp_path, DAMAGED), "segment", pass_damaged=True))
    assert b"\n".join(event.value for event in events) + b"\n" == DAMAGED
    assert {event.at for event in events} == {1704067200.0}
    assert [event.customer for event in events].count("") == len(events) - 1


def test_packed_and_plain_files_read_alike(tmp_path: Path) -> None:
    text = "\ufeffSessionId,ItemId,Time\n" + "".join(f"{n},x,{10**9 + n}\n" for n in range(500))
    plain = open_dataset(written(tmp_path, text), "clicks")
    packed = open_dataset(written(tmp_path, gzip.compress(text.encode()), "p.gz"), "clicks")
    assert list(plain) == list(packed)
    assert plain.progress == packed.progress == 1.0


def test_a_truncated_gzip_ends_where_it_breaks(tmp_path: Path) -> None:
    lines = "".join(f"{n * 7919 % 1009},x{n * n},{10**9 + n}\n" for n in range(20_000))
    packed = gzip.compress(("SessionId,ItemId,Time\n" + lines).encode())
    dataset = open_dataset(written(tmp_path, packed[: len(packed) // 2]), "clicks")
    assert 0 < len(list(dataset)) < 20_000
    assert dataset.report.skipped["damaged-gzip"] == 1


CLICKS = "SessionId,ItemId,Time\n"


@pytest.mark.parametrize("name", ["clicks", "segment"])
def test_all_whole_lines_before_the_cut_of_a_gzip_are_used(tmp_path: Path, name: str) -> None:
    session = '{{"anonymousId":"s{}","timestamp":"2024-01-01T00:00:00Z"}}\n'.format
    lines = [session(n) if name == "segment" else f"s{n},i,1704067200\n" for n in range(900)]
    text = "".join(lines if name == "segment" else [CLICKS, *lines]).encode()
    cut = gzip.compress(text)[:-200]
    readable = zlib.decompressobj(wbits=31).decompress(cut)  # what zcat shows
    dataset = open_dataset(written(tmp_path, cut), name)
    assert len(list(dataset)) == readable.count(b"\n") - (name == "clicks")
    assert 0 < dataset.report.events < 900
    assert dataset.report.skipped == {"damaged-gzip": 1}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_other_encodings_are_named(tmp_path: Path, name: str, packed: bool) -> None:
    content = f"é{RETAIL}".encode("utf-16")
    path = written(tmp_path, gzip.compress(content) if packed else content)
    columns = ColumnMap("a", "b") if name == "csv" else None
    with pytest.raises(ConfigurationError, match=r"looks like UTF-16.*save it as UTF-8"):
        list(open_dataset(path, name, columns=columns))


def test_a_table_whose_columns_are_in_latin_1_is_told_so(tmp_path: Path) -> None:
    path = written(tmp_path, "Käufer,at\n1,2024-01-01\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"looks like Latin-1.*save it as UTF-8"):
        list(open_dataset(path, "csv", columns=ColumnMap("Käufer", "at")))


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_table_holds_no_event(tmp_path: Path, content: bytes) -> None:
    dataset = open_dataset(written(tmp_path, content), "clicks")
    assert list(dataset) == []
    assert (dataset.report.rows, dict(dataset.report.skipped)) == (0, {})


def test_a_column_without_a_name_is_no_column(tmp_path: Path) -> None:
    columns = ColumnMap("who", "at", item="", amount="paid")
    path = written(tmp_path, "who,at,paid\n7,2024-01-01,9.5\n")
    (raw,) = open_dataset(path, "csv", columns=columns)
    assert json.loads(raw.value)["properties"]["revenue"] == 9.5


def test_undecodable_cells_matter_only_where_they_are_read(tmp_path: Path) -> None:
    text = RETAIL.encode() + (
        b"1,A,\xa3 SIGN,1,2010-12-01 08:00:00,1,1,UK\n1,\xa3,,1,2010-12-01 08:00:00,1,1,UK\n"
    )
    dataset = open_dataset(written(tmp_path, text), "online-retail")
    assert len(list(dataset)) == 1
    assert dataset.report.skipped == {"not-utf8": 1}


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_no_content_is_fatal(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    headers = {"online-retail": RETAIL, "rees46": REES46, "clicks": "SessionId,ItemId,Time\n"}
    for name, header in headers.items():
        for raw in open_dataset(written(folder, header.encode() + content, name), name):
            json.loads(raw.value)
    with suppress(ConfigurationError):  # UTF-16, an archive, …: refused as a whole, with advice
        for raw in open_dataset(written(folder, content), "segment"):
            assert raw.customer


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=12), st.text(max_size=12))))
@settings(max_examples=150, deadline=None)
def test_events_of_any_table_are_json_and_have_distinct_message_ids(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    quote = '"{}"'.format
    lines = [
        ",".join(quote(cell.replace('"', '""')) for cell in (who or "x", "2024-01-01", item, kind))
        for who, item, kind in rows
    ]
    text = "\n".join(["who,at,item,kind", *lines])
    path = written(tmp_path_factory.mktemp("any"), text.encode(errors="surrogatepass"))
    columns = ColumnMap("who", "at", item="item", kind="kind")
    ids = [json.loads(raw.value)["messageId"] for raw in open_dataset(path, "csv", columns=columns)]
    assert len(set(ids)) == len(ids)


def test_reading_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path = written(tmp_path, "SessionId,ItemId,Time\n1,a,1000000000\n1,a,1000000000\n")
    first, second = list(open_dataset(path, "clicks")), list(open_dataset(path, "clicks"))
    assert first == second
    assert first[0].value != first[1].value


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_file_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    columns = ColumnMap("a", "b") if name == "csv" else None
    with pytest.raises(ConfigurationError, match="no file"):
        open_dataset(tmp_path / "none", name, columns=columns)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "session_id\tpos\titem_id\n1\t0\t5\n")
    with pytest.raises(ConfigurationError, match=r"no column 'Time'.*session_id, pos, item_id"):
        list(open_dataset(path, "clicks"))


def test_columns_and_format_must_fit(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    with pytest.raises(ConfigurationError, match="columns"):
        open_dataset(path, "csv")
    with pytest.raises(ConfigurationError, match="unknown format 'xml'"):
        open_dataset(path, "xml")
    with pytest.raises(ConfigurationError, match="needed"):
        list(open_dataset(path, "csv", columns=ColumnMap("", "at")))


def test_a_dataset_is_read_once(tmp_path: Path) -> None:
    dataset = open_dataset(written(tmp_path, "SessionId,ItemId,Time\n1,a,1\n"), "clicks")
    list(dataset)
    with pytest.raises(ConfigurationError, match="once"):
        list(dataset)
