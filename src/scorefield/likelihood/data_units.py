"""Log-densities in the units of the data, one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers import Gaussian
from ..diffusion import Diffusion
from ..rng import Samples
from ..units import Standardize
from .base import LogProb
from .bound import Bound, bound
from .discrete import BitsPerDim, bits_per_dim
from .marginal import marginal
from .probability_flow import log_prob

__all__ = ["DataDensity"]


@dataclass(frozen=True)
class DataDensity:
    """Log-densities by a diffusion of standardized data, in the units of the data and the tensor layout of networks.

    The probes and draws of example i depend on the seed and on i alone, whatever the batch size.

    Arguments:
        diffusion: The diffusion of standardized data.
        units: The standardization.
        batch: How many examples are solved at once.
        seed: The seed of all random numbers.
        probes, tolerance, target_error, extrapolate: As for `log_prob`.
    """

    diffusion: Diffusion
    units: Standardize
    batch: int
    seed: int = 0
    probes: int | None = None
    tolerance: float | None = None
    target_error: float | None = None
    extrapolate: bool = False

    def _parts(self, x: Tensor) -> Iterator[tuple[Diffusion, Tensor, int]]:
        """Standardized batches, each with the denoiser for its samples and the index of the first."""
        self.diffusion.check_rows(len(x))
        state, start = self.units(x.double().to(self.units.mean.device)), 0
        for part in state.split(self.batch):
            yield self.diffusion.samples(start + torch.arange(len(part))), part, start
            start += len(part)

    def __call__(self, x: Tensor, draw: int = 0) -> LogProb:
        """The log-densities at `x`, of shape `(N, *D)`; each `draw` has its own probes."""
        parts = []
        for diffusion, part, start in self._parts(x):
            rng = Samples(self.seed, start, len(part), f"probe {draw}" if draw else "probe")
            settings = self.probes, self.tolerance, rng, self.target_error, self.extrapolate
            parts.append(log_prob(diffusion, part, *settings).cpu())
        return LogProb.join(parts).plus(self.units.log_det)

    def bound(self, x: Tensor, draws: int) -> Bound:
        """Lower bounds on the log-densities of the SDE model at `x`."""
        parts = []
        for diffusion, part, start in self._parts(x):
            parts.append(bound(diffusion, part, Samples(self.seed, start, len(part), "bound"), draws))
        names = ("value", "standard_error", "evaluations")
        value, *others = (torch.cat([getattr(part, name) for part in parts]).cpu() for name in names)
        return Bound(value + self.units.log_det, *others)

    def bits_per_dim(self, x: Tensor, step: Tensor, draws: int) -> BitsPerDim:
        """Bits per dimension of `x` in cells of width `step`."""
        return bits_per_dim(self, x.double(), step, Samples(self.seed, 0, len(x), "cell"), draws)

    def marginal(self, kept: Tensor, keep: Sequence[int], draws: int) -> LogProb:
        """The log-densities of the features `keep`, whose values are `kept`, of shape `(N, k)`.

        Raises:
            ValueError: If the diffusion has no moments of the data, or several contexts.
        """
        moments, std = self.diffusion.moments, self.units.std.double().cpu()
        contexts = self.diffusion.denoiser.contexts
        if contexts > 1:
            raise ValueError(f"marginals and conditionals need one context, got {contexts}: pass a single one")
        if moments is None:
            raise ValueError("a marginal needs the moments of the data, which this diffusion does not have")
        std = std.expand(moments.mean.shape)
        mean = self.units.inverse(moments.mean.double()[None])[0].cpu()
        full = torch.diag(moments.covariance.reshape(-1)) if moments.diagonal else moments.covariance
        covariance = full.double().cpu() * std * std[:, None]
        rng = Samples(self.seed, 0, len(kept), "marginal")
        return marginal(self, kept, keep, Gaussian(mean, covariance), rng, draws=draws)

    def conditional(self, x: Tensor, given: Sequence[int], draws: int) -> LogProb:
        """The log-densities of all other features of `x` conditional on those of `given`: log p(x) - log p(given)."""
        part, whole = self.marginal(x.double()[:, list(given)], given, draws), self(x)
        return LogProb(
            whole.value - part.value,
            torch.hypot(whole.standard_error, part.standard_error),
            whole.solver_error + part.solver_error,
            whole.end_error + part.end_error,
            whole.truncation - part.truncation,
            whole.evaluations + part.evaluations,
        )
