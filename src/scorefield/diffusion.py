"""A diffusion model: a noise process and a denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .denoisers.base import Denoiser
from .denoisers.exact import Gaussian
from .processes import Process
from .rng import Rng

__all__ = ["Diffusion"]


@dataclass(frozen=True)
class Diffusion:
    """The marginal distributions p_t of a process that starts from the data of a denoiser.

    Samplers and likelihoods use nothing but these few methods.

    Arguments:
        process: The noise process.
        denoiser: The denoiser.
        moments: The mean and the covariance of the data, which the prior at t = 1 has. Without them it is that of
            the noise alone.

    Raises:
        TypeError: If `denoiser` is not one.
    """

    process: Process
    denoiser: Denoiser
    moments: Gaussian | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.denoiser, Denoiser):
            got = f"a {type(self.denoiser).__name__}"
            raise TypeError(f"a Diffusion needs a denoiser, got {got}: derive a class from denoisers.Denoiser")

    def __repr__(self) -> str:
        return f"Diffusion({self.process!r}, {type(self.denoiser).__name__})"

    def check_rows(self, count: int) -> None:
        """Whether contexts belong to `count` rows of data: one for all of them, or one for each.

        Raises:
            ValueError: If there is another number of contexts.
        """
        contexts = self.denoiser.contexts
        if contexts not in (1, count):
            raise ValueError(f"{contexts} contexts do not belong to {count} rows: give one, or as many")

    def samples(self, index: Tensor) -> Diffusion:
        """The diffusion for some samples of a batch, by their indices `(B,)`: contexts that belong to samples follow them."""
        denoiser = self.denoiser.samples(index)
        return self if denoiser is self.denoiser else replace(self, denoiser=denoiser)

    def split(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """The two parts of a state, x_t = α_t E[x_0 | x_t] + σ_t E[z | x_t].

        Arguments:
            x: The state x_t, of shape `(B, *D)`.
            t: The time, which broadcasts against `x`.

        Returns:
            The means of the data and of the noise given x_t, each of shape `(B, *D)`.

        Raises:
            TypeError: If the denoiser returns anything but a real tensor of the shape of `x`.
        """
        alpha, sigma = self.process(t)
        mean = self.denoiser(x / alpha, sigma / alpha)
        return mean, (x - alpha * mean) / sigma

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """∇ log p_t(x) = -E[z | x_t] / σ_t (Tweedie's formula), of shape `(B, *D)`."""
        return -self.split(x, t)[1] / self.process.sigma(t)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """dx/dt of the probability flow, α'_t E[x_0 | x_t] + σ'_t E[z | x_t], of shape `(B, *D)`."""
        mean, noise = self.split(x, t)
        alpha_dot, sigma_dot = self.process.rates(t)
        return alpha_dot * mean + sigma_dot * noise

    def _gaussian(self, x: Tensor, t: Tensor | None = None) -> tuple[Gaussian, Tensor, Tensor]:
        """The data's moments, and (α_t, level_t), in the type of `x`, at t = 1 by default."""
        alpha, sigma = self.process(torch.ones((), dtype=x.dtype, device=x.device) if t is None else t.to(x))
        gaussian = self.moments or Gaussian(torch.zeros_like(x[0]), torch.zeros_like(x[0]))
        if gaussian.mean.shape != x[0].shape:
            need = f"{tuple(gaussian.mean.shape)}, the shape of the data's moments"
            raise ValueError(f"a state must hold data of shape {need}, got {tuple(x[0].shape)}")
        if gaussian.mean.dtype != x.dtype:
            gaussian = Gaussian(gaussian.mean.to(x.dtype), gaussian.covariance.to(x.dtype))
        return gaussian, alpha, sigma / alpha

    def prior(
        self,
        shape: Sequence[int],
        rng: Rng,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        t: Tensor | None = None,
    ) -> Tensor:
        """Draws x_t ~ N(α_t m, α_t² C + σ_t² I), of shape `shape`: where sampling starts, t = 1 by default."""
        return self.colour(rng.normal(tuple(shape), dtype, torch.device(device)), t)

    def colour(self, z: Tensor, t: Tensor | None = None) -> Tensor:
        """Turns standard normal numbers into draws from `prior`, `(B, *D)` to `(B, *D)`."""
        gaussian, alpha, level = self._gaussian(z, t)
        return alpha * gaussian.colour(z, level)

    def whiten(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """The inverse of `colour`: turns draws from `prior` into standard normal numbers."""
        gaussian, alpha, level = self._gaussian(x, t)
        return gaussian.whiten(x / alpha, level)

    def prior_log_prob(self, x: Tensor) -> Tensor:
        """The log-density in nats of the prior at `x`, `(B, *D)` to `(B,)`."""
        gaussian, alpha, level = self._gaussian(x)
        return gaussian.log_prob(x / alpha, level) - x[0].numel() * torch.log(alpha)
