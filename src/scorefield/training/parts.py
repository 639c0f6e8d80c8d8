"""The parts of a step, shared by several processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..distributed import exchanged, gathered, rank, same, size, stacked, summed
from .flat import Flat

__all__ = ["SharedParts", "check_parts", "check_start", "digest", "summed_gradients"]


def digest(tensors: Iterable[Tensor]) -> str:
    """A short word that other numbers would almost never have."""
    found = hashlib.blake2b(digest_size=8)
    for x in tensors:
        found.update(x.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def check_start(found: str) -> None:
    """Raises unless the numbers that processes begin with, whose `digest` it gets, are the same in all of them."""
    same({"weights and data in standard units": found}, "start them with the same data, on machines of the same kind")


def check_parts(count: int) -> None:
    """Raises a ValueError unless the processes can share `count` parts of a step."""
    if count % size():
        fine = [str(n) for n in range(1, count + 1) if count % n == 0]
        what = f"the {count} parts of a step cannot be shared by {size()} processes"
        raise ValueError(f"{what}: start {' or '.join(fine)}, or begin a run with accumulate={size()}")


def summed_gradients(flat: Flat, loss_of: Callable[[int], Tensor], parts: Iterable[int]) -> Tensor:
    """Leaves the sum of the gradients of some parts of a step, in their order, in `flat.gradients`.

    Arguments:
        flat: The parameters.
        loss_of: Gives the loss of a part, `()`, by its number, and leaves its gradient in `flat.gradients`, 0 before.
        parts: The numbers of the parts.

    Returns:
        The losses of the parts, of shape `(len(parts),)`.
    """
    losses, total = [], torch.zeros_like(flat.gradients)
    for i in parts:
        flat.gradients.zero_()
        losses.append(loss_of(i))
        total += flat.gradients
    flat.gradients.copy_(total)
    return torch.stack(losses)


class SharedParts:
    """Adds up the gradients of the parts of a step, which several processes compute, in the order of the parts.

    Each process computes as many parts as any other. Then process r gets the r-th piece of the gradient of every part, adds
    these up, and gives the sum to all. So the sum has the bits that one process gets, for any number of processes that
    divides the parts, and as many numbers travel as in any other sum over processes.

    Arguments:
        flat: The parameters.
        count: The number of parts of a step, a multiple of that of the processes.
        ordered: Whether gradients are added in the order of the parts. Otherwise each process adds up those of its parts, and
            PyTorch the sums in any order that is fast (all-reduce): their bits depend on the number of processes.
    """

    def __init__(self, flat: Flat, count: int, ordered: bool = True) -> None:
        processes = size()
        self.flat, self.count, self.ordered = flat, count // processes, ordered
        self._finite = True
        if ordered:
            self.piece = -(-len(flat.values) // processes)
            self._padded = flat.values.new_zeros(processes * self.piece)
            self._sent = flat.values.new_zeros(processes, self.count, self.piece)

    def check_start(self, tensors: Iterable[Tensor]) -> None:
        """Raises unless all processes begin with the same numbers: with other data, or on another kind of machine, they do not.

        Arguments:
            tensors: The state of training, and data that follow from all data.

        Raises:
            ValueError: In process 0, which says who differs.
            ProcessLostError: In the other processes.
        """
        check_start(digest(tensors))

    def gradient(self, loss_of: Callable[[int], Tensor], seconds: float) -> tuple[Tensor, Tensor]:
        """Leaves the sum of the gradients of all parts in `flat.gradients`.

        Arguments:
            loss_of: Gives the loss of a part, `()`, by its number, and leaves its gradient in `flat.gradients`, 0 before.
            seconds: The clock of this process.

        Returns:
            The losses of all parts, of shape `(count,)`, and the clock of process 0, `()`.
        """
        if not self.ordered:
            return self._summed(loss_of, seconds)
        processes, length = size(), len(self.flat.values)
        losses = []
        for i in range(self.count):
            self.flat.gradients.zero_()
            losses.append(loss_of(rank() * self.count + i))
            self._padded[:length] = self.flat.gradients
            self._sent[:, i] = self._padded.view(processes, self.piece)
        parts = exchanged(self._sent).view(-1, self.piece)
        total = parts[0]
        for part in parts[1:]:
            total += part
        clock = torch.tensor([seconds], dtype=torch.float64, device=total.device)
        facts = torch.cat([torch.stack(losses).double(), clock])
        got = stacked(torch.cat([total, facts.view(total.dtype)]))
        self.flat.gradients.copy_(got[:, : self.piece].reshape(-1)[:length])
        known = got[:, self.piece :].contiguous().view(torch.float64)
        return known[:, :-1].reshape(-1).to(losses[0].dtype), known[0, -1]

    def _summed(self, loss_of: Callable[[int], Tensor], seconds: float) -> tuple[Tensor, Tensor]:
        """What `gradient` does, by an all-reduce."""
        losses = summed_gradients(self.flat, loss_of, range(rank() * self.count, (rank() + 1) * self.count))
        self._finite = bool(self.flat.gradients.isfinite().all())
        summed(self.flat.gradients)
        clock = torch.tensor([seconds], dtype=torch.float64, device=losses.device)
        known = stacked(torch.cat([losses.double(), clock]))
        return known[:, :-1].reshape(-1).to(losses.dtype), known[0, -1]

    def non_finite(self) -> str:
        """Which processes gave a gradient that is not finite in this step, in words."""
        finite = bool(self._sent.isfinite().all()) if self.ordered else self._finite
        found = [str(i) for i, bad in enumerate(gathered(not finite)) if bad]
        return f" in process {', '.join(found)} of {size()}" if found else ""
