"""Files as data, and samples as files: one function each way for all formats."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

from ..destinations import advice, check_writable
from ..reading import foreign, reading, regular, special
from ..replacing import replacing
from .cache import Store
from .errors import DataError, one_line
from .formats import FORMATS, Format, Selection
from .schema import Schema

__all__ = ["check", "contents", "lost", "read", "with_cells", "write"]

_MEMORY = "lower limit=…, and name a folder for a copy that is read by parts (cache=…)"


def read(
    path: str | PathLike[str],
    key: str | None = None,
    columns: Sequence[str] | None = None,
    resize: int | None = None,
    cache: str | PathLike[str] | None = None,
    limit: int = 2 << 30,
    formats: Sequence[Format] = FORMATS,
    missing_words: Sequence[str] | None = None,
) -> Any:
    """Data from a file, or from a folder of files or images, in the form that `Schema.of` takes.

    A .npy file above 64 MiB is mapped, not read. Other data above `limit` are copied once, by parts, to a .npy file
    in `cache`, which is mapped; the copy is made anew when the source changes.

    Arguments:
        path: A file in one of `formats`: .npy, .npz, .csv, .parquet, .h5, .nc, .zarr; a folder of .npy or
            .parquet files with rows of one form, which follow each other by their names; a folder of images.
        key: The array in the file, or the column of images; by default the largest array, see `contents`. Of netCDF, HDF5
            and zarr all variables on its axes are read, or those that are named, `"t2m,pr"`. The sheet of a workbook of Excel;
            by default the first, or the only one that is a table.
        columns: The columns of a table; by default all.
        resize: The side in pixels to which images are resized.
        cache: The folder for copies of data larger than `limit`.
        limit: The bytes up to which data are held in memory.
        formats: Which formats there are; put your own first, `(mine, *FORMATS)`.
        missing_words: Words for missing values in a .csv or .xlsx, in any column, in addition to those that are known:
            `("keine",)`.

    Returns:
        An array; a DataFrame or a `Table` of csv and parquet; a DataArray where the file names its axes; a Dataset where
        several variables lie on them, or another axis than the first counts the samples.

    Raises:
        FileNotFoundError: If there is no such file; it names similar ones.
        PermissionError: If the file may not be read.
        ValueError: If the file is empty, damaged, of an unknown format, or lacks the key or columns asked for.
        TypeError: If it does not hold numbers.
        ImportError: If a library is missing; it says how to install it.
    """
    source = Path(path).expanduser()
    words = (missing_words,) if isinstance(missing_words, str) else missing_words
    selection = Selection(key, None if columns is None else tuple(columns), resize, tuple(words or ()) or None)
    with reading(source, memory=_MEMORY):
        chosen = _format_of(source, formats)
        unused = [name for name, value in asdict(selection).items() if value is not None and name not in chosen.options]
        if unused:
            takers = [f.label for f in formats if unused[0] in f.options]
            raise DataError(f"{unused[0]}= is for {', '.join(takers)}, got {source}: leave it out")
        store = Store(source, None if cache is None else Path(cache).expanduser(), limit)
        return chosen.read(source, selection, store)


def takes(path: str | PathLike[str], option: str, formats: Sequence[Format] = FORMATS) -> bool:
    """Whether `read` uses an option for a file, such as "missing_words"; it refuses the others.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty or of an unknown format.
    """
    source = Path(path).expanduser()
    with reading(source, memory=_MEMORY):
        return option in _format_of(source, formats).options


def with_cells(
    filled: Any,
    changed: Any,
    source: str | PathLike[str],
    target: str | PathLike[str],
    formats: Sequence[Format] = FORMATS,
) -> Any:
    """A table to be written, in which all cells but those that changed are spelled as in the file they were read from.

    Arguments:
        filled: A table that `read` gave, some of whose cells were filled.
        changed: Which ones, a table `(N, C)` of bools.
        source: The file that it was read from.
        target: The file that it will be written to; only of the same format cells can be as they were.
        formats: Which formats there are.
    """
    before, after = Path(source).expanduser(), Path(target).expanduser()
    with reading(before, memory=_MEMORY):
        chosen = _format_of(before, formats)
        return chosen.with_cells(filled, changed, before, after) if chosen.names(after) else filled


def contents(path: str | PathLike[str], formats: Sequence[Format] = FORMATS) -> dict[str, str]:
    """What a file of named arrays holds, the largest first: the one that `read` takes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, damaged or of an unknown format.

    Example:
        >>> import numpy, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     numpy.savez(f"{folder}/a.npz", labels=numpy.zeros(9, "int64"), images=numpy.zeros((9, 8, 8)))
        ...     contents(f"{folder}/a.npz")
        {'images': 'float64 (9, 8, 8)', 'labels': 'int64 (9,)'}
    """
    source = Path(path).expanduser()
    with reading(source, memory=_MEMORY):
        entries = sorted(_format_of(source, formats).contents(source).items(), key=lambda e: -math.prod(e[1][0]))
    return {key: f"{dtype} {shape}" for key, (shape, dtype) in entries}


def check(path: str | PathLike[str], schema: Schema, formats: Sequence[Format] = FORMATS) -> Format:
    """The format in which samples are written to `path`; asked before they are drawn.

    Arguments:
        path: Where samples are to be written.
        schema: What describes them.
        formats: Which formats there are.

    Raises:
        ValueError: If no format has such names, or the format cannot hold such samples; it lists those that can.
        FileNotFoundError: If there is no folder to write into.
    """
    target = Path(path).expanduser()
    if str(target) == "-" or target.parent == Path("/dev") or (target.exists() and special(target)):
        raise DataError(
            f"{target} is not a file: samples are written to files, not to pipes; name one, such as new.csv"
        )
    chosen = next((f for f in formats if f.names(target)), None)
    if chosen is None:
        raise DataError(f"samples like these are written as {_that_hold(schema, formats)}; got {target}")
    reason = chosen.cannot_hold(schema)
    if reason is not None:
        raise DataError(f"{target} {reason}: write {_that_hold(schema, formats)}")
    if chosen.folder and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} exists and is not empty: name a new folder")
    check_writable(target, chosen.folder)
    return chosen


def lost(path: str | PathLike[str], schema: Schema, formats: Sequence[Format] = FORMATS) -> str | None:
    """What is lost when samples are written to `path`, and which formats keep it; None if nothing is."""
    chosen = next((f for f in formats if f.names(Path(path))), None)
    what = chosen.loses(schema) if chosen is not None else None
    if what is None:
        return None
    keepers = [_short(f) for f in formats if f.cannot_hold(schema) is None and f.loses(schema) is None]
    advice = f": {', '.join(keepers)} keep them" if keepers else ""
    return f"{what} are lost in {Path(path).suffix or 'a folder'}{advice}"


def write(
    path: str | PathLike[str],
    batches: Iterable[Any],
    count: int,
    schema: Schema,
    formats: Sequence[Format] = FORMATS,
) -> None:
    """Writes samples, a batch at a time: memory stays bounded, and the file is whole or not there.

    Arguments:
        path: The file; its name says in which format.
        batches: Samples as `Schema.pack` gives them.
        count: The number of samples in all batches together.
        schema: What describes them.
        formats: Which formats there are; put your own first, `(mine, *FORMATS)`.

    Raises:
        OSError: If the disk is full, or nothing may be written there; what was at `path` is unchanged.
        ValueError: If the format cannot hold such samples, or the batches do not hold `count` of them.

    Example:
        >>> import numpy as np, tempfile
        >>> x = np.arange(6.0).reshape(3, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(f"{folder}/new.npz", [x[:2], x[2:]], 3, Schema.of(x))
        ...     read(f"{folder}/new.npz").tolist()
        [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    target = Path(path).expanduser()
    chosen = check(target, schema, formats)
    came, failure = 0, None

    def counted() -> Iterator[Any]:
        nonlocal came, failure
        try:
            for batch in batches:
                came += schema.count(batch)
                yield batch
        except Exception as error:
            failure = error
            raise

    try:
        with replacing(target) as part:
            chosen.write(part, counted(), count, schema)
            if came != count:
                raise DataError(f"{count} samples were announced and {came} came: {target} is not written")
    except Exception as error:
        if error is failure or isinstance(error, DataError | ImportError):
            raise
        raise _not_written(error, target, schema, [f for f in formats if f is not chosen]) from error


def _not_written(error: Exception, target: Path, schema: Schema, others: Sequence[Format]) -> Exception:
    """What a library raised while it wrote, as an error that says what to do."""
    code = (error.errno or 0) if isinstance(error, OSError) else 0
    reason = os.strerror(code) if code > 0 else one_line(error)
    what = f"{target} could not be written ({reason}); what was there is unchanged"
    if isinstance(error, PermissionError):
        return PermissionError(f"{what}: {advice(error, target.absolute().parent)}")
    if isinstance(error, OSError):
        return OSError(error.errno, f"{what}: {advice(error, target.absolute().parent)}")
    return DataError(f"{what}: write {_that_hold(schema, others)}")


def _that_hold(schema: Schema, formats: Sequence[Format]) -> str:
    return ", ".join(map(_short, (f for f in formats if f.cannot_hold(schema) is None))) or "another format"


def _short(form: Format) -> str:
    return form.suffixes[0] if form.suffixes else form.label


def _format_of(path: Path, formats: Sequence[Format]) -> Format:
    """The first format that recognizes the file, which exists and is not empty."""
    if not path.is_dir():
        if path.exists() and (kind := special(path)):
            raise DataError(f"{path} is a {kind}, which can be read only once: write the data to a file first")
        if regular(path).stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes): write or copy it again")
        if (what := foreign(path)) is not None:
            raise DataError(what)
    found = next((f for f in formats if f.recognizes(path)), None)
    if found is None:
        known = ", ".join(f.label for f in formats)
        raise DataError(f"{path} is of an unknown kind, {path.suffix or 'without suffix'}: known are {known}")
    return found
