"""Arrays with named axes (xarray): the names, coordinates and attributes as plain values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = [
    "Attributes",
    "Coordinate",
    "attributes",
    "coordinate_attributes",
    "coordinate_variables",
    "coordinates",
    "explain_dataset",
    "to_attributes",
    "to_dataarray",
]

LARGEST = 1 << 16  # values of a coordinate that is kept

Coordinate = tuple[str, tuple[str, ...], str, tuple[Any, ...]]  # name, dims, dtype, values in order
Attributes = tuple[tuple[str, str | int | float | tuple[int | float, ...]], ...]


def coordinates(x: DataArray) -> tuple[Coordinate, ...]:
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


def coordinate_attributes(x: DataArray, coords: tuple[Coordinate, ...]) -> tuple[tuple[str, Attributes], ...]:
    """The attributes of those coordinates that have some."""
    found = ((name, attributes(x.coords[name].attrs)) for name, *_ in coords)
    return tuple((name, attrs) for name, attrs in found if attrs)


def coordinate_variables(
    coords: tuple[Coordinate, ...], attrs: tuple[tuple[str, Attributes], ...], sizes: Mapping[str, int]
) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
    """The coordinates as xarray takes them: dims, values and attributes of each."""
    found = {}
    described = dict(attrs)
    for name, dims, dtype, plain in coords:
        array = np.array(plain, dtype=np.int64 if np.dtype(dtype).kind == "m" else None).astype(dtype)
        found[name] = (dims, array.reshape([sizes[d] for d in dims]), to_attributes(described.get(name, ())))
    return found


def to_attributes(attrs: Attributes) -> dict[str, Any]:
    """Attributes as xarray keeps them."""
    return {name: list(value) if isinstance(value, tuple | list) else value for name, value in attrs}


def to_dataarray(
    values: np.ndarray,
    dims: tuple[str, ...],
    name: str | None,
    variables: Mapping[str, Any],
    attrs: Attributes,
) -> DataArray:
    """`(M, *D)` with the names and coordinates of the axes."""
    import xarray

    return xarray.DataArray(values, dims=dims, coords=dict(variables), name=name, attrs=to_attributes(attrs))


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
