"""The parameters of a module side by side in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LANES", "Flat"]


LANES = 16  # numbers that a CPU computes at once, at most: operations on multiples of it treat all of them alike


class Flat:
    """One tensor with all trainable parameters of a module, another with their gradients; the module keeps views of them.

    What is done to all parameters (averages, clipping, a step of AdamW, a checkpoint) is one operation instead of one a
    parameter: a small network trains several times faster. Parameters that `inside` accepts come last.

    Arguments:
        module: The module, which is changed: its parameters become views.

    Raises:
        ValueError: If there are no trainable parameters, or they differ in type or device.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module
        self._order(module)
        self._laid(torch.cat([p.detach().reshape(-1) for p in self.parameters]))
        self.boundary = sum(p.numel() for p in self.outside)
        places = zip(*(self.pieces(x, self.parameters) for x in (self.values, self.gradients)))
        for p, (value, gradient) in zip(self.parameters, places):
            p.data, p.grad = value, gradient

    def _laid(self, values: Tensor) -> None:
        """Keeps values, and as many gradients, each with some room behind them (`LANES`)."""
        count = len(values)
        self.padded_values = torch.cat((values, values.new_zeros(-count % LANES)))
        self.padded_gradients = torch.zeros_like(self.padded_values)
        self.values, self.gradients = self.padded_values[:count], self.padded_gradients[:count]

    def _order(self, module: nn.Module) -> None:
        """Lists the trainable parameters of a module, and their names."""
        parameters = [p for p in module.parameters() if p.requires_grad]
        kinds = {(p.dtype, p.device) for p in parameters}
        if len(kinds) != 1:
            need = "a network needs trainable parameters of one type on one device"
            raise ValueError(f"{need}, got {sorted(map(str, kinds))}")
        self.outside = [p for p in parameters if not inside(p)]
        self.matrices = [p for p in parameters if inside(p)]
        self.parameters = self.outside + self.matrices
        names = {id(p): name for name, p in module.named_parameters()}
        self.names = {id(p): names[id(p)] for p in self.parameters}

    def pieces(self, values: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
        """Views of a tensor that holds numbers for some parameters side by side: those for each."""
        parts = values.split([p.numel() for p in parameters]) if parameters else ()  # type: ignore[no-untyped-call]
        return [x.view(p.shape) for x, p in zip(parts, parameters)]

    def placed(self, piece: Tensor, shape: Sequence[int]) -> Tensor:
        """What this process keeps of a tensor of some shape, as a part of that tensor: all of it, here."""
        return piece

    def named(self, what: str, values: Tensor, parameters: Sequence[Tensor]) -> dict[str, Tensor]:
        """`pieces` by name, each as a part of the whole: for a checkpoint that is read in place."""
        pieces = zip(parameters, self.pieces(values, parameters))
        return {f"{what}.{self.names[id(p)]}": self.placed(piece, p.shape) for p, piece in pieces}

    def norm(self) -> Tensor:
        """The norm of all gradients, `()`."""
        found: Tensor = torch.linalg.vector_norm(self.gradients)
        return found

    def read(self, values: Tensor) -> None:
        """Takes other values, of the shape of `values`."""
        self.values.copy_(values)

    def release(self) -> None:
        """Gives every parameter memory of its own again, and no gradient."""
        for p in self.parameters:
            p.data, p.grad = p.data.clone(), None


def inside(p: Tensor) -> bool:
    """Whether a parameter is a matrix or a convolution between layers that are both wide: what Muon is for."""
    return p.ndim >= 2 and min(p.shape[0], p.shape[1]) >= 16
