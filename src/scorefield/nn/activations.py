"""The activation functions of published image networks, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "MORE", "Activated", "activation"]


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def _error_function(x: Tensor) -> Tensor:
    return (1 + torch.erf(x)) / 2


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"elu": F.elu, "relu": F.relu, "lrelu": _leaky, "silu": F.silu}
"""Those that a checkpoint may have been trained with."""
MORE: dict[str, Callable[[Tensor], Tensor]] = {**ACTIVATIONS, "tanh": torch.tanh, "erf": _error_function}
"""These, and bounded ones: `erf` is ½ (1 + erf x)."""


def activation(name: str, known: Mapping[str, Callable[[Tensor], Tensor]] = ACTIVATIONS) -> Callable[[Tensor], Tensor]:
    """An activation function: "elu", "relu", "lrelu" (of slope 0.2 below 0), or "silu"; or another of `known`.

    Raises:
        ValueError: If there is none of that name.

    Example:
        >>> import torch
        >>> activation("lrelu")(torch.tensor([-1.0, 1.0]))
        tensor([-0.2000,  1.0000])
    """
    if name not in known:
        raise ValueError(f"activation must be one of {', '.join(known)}, got {name!r}")
    return known[name]


class Activated(nn.Module):
    """A layer with activation functions, which the network that it is a part of may choose."""

    activate: Callable[[Tensor], Tensor]

    @staticmethod
    def choose(network: nn.Module, name: str) -> None:
        """Sets the activation function of all such layers of a network.

        Raises:
            ValueError: If there is none of that name.
        """
        function = activation(name)
        for part in network.modules():
            if isinstance(part, Activated):
                part.activate = function

    @staticmethod
    def others(network: nn.Module, name: str) -> Mapping[str, Callable[[], None]]:
        """Calls that set each other function than the named one, by the argument that asks for it."""
        names = [other for other in ACTIVATIONS if other != name]
        return {f"activation='{other}'": partial(Activated.choose, network, other) for other in names}
