"""Reads output records, and refuses those that a newer version of the program wrote."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec

from crm_online.errors import SnapshotError

__all__ = ["SCHEMA_VERSION", "RecordDecoder"]

SCHEMA_VERSION: Final = 1  # the highest that this program reads

R = TypeVar("R")


class _Versioned(msgspec.Struct, gc=False):
    schema_version: int = SCHEMA_VERSION


_version: Final = msgspec.json.Decoder(_Versioned).decode


class RecordDecoder(Generic[R]):
    """Decodes output records of one topic, and refuses those of a newer version of the program.

    Fields that a record has more are read over.

    Parameters
    ----------
    noun
        Of the topic.
    kind
        A Struct, or a union of some, with a field ``schema_version``.

    Examples
    --------
    >>> class Closed(msgspec.Struct):
    ...     customer_id: str
    ...     schema_version: int = SCHEMA_VERSION
    >>> RecordDecoder("accounts", Closed)(b'{"customer_id":"c-1","more":1}').customer_id
    'c-1'
    """

    __slots__ = ("_decode", "_noun")

    def __init__(self, noun: str, kind: Any) -> None:
        self._noun = noun
        self._decode = msgspec.json.Decoder(kind).decode

    def __call__(self, value: bytes) -> R:
        """Decode one record.

        Raises
        ------
        SnapshotError
            Where a newer version of the program wrote it.
        msgspec.MsgspecError
            Where it is no such record.
        """
        try:
            read = self._decode(value)
        except msgspec.MsgspecError:
            self._refuse_newer(_version(value).schema_version)  # it may have another shape
            raise
        if read.schema_version > SCHEMA_VERSION:
            self._refuse_newer(read.schema_version)
        found: R = read
        return found

    def _refuse_newer(self, version: int) -> None:
        if version > SCHEMA_VERSION:
            raise SnapshotError(
                f"the {self._noun} topic holds a record of schema_version {version}, this program "
                f"reads up to {SCHEMA_VERSION}: a newer crm-online writes there, so start that "
                "version in place of this one"
            )
