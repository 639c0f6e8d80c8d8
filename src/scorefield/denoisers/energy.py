"""Denoisers with a log-density: learned energies, and densities known by a formula."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..derivatives import gradient
from ..nn.potential import Potential
from ..tensors import per_sample, sum_events
from .base import Denoiser
from .precondition import Preconditioned

__all__ = ["AnalyticDensity", "EnergyDenoiser"]


class EnergyDenoiser(Denoiser):
    """A denoiser whose network is a `Potential`, with the log-density that its score is the gradient of.

    D(x, σ) = c_skip x + c_out ∇φ(c_in x, c) is x + σ² ∇ log p(x, σ) for

        log p(x, σ) = [(c_skip - 1) ‖x‖² / 2 + (c_out / c_in) φ(c_in x, c)] / σ²,

    which with the Karras parametrization is that of a Gaussian, -‖x‖² / 2(σ² + scale²), plus (scale / σ) φ: it trains
    as well as any other network, by any objective, and needs no chains to be trained. Each level has its own unknown
    constant: only differences at one level mean something.

    It denoises as the denoiser that it wraps, so that a model fitted with `fit(network=Potential(…))` has an energy:
    `EnergyDenoiser(model.denoiser)`. Chains with an acceptance test (`mcmc.MetropolisLangevin`, `mcmc.Hamiltonian`) take it.

    Arguments:
        denoiser: A denoiser made of a `Potential`.

    Raises:
        TypeError: If its network is not a `Potential`.

    Example:
        >>> from scorefield.nn import MLP
        >>> energy = EnergyDenoiser(Preconditioned(Potential(MLP(2, 16, 1))))
        >>> energy.log_prob(torch.ones(1, 2), 1.0).detach()  # before training: that of N(0, 1 + σ²), less a constant
        tensor([-0.5000])
    """

    has_log_prob = True

    def __init__(self, denoiser: Preconditioned) -> None:
        super().__init__()
        if not isinstance(denoiser, Preconditioned) or not isinstance(denoiser.network, Potential):
            got = f"one of a {type(getattr(denoiser, 'network', denoiser)).__name__}"
            raise TypeError(f"EnergyDenoiser needs a Preconditioned(Potential(network)), got {got}: wrap the network")
        if denoiser.whitening is not None:
            raise TypeError("EnergyDenoiser needs the same coefficients in all directions: leave whitening out")
        self.denoiser = denoiser

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.denoiser(x, level)  # type: ignore[no-any-return]

    def log_prob(self, x: Tensor, level: Tensor | float) -> Tensor:
        """The log-density of the data plus noise in nats, up to a constant of each level, `(B, *D)` to `(B,)`."""
        level = torch.as_tensor(level, dtype=x.dtype, device=x.device)
        network = self.denoiser.network
        skip, out = self.denoiser.parametrization.coefficients(level)
        inputs, label = self.denoiser.question(x, level)
        dtype = next((p.dtype for p in network.parameters()), x.dtype)
        potential = network.potential(inputs.to(dtype), label.to(dtype)).to(x.dtype)  # type: ignore[operator]  # a Potential
        factor = out / level * torch.sqrt(level**2 + self.denoiser.parametrization.scale**2) / level
        quadratic = per_sample((skip - 1) / level**2, x) * sum_events(x**2) / 2
        return quadratic + per_sample(factor, x) * potential  # type: ignore[no-any-return]


class AnalyticDensity(Denoiser):
    """A distribution known by its log-density: D(x, σ) = x + σ² ∇ log p(x, σ), the score by autograd.

    With the log-density of data plus noise of the level it is the exact denoiser. A `log p` of data alone, the same at every
    level, gives its own score at every level: enough for `langevin` and pictures of the score field, but not for sampling from
    noise (which needs the densities of data plus noise).

    Arguments:
        log_density: (x, level) ↦ log p up to a constant, `(B, *D)` and a level that broadcasts to `(B,)`.

    Example:
        >>> ring = AnalyticDensity(lambda x, level: -(x.norm(dim=1) - 2.6) ** 2 / 0.033)
        >>> ring.score(torch.tensor([[0.0, 2.5]])).detach()
        tensor([[0.0000, 6.0606]])
    """

    has_log_prob = True

    def __init__(self, log_density: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.log_density = log_density

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return x + level**2 * self.score(x, level)

    def score(self, x: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """∇ log p, `(B, *D)` to `(B, *D)`."""
        level = torch.as_tensor(level, dtype=x.dtype, device=x.device)
        return gradient(lambda x: self.log_density(x, level), x)[1]

    def log_prob(self, x: Tensor, level: Tensor | float = 0.0) -> Tensor:
        """The log-density, up to a constant, `(B, *D)` to `(B,)`."""
        return self.log_density(x, torch.as_tensor(level, dtype=x.dtype, device=x.device))
