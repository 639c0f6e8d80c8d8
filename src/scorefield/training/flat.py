"""The parameters of a module side by side in one tensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Flat"]


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
        parameters = [p for p in module.parameters() if p.requires_grad]
        kinds = {(p.dtype, p.device) for p in parameters}
        if len(kinds) != 1:
            need = "a network needs trainable parameters of one type on one device"
            raise ValueError(f"{need}, got {sorted(map(str, kinds))}")
        self.outside = [p for p in parameters if not inside(p)]
        self.matrices = [p for p in parameters if inside(p)]
        self.parameters = self.outside + self.matrices
        self.values = torch.cat([p.detach().reshape(-1) for p in self.parameters])
        self.gradients = torch.zeros_like(self.values)
        self.boundary = sum(p.numel() for p in self.outside)
        place = 0
        for p in self.parameters:
            p.data = self.values[place : place + p.numel()].view(p.shape)
            p.grad = self.gradients[place : place + p.numel()].view(p.shape)
            place += p.numel()

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
