"""Samples to files, a batch at a time: memory stays bounded however many there are. A file is whole or not there."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data import Schema

__all__ = ["check", "write"]

_KNOWN = (".npy", ".npz", ".csv", ".parquet")


def check(path: Path, schema: Schema) -> None:
    """Whether samples of this form can be written there, before they are drawn.

    Raises:
        ValueError: If the suffix is unknown, or does not go with the data.
        FileNotFoundError: If the folder of the file does not exist.
    """
    suffix = path.suffix.lower()
    table = schema.structure == "vector"
    if suffix and suffix not in _KNOWN:
        raise ValueError(f"samples are written as {' '.join(_KNOWN)} or to a folder/ of images, got {path}")
    if suffix in (".csv", ".parquet") and not table:
        raise ValueError(f"{suffix} holds tables, and these data are grids: write them as .npy or .npz")
    if not suffix and (
        schema.dtype != "uint8" or len(schema.inner_shape) != 3 or schema.inner_shape[0] not in (1, 3, 4)
    ):
        raise ValueError(f"a folder, {path}, is for uint8 images, these data are {schema.dtype}: write .npy or .npz")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} into: make it first")
    if suffix and path.is_dir():
        raise ValueError(f"{path} is a folder: name a file")
    if not suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} exists and is not empty: name a new folder")


def write(path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
    """Writes batches of packed samples, `count` together, as the suffix of `path` says.

    Raises:
        OSError: If the disk is full; what was at `path` is unchanged.
    """
    writer = {".npy": _npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}.get(path.suffix.lower(), _images)
    part = path.absolute().with_name(f".{path.name}.{os.getpid()}.part")
    try:
        writer(part, batches, count, schema)
        if path.is_dir():
            path.rmdir()
        os.replace(part, path)
    except OSError as error:
        what = f"{path} could not be written ({error.strerror or error}); what was there is unchanged"
        raise OSError(error.errno, f"{what}: free some space or choose another place") from error
    finally:
        shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def _array(batch: Any) -> Any:
    """A batch as an array of numbers; a table loses its names."""
    import numpy as np

    array = np.asarray(batch)
    return np.ascontiguousarray(array.astype(np.float64) if array.dtype == object else array)


def _stream(send: Callable[[bytes], Any], batches: Iterable[Any], count: int) -> None:
    """An array of `count` rows in the .npy format, batch by batch."""
    import io

    import numpy as np

    dtype = None
    for batch in batches:
        array = _array(batch)
        if dtype is None:
            dtype, header = array.dtype, io.BytesIO()
            description = np.lib.format.dtype_to_descr(array.dtype)
            shape = (count, *array.shape[1:])
            facts = {"descr": description, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, facts)
            send(header.getvalue())
        send(array.astype(dtype, copy=False).tobytes())


@contextlib.contextmanager
def _file(path: Path) -> Iterator[Any]:
    """A file that is on the disk when it is closed."""
    with open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _npy(path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
    with _file(path) as file:
        _stream(file.write, batches, count)


def _npz(path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
    with (
        _file(path) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("samples.npy", "w", force_zip64=True) as member,
    ):
        _stream(member.write, batches, count)


def _frame(batch: Any) -> Any:
    """A batch as a table; columns without names are called x0, x1, …"""
    from ..data.optional import need

    pandas = need("pandas", "writing tables")
    if isinstance(batch, pandas.DataFrame):
        return batch
    if isinstance(batch, pandas.Series):
        return batch.to_frame(batch.name if batch.name is not None else "x0")
    array = _array(batch).reshape(len(batch), -1)
    return pandas.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def _csv(path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
    with _file(path) as file:
        for i, batch in enumerate(batches):
            file.write(_frame(batch).to_csv(index=False, header=i == 0).encode())


def _parquet(path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
    from ..data.optional import need

    arrow, parquet = need("pyarrow", "writing parquet"), need("pyarrow.parquet", "writing parquet")
    writer: Any = None
    with _file(path) as file:
        for batch in batches:
            rows = arrow.Table.from_pandas(_frame(batch), preserve_index=False)
            writer = writer or parquet.ParquetWriter(file, rows.schema)
            writer.write_table(rows)
        writer.close()


def _images(path: Path, batches: Iterable[Any], count: int, schema: Schema) -> None:
    import numpy as np

    from ..data.optional import need

    image = need("PIL.Image", "writing images")
    path.mkdir()
    digits, i = len(str(count - 1)), 0
    for batch in batches:
        pixels = _array(batch)
        if schema.channel_axis == 0:
            pixels = np.moveaxis(pixels, 1, -1)
        if pixels.ndim == 4 and pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        for picture in pixels:
            image.fromarray(picture).save(path / f"{i:0{digits}}.png")
            i += 1
