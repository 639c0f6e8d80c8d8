"""A network that is the gradient of a scalar."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Potential"]


class Potential(nn.Module):
    """F(x, c) = ∇_x ⟨x, N(x, c)⟩: turns any network N into a gradient field, whose Jacobian is symmetric.

    The potential ⟨x, N(x, c)⟩ is 0 at initialization if N is, and can be trained from there; a linear N gives the scores of
    Gaussian data. A denoiser made of it has a log-density (`denoisers.EnergyDenoiser`). A training step takes about twice as
    long as with N itself.

    Arguments:
        network: A network N(x, c), twice differentiable (SiLU, GELU, tanh; with ReLU the gradient is discontinuous).

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

    def potential(self, x: Tensor, c: Tensor) -> Tensor:
        """⟨x, N(x, c)⟩: states `(B, *D)` and noise labels `(B,)` to `(B,)`."""
        product: Tensor = x * self.network(x, c)
        return product.flatten(1).sum(1)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """The gradient of the potential: states `(B, *D)` and noise labels `(B,)` to `(B, *D)`."""
        learn = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            x = x if x.requires_grad else x.detach().clone().requires_grad_()
            slope = torch.autograd.grad(self.potential(x, c).sum(), x, create_graph=learn)[0]
        return slope if learn else slope.detach()
