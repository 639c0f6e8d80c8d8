"""Arrays with named axes (xarray): the names, coordinates and attributes as plain values, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..calls import plain_value
from ..warned import warn_outside
from .errors import DataError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = [
    "UNNAMED",
    "Attributes",
    "Coordinate",
    "attributes",
    "coordinates_of",
    "describe",
    "describe_axes",
    "packing",
    "scaled",
    "to_attributes",
    "warn_packed",
]

_SCALES = ("scale_factor", "add_offset")
_PACKING = ("_FillValue", "missing_value", *_SCALES, "_Unsigned")
_FLOATS = (np.dtype("f4"), np.dtype("f8"))  # of a scale; decoded values get its type

UNNAMED = re.compile(r"dim_\d+")
"""What xarray calls axes without a name."""

LARGEST = 1 << 16  # values of a coordinate that is kept

Coordinate = tuple[str, tuple[str, ...], str, tuple[Any, ...]]  # name, dims, dtype, values in order
Attributes = tuple[tuple[str, str | int | float | tuple[int | float, ...]], ...]


def describe(x: DataArray) -> dict[str, Any]:
    """What a schema keeps of a DataArray: names and, as plain values, coordinates and attributes."""
    name = None if x.name is None else str(x.name)
    warn_packed(x.attrs, name or "the DataArray")
    return {"name": name, **describe_axes(x, tuple(map(str, x.dims)))}


def describe_axes(x: DataArray | Dataset, dims: tuple[str, ...]) -> dict[str, Any]:
    """What a schema keeps of axes, the samples' first: their names, the coordinates and the attributes."""
    coords = coordinates_of(x, dims[1:])
    described = ((name, attributes(x.coords[name].attrs)) for name, *_ in coords)
    return {
        "dims": dims,
        "coords": coords,
        "attrs": attributes(x.attrs),
        "coordinate_attrs": tuple((name, attrs) for name, attrs in described if attrs),
    }


def coordinates_of(x: DataArray | Dataset, dims: tuple[str, ...]) -> tuple[Coordinate, ...]:
    """The coordinates that run along none but these axes, of at most 65,536 values each."""
    kept = []
    for name, coord in x.coords.items():
        values = np.asarray(coord.values)
        if not set(coord.dims) <= set(dims) or values.size > LARGEST or values.dtype.kind not in "fiubmMUOT":
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


def packing(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """The attributes by which the CF conventions say what the numbers of an array stand for; not a missing value of NaN.

    Example:
        >>> packing({"units": "K", "scale_factor": 0.01, "_FillValue": np.float32("nan")})
        {'scale_factor': 0.01}
    """
    found = {name: np.asarray(attrs[name]) for name in _PACKING if name in attrs}
    return {
        name: attrs[name]
        for name, value in found.items()
        if value.dtype.kind in "iufSUO" and value.size and not (value.dtype.kind == "f" and np.isnan(value).all())
    }


def scaled(attrs: Mapping[Any, Any], what: str) -> dict[Any, Any]:
    """The attributes of an array, with the scale and the offset as floating-point numbers also where they are text.

    Decoded values have the type of the scale: by an integer, they would be cut to whole numbers.

    Arguments:
        attrs: The attributes, of which those that `packing` names say what the numbers of the array stand for.
        what: The array, for messages.

    Raises:
        DataError: If the scale or the offset is not one number.

    Example:
        >>> scaled({"units": "K", "scale_factor": 2, "add_offset": "0.5"}, "t2m")
        {'units': 'K', 'scale_factor': np.float64(2.0), 'add_offset': np.float64(0.5)}
    """
    return {**attrs, **{name: _one_number(attrs[name], name, what) for name in packing(attrs) if name in _SCALES}}


def _one_number(given: Any, name: str, what: str) -> np.floating[Any]:
    values = np.asarray(given)
    (value,) = values.ravel() if values.size == 1 else (None,)
    plain = value.decode(errors="replace") if isinstance(value, bytes) else value
    plain = plain_value(plain.strip()) if isinstance(plain, str) else plain
    if not isinstance(plain, int | float | np.integer | np.floating) or not np.isfinite(plain):
        said = given if isinstance(given, str) else values.tolist()
        raise DataError(f"{name} of {what} is {said!r:.80}, not a number: correct or delete this attribute")
    return plain if isinstance(plain, np.floating) and plain.dtype in _FLOATS else np.float64(plain)


def warn_packed(attrs: Mapping[Any, Any], name: str) -> None:
    """Warns where the values of an array are as they were stored, and its attributes say that they stand for others."""
    found = packing(attrs)
    if found:
        listed = ", ".join(f"{key}={value}" for key, value in found.items())
        what = f"{name} has the attributes {listed}, and its values are learned as they are, missing ones too"
        warn_outside(
            f"{what}: decode them first, xarray.decode_cf(dataset), or delete the attributes if they are decoded"
        )


def to_attributes(attrs: Attributes) -> dict[str, Any]:
    """Attributes as xarray keeps them."""
    return {name: list(value) if isinstance(value, tuple | list) else value for name, value in attrs}
