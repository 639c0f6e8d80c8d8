"""A network as it is computed while it trains: compiled, with the channels of grids last in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..progress import part
from ..reading import one_line

__all__ = ["Accelerated", "compile_failure", "plain"]

_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class Accelerated(nn.Module):
    """A network in whose place it stands, computed in another manner: its answers are the same up to rounding.

    Arguments:
        network: The network F(x, c) or F(x, c, context).
        compiled: Whether PyTorch compiles it, once for each shape of its inputs.
        channels_last: Whether images and volumes lie in memory with their channels last, as tensor cores take them.
        optional: Whether the network is computed as it is if it cannot be compiled.
    """

    failure = ""
    """Why the network could not be compiled, in one line."""

    def __init__(
        self, network: nn.Module, compiled: bool = False, channels_last: bool = False, optional: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.compiled, self.channels_last, self.optional = compiled, channels_last, optional
        self._known: set[tuple[object, ...]] = set()
        self._answer: Callable[..., Tensor] = torch.compile(network.forward, dynamic=False) if compiled else network

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """The answer of the network, `(B, *D)`.

        Raises:
            RuntimeError: If PyTorch cannot compile the network, and must.
        """
        if self.channels_last and x.ndim in _LAST:
            x = x.contiguous(memory_format=_LAST[x.ndim])
        form = (x.shape, torch.is_grad_enabled(), self.training)
        if not self.compiled or form in self._known:
            return self._answer(x, *others)
        try:
            with part(0, 0, "compiling the network"):  # which takes a minute or more
                answer = self._answer(x, *others)
        except torch._dynamo.exc.TorchDynamoException as error:
            self.failure = f"PyTorch could not compile the network ({one_line(error)})"
            if not self.optional:
                raise RuntimeError(f"{self.failure}: leave compile out") from error
            self.compiled, self._answer = False, self.network
            plainly: Tensor = self.network(x, *others)
            return plainly
        self._known.add(form)
        return answer


def compile_failure(module: nn.Module) -> str:
    """Why a network of a module that was to be compiled is computed as it is; "" if none is."""
    found = (child.failure for child in module.modules() if isinstance(child, Accelerated))
    return next(filter(None, found), "")


def plain(module: nn.Module) -> None:
    """Puts every network of a module that was accelerated back in its place: models are computed, and saved, as they are."""
    for name, child in module.named_children():
        while isinstance(child, Accelerated):
            child = child.network
        setattr(module, name, child)
        plain(child)
