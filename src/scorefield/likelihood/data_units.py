"""Log-densities in the units of the data, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers import Gaussian
from ..diffusion import Diffusion
from ..rng import Samples
from ..standardize import Standardize
from .base import LogProb
from .bound import Bound, bound
from .discrete import BitsPerDim, bits_per_dim
from .marginal import marginal
from .probability_flow import log_prob

__all__ = ["DataDensity"]


@dataclass(frozen=True)
class DataDensity:
    """The log-densities of a diffusion of standardized data, in the layout of networks and the units of the data.

    Datum i is given the probes and the draws that belong to the seed and to i, whatever the batch.

    Arguments:
        diffusion: The diffusion of standardized data.
        units: Their units.
        batch: How many data are solved at once.
        seed: The seed of whatever is random.
        probes: As for `log_prob`, like those that follow.
        tolerance: The error of a step.
        target_error: The error to stay below, instead.
        extrapolate: Whether the truncation is removed.
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
        """Batches in standard units, each with the contexts of its data."""
        state, start = self.units(x.double().to(self.units.mean.device)), 0
        for part in state.split(self.batch):
            yield self.diffusion.samples(start + torch.arange(len(part))), part, start
            start += len(part)

    def __call__(self, x: Tensor, draw: int = 0) -> LogProb:
        """The log-densities at `x`, of shape `(N, *D)`; another draw has other probes."""
        how, parts = (self.probes, self.tolerance), []
        for diffusion, some, start in self._parts(x):
            rng = Samples(self.seed, start, len(some), f"probe {draw}" if draw else "probe")
            parts.append(log_prob(diffusion, some, *how, rng, self.target_error, self.extrapolate).cpu())
        return LogProb.join(parts).plus(self.units.log_det)

    def bound(self, x: Tensor, draws: int) -> Bound:
        """Lower bounds on the log-densities of the SDE model at `x`."""
        parts = []
        for diffusion, some, start in self._parts(x):
            parts.append(bound(diffusion, some, Samples(self.seed, start, len(some), "bound"), draws))
        value = torch.cat([part.value for part in parts]).cpu() + self.units.log_det
        others = (torch.cat([getattr(p, name) for p in parts]).cpu() for name in ("standard_error", "evaluations"))
        return Bound(value, *others)

    def bits_per_dim(self, x: Tensor, step: Tensor, draws: int) -> BitsPerDim:
        """Bits per dimension of `x` in cells of the size `step`."""
        return bits_per_dim(self, x.double(), step, Samples(self.seed, 0, len(x), "cell"), draws)

    def marginal(self, kept: Tensor, keep: Sequence[int], draws: int) -> LogProb:
        """The log-densities of the features `keep`, whose values are `kept`, of shape `(N, k)`."""
        law, std = self.diffusion.moments, self.units.std.double().cpu()
        contexts = self.diffusion.denoiser.contexts
        if contexts > 1:
            raise ValueError(f"marginals and conditionals are of one distribution, got {contexts} contexts: give one")
        if law is None:
            raise ValueError("a marginal needs the moments of the data, which this diffusion does not have")
        std = std.expand(law.mean.shape)
        mean = self.units.inverse(law.mean.double()[None])[0].cpu()
        full = torch.diag(law.covariance.reshape(-1)) if law.diagonal else law.covariance
        covariance = full.double().cpu() * std * std[:, None]
        return marginal(
            self, kept, keep, Gaussian(mean, covariance), Samples(self.seed, 0, len(kept), "marginal"), draws=draws
        )

    def conditional(self, x: Tensor, given: Sequence[int], draws: int) -> LogProb:
        """The log-densities of all other features of `x` given those of `given`: log p(x) - log p(given)."""
        part, whole = self.marginal(x.double()[:, list(given)], given, draws), self(x)
        return LogProb(
            whole.value - part.value,
            torch.hypot(whole.standard_error, part.standard_error),
            whole.solver_error + part.solver_error,
            whole.end_error + part.end_error,
            whole.truncation - part.truncation,
            whole.evaluations + part.evaluations,
        )
