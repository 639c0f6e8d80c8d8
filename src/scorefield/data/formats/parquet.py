"""Tables and encoded images in .parquet."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..cache import Store
from ..errors import DataError, one_line
from ..foreign import from_arrow
from ..optional import need
from ..schema import Schema
from .base import Selection
from .image_folder import Image, read_images
from .tables import TableFormat, copied_table, rows_at_once, table_of

__all__ = ["Parquet"]


class Parquet(TableFormat):
    """A table, or the images that one of its columns holds in encoded form.

    A column of images is read alone, even if there are others, unless `columns` names others.
    """

    name, suffixes, options = "Parquet", (".parquet", ".pq"), ("key", "columns", "resize")
    position = 3
    lacks = ("float128", "longdouble")

    def read(self, path: Path, selection: Selection, store: Store) -> Any:
        need("pandas", "reading parquet")
        parquet, arrow = need("pyarrow.parquet", "reading parquet"), need("pyarrow", "reading parquet")
        try:
            file = parquet.ParquetFile(path)
        except arrow.ArrowInvalid as error:
            raise DataError(f"{path} is damaged or not a parquet file ({one_line(error)}): copy it again") from None
        with file:
            wanted = _wanted(file, path, selection)
            pictures = [n for n in wanted if _holds_bytes(arrow, file.schema_arrow.field(n).type)]
            if len(pictures) > 1:
                listed = ", ".join(map(repr, pictures))
                raise DataError(f"{path} has several columns of images, {listed}: choose one (key=…)")
            if pictures:
                items = partial(_encoded_images, file, pictures[0], path)
                return read_images(items, file.metadata.num_rows, selection.resize, store, {"key": pictures[0]})
            if selection.resize is not None:
                raise DataError(f"{path} holds no images to be resized: leave out resize")
            if store.holds(8 * file.metadata.num_rows * len(wanted)):
                found = file.read(wanted)
                found.validate(full=True)  # text that is not UTF-8 would fail later, where no file is named
                return from_arrow(found)
            parts = file.iter_batches(rows_at_once(len(wanted)), columns=wanted)
            return copied_table(store, wanted, (part.to_pandas() for part in parts))

    def write(self, path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
        arrow, parquet = need("pyarrow", "writing parquet"), need("pyarrow.parquet", "writing parquet")
        writer: Any = None
        try:
            for batch in batches:
                frame = table_of(batch).reset_index(drop=True)
                rows = arrow.Table.from_pandas(frame)  # a plain index is kept as metadata, as are the types of names
                writer = writer or parquet.ParquetWriter(path, rows.schema)
                writer.write_table(rows)
        finally:
            if writer is not None:
                writer.close()


def _wanted(file: Any, path: Path, selection: Selection) -> list[str]:
    """The columns that are read."""
    names = [field.name for field in file.schema_arrow]
    asked = [selection.key] if selection.key is not None else selection.columns
    wanted = names if asked is None else list(asked)
    absent = [name for name in wanted if name not in names]
    if absent:
        raise DataError(f"{path} has no column {', '.join(map(repr, absent))}: it has {', '.join(map(repr, names))}")
    return wanted


def _holds_bytes(arrow: Any, kind: Any) -> bool:
    if arrow.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind))


def _encoded_images(file: Any, column: str, path: Path) -> Iterator[Image]:
    """The encoded images of a column, each with the row it is from."""
    batches = (batch.column(0).to_pylist() for batch in file.iter_batches(1024, columns=[column]))
    for row, value in enumerate(itertools.chain.from_iterable(batches)):
        data = value["bytes"] if isinstance(value, dict) else value
        if data is None:
            raise DataError(f"row {row} of {path} has no image in {column!r}: drop that row")
        yield f"row {row} of {path}", data
