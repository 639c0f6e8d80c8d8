"""Datasets and loaders of torch as tensors: their rows are read once, in order, and kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from ..progress import report
from .errors import DataError, DataTypeError

__all__ = ["gather", "is_torch_dataset"]

_CHUNK = 64  # rows that are collated at once

Collate = Callable[[list[Any]], Any]


def is_torch_dataset(x: Any) -> bool:
    """Whether an object is a dataset or a loader of torch.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> is_torch_dataset(TensorDataset(torch.zeros(3, 2))), is_torch_dataset(torch.zeros(3, 2))
        (True, False)
    """
    return isinstance(x, Dataset | DataLoader)


def gather(x: Dataset[Any] | DataLoader[Any]) -> Tensor:
    """All rows of a dataset or of a loader, `(N, *D)`, in the type that they have.

    Rows of a dataset are tensors, arrays, images or numbers, or tuples of one of these. Those of a loader are what its
    `collate_fn` makes of the rows that its sampler names. Where it shuffles, they are in the order of its dataset, so that data
    are the same each time. They are read in this process, one after another.

    Raises:
        TypeError: If rows cannot be read by their number (an IterableDataset), or have several parts or none that is numbers.
        ValueError: If there are no rows, they have different shapes, or do not fit into memory.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> gather(TensorDataset(torch.arange(6.0).reshape(3, 2))).shape
        torch.Size([3, 2])
    """
    dataset, indices, collate = _plan(x)
    if not len(indices):
        raise DataError(f"there are no data: the {type(x).__name__} has no rows")
    batches = (_tensor(collate([dataset[i] for i in some]), x) for some in _chunks(indices))
    first = next(batches)
    rows, start = _empty(len(indices), first), 0
    for batch in chain([first], batches):
        count = min(_CHUNK, len(indices) - start)
        if batch.shape != (count, *rows.shape[1:]):
            got = f"{tuple(batch.shape)} for {count} rows after rows of {tuple(rows.shape[1:])}"
            raise DataError(f"the rows of the {type(x).__name__} have different shapes, got {got}: make them the same")
        rows[start : start + count] = batch
        start += count
        report(start / len(indices))
    return rows


def _chunks(indices: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK))


def _plan(x: Any) -> tuple[Any, Sequence[Any], Collate]:
    """The dataset, the numbers of its rows in their order, and what makes a batch of some."""
    loader = x if isinstance(x, DataLoader) else None
    dataset: Any = x if loader is None else loader.dataset
    sized = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if isinstance(dataset, IterableDataset) or not sized:
        what = f"a {type(dataset).__name__} does not give rows by their number, and may have no end"
        raise DataTypeError(f"{what}: pass its rows as a tensor, torch.stack([*rows])")
    if loader is None:
        return dataset, range(len(dataset)), _stacked
    sampler: Any = loader.sampler
    if isinstance(sampler, RandomSampler) and not sampler.replacement and len(sampler) == len(dataset):
        indices: Sequence[Any] = range(len(dataset))
    elif loader.batch_size is None and loader.batch_sampler is not None:
        indices = [*chain(*loader.batch_sampler)]
    else:
        indices = [*sampler]
    return dataset, indices, _stacked if loader.batch_sampler is None else loader.collate_fn


def _empty(count: int, batch: Tensor) -> Tensor:
    """Room for all rows."""
    try:
        return torch.empty((count, *batch.shape[1:]), dtype=batch.dtype)
    except (RuntimeError, MemoryError):
        size = count * batch[0].numel() * batch.element_size() / 2**30
        what = f"{count:,} rows of {tuple(batch.shape[1:])} take {size:.3g} GiB, more than there is memory"
        raise DataError(f"{what}: write them to a .npy file, which is read as it is needed") from None


def _stacked(rows: list[Any]) -> Any:
    """Rows as a batch; the only part of each, if they are tuples of one."""
    parts = [row[0] if isinstance(row, tuple | list) and len(row) == 1 else row for row in rows]
    if any(isinstance(part, tuple | list | dict | str) or part is None for part in parts):
        return parts[0]  # which says what is wrong
    tensors = [part if isinstance(part, Tensor) else torch.as_tensor(_numbers(part)) for part in parts]
    if len({tensor.shape for tensor in tensors}) > 1:
        raise DataError(f"the rows have different shapes, {_shapes(tensors)}: make them the same")
    return torch.stack([tensor.detach() for tensor in tensors])


def _numbers(part: Any) -> np.ndarray:
    array = np.asarray(part)
    if array.dtype.kind not in "biuf":
        raise DataTypeError(f"rows must be numbers, got a {type(part).__name__}: transform them to tensors")
    return np.array(array)


def _shapes(tensors: Sequence[Tensor]) -> str:
    first, other = tensors[0].shape, next(t.shape for t in tensors if t.shape != tensors[0].shape)
    return f"{tuple(first)} and {tuple(other)}"


def _tensor(batch: Any, x: Any) -> Tensor:
    """A batch as a tensor, with a row for each example."""
    if isinstance(batch, tuple | list) and len(batch) == 1:
        batch = batch[0]
    if isinstance(batch, Tensor):
        return batch.detach().cpu()
    kind = type(x).__name__
    if isinstance(batch, dict):
        keys = ", ".join(map(repr, list(batch)[:5]))
        raise DataTypeError(f"rows of the {kind} have the parts {keys}: {_pass('row[…]')}")
    if isinstance(batch, tuple | list):
        raise DataTypeError(f"rows of the {kind} have {len(batch)} parts, such as data and labels: {_pass('row[0]')}")
    raise DataTypeError(f"rows of the {kind} must be numbers, got a {type(batch).__name__}: transform them to tensors")


def _pass(part: str) -> str:
    return f"pass the data alone, torch.stack([{part} for row in dataset]), and labels as context=[…]"
