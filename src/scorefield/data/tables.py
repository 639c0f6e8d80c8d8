"""Files that hold tables: csv and parquet."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .cache import BLOCK, Store
from .frames import Table, column_dtypes, column_names, from_frame, select
from .images import read_images
from .optional import need

__all__ = ["read_csv", "read_parquet"]


def read_csv(path: Path, columns: Sequence[str] | None, store: Store) -> Any:
    """The table: a DataFrame, or a `Table` if it is too large for memory.

    Columns may be parted by commas, semicolons or tabs. A first line of numbers is data, not names, and a first
    column without a name, as pandas writes it, numbers the rows and is left out.
    """
    pandas = need("pandas", "reading csv")
    try:
        part, first = _first_line(path)
        options: dict[str, Any] = {"sep": part, "header": None if all(map(_is_number, first)) else "infer"}
        if first[0] == "" and len(first) > 1:
            options["index_col"] = 0
        if store.holds(path.stat().st_size):
            frame = pandas.read_csv(path, **options)
            if not len(frame):
                raise ValueError(f"{path} holds no rows, only the names of columns")
            return _some(frame, columns)
        rows = max(1, BLOCK // (8 * len(first)))
        return _table(store, columns, lambda: pandas.read_csv(path, chunksize=rows, **options))
    except pandas.errors.EmptyDataError:
        raise ValueError(f"{path} holds no rows") from None
    except (pandas.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a table ({str(error).strip()}): repair that line") from None


def _first_line(path: Path) -> tuple[str, list[str]]:
    """What parts the columns, and the fields of the first line."""
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig") as file:
        line = file.readline()
    part = max(",;\t", key=line.count)
    return part, next(csv.reader([line], delimiter=part), []) or [""]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_parquet(path: Path, key: str | None, columns: Sequence[str] | None, resize: int | None, store: Store) -> Any:
    """The table, or the images that one of its columns holds in encoded form.

    A column of images is read alone, even if there are others, unless `columns` names others.
    """
    need("pandas", "reading parquet")
    parquet, arrow = need("pyarrow.parquet", "reading parquet"), need("pyarrow", "reading parquet")
    try:
        file = parquet.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{path} is damaged or no parquet file ({error}): copy it again") from None
    names = [field.name for field in file.schema_arrow]
    wanted = [key] if key is not None else list(columns) if columns is not None else names
    absent = [name for name in wanted if name not in names]
    if absent:
        raise ValueError(f"{path} has no column {', '.join(map(repr, absent))}: it has {', '.join(map(repr, names))}")
    pictures = [n for n in wanted if _holds_bytes(arrow, file.schema_arrow.field(n).type)]
    if len(pictures) > 1:
        raise ValueError(f"{path} has several columns of images, {', '.join(map(repr, pictures))}: choose one (key=…)")
    if pictures:
        items = _Encoded(file, pictures[0], path)
        return read_images(items, file.metadata.num_rows, resize, store, {"key": pictures[0]})
    if store.holds(8 * file.metadata.num_rows * len(wanted)):
        return file.read(wanted).to_pandas()
    rows = max(1, BLOCK // (8 * len(wanted)))
    return _table(store, wanted, lambda: (b.to_pandas() for b in file.iter_batches(rows, columns=wanted)))


def _holds_bytes(arrow: Any, kind: Any) -> bool:
    if arrow.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)


class _Encoded:
    """The encoded images of a column, with the row each is from."""

    def __init__(self, file: Any, column: str, path: Path) -> None:
        self.file, self.column, self.path = file, column, path

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        row = 0
        for batch in self.file.iter_batches(1024, columns=[self.column]):
            for value in batch.column(0).to_pylist():
                data = value["bytes"] if isinstance(value, dict) else value
                if data is None:
                    raise ValueError(f"row {row} of {self.path} has no image in {self.column!r}: drop that row")
                yield f"row {row} of {self.path}", data
                row += 1


def _some(frame: Any, columns: Sequence[str] | None) -> Any:
    return frame if columns is None else select(frame, columns)


def _table(store: Store, columns: Sequence[str] | None, parts: Callable[[], Iterable[Any]]) -> Table:
    """A table that is too large for memory, through its copy."""
    names: list[Any] = []
    dtypes: list[str] = []

    def chunks() -> Iterator[np.ndarray]:
        for part in parts():
            frame = _some(part, columns)
            here = column_dtypes(frame)
            names[:] = column_names(frame)
            dtypes[:] = here if not dtypes else [a if a == b else "float64" for a, b in zip(dtypes, here)]
            yield from_frame(frame).astype(np.float64, copy=False)

    def facts() -> dict[str, Any]:
        return {"columns": names, "dtypes": dtypes}

    values, known = store.copy({"columns": columns and list(columns)}, chunks, facts)
    return Table(values, tuple(known["columns"]), tuple(known["dtypes"]))
