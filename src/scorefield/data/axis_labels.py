"""Names and coordinates of axes, by which labelled arrays are brought into the order of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .dataarrays import UNNAMED, Coordinate, coordinates_of
from .errors import DataError

__all__ = ["AxisLabels", "Order", "labelled_like"]

_ROUNDING = 1e-5  # of the largest value of a coordinate, and at most a tenth of its smallest step


@dataclass(frozen=True)
class Order:
    """How an array is brought into the order of another one.

    Arguments:
        dims: Its axes, in that order.
        places: Of the axes along which its positions are in another order, these positions in that order.
    """

    dims: tuple[str, ...]
    places: tuple[tuple[str, np.ndarray], ...] = ()

    def __call__(self, values: np.ndarray, dims: Sequence[str]) -> np.ndarray:
        """An array with the axes `dims`, all of them named here or not, in that order."""
        kept = [dim for dim in self.dims if dim in dims]
        found = values.transpose([list(dims).index(dim) for dim in kept])
        for dim, places in self.places:
            found = found.take(places, axis=kept.index(dim)) if dim in kept else found
        return found


@dataclass(frozen=True)
class AxisLabels:
    """The names of the axes of an array, and the coordinates along them.

    Arguments:
        dims: The names, in the order of the axes.
        shape: The sizes of these axes.
        coords: The coordinates.

    Example:
        >>> north = AxisLabels(("lat",), (3,), (("lat", ("lat",), "<f8", (60.0, 55.0, 50.0)),))
        >>> south = AxisLabels(("lat",), (3,), (("lat", ("lat",), "<f8", (50.0, 55.0, 60.0)),))
        >>> south.order_of(north, "y")(np.array([1, 2, 3]), ("lat",))
        array([3, 2, 1])
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: tuple[Coordinate, ...] = ()

    @classmethod
    def of(cls, x: Any, without: Sequence[str] = ()) -> AxisLabels | None:
        """Those of a DataArray or a Dataset; None where there are no names of axes.

        Arguments:
            x: The array.
            without: Axes that are not meant, such as that of the samples.
        """
        if not hasattr(x, "coords") or not hasattr(x, "sizes"):
            return None
        dims = tuple(str(dim) for dim in x.dims if str(dim) not in without)
        sizes = tuple(int(x.sizes[dim]) for dim in dims)
        return cls(dims, sizes, coordinates_of(x, dims)).named

    @property
    def named(self) -> AxisLabels | None:
        """These, or None where axes have no names of their own."""
        return None if any(map(UNNAMED.fullmatch, self.dims)) else self

    def only(self, dims: Sequence[str]) -> AxisLabels:
        """Those of some of the axes."""
        sizes = dict(zip(self.dims, self.shape))
        kept = tuple(dim for dim in self.dims if dim in dims)
        coords = tuple(each for each in self.coords if set(each[1]) <= set(kept))
        return AxisLabels(kept, tuple(sizes[dim] for dim in kept), coords)

    def order_of(self, wanted: AxisLabels, what: str, partial: bool = False) -> Order:
        """How an array with these labels is brought into the order of another one.

        Coordinates that only one of them has, and those along no axis, are not compared; equal up to rounding is equal.

        Arguments:
            wanted: The labels of the other one.
            what: What has these labels, the subject of a sentence.
            partial: Whether axes may be others, or of another size, as those of a measurement are.

        Raises:
            ValueError: If it has other axes, or other values of a coordinate.
        """
        if not partial and set(self.dims) != set(wanted.dims):
            own, others = (f"({', '.join(dims)})" for dims in (self.dims, wanted.dims))
            raise DataError(
                f"{what} has the axes {own}, and a data point of the model has {others}: rename or select them"
            )
        inside = set(self.dims) <= set(wanted.dims)
        dims = tuple(dim for dim in wanted.dims if dim in self.dims) if inside else self.dims
        pairs = [(a, b) for a in self.coords for b in wanted.coords if a[0] == b[0] and a[1] and set(a[1]) == set(b[1])]
        pairs.sort(key=lambda pair: (pair[0][0],) != pair[0][1])  # those with the name of an axis first
        places: dict[str, np.ndarray] = {}
        for here, there in pairs:
            if len(here[1]) == 1 and here[1][0] not in places:
                found = _places(here, there)
                places |= {} if found is None else {here[1][0]: found}
        order = Order(dims, tuple((dim, found) for dim, found in places.items() if (np.diff(found) != 1).any()))
        for pair in pairs:
            self._check(order, *pair, wanted, (what, partial))
        return order

    def _check(
        self, order: Order, here: Coordinate, there: Coordinate, wanted: AxisLabels, how: tuple[str, bool]
    ) -> None:
        """Raises a ValueError if the values of a coordinate differ when both are in one order."""
        what, partial = how
        shapes = [
            [side.shape[side.dims.index(dim)] for dim in each[1]] for side, each in ((self, here), (wanted, there))
        ]
        name, a, b = here[0], _values(here).reshape(shapes[0]), _values(there).reshape(shapes[1])
        both = Order(there[1], order.places)
        if a.size == b.size and _same(both(a, here[1]), b):
            return
        said = f"{what} has the coordinate {name!r} {_ends(here)}, and the data of the model {_ends(there)}"
        if a.size == b.size or not partial:
            raise DataError(f"{said}: bring these to the same values, or drop_vars({name!r}) to go by position")
        if a.ndim == 1 and _direction(a) * _direction(b) < 0:
            raise DataError(f"{said}: it runs the other way, reverse it, isel({name}=slice(None, None, -1))")


def labelled_like(x: Any, wanted: AxisLabels, samples: str) -> Any:
    """A DataArray with its samples first, or a Dataset, whose data points are in the order of others.

    Arguments:
        x: The data; axes without names go by position.
        wanted: The labels of a data point; of several variables the axis of these is called `variable`.
        samples: The usual name of the axis that counts the samples.

    Raises:
        ValueError: If a data point has other axes, or other values of a coordinate.
    """
    axes = [str(dim) for dim in x.dims if str(dim) not in wanted.dims]
    several = hasattr(x, "data_vars")
    first = samples if samples in axes or not axes else axes[0]
    labels = AxisLabels.of(x, axes if several else (first,))
    if labels is None or (not several and len(x.dims) != len(wanted.dims) + 1):
        return x
    order = labels.order_of(
        wanted.only(labels.dims) if several else wanted, "the Dataset" if several else "the DataArray"
    )
    found = x if several else x.transpose(first, *order.dims)
    return found.isel(dict(order.places)) if order.places else found


def _places(here: Coordinate, there: Coordinate) -> np.ndarray | None:
    """The positions of values in the order of others; None if they are not the same values, each of them once."""
    a, b = _values(here), _values(there)
    if _same(a, b):
        return np.arange(len(a))
    first, second = np.argsort(a, kind="stable"), np.argsort(b, kind="stable")
    if a.shape != b.shape or not _same(a[first], b[second]) or len(np.unique(a)) < len(a):
        return None
    found = np.empty(len(a), np.int64)
    found[second] = first
    return found


def _values(coordinate: Coordinate) -> np.ndarray:
    """The values of a coordinate, flat: numbers in float64, times in whole nanoseconds, or text."""
    dtype, plain = np.dtype(coordinate[2]), coordinate[3]
    if dtype.kind in "mM":
        times = np.array(plain, dtype=np.int64 if dtype.kind == "m" else None).astype(dtype)
        return times.astype(f"{dtype.kind}8[ns]").astype(np.int64)
    return np.array(plain).astype(str) if dtype.kind in "OUT" else np.array(plain, dtype=np.float64)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether numbers are equal up to rounding, and times and text exactly."""
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    finite = np.unique(b[np.isfinite(b)])
    near = min(_ROUNDING * float(np.abs(finite).max(initial=0.0)), np.diff(finite).min(initial=np.inf) / 10)
    return bool(np.isclose(a, b, rtol=0, atol=near, equal_nan=True).all())


def _direction(values: np.ndarray) -> int:
    """1 where numbers rise, -1 where they fall, 0 for neither."""
    steps = np.diff(values) if values.dtype.kind != "U" and len(values) > 1 else np.zeros(1)
    return int((steps > 0).all()) - int((steps < 0).all())


def _ends(coordinate: Coordinate) -> str:
    """The first and the last value of a coordinate, and how many there are."""
    plain = coordinate[3]
    first, last = (f"{v:g}" if isinstance(v, float) else str(v) for v in (plain[0], plain[-1]))
    return f"from {first} to {last} ({len(plain):,})"
