"""Files as arrays: one function for all formats."""

from __future__ import annotations

import difflib
import math
import zipfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from .arrays import in_hdf5, in_netcdf, in_npz, in_zarr, read_hdf5, read_netcdf, read_npy, read_npz, read_zarr
from .cache import Store
from .images import SUFFIXES, Folder, read_images
from .tables import read_csv, read_parquet

__all__ = ["contents", "read"]

CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET = (".parquet", ".pq")
HDF5 = (".h5", ".hdf5", ".hdf", ".he5")
NETCDF = (".nc", ".nc4", ".cdf", ".netcdf")
KNOWN = (".npy", ".npz", *CSV, *PARQUET, *HDF5, *NETCDF, ".zarr")


def read(
    path: str | PathLike[str],
    key: str | None = None,
    columns: Sequence[str] | None = None,
    resize: int | None = None,
    cache: str | PathLike[str] | None = None,
    limit: int = 2 << 30,
) -> Any:
    """Data from a file, or from a folder of images, in the form `Schema.of` takes.

    An .npy file above 64 MiB is mapped, not read. Other data above `limit` are copied once, by parts, to an .npy file
    in `cache`, which is mapped; the copy is made anew when the source changes.

    Arguments:
        path: An .npy, .npz, .csv, .parquet, .h5, .nc or .zarr, or a folder of images.
        key: The array in the file, or the column of images; by default the largest array, see `contents`.
        columns: The columns of a table; by default all.
        resize: The side in pixels to which images are brought.
        cache: The folder for copies of data larger than `limit`.
        limit: The bytes up to which data are held in memory.

    Returns:
        An array; a DataFrame or a `Table` of csv and parquet; a DataArray of netcdf.

    Raises:
        FileNotFoundError: If there is no such file; it names similar ones.
        ValueError: If the file is empty, damaged, of an unknown kind, or lacks the key or columns asked for.
        TypeError: If it does not hold numbers.
        ImportError: If a library is missing; it says how to install it.
    """
    source = Path(path).expanduser()
    _exists(source)
    store = Store(source, None if cache is None else Path(cache).expanduser(), limit)
    try:
        return _read(source, key, columns, resize, store)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        if (getattr(error, "errno", None) or 0) > 0:  # the system's own, such as a full disk
            raise
        raise ValueError(f"{source} is truncated or damaged ({str(error).strip()}): copy it again") from error


def _read(path: Path, key: str | None, columns: Sequence[str] | None, resize: int | None, store: Store) -> Any:
    name = path.name.lower()
    if _is_zarr(path):
        return read_zarr(path, key, store)
    if path.is_dir():
        folder = Folder(path)
        return read_images(folder, len(folder.files), resize, store, {})
    if name.endswith(".npy"):
        return read_npy(path)
    if name.endswith(".npz"):
        return read_npz(path, key, store)
    if name.endswith(CSV):
        return read_csv(path, columns, store)
    if name.endswith(PARQUET):
        return read_parquet(path, key, columns, resize, store)
    if name.endswith(HDF5):
        return read_hdf5(path, key, store)
    if name.endswith(NETCDF):
        return read_netcdf(path, key, store)
    if name.endswith(SUFFIXES):
        raise ValueError(f"{path} is one image, hence one sample: pass the folder of all images, {path.parent}")
    raise ValueError(
        f"{path} is of an unknown kind, {path.suffix or 'without suffix'}: known are {' '.join(KNOWN)} "
        "and folders of images"
    )


def contents(path: str | PathLike[str]) -> dict[str, str]:
    """What a file of named arrays holds, the largest first: the one that `read` takes.

    Example:
        >>> import numpy, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     numpy.savez(f"{folder}/a.npz", labels=numpy.zeros(9, "int64"), images=numpy.zeros((9, 8, 8)))
        ...     contents(f"{folder}/a.npz")
        {'images': 'float64 (9, 8, 8)', 'labels': 'int64 (9,)'}
    """
    source = Path(path).expanduser()
    _exists(source)
    name = source.name.lower()
    found = {}
    if _is_zarr(source):
        found = in_zarr(source)
    elif name.endswith(".npz"):
        found = in_npz(source)
    elif name.endswith(HDF5):
        found = in_hdf5(source)
    elif name.endswith(NETCDF):
        found = in_netcdf(source)
    entries = sorted(found.items(), key=lambda e: -math.prod(e[1][0]))
    return {key: f"{dtype} {shape}" for key, (shape, dtype) in entries}


def _is_zarr(path: Path) -> bool:
    marks = ("zarr.json", ".zgroup", ".zarray")
    return path.is_dir() and (path.suffix.lower() == ".zarr" or any((path / m).exists() for m in marks))


def _exists(path: Path) -> None:
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, siblings, 3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "check the path"
        raise FileNotFoundError(f"there is no {path}: {hint}")
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes): write or copy it again")
