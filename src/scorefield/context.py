"""What is given beside data, such as their class or the parameters that made them, as numbers for a network."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from .rng import Rng

__all__ = ["Context", "ContextColumn", "drop_context", "linear_regression", "shuffle_sets"]

_CLASSES = 200  # different whole numbers that count as classes, at most


@dataclass(frozen=True)
class ContextColumn:
    """One thing that is given.

    Arguments:
        name: What it is called.
        categories: Its values, if it has classes; None for a number.
    """

    name: str
    categories: tuple[str | int, ...] | None = None

    @property
    def size(self) -> int:
        """How many numbers stand for it."""
        return 1 if self.categories is None else len(self.categories)


class Context(nn.Module):
    """How what is given becomes numbers: those standardized, classes one-hot, and a flag that is 1 where nothing is given.

    Arguments:
        columns: What is given, or what one row of a set says; empty for fields.
        shape: The shape `(C, *S)` of a field on the grid of the data; empty for columns.
        mean: Of the numbers, `(P,)`, or of the channels.
        std: Their standard deviations.
        optional: Whether the model has learned the law of the data without it, too.
        sets: How many rows are given beside a datum, whose order says nothing.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        columns: Sequence[ContextColumn],
        shape: Sequence[int],
        mean: Tensor,
        std: Tensor,
        optional: bool = True,
        sets: int = 1,
    ) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.shape = tuple(shape)
        self.optional = optional
        self.sets = sets
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @classmethod
    def of(cls, given: Any, inner_shape: Sequence[int], optional: bool = True) -> Context:
        """Reads off data what they are.

        Arguments:
            given: One for each datum: labels `(N,)`, numbers `(N, P)`, a DataFrame, sets of n rows `(N, n, P)` whose order
                says nothing (vectors), or fields on the grid of the data. Rows of NaN or None are missing.
            inner_shape: The shape of a datum, in the layout of networks.
            optional: Whether training leaves it out for some data.

        Raises:
            ValueError: If a column is constant, or only a part of a row is missing.
        """
        if not _is_table(given) and np.ndim(given) == 3 and len(inner_shape) == 1:
            rows = _array(given)
            one = cls.of(rows.reshape(-1, rows.shape[2]), inner_shape, optional)
            return cls(one.columns, (), one.mean, one.std, optional, rows.shape[1])
        if not _is_table(given) and np.ndim(given) > 2:
            x = _planes(given, inner_shape)
            axes = (0, *range(2, x.ndim))
            mean, std = x.mean(axes), x.std(axes)
            if not bool((std > 0).all()):
                raise ValueError(f"channel {int((std == 0).nonzero()[0])} of the context is constant: leave it out")
            return cls((), x.shape[1:], mean, std, optional)
        columns, means, stds = [], [], []
        for name, values in _columns(given).items():
            known = values[~_missing(values)]
            categories = _classes(known) if _has_classes(known) else None
            columns.append(ContextColumn(name, categories))
            if categories is None:
                numbers = known.astype(float)
                if len(numbers) == 0 or not np.ptp(numbers) > 0:
                    raise ValueError(f"column {name!r} of the context is constant, it says nothing: leave it out")
                means.append(numbers.mean())
                stds.append(numbers.std())
        return cls(
            columns, (), torch.tensor(means, dtype=torch.float64), torch.tensor(stds, dtype=torch.float64), optional
        )

    @property
    def size(self) -> int:
        """How many numbers, or channels, a network is given: with the flag."""
        return 1 + (self.shape[0] if self.shape else self.sets * sum(column.size for column in self.columns))

    @property
    def names(self) -> tuple[str, ...]:
        """What can be given."""
        return tuple(column.name for column in self.columns) or ("context",)

    def forward(self, given: Any) -> Tensor:
        """What is given, for a network: `(N, size)`, or `(N, size, *S)` for fields, in float32.

        Raises:
            ValueError: If it has other columns, an unknown class, or another shape.
        """
        if self.shape:
            x = _planes(given, self.shape, like=self.shape)
            wide = (-1, *(1,) * (len(self.shape) - 1))
            numbers = (x - self.mean.cpu().reshape(wide)) / self.std.cpu().reshape(wide)
            return torch.cat((numbers, torch.zeros_like(numbers[:, :1])), 1).float()
        if self.sets > 1:
            return self._sets(given)
        return self._rows(given)

    def _sets(self, given: Any) -> Tensor:
        """Rows beside each other, with one flag, `(N, size)`."""
        x = None if _is_table(given) else _array(given)
        need = self.sets, len(self.columns)
        if x is None or x.ndim not in (2, 3) or x.shape[-2:] != need:
            got = "a table" if x is None else f"shape {x.shape}"
            raise ValueError(
                f"the model is given sets of {need[0]} rows of {need[1]}, `(M, {need[0]}, {need[1]})`; got {got}"
            )
        parts = self._rows(x.reshape(-1, need[1])).unflatten(0, (-1, self.sets))
        gone = parts[..., -1]
        if not bool((gone == gone[:, :1]).all()):
            row = int((gone != gone[:, :1]).any(1).nonzero()[0])
            raise ValueError(f"set {row} of the context is missing in part: give all of its rows, or none")
        return torch.cat((parts[..., :-1].flatten(1), gone[:, :1]), 1)

    def _rows(self, given: Any) -> Tensor:
        table = _columns(given, self.names)
        if set(table) != set(self.names):
            raise ValueError(f"the model is given {', '.join(self.names)}; got {', '.join(map(str, table))}")
        gone = np.stack([_missing(table[name]) for name in self.names])
        missing = np.asarray(gone.all(0))
        if (gone.any(0) != missing).any():
            row = int(np.flatnonzero(gone.any(0) != missing)[0])
            raise ValueError(f"row {row} of the context is missing in part: give all of it, or nothing")
        parts, numbers_seen = [], 0
        for column in self.columns:
            values = table[column.name]
            if column.categories is None:
                mean, std = float(self.mean[numbers_seen]), float(self.std[numbers_seen])
                number = np.where(missing, mean, values).astype(float)
                parts.append(torch.from_numpy((number - mean) / std)[:, None])
                numbers_seen += 1
            else:
                parts.append(_one_hot(column, values, missing))
        parts.append(torch.from_numpy(missing)[:, None])
        return torch.cat([part.float() for part in parts], 1)

    def nothing(self) -> Tensor:
        """What a network is given where nothing is: one row."""
        row = torch.zeros(1, self.size, *self.shape[1:])
        row[:, -1] = 1
        return row


def drop_context(context: Tensor, gone: Tensor) -> Tensor:
    """The rows of a context, of shape `(B, size, …)`, with nothing in those where `gone`, of shape `(B,)`, is true."""
    gone = gone.reshape(-1, *(1,) * (context.ndim - 1))
    flags = torch.zeros_like(context)
    flags[:, -1] = 1
    return torch.where(gone, flags, context)


def shuffle_sets(context: Tensor, sets: int, rng: Rng) -> Tensor:
    """Sets of rows beside each other, of shape `(B, sets · n + 1)`, each in an order drawn at random."""
    rows = context[:, :-1].unflatten(1, (sets, -1))
    order = rng.uniform((len(rows), sets), torch.float32, rows.device).argsort(1)
    mixed = rows.gather(1, order[..., None].expand_as(rows))
    return torch.cat((mixed.flatten(1), context[:, -1:]), 1)


def linear_regression(context: Tensor, x: Tensor) -> Tensor:
    """The best linear prediction of vectors `(N, n)` of mean 0 from contexts `(N, size)`: A of shape `(size, n)`.

    Each number that is given counts as if one more datum had said that it tells nothing (a ridge of 1): what few data show
    by accident is left to the network.
    """
    c, x = context.double(), x.double()
    gram = c.T @ c + torch.eye(c.shape[1], dtype=c.dtype)
    return torch.linalg.solve(gram, c.T @ x).float()


def _is_table(given: Any) -> bool:
    return isinstance(given, Mapping) or hasattr(given, "columns")


def _columns(given: Any, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """What is given, by name; a lone column of an array is `label` or `context`."""
    if isinstance(given, Mapping):
        table = {str(name): np.atleast_1d(_array(values)) for name, values in given.items()}
    elif hasattr(given, "columns"):
        table = {str(name): np.asarray(given[name]) for name in given.columns}
    else:
        x = _array(given)
        x = np.atleast_1d(x)
        if x.ndim == 1 and names is not None and len(names) > 1:
            x = x[None]
        if x.ndim > 2 or (names is not None and x.ndim == 2 and x.shape[1] != len(names)):
            need = "" if names is None else f": the model is given {', '.join(names)}"
            raise ValueError(f"a context of shape {x.shape} does not fit{need}")
        x = x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
        if x.ndim == 2:
            table = {names[i] if names else f"c{i}": x[:, i] for i in range(x.shape[1])}
        else:
            table = {names[0] if names else "label" if _has_classes(x[~_missing(x)]) else "context": x}
    lengths = {len(values) for values in table.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"a context needs columns of one length, with rows; got lengths {sorted(lengths)}")
    return table


def _array(given: Any) -> np.ndarray:
    return given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)


def _missing(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "O":
        return np.array([value is None or value != value for value in values], dtype=bool)
    return np.zeros(len(values), dtype=bool)


def _has_classes(values: np.ndarray) -> bool:
    """Words, truth values, and whole numbers of which there are few."""
    if values.dtype.kind in "OUSb":
        return True
    return values.dtype.kind in "iu" and len(np.unique(values)) <= min(_CLASSES, max(2, len(values) // 2))


def _classes(values: np.ndarray) -> tuple[str | int, ...]:
    found = sorted({_plain(value) for value in values.tolist()}, key=lambda v: (isinstance(v, str), v))
    if len(found) < 2:
        raise ValueError(f"a context with one class alone, {found}, says nothing: leave it out")
    return tuple(found)


def _plain(value: Any) -> str | int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str) else int(value) if isinstance(value, bool | int) else str(value)


def _one_hot(column: ContextColumn, values: np.ndarray, missing: np.ndarray) -> Tensor:
    place = {value: i for i, value in enumerate(column.categories or ())}
    hot = torch.zeros(len(values), len(place))
    for row, value in enumerate(values.tolist()):
        if missing[row]:
            continue
        if _plain(value) not in place:
            near = difflib.get_close_matches(str(value), map(str, place), 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(map(str, list(place)[:10]))}"
            raise ValueError(f"{column.name} has no class {value!r}: {hint}")
        hot[row, place[_plain(value)]] = 1
    return hot


def _planes(given: Any, inner_shape: Sequence[int], like: Sequence[int] | None = None) -> Tensor:
    """Fields as `(N, C, *S)` on the grid of the data."""
    grid = tuple(inner_shape[1:])
    x = torch.as_tensor(_array(given)).double()
    if like is not None and tuple(x.shape) in (tuple(like), grid, (*grid, like[0])):
        x = x[None]
    if tuple(x.shape[1:]) == grid:
        x = x[:, None]
    elif grid and tuple(x.shape[1:-1]) == grid:
        x = x.movedim(-1, 1)
    if not grid or tuple(x.shape[2:]) != grid or (like is not None and x.shape[1] != like[0]):
        need = f"fields on the grid {grid}" if grid else "numbers (N, P), as the data are vectors"
        raise ValueError(f"a context of shape {tuple(x.shape)} does not fit: it needs {need}")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("fields that are given must be finite: fill the gaps, and give where they were as a channel")
    return x
