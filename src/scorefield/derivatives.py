"""Derivatives of functions of states: divergences, Jacobian products and gradients of scalars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .tensors import sum_events

__all__ = ["Divergence", "divergence", "gradient", "products", "pulled"]

_FEWEST = 5  # cotangents that are pulled back together: fewer are not worth what PyTorch loads for it
_AT_ONCE = 1 << 18  # numbers in the cotangents that are pulled back together: enough for whole matrix products

Field = Callable[[Tensor], Tensor]
"""x ↦ f(x), `(B, *D)` to `(B, *D)`, sample by sample."""


class Divergence(NamedTuple):
    """A vector field and its divergence.

    Arguments:
        value: f(x), of shape `(B, *D)`.
        divergence: The exact ∇·f, of shape `(B,)`; or vᵀ(∂f/∂x)v for each of K probes, of shape `(B, K)`.
    """

    value: Tensor
    divergence: Tensor


def divergence(f: Field, x: Tensor, probes: Tensor | None = None) -> Divergence:
    """f(x) and its divergence, with one derivative per coordinate or per probe.

    Gradients flow through both results if gradients are enabled; otherwise both are detached.

    Arguments:
        f: A vector field.
        x: States, of shape `(B, *D)`.
        probes: Hutchinson probes v with E[v vᵀ] = I, of shape `(B, K, *D)`; without them the divergence is exact.

    Returns:
        The field and its divergence.

    Example:
        >>> divergence(lambda x: x**2, torch.tensor([[1.0, 2.0]])).divergence.tolist()
        [6.0]
    """
    learn = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        x = x if x.requires_grad else x.detach().clone().requires_grad_()
        value = f(x)
        if probes is None:
            total = _trace(value, x, learn)
        else:
            along = zip(probes.unbind(1), pulled(value, x, probes.transpose(0, 1), learn))
            total = torch.stack([sum_events(v * p) for v, p in along], 1)
    return Divergence(value, total) if learn else Divergence(value.detach(), total.detach())


def pulled(value: Tensor, x: Tensor, v: Tensor, learn: bool = False) -> Iterator[Tensor]:
    """vᵀ ∂f/∂x for several v: backward passes of many at once, which make larger matrix products of them.

    Arguments:
        value: f(x), of shape `(B, *E)`, with its graph, which is kept.
        x: States, of shape `(B, *D)`.
        v: Cotangents, of shape `(K, B, *E)`.
        learn: Whether gradients flow through the results; then one is pulled back after the other.

    Yields:
        K tensors of the shape of `x`.
    """
    at_once, batched = max(1, _AT_ONCE // max(1, value.numel())), not learn
    for some in torch.split(v.to(value), at_once):
        if batched and len(some) >= _FEWEST:
            try:
                yield from torch.autograd.grad(value, x, some, retain_graph=True, is_grads_batched=True)[0]
                continue
            except RuntimeError:  # an operation of the network has no batched derivative
                batched = False
        for each in some:
            # the sum avoids PyTorch's check of cotangents, which loads half a second of libraries
            along = (value * each).sum()
            yield torch.autograd.grad(along, x, create_graph=learn, retain_graph=True)[0]


def _trace(value: Tensor, x: Tensor, learn: bool) -> Tensor:
    """The sum of ∂f_i/∂x_i, of shape `(B,)`."""
    size, total = value[0].numel(), value.new_zeros(len(x))
    units = torch.eye(size, dtype=value.dtype, device=value.device).reshape(size, 1, *value.shape[1:])
    for i, row in enumerate(pulled(value, x, units.expand(size, *value.shape), learn)):
        total = total + row.reshape(len(x), -1)[:, i]
    return total


def products(f: Field, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """J v and Jᵀ v for the Jacobian J = ∂f/∂x, both of the shape `(B, *D)` of `x` and `v`."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        u = v.clone().requires_grad_()
        pulled = torch.autograd.grad(f(x), x, u, create_graph=True)[0]  # linear in u: its derivative along v is J v
        pushed = torch.autograd.grad(pulled, u, v, retain_graph=True, allow_unused=True)[0]
    return torch.zeros_like(v) if pushed is None else pushed.detach(), pulled.detach()


def gradient(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The value `(B,)` and the gradient `(B, *D)` of a scalar function of each sample.

    Gradients flow through both results if gradients are enabled; otherwise both are detached.
    """
    learn = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        x = x if x.requires_grad else x.detach().clone().requires_grad_()
        value = f(x)
        slope = torch.autograd.grad(value.sum(), x, create_graph=learn)[0]
    return (value, slope) if learn else (value.detach(), slope.detach())
