"""Derivatives of functions of states: divergences, Jacobian products and gradients of scalars."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .tensors import sum_events

__all__ = ["Divergence", "divergence", "gradient", "products"]

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
            pulled = (_pull(value, x, v, learn) for v in probes.unbind(1))
            total = torch.stack([sum_events(v * p) for v, p in zip(probes.unbind(1), pulled)], 1)
    return Divergence(value, total) if learn else Divergence(value.detach(), total.detach())


def _pull(value: Tensor, x: Tensor, v: Tensor, learn: bool) -> Tensor:
    """vᵀ ∂f/∂x, of the shape of `x`."""
    return torch.autograd.grad(value, x, v.to(value), create_graph=learn, retain_graph=True)[0]


def _trace(value: Tensor, x: Tensor, learn: bool) -> Tensor:
    """The sum of ∂f_i/∂x_i, of shape `(B,)`."""
    flat, total = value.reshape(len(x), -1), value.new_zeros(len(x))
    for i in range(flat.shape[1]):
        row = torch.autograd.grad(flat[:, i].sum(), x, create_graph=learn, retain_graph=True)[0]
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
