"""A network as it is computed while it trains: compiled, with the channels of grids last in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..reading import one_line

__all__ = ["Accelerated", "plain"]

_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class Accelerated(nn.Module):
    """A network in whose place it stands, computed in another manner: its answers are the same up to rounding.

    Arguments:
        network: The network F(x, c) or F(x, c, context).
        compiled: Whether PyTorch compiles it, once for each shape of its inputs.
        channels_last: Whether images and volumes lie in memory with their channels last, as tensor cores take them.
    """

    def __init__(self, network: nn.Module, compiled: bool = False, channels_last: bool = False) -> None:
        super().__init__()
        self.network = network
        self.compiled, self.channels_last = compiled, channels_last
        self._answer: Callable[..., Tensor] = torch.compile(network.forward, dynamic=False) if compiled else network

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """The answer of the network, `(B, *D)`.

        Raises:
            RuntimeError: If PyTorch cannot compile the network.
        """
        if self.channels_last and x.ndim in _LAST:
            x = x.contiguous(memory_format=_LAST[x.ndim])
        if not self.compiled:
            return self._answer(x, *others)
        try:
            return self._answer(x, *others)
        except torch._dynamo.exc.TorchDynamoException as error:
            said = f"PyTorch could not compile the network ({one_line(error)})"
            raise RuntimeError(f"{said}: leave compile out") from error


def plain(module: nn.Module) -> None:
    """Puts every network of a module that was accelerated back in its place: models are computed, and saved, as they are."""
    for name, child in module.named_children():
        while isinstance(child, Accelerated):
            child = child.network
        setattr(module, name, child)
        plain(child)
