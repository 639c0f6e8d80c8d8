"""Batches of states: data in standard units."""

from __future__ import annotations

from collections.abc import Callable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..data import Rows
from ..rng import Steps, passes
from ..units import Units

__all__ = ["Batches", "Feed", "Reference", "are_kept"]

_KEPT = 2**30  # bytes of standardized data that are kept ready in memory, at most
_PART = 0.25  # of the memory of a GPU, instead
_CHUNK = 8192  # rows that are made ready at once


class Reference(NamedTuple):
    """Examples over which the targets of batches may be averaged.

    Arguments:
        data: The examples, of shape `(R, *D)`; None if there are none.
        complete: Whether these are all there are.
        same: Which of them is an example of the batches itself, of shape `(B, R)`; None if none is, or if they are complete.
    """

    data: Tensor | None = None
    complete: bool = False
    same: Tensor | None = None


class Batches(Protocol):
    """What a trainer learns from: batches that are addressed by their numbers."""

    batch: int
    """The batch size."""
    device: torch.device
    """Where batches are."""

    @property
    def rows(self) -> Sized:
        """The examples of an epoch."""

    def batches(self, number: int, count: int = 1) -> Tensor:
        """The batches `number` to `number + count` one after another, of shape `(count · batch, *D)`."""

    def contexts(self, number: int, count: int = 1) -> Tensor | None:
        """The contexts of these batches, of shape `(count · batch, size, …)`; None for an unconditional model."""

    def reference(self, number: int, count: int, size: int) -> Reference:
        """Up to `size` examples over which the targets of the batches `number` to `number + count` may be averaged."""


class Feed:
    """Batches of rows in standard units, each addressed by its number: nothing to save for a resumed run.

    A pass is a permutation of the data, and pass follows pass without a gap: no row is left out, and a batch may be larger
    than the data. Data of up to 1 GiB, or a quarter of the memory of a GPU, are kept ready on the device. Of larger ones a
    thread reads what will be asked for next, into pinned memory for a GPU. Units with cells map each value to a place in
    its cell, drawn anew each time.

    Arguments:
        rows: The data.
        standardize: Their units.
        batch: The batch size.
        seed: The seed of the order.
        device: Where batches are needed.
        context: The contexts of the rows, of shape `(N, size, …)`, for a conditional model.
        cells: The widths of the cells that values stand for, in standard units, 0 for continuous ones, which broadcast
            against a row: batches then hold a place in each cell, uniform around its value and new each time.
        overlapping: Whether rows of large batches are references, where these leave no others.

    Raises:
        ValueError: If there is not one context for each row.
    """

    def __init__(
        self,
        rows: Rows,
        standardize: Units,
        batch: int,
        seed: int,
        device: torch.device | str = "cpu",
        context: Tensor | None = None,
        cells: Tensor | None = None,
        overlapping: bool = True,
    ) -> None:
        if context is not None and len(context) != len(rows):
            raise ValueError(f"every row needs one context, got {len(context)} contexts for {len(rows)} rows")
        self.rows, self.context, self.standardize = rows, context, standardize
        self.batch, self.seed, self.overlapping = batch, seed, overlapping
        self.device = torch.device(device)
        self.cells = None if cells is None else cells.to(self.device, torch.float32)
        self._spread = cells is not None or standardize.has_cells
        self._places = Steps(seed, self.device).child("cell")
        self._length = len(passes(len(rows), seed, 0))
        self._order = -1, torch.empty(0, dtype=torch.long)
        wide = rows.dtype.itemsize > 2 and rows.dtype != torch.float32  # digits that a large offset may need
        self._type = torch.float64 if wide else torch.float32
        keeps = are_kept(rows, standardize, self.device)
        self._kept = self._all() if keeps else None
        self._prefetched = None if keeps else _Prefetching(self._read)

    def _all(self) -> Tensor:
        """All rows as they are kept, in memory for them alone."""
        found, order = torch.empty(0), torch.from_numpy(self.rows.reading_order())
        for start in range(0, len(order), _CHUNK):
            places = order[start : start + _CHUNK]
            ready = self._ready(self.rows.take(places, self._type))
            if start == 0:
                found = ready.new_empty(len(self.rows), *ready.shape[1:])
            found[places.to(found.device)] = ready
        return found

    def _ready(self, x: Tensor) -> Tensor:
        """Rows as they are kept: states, unless these change with the place in a cell."""
        if self.standardize.has_cells:
            return x.to(self.device, torch.float64, non_blocking=True)
        ready: Tensor = self.standardize(x.to(self.device, non_blocking=True)).float()
        return ready

    def _read(self, number: int, count: int) -> Tensor:
        """The rows of batches as they are stored; pinned for a GPU, which then takes them while it computes."""
        x = self.rows.take(self.indices(number, count).numpy(), self._type)
        return x.pin_memory() if self.device.type == "cuda" else x

    def _taken(self, number: int, count: int) -> Tensor:
        """The rows of batches as they are kept, of shape `(count · batch, *D)`."""
        if self._kept is not None:
            return self._kept.index_select(0, self.indices(number, count).to(self.device))
        return self._ready(
            self._prefetched(number, count) if self._prefetched is not None else self._read(number, count)
        )

    def indices(self, number: int, count: int = 1) -> Tensor:
        """Which rows are in the batches `number` to `number + count`, of shape `(count · batch,)`."""
        found: list[Tensor] = []
        position, missing = number * self.batch, count * self.batch
        while missing:
            current, start = divmod(position, self._length)
            part = self._passes(current)[start : start + missing]
            found.append(part)
            position, missing = position + len(part), missing - len(part)
        return found[0] if len(found) == 1 else torch.cat(found)

    def _passes(self, number: int) -> Tensor:
        """The order of the data in some passes, of shape `(length,)`."""
        known, order = self._order
        if number != known:
            order = torch.from_numpy(passes(len(self.rows), self.seed, number))
            self._order = number, order  # at once: another thread may ask
        return order

    def batches(self, number: int, count: int = 1) -> Tensor:
        """The batches `number` to `number + count` one after another, of shape `(count · batch, *D)`."""
        x = self._taken(number, count)
        if not self._spread:
            return x
        return torch.cat([self._placed(part, number + i, "batch") for i, part in enumerate(x.split(self.batch))])  # type: ignore[no-untyped-call]

    def _placed(self, x: Tensor, number: int, purpose: str) -> Tensor:
        """Data at places in their cells that belong to the number of a batch."""
        if not self._spread:
            return x
        place = self._places.child(purpose).at(number).uniform(x.shape, x.dtype, x.device)
        if self.cells is None:
            return self.standardize(x, self.standardize.drawn(place)).float()  # type: ignore[no-any-return]
        return x + self.cells * (place - 0.5)

    def contexts(self, number: int, count: int = 1) -> Tensor | None:
        """The contexts of these batches, of shape `(count · batch, size, …)`; None for an unconditional model."""
        if self.context is None:
            return None
        return self.context.index_select(0, self.indices(number, count)).to(self.device)

    def reference(self, number: int, count: int, size: int) -> Reference:
        """Up to `size` rows that are not in the batches `number` to `number + count`: those that come next in their pass,
        then those that came first. Batches of an eighth of the data or more may leave none: then rows of theirs as well, if
        they may be `overlapping`.

        Returns:
            The rows; none if they would have to be read from disk, or batches of less than an eighth are of two passes.
        """
        total = len(self.rows)
        if self._kept is None or size < 1:
            return Reference()
        if total <= size and not self._spread:  # in cells, a row has another place here than in its batch
            return Reference(self._kept, True)
        first, after = number * self.batch, (number + count) * self.batch
        begin = first - first % total
        apart = after - begin <= total and after - first < total
        if not apart and not (self.overlapping and 8 * (after - first) > total):
            return Reference()
        left = total - (after - first) if apart else total
        places = begin + (after - begin + torch.arange(min(size, left))) % total
        rows = self._passes(begin // self._length)[places % self._length]
        found = self._placed(self._kept.index_select(0, rows.to(self.device)), number, "reference")
        same = None if apart else (self.indices(number, count)[:, None] == rows).to(self.device)
        return Reference(found, False, same)


def are_kept(rows: Rows, standardize: Units, device: torch.device) -> bool:
    """Whether a `Feed` keeps rows ready on a device, so that it has references."""
    size = (8 if standardize.has_cells else 4) * len(rows) * max(1, int(torch.tensor(rows.shape[1:]).prod()))
    return size <= _room(device)


def _room(device: torch.device) -> int:
    """The bytes of data that are kept ready on a device: of a GPU a part of all its memory, whatever is free just now."""
    if device.type != "cuda":
        return _KEPT
    return int(_PART * torch.cuda.get_device_properties(device).total_memory)


class _Prefetching:
    """What a function reads, begun before it is asked for: after the numbers a and b the next one is b + (b - a).

    Arguments:
        read: What gives the batches `number` to `number + count`, from any thread.
    """

    def __init__(self, read: Callable[[int, int], Tensor]) -> None:
        self._read, self._thread = read, ThreadPoolExecutor(1, "prefetch")
        self._last = 0
        self._next: tuple[tuple[int, int], Future[Tensor]] | None = None

    def __call__(self, number: int, count: int) -> Tensor:
        """The batches `number` to `number + count`; errors of reading are raised here."""
        expected, self._next = self._next, None
        fits = expected is not None and expected[0] == (number, count)
        found = expected[1].result() if fits and expected else self._read(number, count)
        following = 2 * number - self._last if self._last < number else number + count
        self._last = number
        self._next = (following, count), self._thread.submit(self._read, following, count)
        return found
