"""Arrays with named axes (xarray): the names, coordinates and attributes as plain values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["Attributes", "Coordinate", "attributes", "describe", "explain_dataset", "to_attributes"]

LARGEST = 1 << 16  # values of a coordinate that is kept

Coordinate = tuple[str, tuple[str, ...], str, tuple[Any, ...]]  # name, dims, dtype, values in order
Attributes = tuple[tuple[str, str | int | float | tuple[int | float, ...]], ...]


def describe(x: DataArray) -> dict[str, Any]:
    """What a schema keeps of a DataArray: names and, as plain values, coordinates and attributes."""
    coords = _coordinates(x)
    described = ((name, attributes(x.coords[name].attrs)) for name, *_ in coords)
    return {
        "dims": tuple(map(str, x.dims)),
        "name": None if x.name is None else str(x.name),
        "coords": coords,
        "attrs": attributes(x.attrs),
        "coordinate_attrs": tuple((name, attrs) for name, attrs in described if attrs),
    }


def _coordinates(x: DataArray) -> tuple[Coordinate, ...]:
    """The coordinates that do not run along the samples, of at most 65,536 values each."""
    kept = []
    for name, coord in x.coords.items():
        values = np.asarray(coord.values)
        if x.dims[0] in coord.dims or values.size > LARGEST or values.dtype.kind not in "fiubmMUOT":
            continue
        if values.dtype.kind in "OT":
            if not all(isinstance(v, str) for v in values.ravel()):
                continue
            values = values.astype(object)
        plain = values.astype(str) if values.dtype.kind in "mM" else values
        if values.dtype.kind == "m":
            plain = values.astype(np.int64)
        kept.append((str(name), tuple(map(str, coord.dims)), values.dtype.str, tuple(plain.ravel().tolist())))
    return tuple(kept)


def attributes(attrs: Mapping[Any, Any]) -> Attributes:
    """The attributes that are plain values, such as the units: text, numbers, short lists of numbers.

    Example:
        >>> attributes({"units": "K", "valid_range": np.array([0, 400]), "source": object()})
        (('units', 'K'), ('valid_range', (0, 400)))
    """
    kept = []
    for name, value in attrs.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, np.ndarray | list | tuple) and np.asarray(value).ndim == 1:
            value = tuple(np.asarray(value).tolist())
        plain = isinstance(value, tuple) and all(type(v) in (int, float) for v in value)
        if plain or type(value) in (str, int, float):
            kept.append((str(name), value))
    return tuple(kept)


def to_attributes(attrs: Attributes) -> dict[str, Any]:
    """Attributes as xarray keeps them."""
    return {name: list(value) if isinstance(value, tuple | list) else value for name, value in attrs}


def explain_dataset(x: Any) -> str:
    """Why a Dataset is not one array of data, and which arrays it offers."""
    names = [str(n) for n in x.data_vars]
    if not names:
        return "the Dataset holds no arrays"
    shown = ", ".join(f"{n!r} {tuple(x[n].sizes.items())}" for n in names[:5]) + ", …" * (len(names) > 5)
    first, stack = x[names[0]], ""
    if len(names) > 1 and len({x[n].dims for n in names}) == 1 and math.prod(first.shape) > 0:
        stack = f", or all as channels: ds.to_dataarray('channel').transpose({first.dims[0]!r}, 'channel', ...)"
    if len(names) == 1:
        return f"data must be one array, got a Dataset that holds one, {shown}: pass that, ds[{names[0]!r}]"
    return f"a Dataset holds several arrays, {shown}: pass one of them, ds[{names[0]!r}]{stack}"
