"""The catalogue: what is a record of it, what a file of it may hold, what a scorer makes of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_online.catalogue import Catalogue, CatalogueItem
from crm_online.catalogue.records import item_message
from crm_online.catalogue.tokens import MAX_TOKENS, TOKEN_BITS, pack_tokens, unpack_tokens
from crm_online.contract.items import CatalogueItem as Published
from crm_online.errors import ConfigurationError, SnapshotError
from crm_online.log import LogRecord
from crm_online.scores import Interaction
from streams.items.files import read_catalogue
from streams.items.loading import changes

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ITEMS = st.builds(
    CatalogueItem,
    item_id=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100),
    name=_TEXTS,
    category=_TEXTS,
    price=st.none() | st.floats(0, allow_infinity=False, allow_nan=False),
    currency=st.sampled_from(["", "EUR", "GBP"]),
    available=st.booleans(),
)
DOUBTFUL: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, 1, -1, -0.5, 1e308, 5, 1.5, "", "x", "x" * 100, "x" * 101, "x" * 1001),
        *("a\nb", "a\n", "a\x9f", "\x00", "eur", "EUR", "EURO", "EUR\n", [], {}, "1e400"),
    ]
)
BODIES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys([*CatalogueItem.__struct_fields__, "more"], DOUBTFUL)
    | {"item_id": st.just("mug") | DOUBTFUL},
)


def laid(*items: CatalogueItem, first: int = 0) -> list[LogRecord]:
    return [LogRecord(n, 0, *item_message(item)) for n, item in enumerate(items, first)]


def removal(item: str, offset: int) -> LogRecord:
    return LogRecord(offset, 0, item.encode(), None)


class TestRecord:
    @given(ITEMS)
    def test_the_published_form_says_the_same(self, item: CatalogueItem) -> None:
        raw = item_message(item).value or b""
        published = Published.model_validate_json(raw).model_dump_json()
        assert msgspec.json.decode(published, type=CatalogueItem) == item

    @given(BODIES)
    @example({"item_id": "a\n"})
    @example({"item_id": "x", "price": True})
    def test_both_accept_and_refuse_the_same(self, body: dict[str, Any]) -> None:
        self._compare(json.dumps(body))

    @pytest.mark.parametrize("price", ["1e400", "-1e400", "NaN", "Infinity", "-0.0", "1E2"])
    def test_both_accept_and_refuse_the_same_numbers(self, price: str) -> None:
        self._compare(f'{{"item_id": "mug", "price": {price}}}')

    def _compare(self, raw: str) -> None:
        try:
            msgspec.json.decode(raw, type=CatalogueItem)
        except msgspec.MsgspecError:
            with pytest.raises(ValidationError):
                Published.model_validate_json(raw)
        else:
            Published.model_validate_json(raw)


class TestTokens:
    @given(ITEMS)
    def test_they_are_bounded_and_do_not_repeat(self, item: CatalogueItem) -> None:
        tokens = unpack_tokens(pack_tokens(item))
        assert len(tokens) == len(set(tokens)) <= MAX_TOKENS
        assert all(0 <= token < 1 << TOKEN_BITS for token in tokens)

    def test_they_are_the_same_in_every_process(self) -> None:
        item = CatalogueItem("1", "Rotes Häferl", "Home > Kitchen", 12.5)
        assert unpack_tokens(pack_tokens(item)) == FIXED

    def test_prices_of_one_range_share_a_token(self) -> None:
        cheap, dear, much_dearer = (pack_tokens(CatalogueItem("1", price=p)) for p in (10, 11, 90))
        assert cheap == dear != much_dearer
        assert pack_tokens(CatalogueItem("1", price=0.0)) == b""


FIXED = (11037, 7980, 64656, 30724, 8465)


class TestHeld:
    def test_the_newest_record_counts_and_a_tombstone_removes(self) -> None:
        catalogue = Catalogue()
        mug, pot = CatalogueItem("mug", "Mug"), CatalogueItem("pot", available=False)
        catalogue.apply(laid(mug, pot))
        assert catalogue.unavailable == {"pot"}
        catalogue.apply(laid(msgspec.structs.replace(pot, available=True), first=2))
        assert not catalogue.unavailable
        catalogue.apply([*laid(pot, first=3), removal("pot", 4), removal("never", 5)])
        assert not catalogue.unavailable
        assert set(catalogue.tokens) == {"mug"}

    def test_it_is_the_same_from_the_compacted_topic(self) -> None:
        whole, compacted = Catalogue(), Catalogue()
        old, new = CatalogueItem("mug", "Old"), CatalogueItem("mug", "New", available=False)
        whole.apply(laid(old, new))
        compacted.apply(laid(new))
        assert (whole.tokens, whole.unavailable) == (compacted.tokens, compacted.unavailable)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            (b"mug", b"no json"),
            (b"mug", b'{"item_id": "pot"}'),
            (None, b'{"item_id": "mug"}'),
            (b"mug", b'{"item_id": "mug", "price": -1}'),
        ],
    )
    def test_what_is_no_item_is_counted_and_read_over(self, key: bytes, value: bytes) -> None:
        catalogue = Catalogue()
        catalogue.apply([*laid(CatalogueItem("mug", "Mug")), LogRecord(1, 0, key, value)])
        assert (catalogue.refused, set(catalogue.tokens)) == (1, {"mug"})

    def test_records_of_a_newer_version_are_refused(self) -> None:
        newer = LogRecord(0, 0, b"mug", b'{"item_id": "mug", "schema_version": 2}')
        with pytest.raises(SnapshotError, match=r"items topic .*schema_version 2"):
            Catalogue().apply([newer])

    def test_interactions_get_what_their_items_are_made_of(self) -> None:
        catalogue, mug = Catalogue(), CatalogueItem("mug", "Red mug")
        touched = [Interaction(0, n, "ann", 1, i, "", 0.0) for n, i in enumerate(("mug", "pot"))]
        assert catalogue.describe(touched) is touched
        catalogue.take([mug])
        described, unknown = catalogue.describe(touched)
        assert described == msgspec.structs.replace(
            touched[0], tokens=unpack_tokens(pack_tokens(mug))
        )
        assert unknown == touched[1]


def table(folder: Path, *lines: str, name: str = "items.csv") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


class TestFile:
    def test_a_table_under_usual_names(self, tmp_path: Path) -> None:
        file = table(
            tmp_path,
            "Title;Product_ID;Price;Availability;product_type",
            "Red mug;m-1;12.50 EUR;in_stock;Home > Kitchen",
            "Pot;17;;no;",
        )
        assert read_catalogue(file).items == {
            "m-1": CatalogueItem("m-1", "Red mug", "Home > Kitchen", 12.5, "EUR"),
            "17": CatalogueItem("17", "Pot", available=False),
        }

    def test_columns_by_name(self, tmp_path: Path) -> None:
        file = table(tmp_path, "StockCode\tWhat\tid", "7\tMug\twrong", name="items.tsv")
        found = read_catalogue(file, columns={"id": "stockcode", "name": "What", "price": None})
        assert list(found.items.values()) == [CatalogueItem("7", "Mug")]
        with pytest.raises(ConfigurationError, match=r"no column 'Sku'.*StockCode, What, id"):
            read_catalogue(file, columns={"id": "Sku"})
        with pytest.raises(ConfigurationError, match="no column 'Group'"):
            read_catalogue(file, columns={"category": "Group"})

    def test_json_lines_packed(self, tmp_path: Path) -> None:
        file = tmp_path / "items.jsonl.gz"
        lines = [
            {"item_id": 7, "name": None, "price": 3, "available": False},
            {"item_id": "mug", "price": "2.5", "available": "yes", "currency": "GBP"},
        ]
        file.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
        assert list(read_catalogue(file).items.values()) == [
            CatalogueItem("7", price=3.0, available=False),
            CatalogueItem("mug", price=2.5, currency="GBP"),
        ]

    def test_what_is_written_is_read_again(self, tmp_path: Path) -> None:
        items = [CatalogueItem("mug", "Mug", "a > b", 1.5, "EUR", available=False)]
        file = tmp_path / "items.jsonl"
        file.write_bytes(b"\n".join(item_message(item).value or b"" for item in items))
        assert list(read_catalogue(file).items.values()) == items

    def test_the_last_of_an_id_wins_and_is_counted(self, tmp_path: Path) -> None:
        found = read_catalogue(table(tmp_path, "id,name", "a,1", "b,2", "a,3"))
        assert (found.items["a"].name, found.duplicates, found.problems) == ("3", 1, [])

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            (",Mug,1,yes", "line 2, id: is missing"),
            (f"{'x' * 101},Mug,1,yes", "line 2, id: it has more than 100 characters"),
            ("a\x07b,Mug,1,yes", "line 2, id: it contains control characters"),
            (f"a,{'x' * 1001},1,yes", "line 2, name: expected `str` of length <= 1000"),
            ("a,Mug,-1,yes", "line 2, price: '-1' is no price such as 12.50"),
            ('a,Mug,"1,50",yes', "line 2, price: '1,50' is no price such as 12.50"),
            ("a,Mug,nan,yes", "line 2, price: 'nan' is no price such as 12.50"),
            ("a,Mug,1e999,yes", "line 2, price: is not finite"),
            ("a,Mug,1,perhaps", "line 2, available: 'perhaps' is neither yes nor no"),
            ("a,Mug", "line 2, available: ''"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, row: str, said: str) -> None:
        file = table(tmp_path, "id,name,price,available", row)
        if said.endswith("''"):
            assert read_catalogue(file).problems == []  # a short row: what is left out is optional
        else:
            assert [str(problem) for problem in read_catalogue(file).problems] == [said]

    def test_all_that_is_wrong_in_a_row_is_named(self, tmp_path: Path) -> None:
        row = f"a\x07b,{'x' * 1001},-1,perhaps,eur"
        found = read_catalogue(table(tmp_path, "id,name,price,available,currency", row, "b,,,,"))
        assert [each.column for each in found.problems] == [
            *("available", "currency", "id", "name", "price")
        ]
        assert found.problem_lines == [2]

    def test_all_columns_that_are_missing_are_named(self, tmp_path: Path) -> None:
        file = table(tmp_path, "id,name", "a,Mug")
        with pytest.raises(ConfigurationError, match="no columns 'Group', 'EUR'; its columns"):
            read_catalogue(file, columns={"category": "Group", "price": "EUR"})

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"PK\x03\x04\x14\x00", r"a zip file or a spreadsheet \(\.xlsx\): save it as a table"),
            (b"\x89PNG\r\n\x1a\n\x00", "is a picture: save"),
            (b"id,na\x00me\na,b\n", "is no text: save"),
            (bytes(range(1, 256)), "is no text: save"),
            ("\u8868,id\n".encode("gbk")[:-4] + b"\n", "is not UTF-8: save"),
        ],
    )
    def test_what_is_no_text_is_told_in_a_sentence(
        self, tmp_path: Path, content: bytes, said: str
    ) -> None:
        for name in ("items.csv", "items.csv.gz"):
            file = tmp_path / name
            file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
            with pytest.raises(ConfigurationError, match=said):
                read_catalogue(file)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("[]", "line 1: is no JSON object"),
            ("{", "line 1: is no JSON object"),
            ('{"item_id": true}', "line 1, id: is neither a text nor a whole number"),
            ('{"item_id": "a", "name": {}}', "line 1, name: is neither a text nor a whole number"),
            ('{"item_id": "a", "price": true}', "line 1, price: 'True' is no price such as 12.50"),
        ],
    )
    def test_what_is_wrong_in_json_is_named(self, tmp_path: Path, line: str, said: str) -> None:
        file = table(tmp_path, line, name="items.jsonl")
        assert [str(problem) for problem in read_catalogue(file).problems] == [said]

    def test_the_reader_leaves_nothing_out_in_silence(self, tmp_path: Path) -> None:
        file = tmp_path / "items.csv"
        file.write_bytes(b"id,name\na,1\n" + b"b,\xff\n" * 7)
        found = read_catalogue(file)
        assert [str(each) for each in found.problems[:2]] == [
            "line 3: not utf8",
            "line 4: not utf8",
        ]
        assert len(found.problems) == 7

    def test_a_name_that_says_nothing_needs_a_format(self, tmp_path: Path) -> None:
        file = table(tmp_path, "id", "a", name="feed")
        with pytest.raises(ConfigurationError, match=r"say --format csv\|tsv\|jsonl"):
            read_catalogue(file)
        assert set(read_catalogue(file, "csv").items) == {"a"}

    @given(st.lists(ITEMS, max_size=8))
    def test_loading_again_changes_nothing(self, items: list[CatalogueItem]) -> None:
        wanted = {item.item_id: item for item in items}
        first = changes({}, wanted, replace=True)
        assert first.written == list(wanted.values())
        again = changes(wanted, wanted, replace=True)
        assert (again.written, again.same) == ([], len(wanted))

    @given(st.lists(ITEMS, max_size=8), st.lists(ITEMS, max_size=8))
    def test_replacing_leaves_nothing_to_be_had_but_the_file(
        self, before: list[CatalogueItem], after: list[CatalogueItem]
    ) -> None:
        standing, wanted = ({item.item_id: item for item in items} for items in (before, after))
        found = changes(standing, wanted, replace=True)
        held = standing | {item.item_id: item for item in found.written}
        assert {i for i, item in held.items() if item.available} == {
            i for i, item in wanted.items() if item.available
        }
        assert changes(held, wanted, replace=True).written == []
