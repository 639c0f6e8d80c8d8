"""What the user gave, as plain values: enough to lay data out for networks and to hand back the like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from . import dataarrays, frames
from .columns import Column, Name
from .containers import Kind, columns_of, kind_of, numbers_of
from .dtypes import Bound, restore, value_range
from .layout import Layout, Structure
from .rows import ArrayRows, FileRows, Rows
from .structure import Channels, choose

__all__ = ["Schema"]


@dataclass(frozen=True)
class Schema:
    """The form of the data: made by `Schema.of`, it turns data into rows for training and samples into the like.

    Every field is a plain value, so that a schema can be written to a file as it stands.

    Arguments:
        kind: What the user gave: `numpy`, `torch`, `dataframe`, `series` or `dataarray`.
        shape: The shape of an example as the user has it.
        dtype: The type of the numbers.
        structure: `vector` or `grid`.
        channel_axis: The position of the channels in `shape`; None where there is no such axis.
        reason: Why this structure was chosen, in words.
        integer: Whether samples are rounded; for tables one flag a column.
        low: What samples are clipped to from below: None, one number, or one a feature.
        high: The same from above.
        columns: The names of a table's columns.
        column_dtypes: Their types.
        dims: The names of the axes of a DataArray, the samples' first.
        name: The name of a DataArray.
        coords: The coordinates of a DataArray's axes: name, dims, dtype, values.
        attrs: The plain attributes of a DataArray.
        coordinate_attrs: The plain attributes of those coordinates that have some.

    Example:
        >>> images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
        >>> schema = Schema.of(images)
        >>> schema.structure, schema.inner_shape, schema.rows(images).shape
        ('grid', (1, 8, 8), (4, 1, 8, 8))
        >>> samples = schema.pack(torch.full((2, 1, 8, 8), 300.0))
        >>> samples.shape, samples.dtype, samples.max()
        ((2, 8, 8), dtype('uint8'), np.uint8(255))
    """

    kind: Kind
    shape: tuple[int, ...]
    dtype: str
    structure: Structure
    channel_axis: int | None = None
    reason: str = ""
    integer: bool | tuple[bool, ...] = False
    low: Bound = None
    high: Bound = None
    columns: tuple[Name, ...] | None = None
    column_dtypes: tuple[str, ...] | None = None
    dims: tuple[str, ...] | None = None
    name: str | None = None
    coords: tuple[dataarrays.Coordinate, ...] = ()
    attrs: dataarrays.Attributes = ()
    coordinate_attrs: tuple[tuple[str, dataarrays.Attributes], ...] = ()

    @classmethod
    def of(cls, x: Any, structure: Structure | Literal["auto"] = "auto", channels: Channels = "auto") -> Schema:
        """The schema of data whose first axis counts the samples.

        Arguments:
            x: An array, tensor, nested list, DataFrame, Series, DataArray, or what `read` gave.
            structure: `vector` or `grid`; `auto` decides by the shape, and for wide tables by their correlations.
            channels: `first`, `last` or `none` after the sample axis; `auto` decides by the shape.

        Raises:
            TypeError: If `x` is of a kind, or holds values, that are not numbers.
            ValueError: If it is empty, or its shape contradicts `structure` or `channels`.

        Example:
            >>> Schema.of([[1.0, 2.0], [3.0, 4.0]]).reason
            'vectors: 2 columns'
        """
        kind = kind_of(x)
        values = numbers_of(x, kind)
        if values.ndim == 0:
            raise ValueError(f"data need a first axis that counts the samples, got the single number {values.item()}")
        if not len(values) or not np.prod(values.shape[1:]):
            raise ValueError(f"there are no data: got an array of shape {tuple(values.shape)}")
        shape = tuple(int(n) for n in values.shape[1:])
        rows = _rows(values, Layout(shape))
        layout, reason = choose(rows, structure, channels)
        schema = cls(kind, shape, _dtype_name(values), layout.structure, layout.channel_axis, reason)
        return replace(schema, **_facts(schema, x, rows))

    @property
    def layout(self) -> Layout:
        """The mapping between the user's axes and those of networks."""
        return Layout(self.shape, self.structure, self.channel_axis)

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """The shape of an example for networks: `(F,)` or `(C, *S)`."""
        return self.layout.inner_shape

    @property
    def table(self) -> tuple[Column, ...]:
        """The columns of a table, each with its name, type and range; empty for data that are not a table."""
        names, dtypes = self.columns or (), self.column_dtypes or ()
        count = len(names)
        integer = self.integer if isinstance(self.integer, tuple) else (self.integer,) * count
        low = self.low if isinstance(self.low, tuple) else (self.low,) * count
        high = self.high if isinstance(self.high, tuple) else (self.high,) * count
        return tuple(map(Column, names, dtypes, integer, low, high))

    def rows(self, x: Any) -> Rows:
        """Data of this schema as rows in the internal layout, read when they are taken.

        Raises:
            TypeError: If `x` does not hold numbers.
            ValueError: If its shape or its columns are not those of the schema.
        """
        return _rows(self._fitting(x), self.layout)

    def unpack(self, x: Any, dtype: torch.dtype = torch.float32) -> Tensor:
        """Data of this schema in the internal layout, `(N, *inner_shape)`; errors as for `rows`.

        Example:
            >>> Schema.of(np.zeros((9, 3))).unpack([[1, 2, 3]])
            tensor([[1., 2., 3.]])
        """
        rows = self.rows(x)
        return rows.take(np.arange(len(rows)), dtype)

    def pack(self, x: Tensor) -> Any:
        """Samples `(M, *inner_shape)` as the user gave the data: kind, axes, names and types.

        Integers are rounded half to even; bools and those that are nowhere negative are also clipped to the range of the data,
        uint8 grids to 0..255.

        Raises:
            ValueError: If `x` has another shape.
            RuntimeError: If a sample to be rounded is not finite.
        """
        if tuple(x.shape[1:]) != self.inner_shape or x.ndim == 0:
            raise ValueError(f"samples have the shape {('M', *self.inner_shape)}, got {tuple(x.shape)}")
        outer = self.layout.outward(x.detach().cpu())
        flat = outer.reshape(len(outer), -1)
        if self.kind in ("dataframe", "series"):
            frame = frames.to_frame(flat, self.table)
            return frame if self.kind == "dataframe" else frame.iloc[:, 0]
        dtype = getattr(torch, self.dtype) if self.kind == "torch" else np.dtype(self.dtype)
        values = restore(flat, dtype, self.integer is True, self.low, self.high).reshape(outer.shape)
        if self.kind == "torch":
            return values.to(x.device)
        array = values.numpy().astype(self.dtype, copy=False)
        if self.kind == "numpy":
            return array
        dims = self.dims or ()
        sizes = dict(zip(dims, array.shape))
        variables = dataarrays.coordinate_variables(self.coords, self.coordinate_attrs, sizes)
        return dataarrays.to_dataarray(array, dims, self.name, variables, self.attrs)

    def _fitting(self, x: Any) -> np.ndarray | Tensor:
        """The numbers of `x`, whose shape fits the schema."""
        kind = kind_of(x)
        if kind == "dataframe" and self.kind == "dataframe" and not isinstance(x, frames.Table):
            x = frames.select(x, self.columns or ())
        if kind == "dataarray" and self.kind == "dataarray" and set(x.dims) == set(self.dims or ()):
            x = x.transpose(*self.dims or ())
        values = numbers_of(x, kind)
        shape = tuple(values.shape[1:])
        if values.ndim and shape == self.shape:
            return values
        needed = f"({', '.join(['N', *map(str, self.shape)])})"
        if tuple(values.shape) == self.shape:
            raise ValueError(f"data have the shape {needed}, got a single example {self.shape}: pass x[None]")
        raise ValueError(
            f"data have the shape {needed} here, like those that were learned from, got {tuple(values.shape)}"
        )


def _rows(values: np.ndarray | Tensor, layout: Layout) -> Rows:
    if isinstance(values, np.ndarray):
        return FileRows.of(values, layout) or ArrayRows(values, layout)
    return ArrayRows(values, layout)


def _dtype_name(values: np.ndarray | Tensor) -> str:
    return str(values.dtype).removeprefix("torch.") if isinstance(values, Tensor) else values.dtype.name


def _facts(schema: Schema, x: Any, rows: Rows) -> dict[str, Any]:
    """What belongs to the kind of data, and the integers among them."""
    if schema.kind in ("dataframe", "series"):
        columns, dtypes = columns_of(x)
        return {"columns": columns, "column_dtypes": dtypes, **frames.integers(dtypes, rows)}
    facts = _integers(rows, schema.dtype, schema.structure)
    if schema.kind != "dataarray":
        return facts
    name = None if x.name is None else str(x.name)
    facts |= {"dims": tuple(map(str, x.dims)), "name": name}
    coords = dataarrays.coordinates(x)
    facts |= {"coords": coords, "coordinate_attrs": dataarrays.coordinate_attributes(x, coords)}
    return facts | {"attrs": dataarrays.attributes(x.attrs)}


def _integers(rows: Rows, dtype: str, structure: Structure) -> dict[str, Any]:
    """Whether samples are rounded, and what they are clipped to."""
    if dtype == "bool":
        return {"integer": True, "low": 0.0, "high": 1.0}
    if dtype == "uint8" and structure == "grid":
        return {"integer": True, "low": 0.0, "high": 255.0}
    if not dtype.startswith(("int", "uint")):
        return {"integer": False}
    low, high = value_range(rows, each=structure == "vector")
    counts = all(first is not None and first >= 0 for first in (low if isinstance(low, tuple) else (low,)))
    return {"integer": True, "low": low, "high": high} if counts else {"integer": True}
