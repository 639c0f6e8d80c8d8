"""What the user gave, as plain values: enough to lay data out for networks and to hand back the like."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..settings import Data
from . import dataarrays, datasets, foreign, frames, matrix
from .axis_labels import AxisLabels, labelled_like
from .columns import Column
from .columns.base import Name
from .dtypes import Bound, check_dtype, restore, value_range
from .errors import DataError
from .layout import Layout, Structure
from .readings import Readings, has_readings
from .rows import ArrayRows, FileRows, Rows
from .structure import Channels, choose
from .text_form import TextForm

__all__ = ["Schema"]

Kind = Literal["numpy", "torch", "dataframe", "series", "dataarray", "dataset", "readings"]


@dataclass(frozen=True)
class Schema:
    """The form of the data: made by `Schema.of`, it turns data into rows for training and samples into the like.

    Every field is a plain value, so that a schema can be written to a file as it stands.

    Arguments:
        kind: What the user gave: `numpy`, `torch`, `dataframe`, `series`, `dataarray`, `dataset` or `readings`.
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
        dims: The names of the axes of a DataArray, or of the variables of a Dataset, the samples' first.
        name: The name of a DataArray.
        coords: The coordinates of these axes: name, dims, dtype, values.
        attrs: The plain attributes of a DataArray or a Dataset.
        coordinate_attrs: The plain attributes of those coordinates that have some.
        table: What the columns of a table hold, one for each column of numbers; empty for arrays and signals.
        left_out: The columns of a table, or variables of a Dataset, that are not modelled: their names, and why.
        constraints: What every row satisfies, as text (`scorefield.constraints`).
        readings: How rows of different length are arranged; None where all rows have one shape.
        text_form: How the text was written that a table was read from; None where that is not known.
        variables: The variables of a Dataset, which are the channels, or the columns of vectors; empty for all else.
        bounds: What values cannot lie below and above, declared or seen, of each column or channel; empty where not known.
        complete: Whether samples miss nothing: what a row of a table misses is drawn given the rest of it.

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
    table: tuple[Column, ...] = ()
    left_out: tuple[tuple[Name, str], ...] = ()
    constraints: tuple[str, ...] = ()
    readings: Readings | None = None
    text_form: TextForm | None = None
    variables: tuple[datasets.Variable, ...] = ()
    bounds: tuple[tuple[float | None, float | None], ...] = ()
    complete: bool = False

    @classmethod
    def of(
        cls,
        x: Any,
        structure: Structure | Literal["auto"] = "auto",
        channels: Channels = "auto",
        data: Data | None = None,
    ) -> Schema:
        """The schema of data whose first axis counts the samples.

        Arguments:
            x: An array, tensor, nested list, DataFrame (of pandas; also of Polars or Arrow), Series, DataArray or Dataset of
                xarray, a Dataset or DataLoader of torch, or what `read` gave.
            structure: `vector` or `grid`; `auto` decides by the shape, and for wide tables by their correlations.
            channels: `first`, `last` or `none` after the sample axis; `auto` decides by the shape.
            data: What the user says of the columns of a table; by default each is what it seems.

        Raises:
            TypeError: If `x` is of a kind, or an array holds values, that are not numbers.
            ValueError: If it is empty, its shape contradicts `structure` or `channels`, or a column is not what `data` says.

        Example:
            >>> Schema.of([[1.0, 2.0], [3.0, 4.0]]).reason
            'vectors: 2 columns'
        """
        x = foreign.native(x)
        if has_readings(x, data):
            found = Readings.of(x, data or Data())
            facts = dict[str, Any](columns=found.order or None, readings=found, text_form=TextForm.of(x))
            return cls("readings", (3 * found.longest,), "float64", "vector", reason=found.reason, **facts)
        kind, facts = _kind_of(x), dict[str, Any]()
        if kind == "dataset":
            return cls._of_dataset(x, structure, channels, data)
        values: np.ndarray | Tensor
        if kind in ("dataframe", "series"):
            numbers, facts = matrix.read(x, data or Data())
            values = numbers if kind == "dataframe" else numbers[:, 0]
        else:
            matrix.refuse(data, kind)
            x, samples = datasets.samples_first(x) if kind == "dataarray" else (x, "")
            values = _numbers_of(x, kind)
        if values.ndim == 0:
            raise ValueError(f"data need a first axis that counts the samples, got the single number {values.item()}")
        if not len(values) or not np.prod(values.shape[1:]):
            raise ValueError(f"there are no data: got an array of shape {tuple(values.shape)}")
        shape = tuple(int(n) for n in values.shape[1:])
        dtype = values.dtype.name if isinstance(values, np.ndarray) else str(values.dtype).removeprefix("torch.")
        rows = _rows(values, Layout(shape))
        layout, reason = choose(rows, *matrix.asked(facts, structure, channels))
        if facts:
            reason = matrix.in_words(facts, reason)
            facts = matrix.without_columns(facts, rows) if layout.structure == "grid" else facts
        else:
            facts = _integers(rows, dtype, layout.structure)
        if kind == "dataarray":
            facts |= dataarrays.describe(x)
            reason += f"; {samples}" * bool(samples)
        facts |= {} if data is None else {"constraints": tuple(data.constraints)}
        facts |= {"text_form": TextForm.of(x)}
        facts |= {"complete": data is not None and data.missing == "complete" and _misses(facts)}
        return cls(kind, shape, dtype, layout.structure, layout.channel_axis, reason, **facts)

    @classmethod
    def _of_dataset(
        cls, x: Any, structure: Structure | Literal["auto"], channels: Channels, data: Data | None
    ) -> Schema:
        """The schema of the variables of a Dataset that share their axes."""
        matrix.refuse(data, "dataset")
        if channels not in ("auto", "first"):
            raise ValueError(f"the variables of a Dataset are its channels, got channels={channels!r}: leave it out")
        chosen = datasets.choose(x)
        values = datasets.stacked(x, chosen.names, chosen.dims)
        check_dtype(values.dtype, values.ndim - 1)
        if not values.size:
            raise ValueError(f"there are no data: got variables of shape {values[:, 0].shape}")
        shape = tuple(int(n) for n in values.shape[1:])
        rows = _rows(values, Layout(shape))
        vector = len(shape) == 1
        layout, reason = choose(
            rows,
            "vector" if vector and structure == "auto" else structure,
            "auto" if vector or structure == "vector" else "first",
        )
        variables = datasets.described(x, chosen, rows)
        whole = tuple(each.whole for each in variables)
        facts: dict[str, Any] = {
            "integer": whole if vector else all(whole),
            "columns": chosen.names if vector else None,
        }
        if vector and any(whole):
            facts |= {"low": tuple(v.low for v in variables), "high": tuple(v.high for v in variables)}
        facts |= dataarrays.describe_axes(x, chosen.dims) | {"left_out": chosen.left_out, "variables": variables}
        listed = ", ".join(chosen.names[:8]) + ", …" * (len(chosen.names) > 8)
        grid = reason.partition(":")[0].removesuffix(", as asked for" if structure == "auto" else "")
        reason = f"{grid}, the variables {listed}; {chosen.reason}"
        return cls("dataset", shape, values.dtype.name, layout.structure, layout.channel_axis, reason, **facts)

    @property
    def layout(self) -> Layout:
        """The mapping between the user's axes and those of networks."""
        return Layout(self.shape, self.structure, self.channel_axis)

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """The shape of an example for networks: `(F,)` or `(C, *S)`."""
        return self.layout.inner_shape

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What the channels of a grid are called: the names of variables, or their numbers; empty for vectors."""
        if self.structure == "vector":
            return ()
        named = tuple(str(variable.name) for variable in self.variables)
        return named or tuple(f"channel {c}" for c in range(self.inner_shape[0]))

    def name_of(self, place: int) -> str:
        """Which number of a row is at a place of the flat internal layout: `'age'`, `column 3`, `channel 1 at (0, 5)`."""
        if self.structure == "vector":
            return f"column {place}" if self.columns is None else repr(self.columns[place])
        channel, *at = (int(i) for i in np.unravel_index(place, self.inner_shape))
        where = f"({', '.join(map(str, at))})" if len(at) > 1 else f"place {at[0]}"
        names = self.channel_names
        return f"the value at {where}" if len(names) == 1 and not self.variables else f"{names[channel]} at {where}"

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

        Finite numbers stay finite in the type of the data. Integers are rounded half to even; bools and those that are nowhere
        negative are also clipped to the range of the data.

        Raises:
            ValueError: If `x` has another shape.
            RuntimeError: If a sample to be rounded is not finite.
        """
        if tuple(x.shape[1:]) != self.inner_shape or x.ndim == 0:
            raise ValueError(f"samples have the shape {('M', *self.inner_shape)}, got {tuple(x.shape)}")
        outer = self.layout.outward(x.detach().cpu())
        if self.readings is not None:
            return self.readings.decoded(outer.double().numpy())
        flat = outer.flatten(1) if outer.ndim > 1 else outer[:, None]
        if self.kind in ("dataframe", "series"):
            columns, dtypes = self.columns or (), self.column_dtypes or ()
            if self.table:
                frame = matrix.decoded(flat, self.table)
                frame = frame if self.text_form is None else self.text_form.rounded(frame)
            else:
                frame = frames.to_frame(flat, columns, dtypes, self.integer, self.low, self.high)
            return frame if self.kind == "dataframe" else frame.iloc[:, 0]
        if self.kind == "dataset":
            coords = self.coordinate_variables()
            return datasets.restored(outer, self.variables, self.dims or (), coords, self.attrs)
        dtype = getattr(torch, self.dtype) if self.kind == "torch" else np.dtype(self.dtype)
        values = restore(flat, dtype, self.integer is True, self.low, self.high).reshape(outer.shape)
        if self.kind == "torch":
            return values.to(x.device)
        array = values.numpy().astype(self.dtype, copy=False)
        if self.kind == "numpy":
            return array
        import xarray

        attrs = dataarrays.to_attributes(self.attrs)
        return xarray.DataArray(array, self.coordinate_variables(), self.dims, self.name, attrs)

    def first(self, x: Any, count: int) -> Any:
        """The first rows of data, in the form that they have.

        Example:
            >>> Schema.of([[1.0], [2.0], [4.0]]).first([[1.0], [2.0]], 1)
            [[1.0]]
        """
        return x.isel({self._samples_of(x): slice(count)}) if hasattr(x, "isel") else x[:count]

    def count(self, x: Any) -> int:
        """How many rows data have, in the form of the schema.

        Example:
            >>> Schema.of([[1.0], [2.0], [4.0]]).count([[1.0], [2.0]])
            2
        """
        return int(x.sizes[self._samples_of(x)]) if hasattr(x, "isel") else len(x)

    def _samples_of(self, x: Any) -> Any:
        """The name of the axis of a DataArray or a Dataset that counts the samples."""
        named, inside = (self.dims or ("",))[0], () if self.labels is None else self.labels.dims
        return next((dim for dim in (named, *x.dims) if dim in x.dims and dim not in inside), next(iter(x.dims)))

    def require_one_length(self, what: str, instead: str) -> None:
        """Raises if rows have different lengths, so that something cannot be done.

        Arguments:
            what: What is asked for, as the subject of a sentence.
            instead: What to do.

        Raises:
            ValueError: If the rows are made of readings.
        """
        if self.readings is not None:
            raise DataError(f"{what} takes rows of one length, and {self.reason}: {instead}")

    def coordinate_variables(self) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]]:
        """The coordinates as xarray takes them: dims, values and attributes of each."""
        shape = self.shape[1:] if self.variables else self.shape
        sizes, found = dict(zip((self.dims or ())[1:], shape)), {}
        attrs = dict(self.coordinate_attrs)
        for name, dims, dtype, plain in self.coords:
            array = np.array(plain, dtype=np.int64 if np.dtype(dtype).kind == "m" else None).astype(dtype)
            found[name] = (dims, array.reshape([sizes[d] for d in dims]), dataarrays.to_attributes(attrs.get(name, ())))
        return found

    @property
    def labels(self) -> AxisLabels | None:
        """The names and the coordinates of the axes of a data point, variables along one too; None where axes have no names."""
        if self.dims is None or len(self.dims) < 2:
            return None
        if not self.variables:
            return AxisLabels(self.dims[1:], self.shape, self.coords).named
        channels = ("variable", ("variable",), "U", tuple(each.name for each in self.variables))
        return AxisLabels(("variable", *self.dims[1:]), self.shape, (channels, *self.coords)).named

    def _in_order(self, x: Any) -> Any:
        """A DataArray or a Dataset with axes and coordinates in the order of the schema."""
        return x if self.labels is None else labelled_like(x, self.labels, (self.dims or ("",))[0])

    def _fitting(self, x: Any) -> np.ndarray | Tensor:
        """The numbers of `x`, whose shape fits the schema."""
        x = foreign.native(x)
        if self.readings is not None:
            return self.readings.encoded(x).x
        kind = _kind_of(x)
        if kind == "dataframe" and self.kind == "dataframe" and not isinstance(x, frames.Table):
            frames.check_distinct(x)
            x = frames.select(x, self.columns or ())
        if self.table and kind in ("dataframe", "series"):
            found = matrix.encoded(x, self.table, np.dtype(self.dtype))
            values: np.ndarray | Tensor = found if self.kind == "dataframe" else found[:, 0]
        elif kind == "dataset":
            if not self.variables:
                raise TypeError(
                    "the model learned one array, got a Dataset: pass the variable that is meant, ds['name']"
                )
            values = datasets.stacked(self._in_order(x), [each.name for each in self.variables], self.dims or ())
        else:
            values = _numbers_of(self._in_order(x) if kind == "dataarray" else x, kind)
        shape = tuple(values.shape[1:])
        if values.ndim and shape == self.shape:
            return values
        needed, got = f"({', '.join(['N', *map(str, self.shape)])})", tuple(values.shape)
        if got == self.shape:
            raise ValueError(f"data have the shape {needed}, got a single example {self.shape}: pass x[None]")
        raise ValueError(f"data have the shape {needed} like the training data, got {got}")


def _kind_of(x: Any) -> Kind:
    """What was given; a library that is not loaded cannot have made it."""
    if isinstance(x, Tensor):
        return "torch"
    if isinstance(x, frames.Table):
        return "dataframe"
    pandas, xarray = sys.modules.get("pandas"), sys.modules.get("xarray")
    if pandas is not None and isinstance(x, pandas.DataFrame):
        return "dataframe"
    if pandas is not None and isinstance(x, pandas.Series):
        return "series"
    if xarray is not None and isinstance(x, xarray.DataArray):
        return "dataarray"
    if xarray is not None and isinstance(x, xarray.Dataset):
        return "dataset"
    if isinstance(x, str | bytes) or hasattr(x, "__fspath__"):
        raise TypeError(f"data must be numbers, got the path {x!r}: read it first, scorefield.data.read(path)")
    if hasattr(x, "toarray"):
        raise TypeError(f"data must be dense, got a {type(x).__name__}: pass x.toarray()")
    if hasattr(x, "to_pandas"):
        raise TypeError(f"data must be an array or a pandas table, got a {type(x).__name__}: pass x.to_pandas()")
    if not isinstance(x, np.ndarray | list | tuple) and not hasattr(x, "__array__"):
        raise TypeError(f"data must be an array, a tensor, a DataFrame or a DataArray, got a {type(x).__name__}")
    return "numpy"


def _numbers_of(x: Any, kind: Kind) -> np.ndarray | Tensor:
    """The numbers of what was given."""
    if kind == "torch":
        if x.layout != torch.strided or x.is_quantized:
            raise TypeError(f"data must be a dense tensor, got the layout {x.layout}: pass x.to_dense()")
        if x.is_complex():
            check_dtype(np.dtype(np.complex64), x.ndim)
        tensor: Tensor = x.detach()
        return tensor
    if kind in ("dataframe", "series"):
        values = frames.Table.of(x).values
        return values if kind == "dataframe" else values[:, 0]
    if kind == "dataarray":
        x = x.data if isinstance(x.data, np.ndarray) else x.values
    if isinstance(x, list | tuple) and any(isinstance(each, np.ma.MaskedArray) for each in x):
        x = np.ma.array(x)
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        table = "give a table, pandas.DataFrame(x.astype(float).filled(numpy.nan)), whose missing values are learned"
        whole = "fit whole examples, and take the others as measurements: a number in place of these is learned as data"
        raise ValueError(f"{int(x.mask.sum())} values are masked: {table if x.ndim == 2 else whole}")
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"the rows have different lengths: give them as Ragged(values, times) ({error})") from None
    check_dtype(array.dtype, array.ndim)
    return array


def _rows(values: np.ndarray | Tensor, layout: Layout) -> Rows:
    file = FileRows.of(values, layout) if isinstance(values, np.ndarray) else None
    return file or ArrayRows(values, layout)


def _misses(facts: Mapping[str, Any]) -> bool:
    """Whether a column of a table misses values."""
    return any(column.missing for column in facts.get("table", ()))


def _integers(rows: Rows, dtype: str, structure: Structure) -> dict[str, Any]:
    """Whether samples are rounded, and what they are clipped to."""
    if dtype == "bool":
        return {"integer": True, "low": 0.0, "high": 1.0}
    if not dtype.startswith(("int", "uint")):
        return {"integer": False}
    low, high = value_range(rows)
    if low.min() < 0:
        return {"integer": True}
    if structure == "vector":
        return {"integer": True, "low": tuple(low.tolist()), "high": tuple(high.tolist())}
    return {"integer": True, "low": low.min().item(), "high": high.max().item()}
