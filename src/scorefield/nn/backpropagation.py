"""Gradients of losses with respect to the parameters of a network, for one batch after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["Autograd", "Backpropagates", "Backpropagation", "Rotated", "WithInputs", "hooked"]


class Backpropagation(Protocol):
    """The answers of a network to batches, and the gradients of losses of these answers."""

    def encode(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        """What a network computes of its inputs before it comes to a parameter: tensors with a row for each sample.

        They may be computed for many batches together, and be divided afterwards.
        """

    def forward(self, *encoded: Tensor) -> Tensor:
        """The answer to a batch that was encoded, `(B, *D)`, which is valid until the next call."""

    def backward(self, gradient: Tensor) -> None:
        """Leaves the gradient of a loss in the `.grad` of all parameters, which are 0 before.

        Arguments:
            gradient: That of the loss with respect to the latest answer, `(B, *D)`.
        """


@runtime_checkable
class Backpropagates(Protocol):
    """A network that computes its own gradients, faster than PyTorch's autograd does."""

    def backpropagation(self) -> Backpropagation | None:
        """Its gradients, in the type of its parameters; None where it leaves them to autograd.

        All parameters have a `.grad`, which stays the same tensor.
        """


class Autograd:
    """The gradients of any network, by PyTorch's autograd.

    Arguments:
        network: F(x, c) or F(x, c, context).
    """

    def __init__(self, network: Callable[..., Tensor]) -> None:
        self.network = network

    def encode(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        return (x, c) if context is None else (x, c, context)

    def forward(self, *encoded: Tensor) -> Tensor:
        self._answer = self.network(*encoded)
        return self._answer.detach()

    def backward(self, gradient: Tensor) -> None:
        self._answer.backward(gradient)  # type: ignore[no-untyped-call]
        del self._answer


class Rotated:
    """The gradients of a network whose answers are taken along other axes.

    Arguments:
        network: The gradients of the network.
        vectors: The axes, orthonormal columns of shape `(n, n)`.
    """

    def __init__(self, network: Backpropagation, vectors: Tensor) -> None:
        self.network, self.vectors = network, vectors
        self.encode = network.encode

    def forward(self, *encoded: Tensor) -> Tensor:
        return self.network.forward(*encoded) @ self.vectors

    def backward(self, gradient: Tensor) -> None:
        self.network.backward(gradient @ self.vectors.mT)


class WithInputs:
    """The gradients of a network whose inputs come from a function without parameters.

    Arguments:
        network: The gradients of the network.
        inputs: The state that the network takes, as a function of the state and the noise label.
    """

    def __init__(self, network: Backpropagation, inputs: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.network, self.inputs = network, inputs
        self.forward, self.backward = network.forward, network.backward

    def encode(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        return self.network.encode(self.inputs(x, c), c, context)


def hooked(module: nn.Module) -> bool:
    """Whether a module, or a part of it, does more than its `forward`: gradients written for that one are then wrong."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    of_parts = any(getattr(part, name) for part in module.modules() for name in hooks)
    return of_parts or any(p._backward_hooks for p in module.parameters())
