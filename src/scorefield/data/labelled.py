"""Arrays of xarray: the names and coordinates of a datum's axes as plain values, and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["attributes", "coordinates", "explain_dataset", "to_labelled"]

LARGEST = 1 << 16  # values of a coordinate that is kept

Coordinate = tuple[str, tuple[str, ...], str, tuple[Any, ...]]  # name, dims, dtype, values in order


def coordinates(x: DataArray) -> tuple[Coordinate, ...]:
    """The coordinates that do not run along the samples, of at most 65,536 values each."""
    kept = []
    for name, coord in x.coords.items():
        values = np.asarray(coord.values)
        if x.dims[0] in coord.dims or values.size > LARGEST or values.dtype.kind not in "fiubmMUO":
            continue
        if values.dtype.kind == "O" and not all(isinstance(v, str) for v in values.ravel()):
            continue
        plain = values.astype(str) if values.dtype.kind in "mM" else values
        if values.dtype.kind == "m":
            plain = values.astype(np.int64)
        kept.append((str(name), tuple(map(str, coord.dims)), values.dtype.str, tuple(plain.ravel().tolist())))
    return tuple(kept)


def attributes(x: DataArray) -> tuple[tuple[str, str | int | float], ...]:
    """The attributes that are plain values, such as the units."""
    return tuple((str(k), v) for k, v in x.attrs.items() if type(v) in (str, int, float))


def to_labelled(
    values: np.ndarray,
    dims: tuple[str, ...],
    name: str | None,
    coords: tuple[Coordinate, ...],
    attrs: tuple[tuple[str, str | int | float], ...],
) -> DataArray:
    """`(M, *D)` with the names and coordinates of the datum's axes."""
    import xarray

    sizes = dict(zip(dims, values.shape))
    labels = {}
    for key, along, dtype, plain in coords:
        array = np.array(plain, dtype=np.int64 if np.dtype(dtype).kind == "m" else None).astype(dtype)
        labels[key] = (along, array.reshape([sizes[d] for d in along]))
    return xarray.DataArray(values, dims=dims, coords=labels, name=name, attrs=dict(attrs))


def explain_dataset(x: Any) -> str:
    """Why a Dataset is not one array of data, and which arrays it offers."""
    names = [str(n) for n in x.data_vars]
    shown = ", ".join(f"{n!r} {tuple(x[n].sizes.items())}" for n in names[:5]) + ", …" * (len(names) > 5)
    several = len(names) > 1 and len({x[n].dims for n in names}) == 1 and math.prod(x[names[0]].shape) > 0
    stack = (
        f", or all as channels: ds.to_dataarray('channel').transpose({x[names[0]].dims[0]!r}, 'channel', ...)"
        if several
        else ""
    )
    return (
        f"a Dataset holds several arrays, {shown}: pass one of them, ds[{names[0]!r}]{stack}"
        if names
        else "the Dataset holds no arrays"
    )
