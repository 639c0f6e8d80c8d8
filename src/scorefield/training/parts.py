"""The parts of a step, shared by several processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..distributed import exchanged, gathered, rank, same, size, stacked
from .flat import Flat

__all__ = ["SharedParts"]


class SharedParts:
    """Adds up the gradients of the parts of a step, which several processes compute, in the order of the parts.

    Each process computes as many parts as any other. Then process r gets the r-th piece of the gradient of every part, adds
    these up, and gives the sum to all. So the sum has the bits that one process gets, for any number of processes that
    divides the parts, and as many numbers travel as in any other sum over processes.

    Arguments:
        flat: The parameters.
        count: The number of parts of a step.

    Raises:
        ValueError: If the processes cannot share so many parts.
    """

    def __init__(self, flat: Flat, count: int) -> None:
        processes = size()
        if count % processes:
            fine = [str(n) for n in range(1, count + 1) if count % n == 0]
            what = f"the {count} parts of a step cannot be shared by {processes} processes"
            raise ValueError(f"{what}: start {' or '.join(fine)}, or begin a run with accumulate={processes}")
        self.flat, self.count = flat, count // processes
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
        found = hashlib.blake2b(digest_size=8)
        for x in tensors:
            found.update(x.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        advice = "start them with the same data, on machines of the same kind"
        same({"weights and data in standard units": found.hexdigest()}, advice)

    def gradient(self, loss_of: Callable[[int], Tensor], seconds: float) -> tuple[Tensor, Tensor]:
        """Leaves the sum of the gradients of all parts in `flat.gradients`.

        Arguments:
            loss_of: Gives the loss of a part, `()`, by its number, and leaves its gradient in `flat.gradients`, 0 before.
            seconds: The clock of this process.

        Returns:
            The losses of all parts, of shape `(count,)`, and the clock of process 0, `()`.
        """
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

    def non_finite(self) -> str:
        """Which processes gave a gradient that is not finite in this step, in words."""
        found = [str(i) for i, bad in enumerate(gathered(not bool(self._sent.isfinite().all()))) if bad]
        return f" in process {', '.join(found)} of {size()}" if found else ""
