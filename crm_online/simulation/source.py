"""A file of history being read: plain or gzip, lines or rows, with its bad places counted."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from crm_online.errors import ConfigurationError
from crm_online.simulation.notes import Notes

__all__ = ["Row", "Source"]

_GZIP_MAGIC = b"\x1f\x8b"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_FOREIGN: Final = {  # how files begin that are not to be read as text
    b"PK\x03\x04": "a zip file or a spreadsheet (.xlsx)",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls)",
    b"PAR1\x15": "Parquet",
    b"%PDF-": "PDF",
    b"\x89PNG": "a picture",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_EXAMPLES = 5
_ASCII_SHARE: Final = 0.7  # of Latin text, at the least


class Row(NamedTuple):
    """One row of a table.

    Parameters
    ----------
    line
        Number of its last line in the file, from 1.
    cells
        Its cells, in the order of the columns that were asked for; ``""`` where a column is
        optional and the file does not have it.
    """

    line: int
    cells: tuple[str, ...]


class Source:
    """One file, its position and its counters.

    Parameters
    ----------
    path
        The file; gzip is recognised by its content.

    Raises
    ------
    ConfigurationError
        Where there is no such file; when it is read, where it is UTF-16 or no text at all.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ConfigurationError(f"no file at {path}")
        self.path = path
        self.bytes_total = path.stat().st_size
        self.bytes_read = 0
        self.rows = 0
        self.skipped: Counter[str] = Counter()
        self.examples: dict[str, list[int]] = {}
        self.notes: Notes | None = None  # where they are wanted

    def skip(self, reason: str, line: int) -> None:
        """Count a row that is left out, and keep the first few line numbers of each reason."""
        self.skipped[reason] += 1
        lines = self.examples.setdefault(reason, [])
        if len(lines) < _EXAMPLES:
            lines.append(line)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Read non-blank lines with their numbers; each counts as a row."""
        number = 0
        with self._opened() as (raw, content):
            try:
                for number, line in enumerate(content, 1):
                    self.bytes_read = raw.tell()
                    text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                    text = text.strip()
                    if text:
                        self.rows += 1
                        yield number, text
            except (EOFError, OSError, zlib.error):
                self.skip("damaged-gzip", number + 1)
            self.bytes_read = raw.tell()

    def table(
        self, required: tuple[tuple[str, ...], ...], optional: tuple[tuple[str, ...], ...] = ()
    ) -> Iterator[Row]:
        """Read rows of a table whose first line names its columns, by comma, tab or semicolon.

        Parameters
        ----------
        required, optional
            One tuple of accepted names per column, in the order the cells are wanted in; names
            are compared without regard to case and surrounding blanks.

        Raises
        ------
        ConfigurationError
            Where required columns are missing; the message names them and those there are.
        """
        with self._opened() as (raw, content):
            # Undecodable bytes survive as surrogates: a bad cell that nobody reads does no harm.
            text = io.TextIOWrapper(
                content, encoding="utf-8-sig", errors="surrogateescape", newline=""
            )
            header = self._header(text)
            if not header.strip("\r\n"):
                return  # whoever reads it says that it holds nothing
            if any(ord(c) < ord(" ") and c not in "\t\r\n" for c in header):
                raise self._no_text("no text")
            delimiter = max(",\t;", key=header.count)
            names = next(csv.reader([header], delimiter=delimiter), [])
            places = _places(names, required, optional, self.path)
            for line, row in self._rows(text, delimiter):
                self.bytes_read = raw.tell()
                self.rows += 1
                if self.notes is not None:
                    self.notes.see_row(row)
                yield from self._cells(row, places, len(required), line)
            self.bytes_read = raw.tell()

    def _header(self, text: IO[str]) -> str:
        try:
            return text.readline()
        except (EOFError, OSError, zlib.error):
            self.skip("damaged-gzip", 1)
            return ""

    def _cells(
        self, row: list[str], places: tuple[int, ...], required: int, line: int
    ) -> Iterator[Row]:
        if len(row) <= max(places[:required]):
            self.skip("too-few-columns", line)
            return
        cells = tuple(row[at] if 0 <= at < len(row) else "" for at in places)
        if any(not cell.isascii() and _undecodable(cell) for cell in cells):
            self.skip("not-utf8", line)
            return
        yield Row(line, cells)

    def _rows(self, text: IO[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
        rows = csv.reader(text, delimiter=delimiter)
        while True:
            try:
                for row in rows:
                    if row:
                        yield rows.line_num + 1, row
            except csv.Error:
                self.rows += 1
                self.skip("malformed-csv", rows.line_num + 1)
            except (EOFError, OSError, zlib.error):
                self.skip("damaged-gzip", rows.line_num + 2)
                return
            else:
                return

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        with self.path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    content = io.BufferedReader(_Unpacked(unpacked), 1 << 18)
                    self._refuse_foreign(content)
                    yield raw, content
            else:
                self._refuse_foreign(raw)
                yield raw, raw

    def _refuse_foreign(self, content: io.BufferedReader[Any]) -> None:
        try:
            begin = content.peek(8)[:8]
        except (EOFError, OSError, zlib.error):
            return  # whoever reads it comes upon the damage, and says so
        if begin[:2] in _UTF16:
            raise ConfigurationError(
                f"{self.path.name} looks like UTF-16, the 'Unicode text' of spreadsheets: "
                "save it as UTF-8"
            )
        for magic, kind in _FOREIGN.items():
            if begin.startswith(magic):
                raise self._no_text(kind)

    def _no_text(self, kind: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path.name} is {kind}: save it as a table (CSV) or as JSON lines, in UTF-8"
        )


class _Unpacked(io.RawIOBase):
    """A gzip file that gives out all there is before it complains of damage.

    `gzip.GzipFile` fills what it is asked for, and an error takes with it what came before.
    """

    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._packed.read1(len(buffer))
        buffer[: len(found)] = found
        return len(found)


def _places(
    names: list[str],
    required: tuple[tuple[str, ...], ...],
    optional: tuple[tuple[str, ...], ...],
    path: Path,
) -> tuple[int, ...]:
    known = {name.strip().lower(): place for place, name in reversed(list(enumerate(names)))}
    places = [_place(known, accepted) for accepted in required + optional]
    missing = [repr(accepted[0]) for accepted, at in zip(required, places, strict=False) if at < 0]
    if missing and _undecodable("".join(names)):
        guess = " but looks like Latin-1 (Windows-1252)" if _is_latin_1(names) else ""
        raise ConfigurationError(f"{path.name} is not UTF-8{guess}: save it as UTF-8")
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise ConfigurationError(
            f"{path.name} has no {noun} {', '.join(missing)}; its columns are: {', '.join(names)}"
        )
    return tuple(places)


def _place(known: dict[str, int], accepted: tuple[str, ...]) -> int:
    return next((known[name.lower()] for name in accepted if name.lower() in known), -1)


def _is_latin_1(names: list[str]) -> bool:
    """Tell whether names that are no UTF-8 make sense as what spreadsheets write."""
    text = "".join(names)
    if not _undecodable(text) or sum(map(str.isascii, text)) < _ASCII_SHARE * len(text):
        return False
    try:
        return text.encode(errors="surrogateescape").decode("cp1252").isprintable()
    except UnicodeDecodeError:
        return False


def _undecodable(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return True
    return False
