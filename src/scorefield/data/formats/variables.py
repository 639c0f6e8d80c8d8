"""Several variables of one file: which are read, and how they are read and written together."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import DECODED, Store, blocks
from ..datasets import choose, common_dtype, sample_axis, stacked, together
from ..dtypes import check_dtype
from ..errors import DataError
from ..optional import need
from ..schema import Schema
from .base import Entry, choose_array

__all__ = ["choose_arrays", "one_array", "parts_of", "read_dataset"]


def choose_arrays(
    found: Mapping[str, Entry], axes: Mapping[str, Sequence[str]], key: str | None, path: Path
) -> tuple[str, ...]:
    """The arrays that are read: those of `key`, names with commas between; or the largest and all others on its axes.

    Arguments:
        found: The arrays by their path in the file.
        axes: The names of their axes; none where they have no names.
        key: What was asked for.
        path: The file, for the messages.

    Raises:
        DataError: If there is no such array, they have different axes, or several are the largest.
    """
    if key is not None and key not in found and "," in key:
        names = tuple(choose_array(dict(found), part.strip(), path)[0] for part in key.split(","))
        kinds = {(name.rpartition("/")[0], *sorted(axes.get(name, ()))) for name in names}
        if len(kinds) > 1 or not axes.get(names[0]) or len(set(names)) < len(names):
            listed = ", ".join(f"{name!r} ({', '.join(axes.get(name, ()))})" for name in names)
            raise DataError(f"variables that are learned together have the same named axes, {path} holds {listed}")
        return names
    if key is None:
        numbers = {name: int(np.prod(shape)) for name, (shape, dtype) in found.items() if dtype.kind in "fiub"}
        folder = max(numbers, key=lambda name: numbers[name], default="").rpartition("/")[0]
        near = {name: size for name, size in numbers.items() if name.rpartition("/")[0] == folder}
        names = together(axes, {name: size for name, size in near.items() if axes.get(name)})
        largest = {name for name, size in numbers.items() if size == max(numbers.values())}
        if len(names) > 1 and largest <= set(names):
            return names
    return (choose_array(dict(found), key, path)[0],)


def one_array(x: Any, names: Sequence[str]) -> bool:
    """Whether a single variable is read as a DataArray: its first axis counts the samples, or no axis but by its length."""
    sizes = {str(dim): int(size) for dim, size in x[names[0]].sizes.items()}
    if len(names) > 1 or not sizes:
        return len(names) == 1
    (axis, why), alone = sample_axis(sizes, x.encoding.get("unlimited_dims", ())), sample_axis(sizes)[0]
    return axis == alone and (axis == next(iter(sizes)) or "longest" in why)


def read_dataset(x: Any, names: Sequence[str], path: Path, store: Store, others: Sequence[str] = ()) -> Any:
    """Variables of an opened Dataset that are not read yet: at once, or with their values in the copy.

    Arguments:
        x: The Dataset.
        names: The variables that are read.
        path: The file, for what is said.
        store: Whether they are held in memory, and the copy.
        others: Variables that are not asked for, and are named.
    """
    if others:
        listed = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        verb, axes = "is" if len(others) == 1 else "are", ", ".join(map(str, x[names[0]].dims))
        warnings.warn(f"{path}: {listed} {verb} left out, not on the axes {axes} of {names[0]}", stacklevel=4)
    some = x[list(names)]
    for name in names:
        check_dtype(some[name].dtype, some[name].ndim)
    if store.holds(sum(some[name].nbytes for name in names)):
        return some.load()
    dims = choose(some).dims
    count, dtype = some.sizes[dims[0]], common_dtype(some[name].dtype for name in names)
    row = sum(some[name].nbytes for name in names) // count
    parts = (stacked(some, names, dims, part).astype(dtype, copy=False) for part in blocks(count, row))
    values, _ = store.copy({"key": ",".join(names), **DECODED}, parts)
    made = {
        name: (dims, values[:, i].astype(some[name].dtype, copy=False), some[name].attrs)
        for i, name in enumerate(names)
    }
    coords = {name: coordinate.load() for name, coordinate in some.coords.items()}
    whole = need("xarray", "reading arrays with named axes").Dataset(made, coords, some.attrs)
    whole = whole.assign({name: whole[name].transpose(*some[name].dims) for name in names})
    whole.encoding = some.encoding
    return whole


def parts_of(batches: Iterable[Any], schema: Schema) -> Iterator[tuple[tuple[slice, ...], str, np.ndarray]]:
    """What of each variable a batch of samples holds: where it goes in the whole, the variable, and its values."""
    start, dim = 0, (schema.dims or ("",))[0]
    for batch in batches:
        part = slice(start, start + int(batch.sizes[dim]))
        for each in schema.variables:
            place = tuple(part if name == dim else slice(None) for name in each.dims)
            yield place, each.name, np.ascontiguousarray(batch[each.name].values)
        start = part.stop
