"""What an item is made of, as numbers: hashed words, category path and price range."""

from __future__ import annotations

import re
import zlib
from array import array
from math import floor, log2
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_online.catalogue.records import CatalogueItem

__all__ = ["MAX_TOKENS", "TOKEN_BITS", "pack_tokens", "unpack_tokens"]

TOKEN_BITS: Final = 16
MAX_TOKENS: Final = 16  # what the content model reads of an item
_WORD: Final = re.compile(r"[^\W_]+")
_PATH: Final = re.compile(r"[>/|]")
_STEPS: Final = 2  # price ranges per doubling of the price


def pack_tokens(item: CatalogueItem) -> bytes:
    """Hash an item's category, price range and words, alike in every process.

    Parameters
    ----------
    item
        Its category counts once for each part of the path that leads to it, so that neighbours in
        the tree share what they have in common.

    Returns
    -------
    bytes
        Two for each of up to 16 tokens, without repeats.

    Examples
    --------
    >>> from crm_online.catalogue.records import CatalogueItem
    >>> red, blue = (pack_tokens(CatalogueItem("1", f"{c} mug", "Home > Kitchen"))
    ...              for c in ("Red", "Blue"))
    >>> len(set(unpack_tokens(red)) & set(unpack_tokens(blue)))
    3
    """
    unique = dict.fromkeys(map(_hash, _texts(item)))
    return array("H", list(unique)[:MAX_TOKENS]).tobytes()


def unpack_tokens(packed: bytes) -> tuple[int, ...]:
    """Return the tokens as numbers."""
    return tuple(memoryview(packed).cast("H"))


def _texts(item: CatalogueItem) -> Iterator[str]:
    parts = [part.strip().casefold() for part in _PATH.split(item.category)]
    path = [part for part in parts if part]
    for depth in range(len(path)):
        yield "c:" + ">".join(path[: depth + 1])
    if item.price:
        yield f"p:{floor(_STEPS * log2(item.price))}"
    yield from _WORD.findall(item.name.casefold())


def _hash(text: str) -> int:
    crc = zlib.crc32(text.encode(errors="surrogatepass"))
    return (crc ^ crc >> TOKEN_BITS) & ((1 << TOKEN_BITS) - 1)
