"""Features of every score as a Parquet file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from crm_online.cloudevents import event_id
from crm_online.customers.features import FEATURES
from crm_online.errors import ConfigurationError
from crm_online.evaluation.extras import require
from crm_online.retracing import RFM, Retraced, Retracer
from streams.evaluating.tables import print_json
from streams.exits import EXIT_FAILED, counted, say
from streams.progress import progress_bar
from streams.retracing.logs import log_of_file, log_of_topic
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.steps import History

__all__ = ["write_features_of_file", "write_features_of_topic"]


class FeatureFile:
    """A Parquet file with a row for each score.

    Parameters
    ----------
    path
        Where to write it.
    """

    def __init__(self, path: Path) -> None:
        require("pyarrow", purpose="features")
        import pyarrow as pa  # noqa: PLC0415 - of an extra
        from pyarrow import parquet  # noqa: PLC0415 - as above

        self.rows = 0
        self._pa: Any = pa
        self._schema = pa.schema(
            [
                ("score_id", pa.string()),
                ("customer_id", pa.string()),
                ("at", pa.timestamp("us", tz="UTC")),
                ("cause", pa.string()),
                ("event", pa.string()),
                ("partition", pa.int32()),
                ("offset", pa.int64()),
                *((name, pa.float64()) for name in (*FEATURES, *RFM)),
            ]
        )
        try:
            self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        except OSError as error:
            raise ConfigurationError(f"cannot write {path} ({error.strerror or error})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, part: Retraced) -> None:
        """Append the rows of a part of the log."""
        moments = part.moments
        columns = [
            [event_id(m.customer, m.source, "score") for m in moments],
            [m.customer for m in moments],
            [round(m.at * 1e6) for m in moments],
            [m.cause for m in moments],
            [m.event for m in moments],
            [m.source.partition for m in moments],
            [m.source.offset for m in moments],
            *part.features.T,
            *part.rfm.T,
        ]
        arrays = [
            self._pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))
        self.rows += len(moments)


def write_features_of_file(settings: Settings, history: History, path: Path, *, json: bool) -> int:
    """Write the features of a file's scores; returns the exit code."""
    retracer = Retracer(settings)
    with FeatureFile(path) as out, progress_bar(lambda: history.stage("writing")):
        for records in log_of_file(settings, history):
            for part in retracer.apply(0, records):
                out.write(part)
    return _tell(path, out.rows, json=json) or history.end()


def write_features_of_topic(settings: Settings, path: Path, *, json: bool) -> int:
    """Write the features of the scores of the events topic; returns the exit code.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    work = Work()

    async def write(out: FeatureFile) -> None:
        retracer = Retracer(settings)
        async with Scan(settings, work) as scan:
            async for partition, records in log_of_topic(settings, scan):
                for part in retracer.apply(partition, records):
                    out.write(part)

    with FeatureFile(path) as out, progress_bar(work.stage):
        asyncio.run(write(out))
    return _tell(path, out.rows, json=json)


def _tell(path: Path, rows: int, *, json: bool) -> int:
    if json:
        print_json({"file": str(path), "rows": rows, "features": list(FEATURES)})
    say(f"wrote {counted(rows, 'row')} to {path}")
    return 0 if rows else EXIT_FAILED
