"""Training of a network whose parameters are divided over processes, by FSDP2: for those that do not fit on one device."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..denoisers import DenoiserModule
from ..distributed import connected, each, exchanged, rank, size, stacked
from ..sharding import divided, forget, local, placed, rows_of, whole
from .flat import Flat
from .optimizer import Optimizer
from .parts import check_start, digest

__all__ = ["ShardedFlat", "ShardedOptimizer", "ShardedParts", "each_in_step"]

Item = TypeVar("Item")


class ShardedFlat(Flat):
    """The rows of all trainable parameters that this process keeps, side by side in one tensor, and their gradients in another.

    The network that computes is a copy whose parameters are divided; the module itself gets its parameters back at the end.

    Arguments:
        module: What is trained; its parameters are empty until `release`.
        device: Where the copy computes.

    Raises:
        ValueError: If there are no trainable parameters, they differ in type, or a denoiser holds some outside of its networks.
    """

    def __init__(self, module: DenoiserModule, device: torch.device) -> None:
        super()._order(module)
        self.given, self._own = module, self.parameters
        self.start = digest(p.detach() for p in module.parameters())
        self.module = copy.deepcopy(module)
        self._begin = divided([*_networks(self.module)])
        self.module.to(device)
        super()._order(self.module)
        for p in self._own:
            p.data = p.data.new_empty(0)
        self._laid(torch.cat([local(p).reshape(-1) for p in self.parameters]))
        self.boundary = sum(local(p).numel() for p in self.outside)

    def pieces(self, values: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
        rows = [local(p) for p in parameters]
        if not rows:
            return []
        return [x.view_as(p) for x, p in zip(values.split([p.numel() for p in rows]), rows)]  # type: ignore[no-untyped-call]

    def placed(self, piece: Tensor, shape: Sequence[int]) -> Tensor:
        return placed(piece, shape, self.parameters[0].device_mesh)  # type: ignore[attr-defined]

    @torch.no_grad()
    def push(self) -> None:
        """Gives the network the values."""
        for p, piece in zip(self.parameters, self.pieces(self.values, self.parameters)):
            local(p).copy_(piece)

    @torch.no_grad()
    def pull(self) -> None:
        """Takes the gradients from the network, which keeps none."""
        for p, piece in zip(self.parameters, self.pieces(self.gradients, self.parameters)):
            piece.zero_() if p.grad is None else piece.copy_(local(p.grad))
        self.clear()

    def clear(self) -> None:
        """Leaves the network no gradient."""
        for p in self.parameters:
            p.grad = None

    def begin(self) -> None:
        """To be called before a step: the network gets the values, and sums of gradients begin at none."""
        self._begin()
        self.push()

    def read(self, values: Tensor) -> None:
        super().read(values)
        self.push()

    def norm(self) -> Tensor:
        square = torch.linalg.vector_norm(self.gradients, dtype=torch.float64).square()
        return stacked(square).sum().sqrt().to(self.gradients.dtype)

    def release(self) -> None:
        with torch.no_grad():
            for p, mine, piece in zip(self._own, self.parameters, self.pieces(self.values, self.parameters)):
                p.data = whole(piece, mine.shape).to(p.device, copy=True)
            for kept, buffer in zip(self.given.buffers(), self.module.buffers()):
                kept.copy_(buffer)
        self.module = self.given
        self.parameters = self.outside = self.matrices = []
        forget()


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    """The networks in a denoiser, which hold all its parameters."""
    if not isinstance(module, DenoiserModule):
        if next(module.parameters(), None) is not None:
            yield module
        return
    if next(module.parameters(recurse=False), None) is not None:
        name = type(module).__name__
        raise ValueError(f"{name} holds parameters outside of its network, which cannot be divided: fit without shard")
    for child in module.children():
        yield from _networks(child)


class ShardedOptimizer(Optimizer):
    """The same optimizer where each process keeps some rows of every matrix: one process orthogonalizes a whole matrix."""

    def _updates(self, direction: Tensor) -> list[tuple[Tensor, Tensor]]:
        owned: list[list[int]] = [[] for _ in range(size())]
        for i, owner in enumerate(self._owners()):
            owned[owner].append(i)
        found: list[tuple[Tensor, Tensor]] = [(direction, direction)] * len(self._groups)
        for place in range(max(map(len, owned))):
            groups = [mine[place] if place < len(mine) else None for mine in owned]
            for i, pair in self._exchanged(groups, direction):
                found[i] = pair
        return found

    def _exchanged(self, groups: list[int | None], direction: Tensor) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
        """The updates of one group, or none, of each process: rows go there and come back, next to their squares."""
        longest = max(self._rows(i, 0) * self._width(i) * len(self._groups[i].values) for i in groups if i is not None)
        sent = direction.new_zeros(size(), longest)
        for process, i in enumerate(groups):
            if i is not None:
                rows = torch.stack(
                    [direction[a:b].view(-1, self._groups[i].shape[1]) for a, b in self._groups[i].places]
                )
                _write(sent[process], torch.cat([rows, self._squares[i]], 2))
        got = exchanged(sent)
        mine = groups[rank()]
        if mine is not None:
            rows = torch.cat([self._read(got[process], mine, process) for process in range(size())], 1)
            update, squares = self._update(rows[..., :-1].contiguous(), rows[..., -1:].contiguous())
            both = torch.cat([update, squares], 2)
            for process in range(size()):
                first, last = rows_of(both.shape[1], process)
                _write(sent[process], both[:, first:last])
        back = exchanged(sent)
        for process, i in enumerate(groups):
            if i is not None:
                rows = self._read(back[process], i, rank())
                yield i, (rows[..., :-1], rows[..., -1:])

    def _width(self, i: int) -> int:
        return self._groups[i].shape[1] + 1

    def _rows(self, i: int, process: int) -> int:
        first, last = rows_of(self._groups[i].shape[0], process)
        return last - first

    def _read(self, packed: Tensor, i: int, process: int) -> Tensor:
        """The rows of a group of matrices that a process keeps, `(K, rows, n + 1)`."""
        shape = (len(self._groups[i].values), self._rows(i, process), self._width(i))
        return packed[: math.prod(shape)].view(shape)


def _write(packed: Tensor, rows: Tensor) -> None:
    packed[: rows.numel()] = rows.reshape(-1)


class ShardedParts:
    """The parts of a step of a network that is divided over processes: process r of N computes the parts r, r + N, …

    FSDP2 adds up their gradients, in the order of the parts: the sum has the bits of one process.

    Arguments:
        flat: The parameters.
        count: The number of parts of a step, a multiple of that of the processes.
    """

    def __init__(self, flat: ShardedFlat, count: int) -> None:
        self.flat, self.count = flat, count // size()
        self._bad = ""

    def check_start(self, tensors: Iterable[Tensor]) -> None:
        """Raises unless all processes begin with the same numbers, as `SharedParts.check_start` does."""
        check_start(self.flat.start + digest(tensors))

    def gradient(self, loss_of: Callable[[int], Tensor], seconds: float) -> tuple[Tensor, Tensor]:
        """As `SharedParts.gradient` does, leaves the sum of all gradients in `flat.gradients`: the rows of this process."""
        losses = []
        self.flat.begin()
        for i in range(self.count):
            self.flat.clear()
            with connected():
                losses.append(loss_of(i * size() + rank()))
        self.flat.pull()
        clock = torch.tensor([seconds], dtype=torch.float64, device=losses[0].device)
        known = stacked(torch.cat([torch.stack(losses).double(), clock]))
        bad = [str(process) for process, row in enumerate(known) if not bool(row[:-1].isfinite().all())]
        self._bad = f" in process {', '.join(bad)} of {size()}" if bad else ""
        return known[:, :-1].T.reshape(-1).to(losses[0].dtype), known[0, -1]

    def non_finite(self) -> str:
        """Which processes gave a loss that is not finite in this step, in words."""
        return self._bad


def each_in_step(function: Callable[[Item], Tensor], items: Sequence[Item]) -> list[Tensor]:
    """The values of a function at some items, shared by processes which all call it equally often: it needs all of them."""
    with connected():
        return each(function, [*items, *[items[-1]] * (-len(items) % size())])[: len(items)]
