"""Parquet files as sources, and the tables of annotated releases as Parquet files. Needs the extra ``[parquet]``."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Dict, Iterable, Iterator, List, Union

from ..errors import ConfigError
from .records import parse_json
from .sources import File, Found, NoReleases, to_release
from .tables import INT, META, REAL, TABLES, Row, rows

EXTRA = "pip install 'communique[parquet]'"
MARK = b"communique.table"  # says in a file's metadata which of our tables it is
UNHELD = (ValueError, OverflowError, TypeError)
READ_AT_ONCE = 256  # rows: how many are held in memory
GROUP = 20_000  # rows of a row group


def need_pyarrow() -> None:
    """Raises ConfigError where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as err:
        raise ConfigError(f"Parquet needs pyarrow, which is not installed: {EXTRA}") from err


def read_parquet(stream: IO[bytes], file: File) -> Iterator[Found]:
    """A release for each row: the columns are the keys of the exchange format. Of tables that Communique has written,
    only ``releases`` holds releases; its column ``meta`` is taken apart again.

    line: the number of the row, from 1.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        yield 0, file.defect(0, "extra", "reading Parquet needs pyarrow, which is not installed", EXTRA), b""
        return
    if not stream.seekable():
        yield 0, file.defect(0, "format", "Parquet can't be read from a stream", "name the file"), b""
        return
    number = 0
    try:
        source = pq.ParquetFile(stream)
        table = (source.schema_arrow.metadata or {}).get(MARK, b"").decode()
        if table and table != "releases":
            raise NoReleases
        for batch in source.iter_batches(READ_AT_ONCE):
            for row in _values(batch):
                number += 1
                if isinstance(row, Exception):
                    yield number, file.defect(number, "value", str(row), "write it anew"), b""
                else:
                    yield _row(row, number, file, bool(table))
    except pa.ArrowException as err:
        message = f"no Parquet that can be read: {' '.join(str(err).split())}"
        yield number, file.defect(number, "parquet", message, "write it anew"), b""


def _values(batch: Any) -> "Iterator[Union[Dict[str, Any], Exception]]":
    """The rows of a batch, and what is wrong with those that Python can't hold: text that is no UTF-8, a year 10000."""
    try:
        yield from batch.to_pylist()
        return
    except UNHELD:
        pass
    for place in range(batch.num_rows):
        try:
            yield batch.slice(place, 1).to_pylist()[0]
        except UNHELD as err:
            yield err


def _row(row: Dict[str, Any], number: int, file: File, ours: bool) -> Found:
    raw = json.dumps(row, ensure_ascii=False, default=repr).encode("utf8", errors="surrogateescape")
    try:
        data = {key: _plain(value, key) for key, value in row.items() if value is not None}
        if ours:
            data.update(json.loads(data.pop(META, "{}")))
        parse_json(json.dumps(data))
    except (ValueError, TypeError) as err:
        return number, file.defect(number, "value", str(err), "write it as text or a number"), raw
    return number, to_release(data, number, file), raw


def _plain(value: Any, key: str) -> Any:
    """A value that JSON holds: dates and times in ISO 8601, decimals as text so that no digit is lost."""
    if isinstance(value, dict):
        return {name: _plain(child, f"{key}.{name}") for name, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(child, key) for child in value]
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (bytes, timedelta)):
        raise ValueError(f'"{key}" is {type(value).__name__}, which JSON does not hold')
    return value


def write_parquet(lines: Iterable[bytes], folder: Path) -> None:
    """A folder with a file for each table: see ``communique.annotate.tables``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {INT: pa.int64(), REAL: pa.float64()}
    folder.mkdir()
    with ExitStack() as stack:
        writers: Dict[str, Any] = {}
        waiting: Dict[str, List[Row]] = {}
        for name, table in TABLES.items():
            columns = [(column, kinds.get(kind, pa.string())) for column, kind in table.columns.items()]
            schema = pa.schema(columns, metadata={MARK: name.encode()})
            writers[name] = stack.enter_context(
                pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd")
            )
            waiting[name] = []

        def flush(name: str) -> None:
            columns = zip(*waiting[name]) if waiting[name] else [[] for _ in writers[name].schema]
            writers[name].write_table(pa.table(list(map(list, columns)), schema=writers[name].schema))
            waiting[name].clear()

        for line in lines:
            for name, found in rows(json.loads(line)).items():
                waiting[name] += found
                if len(waiting[name]) >= GROUP:
                    flush(name)
        for name in TABLES:
            flush(name)
