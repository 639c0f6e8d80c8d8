"""The gradients of a multilayer perceptron, written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["MLPGradients"]

_silu: Callable[..., Tensor] = torch.ops.aten.silu.out
_silu_backward: Callable[..., Tensor] = torch.ops.aten.silu_backward.grad_input


class _Linear:
    """A layer h -> W h + b, and its gradients, in memory that was set aside."""

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = layer.weight.data, layer.bias.data
        self.across = self.weight.t()
        self.of_weight, self.of_bias = layer.weight.grad, layer.bias.grad

    def forward(self, h: Tensor, out: Tensor) -> Tensor:
        return torch.addmm(self.bias, h, self.across, out=out)

    def backward(self, h: Tensor, gradient: Tensor) -> None:
        """The gradients of the parameters, from the input and the gradient of the output."""
        torch.mm(gradient.t(), h, out=self.of_weight)
        torch.sum(gradient, 0, out=self.of_bias)

    def before(self, gradient: Tensor, out: Tensor) -> Tensor:
        """The gradient of the input."""
        return torch.mm(gradient, self.weight, out=out)


class MLPGradients:
    """The gradients of an `MLP`: what autograd computes, to the same bits, without its record and without new memory.

    Arguments:
        label: The embedding of the noise label, which has no parameters.
        modulate: The layer that scales and shifts the first one.
        layers: The first layer, the hidden ones and the last.
        context: The two layers that embed a context, and the one that scales and shifts all others by it; none without one.
    """

    def __init__(
        self, label: nn.Module, modulate: nn.Linear, layers: Sequence[nn.Linear], context: Sequence[nn.Linear] = ()
    ) -> None:
        self._label, self._dtype, self._width = label, modulate.weight.dtype, modulate.out_features // 2
        self._modulate, self._context = _Linear(modulate), [_Linear(layer) for layer in context]
        self._first, *self._layers, self._last = [_Linear(layer) for layer in layers]
        self._count = -1

    def encode(self, x: Tensor, c: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        encoded = x.to(self._dtype), self._label(c.to(self._dtype))
        if not self._context:
            return encoded
        if context is None:
            size = self._context[0].weight.shape[1]
            raise ValueError(f"this network needs a context of {size} values and got none: pass context")
        return *encoded, context.to(self._dtype)

    def _reserve(self, like: Tensor) -> None:
        """Memory for a batch: products W h + b, sums z before the activation, activations h, and gradients."""

        def empty(columns: int) -> Tensor:
            return like.new_empty(len(like), columns)

        width, depth = self._width, len(self._layers)
        self._count, self._answer = len(like), empty(len(self._last.bias))
        self._factors, self._of_factors = empty(2 * width), empty(2 * width)
        self._scale, self._shift = self._factors.split(width, 1)  # type: ignore[no-untyped-call]
        self._of_scale, self._of_shift = self._of_factors.split(width, 1)  # type: ignore[no-untyped-call]
        self._g, self._of_h = empty(width), empty(width)
        self._z, self._h = ([empty(width) for _ in range(depth + 1)] for _ in range(2))
        self._products = [empty(width), *self._z[1:]]
        if self._context:
            self._products = [empty(width) for _ in range(depth + 1)]
            self._e_z, self._e = ([empty(width) for _ in range(2)] for _ in range(2))
            self._by_context, self._of_context = (empty(2 * (depth + 1) * width) for _ in range(2))
            self._gains, self._offsets = self._pairs(self._by_context)
            self._of_gains, self._of_offsets = self._pairs(self._of_context)

    def _pairs(self, factors: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The gains and the offsets of all layers, as views."""
        parts: tuple[Tensor, ...] = factors.split(self._width, 1)  # type: ignore[no-untyped-call]
        return parts[::2], parts[1::2]

    def forward(self, *encoded: Tensor) -> Tensor:
        x, label = encoded[:2]
        if len(x) != self._count:
            self._reserve(x)
        self._inputs = encoded
        self._modulate.forward(label, self._factors)
        self._first.forward(x, self._products[0])
        scale, shift = self._scale, self._shift
        if self._context:
            self._embed(encoded[2])
            scale, shift = scale + self._gains[0], shift + self._offsets[0]
        self._first_scale = scale
        torch.addcmul(shift, self._products[0], scale, out=self._z[0])
        h = _silu(self._z[0], out=self._h[0])
        for i, layer in enumerate(self._layers, 1):
            product = layer.forward(h, self._products[i])
            if self._context:
                torch.addcmul(self._offsets[i], product, 1 + self._gains[i], out=self._z[i])
            h = _silu(self._z[i], out=self._h[i])
        return self._last.forward(h, self._answer)

    def _embed(self, context: Tensor) -> None:
        """The embedding of a context, and the gains and offsets of all layers that follow from it."""
        h = context
        for layer, z, e in zip(self._context, self._e_z, self._e):
            h = _silu(layer.forward(h, z), out=e)
        self._context[2].forward(h, self._by_context)

    def backward(self, gradient: Tensor) -> None:
        self._last.backward(self._h[-1], gradient)
        of_h, g = self._last.before(gradient, self._of_h), self._g
        for i in range(len(self._layers), 0, -1):
            layer = self._layers[i - 1]
            _silu_backward(of_h, self._z[i], grad_input=g)
            if self._context:
                self._of_offsets[i].copy_(g)
                torch.mul(g, self._products[i], out=self._of_gains[i])
                g.mul_(1 + self._gains[i])
            layer.backward(self._h[i - 1], g)
            layer.before(g, of_h)
        _silu_backward(of_h, self._z[0], grad_input=g)  # in contiguous memory, for the bits of autograd
        self._of_shift.copy_(g)
        torch.mul(g, self._products[0], out=self._of_scale)
        g.mul_(self._first_scale)
        self._modulate.backward(self._inputs[1], self._of_factors)
        self._first.backward(self._inputs[0], g)
        if self._context:
            self._of_gains[0].copy_(self._of_scale)
            self._of_offsets[0].copy_(self._of_shift)
            self._embed_backward(self._inputs[2])

    def _embed_backward(self, context: Tensor) -> None:
        """The gradients of the layers of the context, from those of gains and offsets."""
        one, two, last = self._context
        last.backward(self._e[1], self._of_context)
        g, of_e = self._g, last.before(self._of_context, self._of_h)
        two.backward(self._e[0], _silu_backward(of_e, self._e_z[1], grad_input=g))
        of_e = two.before(g, self._of_h)
        one.backward(context, _silu_backward(of_e, self._e_z[0], grad_input=g))
