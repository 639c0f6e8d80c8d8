"""Log-densities in the units of the data, one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data.variables import GIVEN
from ..denoisers import Gaussian
from ..diffusion import Diffusion
from ..distributed import each
from ..progress import mapped, report
from ..rng import Samples
from ..units import Units
from .base import LogProb
from .bound import Bound, bound
from .discrete import BitsPerDim, bits_of, bits_per_dim
from .marginal import marginal
from .mixed import MixedDensity
from .places import mean_of_logs, mean_over_places, moving, places
from .probability_flow import is_exact, log_prob

__all__ = ["MIXED_TOLERANCE", "DataDensity"]

MIXED_TOLERANCE = 1e-3
"""The default for data with categories, atoms or missing values, whose log-probabilities other errors limit."""


@dataclass(frozen=True)
class DataDensity:
    """Log-densities by a diffusion of standardized data, in the units of the data and the tensor layout of networks.

    The probes and draws of example i depend on the seed and on i alone, whatever the batch size.

    Arguments:
        diffusion: The diffusion of standardized data.
        units: The standardization.
        batch: How many examples are solved at once.
        seed: The seed of all random numbers.
        probes, tolerance, target_error, extrapolate: As for `log_prob`; the tolerance is 1e-3 by default where data hold
            categories, atoms or missing values.
        shared: Whether several processes share the batches; then all of them must ask for the same.
        observed: As for `MixedDensity`.
    """

    diffusion: Diffusion
    units: Units
    batch: int
    seed: int = 0
    probes: int | None = None
    tolerance: float | None = None
    target_error: float | None = None
    extrapolate: bool = False
    shared: bool = False
    observed: tuple[bool, ...] | None = None

    def _parts(self, state: Tensor) -> Iterator[tuple[Diffusion, Tensor, int]]:
        """Batches of states, each with the denoiser for its samples and the index of the first."""
        self.diffusion.check_rows(len(state))
        start = 0
        for part in state.split(self.batch):  # type: ignore[no-untyped-call]
            yield self.diffusion.samples(start + torch.arange(len(part))), part, start
            start += len(part)

    def _states(self, x: Tensor) -> Tensor:
        """Data in standard units."""
        state: Tensor = self.units(x.double().to(self.units.device))
        return state

    def __call__(self, x: Tensor, draw: int = 0) -> LogProb:
        """The log-densities at `x`, of shape `(N, *D)`; each `draw` has its own probes."""
        if self.units.variables is not None:
            return self._mixed(x)
        x = x.double().to(self.units.device)
        if not self.units.has_cells:
            return self.of_states(self.diffusion, self._states(x), draw).plus(self.units.log_volume(x).cpu())

        inside = places(self.units, x, self.seed)

        def at(place: Tensor) -> LogProb:
            part = self.of_states(self.diffusion, self.units(x, place), draw)
            return part.plus(self.units.log_volume(x, place).cpu())

        alone = moving([self.units(x, place) for place in inside]) <= 1
        return mean_over_places([*mapped(at, inside)], alone)

    def _mixed(self, x: Tensor, **which: Tensor) -> LogProb:
        """Log-probabilities of mixed rows; of few rows, whose divergence is exact, at all places in their cells at once."""
        together = is_exact(self.units.state_shape, self.probes) and len(x) <= self.batch
        return MixedDensity(self.diffusion, self.units, self.of_states, self.seed, together, self.observed)(x, **which)

    def of_states(self, diffusion: Diffusion, state: Tensor, draw: int = 0) -> LogProb:
        """The log-densities of states by a diffusion."""
        mixed = self.units.variables is not None or any(self.units.atoms)
        mixed = mixed and self.tolerance is None and self.target_error is None
        tolerance = MIXED_TOLERANCE if mixed else self.tolerance

        def solved(batch: tuple[Diffusion, Tensor, int]) -> LogProb:
            some, part, start = batch
            rng = Samples(self.seed, start, len(part), f"probe {draw}" if draw else "probe")
            settings = self.probes, tolerance, rng, self.target_error, self.extrapolate
            return log_prob(some, part, *settings).cpu()

        batches = list(replace(self, diffusion=diffusion)._parts(state))
        if not self.shared:
            return LogProb.join([*mapped(solved, batches)])

        def stacked(batch: tuple[Diffusion, Tensor, int]) -> Tensor:
            found = solved(batch).stacked()
            report((batch[2] + len(batch[1])) / len(state))
            return found

        return LogProb.unstacked(torch.cat(each(stacked, batches)))

    def bound(self, x: Tensor, draws: int) -> Bound:
        """Lower bounds on the log-densities of the SDE model at `x`."""
        x = x.double().to(self.units.device)

        def of_states(diffusion: Diffusion, state: Tensor, draw: int = 0) -> LogProb:
            zero = torch.zeros(len(state), dtype=torch.float64)

            def solved(batch: tuple[Diffusion, Tensor, int]) -> Bound:
                some, part, start = batch
                return bound(
                    some, part, Samples(self.seed, start, len(part), f"bound {draw}" if draw else "bound"), draws
                )

            batches = replace(self, diffusion=diffusion)._parts(state)
            parts = [*mapped(solved, batches, -(-len(state) // self.batch))]
            names = ("value", "standard_error", "evaluations")
            value, error, evaluations = (torch.cat([getattr(part, name) for part in parts]).cpu() for name in names)
            return LogProb(value, error, zero, zero, zero, evaluations)

        if self.units.variables is not None:
            found = MixedDensity(self.diffusion, self.units, of_states, self.seed, observed=self.observed).mean(x)
        elif self.units.has_cells:  # by Jensen, the mean over places is a bound, too
            parts = []
            for k, place in enumerate(places(self.units, x, self.seed)):
                part = of_states(self.diffusion, self.units(x, place), k)
                parts.append(part.plus(self.units.log_volume(x, place).cpu()))
            found = mean_of_logs(parts)
        else:
            found = of_states(self.diffusion, self._states(x)).plus(self.units.log_volume(x).cpu())
        return Bound(found.value, found.standard_error, found.evaluations)

    def bits_per_dim(self, x: Tensor, step: Tensor, draws: int) -> BitsPerDim:
        """Bits per dimension of `x` in cells of width `step`; of units that know the cells, those of the log-probabilities."""
        if self.units.has_cells or self.units.variables is not None:
            return bits_of(self(x), x[0].numel())
        return bits_per_dim(self, x.double(), step, Samples(self.seed, 0, len(x), "cell"), draws)

    def marginal(self, kept: Tensor, keep: Sequence[int], draws: int) -> LogProb:
        """The log-densities of the features `keep`, whose values are `kept`, of shape `(N, k)`.

        Raises:
            ValueError: If the diffusion has no moments of the data, or several contexts.
        """
        if self.units.variables is not None:
            known = torch.zeros(self.units.shape, dtype=torch.bool)
            known[list(keep)] = True
            x = torch.full((len(kept), *self.units.shape), torch.nan, dtype=torch.float64)
            x[:, list(keep)] = kept.double()
            return self._mixed(x, of=known)
        moments, contexts = self.diffusion.moments, self.diffusion.denoiser.contexts
        if contexts > 1:
            raise ValueError(f"marginals and conditionals need one context, got {contexts}: pass a single one")
        if moments is None:
            raise ValueError("a marginal needs the moments of the data, which this diffusion does not have")
        # in standard units: each coordinate is a function of one feature
        whole = self.units.inverse(moments.mean.double()[None].to(self.units.device)).repeat(len(kept), 1)
        whole[:, list(keep)] = kept.double().to(whole)
        known = torch.zeros(1, *self.units.shape, dtype=torch.bool)
        known[:, list(keep)] = True
        coordinates = (self.units.status(known, whole[:1]) == GIVEN)[0].nonzero()[:, 0].tolist()
        state, rates = self._states(whole), self.units.state_errors(whole, torch.ones_like(whole))
        moments = Gaussian(moments.mean.double().cpu(), moments.covariance.double().cpu())
        rng = Samples(self.seed, 0, len(kept), "marginal")

        def density(states: Tensor) -> LogProb:
            return self.of_states(self.diffusion, states.to(self.units.device))

        found = marginal(density, state[:, coordinates].cpu(), coordinates, moments, rng, draws=draws)
        return found.plus(rates[:, coordinates].log().sum(1).cpu())

    def of_known(self, x: Tensor, known: Tensor) -> LogProb:
        """The log-densities of all values that are not known given those that are, true or false, both `(N, C)`."""
        return self._mixed(x.double(), given=known)

    def conditional(self, x: Tensor, given: Sequence[int], draws: int) -> LogProb:
        """The log-densities of all other features of `x` conditional on those of `given`: log p(x) - log p(given).

        Categories alone, and numbers that training asked for, are asked for: networks of mixed data answer that better.
        """
        if (variables := self.units.variables) is not None:
            known = torch.zeros(self.units.shape, dtype=torch.bool, device=self.units.device)
            known[list(given)] = True
            wanted = self.units.variables_of(~known)
            numbers, categories = bool(wanted[: variables.numbers].any()), bool(wanted[variables.numbers :].any())
            if not numbers or (not categories and self.diffusion.denoiser.asked_for(wanted)):
                return self._mixed(x.double(), given=known)
        return self(x).minus(self.marginal(x.double()[:, list(given)], given, draws))
