"""Tables and encoded images in .parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..batches import table_of
from ..cache import Store
from ..errors import DataError, one_line
from ..images import read_images
from ..optional import need
from ..schema import Schema
from ..tables import cannot_be_table, copied_table, rows_at_once
from .base import Format, Selection

__all__ = ["Parquet"]


class Parquet(Format):
    """A table, or the images that one of its columns holds in encoded form.

    A column of images is read alone, even if there are others, unless `columns` names others.
    """

    name, suffixes, options = "Parquet", (".parquet", ".pq"), ("key", "columns", "resize")

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
                items = _EncodedImages(file, pictures[0], path)
                count = file.metadata.num_rows
                return read_images(items, count, selection.resize, store, {"key": pictures[0]})
            if selection.resize is not None:
                raise DataError(f"{path} holds no images to be resized: leave out resize")
            if store.holds(8 * file.metadata.num_rows * len(wanted)):
                return file.read(wanted).to_pandas()
            rows = rows_at_once(len(wanted))
            return copied_table(store, wanted, lambda: (b.to_pandas() for b in file.iter_batches(rows, columns=wanted)))

    def cannot_hold(self, schema: Schema) -> str | None:
        if schema.dtype in ("float128", "longdouble"):
            return f"cannot hold {schema.dtype}"
        return cannot_be_table(schema)

    def loses(self, schema: Schema) -> str | None:
        return "the names of the axes, their coordinates and the units" if schema.kind == "dataarray" else None

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


class _EncodedImages:
    """The encoded images of a column, with the row each is from."""

    def __init__(self, file: Any, column: str, path: Path) -> None:
        self.file, self.column, self.path = file, column, path

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        row = 0
        for batch in self.file.iter_batches(1024, columns=[self.column]):
            for value in batch.column(0).to_pylist():
                data = value["bytes"] if isinstance(value, dict) else value
                if data is None:
                    raise DataError(f"row {row} of {self.path} has no image in {self.column!r}: drop that row")
                yield f"row {row} of {self.path}", data
                row += 1
