"""A network that is a gradient field."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

__all__ = ["Potential"]


class Potential(nn.Module):
    """F(x, c) = ∇_x ⟨x, N(x, c)⟩: any network N, made one whose Jacobian is symmetric.

    The inner product begins at zero where N does, without being stuck there; it has the scores of Gaussian data where N is
    linear, and N's own size elsewhere. With it a denoiser has a log-density (`denoisers.EnergyDenoiser`). A step of
    training takes
    about twice the time of N's.

    Arguments:
        network: A network N(x, c), twice differentiable (SiLU, GELU, tanh; with ReLU the gradient has steps).

    References:
        Salimans & Ho, 2021, Should EBMs model the energy or the score?

    Example:
        >>> from scorefield.nn import MLP
        >>> Potential(MLP(2, 16, 1))(torch.zeros(5, 2), torch.zeros(5)).shape
        torch.Size([5, 2])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def height(self, x: Tensor, c: Tensor) -> Tensor:
        """⟨x, N(x, c)⟩, `(B, *D)` and labels `(B,)` to `(B,)`."""
        return (x * self.network(x, c)).flatten(1).sum(1)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """The gradient, `(B, *D)` and labels `(B,)` to `(B, *D)`."""
        learn = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            x = x if x.requires_grad else x.detach().clone().requires_grad_()
            slope = torch.autograd.grad(self.height(x, c).sum(), x, create_graph=learn)[0]
        return slope if learn else slope.detach()
