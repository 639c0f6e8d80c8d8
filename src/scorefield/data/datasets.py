"""Several variables on the same axes, as xarray holds them in a Dataset: stacked as channels, and taken apart again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from . import dataarrays
from .dtypes import restore, value_range
from .errors import DataError, DataTypeError
from .rows import Rows, to_tensor

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = [
    "Chosen",
    "Variable",
    "choose",
    "common_dtype",
    "described",
    "restored",
    "sample_axis",
    "samples_first",
    "stacked",
    "together",
]

_ENSEMBLE = ("sample", "samples", "draw", "realization", "member", "ensemble", "number", "simulation", "case", "run")
_SAMPLES = (*_ENSEMBLE, "n", "batch", "obs", "observation", "record", "image")
_TIMES = ("time", "valid_time", "date", "datetime", "day", "month", "year")


@dataclass(frozen=True)
class Variable:
    """One variable of a Dataset, as a schema keeps it.

    Arguments:
        name: Its name.
        dtype: The type of its numbers.
        dims: The names of its axes, in its own order.
        attrs: Its plain attributes.
        whole: Whether samples are rounded.
        low: What samples are clipped to from below; None where they are not.
        high: The same from above.
    """

    name: str
    dtype: str
    dims: tuple[str, ...]
    attrs: dataarrays.Attributes = ()
    whole: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Chosen:
    """The variables of a Dataset that are learned together, and their axes.

    Arguments:
        names: The variables, in the order of the Dataset.
        dims: The names of their axes, the samples' first.
        reason: Why that axis counts the samples.
        left_out: The other variables, each with the reason.
    """

    names: tuple[str, ...]
    dims: tuple[str, ...]
    reason: str
    left_out: tuple[tuple[str, str], ...] = ()


def sample_axis(sizes: Mapping[str, int], unlimited: Iterable[Any] = ()) -> tuple[str, str]:
    """The axis that counts the samples, and why: the first or another one by its name, one that is unlimited, or the longest.

    Arguments:
        sizes: The axes in their order.
        unlimited: Those that grow in a file.

    Example:
        >>> sample_axis({"lat": 12, "lon": 20, "time": 400}), sample_axis({"lat": 12, "lon": 20})
        (('time', 'by its name'), ('lon', 'the longest axis'))
    """
    known, growing = {name.lower(): name for name in sizes}, [name for name in map(str, unlimited) if name in sizes]
    first = next(iter(sizes))
    if first.lower() in (*_SAMPLES, *_TIMES):
        return first, "by its name"
    for names, why in ((_SAMPLES, "by its name"), (growing, "it is unlimited"), (_TIMES, "by its name")):
        found = [known.get(name, name) for name in names if name in known or name in sizes]
        if found and (names is not growing or len(found) == 1):
            return found[0], why
    return _longest(sizes)


def samples_first(x: DataArray) -> tuple[DataArray, str]:
    """A DataArray with the axis that counts the samples in front, and why it is that one; "" where axes have no names.

    Example:
        >>> import numpy, xarray
        >>> found, reason = samples_first(xarray.DataArray(numpy.zeros((2, 3, 5)), dims=("lat", "lon", "time")))
        >>> found.dims, reason
        (('time', 'lat', 'lon'), 'samples along time (5: by its name)')
    """
    sizes = {str(dim): int(x.sizes[dim]) for dim in x.dims}
    if not sizes or any(map(dataarrays.UNNAMED.fullmatch, sizes)):
        return x, ""
    axis, why = sample_axis(sizes)
    return x.transpose(axis, ...), f"samples along {axis} ({sizes[axis]}: {why})"


def choose(x: Dataset) -> Chosen:
    """Which variables of a Dataset are learned: the largest array, and all numbers on the same axes.

    Raises:
        DataTypeError: If it holds no numbers with an axis.
    """
    axes = {str(name): tuple(map(str, values.dims)) for name, values in x.data_vars.items()}
    kinds = {str(name): values.dtype.kind for name, values in x.data_vars.items()}
    names = together(axes, {name: math.prod(x[name].shape) for name in axes if kinds[name] in "fiub"})
    if not names:
        listed = ", ".join(f"{name!r} {x[name].dtype} {x[name].shape}" for name in list(axes)[:5])
        raise DataTypeError(f"the Dataset holds no arrays of numbers{f': {listed}' if listed else ''}")
    sizes = {str(dim): int(x.sizes[dim]) for dim in x[names[0]].dims}
    axis, why = sample_axis(sizes, x.encoding.get("unlimited_dims", ()))
    dims = (axis, *(dim for dim in sizes if dim != axis))
    on = f"not on the axes {', '.join(dims)} of {names[0]}"
    lost = [
        (name, on if kinds[name] in "fiub" else f"{x[name].dtype}, not numbers") for name in axes if name not in names
    ]
    return Chosen(names, dims, f"samples along {axis} ({sizes[axis]}: {why})", tuple(lost))


def together(axes: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> tuple[str, ...]:
    """The largest of some arrays that have axes, and all others on the same axes, in their order.

    Example:
        >>> together({"mask": ("lat",), "t": ("time", "lat"), "u": ("lat", "time")}, {"mask": 4, "t": 12, "u": 12})
        ('t', 'u')
    """
    first = max((name for name in sizes if axes[name]), key=lambda name: sizes[name], default=None)
    return () if first is None else tuple(name for name in sizes if sorted(axes[name]) == sorted(axes[first]))


def _longest(sizes: Mapping[str, int]) -> tuple[str, str]:
    """The longest axis, the first of several."""
    name = max(sizes, key=lambda dim: sizes[dim])
    equal = list(sizes.values()).count(sizes[name]) > 1
    return name, "the first of the longest axes" if equal else "the longest axis"


def common_dtype(dtypes: Iterable[Any]) -> np.dtype[Any]:
    """The type that holds the numbers of all variables."""
    return np.result_type(*dtypes)


def stacked(x: Dataset, names: Sequence[str], dims: Sequence[str], part: slice | None = None) -> np.ndarray:
    """The variables as one array `(N, variables, …)` with the axes in the order of `dims`; some of the samples alone.

    Raises:
        DataError: If a variable is missing, or has other axes.
    """
    missing = [name for name in names if name not in x.data_vars]
    if missing:
        has = ", ".join(map(repr, list(x.data_vars)[:10])) or "none"
        raise DataError(f"variables missing: {', '.join(map(repr, missing))}; the Dataset has {has}")
    for name in names:
        if sorted(map(str, x[name].dims)) != sorted(dims):
            raise DataError(f"variable {name!r} has the axes {tuple(x[name].dims)}, it needs {tuple(dims)}")
    if part is None and (whole := _copy_behind([x[name].transpose(*dims).data for name in names])) is not None:
        return whole
    some = x if part is None else x.isel({dims[0]: part})
    return np.stack([np.asarray(some[name].transpose(*dims).values) for name in names], 1)


def _copy_behind(views: Sequence[Any]) -> np.ndarray | None:
    """The mapped file of which some arrays are the channels, all in order; None if they are not."""
    root = views[0]
    while isinstance(root, np.ndarray) and isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.ndim != views[0].ndim + 1 or root.shape[1] != len(views):
        return None
    parts = [(root[:, i], view) for i, view in enumerate(views)]
    same = all(
        a.__array_interface__ == np.asarray(b).__array_interface__ for a, b in parts if isinstance(b, np.ndarray)
    )
    return root if same else None


def described(x: Dataset, chosen: Chosen, rows: Rows) -> tuple[Variable, ...]:
    """The variables, with what their samples are rounded and clipped to; `rows` are flat, one variable after another."""
    dtypes = [x[name].dtype for name in chosen.names]
    ends = None
    if any(dtype.kind in "iub" for dtype in dtypes):
        ends = [end.reshape(len(dtypes), -1) for end in value_range(rows)]
    found = []
    for i, (name, dtype) in enumerate(zip(chosen.names, dtypes)):
        low = high = None
        if ends is not None and dtype.kind in "iub" and float(ends[0][i].min()) >= 0:
            low, high = (0.0, 1.0) if dtype.kind == "b" else (float(ends[0][i].min()), float(ends[1][i].max()))
        dataarrays.warn_packed(x[name].attrs, name)
        attrs, dims = dataarrays.attributes(x[name].attrs), tuple(map(str, x[name].dims))
        found.append(Variable(name, dtype.name, dims, attrs, dtype.kind in "iub", low, high))
    return tuple(found)


def restored(
    values: Tensor, variables: Sequence[Variable], dims: Sequence[str], coords: Any, attrs: dataarrays.Attributes
) -> Dataset:
    """Samples `(M, variables, …)` as a Dataset: each variable with its type, its own order of axes and its attributes."""
    import xarray

    made = {}
    for i, variable in enumerate(variables):
        dtype = np.dtype(variable.dtype)
        flat = values[:, i].reshape(len(values), -1)
        kept = restore(flat, to_tensor(np.zeros(0, dtype)).dtype, variable.whole, variable.low, variable.high)
        array = kept.reshape(values[:, i].shape).numpy().astype(dtype, copy=False)
        one = xarray.DataArray(array, dims=tuple(dims), attrs=dataarrays.to_attributes(variable.attrs))
        made[variable.name] = one.transpose(*variable.dims)
    return xarray.Dataset(made, coords, dataarrays.to_attributes(attrs))
