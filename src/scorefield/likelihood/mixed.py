"""Log-probabilities of rows of numbers and categories, by the chain rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data.variables import ABSENT, FREE, GIVEN, Variables
from ..denoisers import Gaussian
from ..denoisers.questions import chain
from ..diffusion import Diffusion
from ..rng import Samples
from ..units import Units
from .base import LogProb

__all__ = ["MixedDensity"]

_PLACES = 8  # in the cells of a row, over which densities are averaged

StateDensity = Callable[[Diffusion, Tensor, int], LogProb]


@dataclass(frozen=True)
class MixedDensity:
    """Log-probabilities of mixed rows: of categories one after another, then of numbers given all categories.

    The probability of a category given some others is one evaluation of the denoiser at a level where nothing is left of
    itself. The log-density of the numbers is that of the probability flow of their conditional distribution. Where values stand
    for cells (whole numbers, atoms), their probability is the mean of the density over places in the cells times their volume.
    The result is a log-density with respect to the continuous columns, and a log-probability for all others.

    Arguments:
        diffusion: The diffusion, whose denoiser knows conditionals.
        units: The units, with `variables`.
        density: The log-densities of states of a diffusion; its third argument is the number of the draw.
        seed: The seed of the places.

    Raises:
        ValueError: If the denoiser does not know conditionals: with guidance, or a measurement.
    """

    diffusion: Diffusion
    units: Units
    density: StateDensity
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.diffusion.denoiser.completes:
            what = f"{type(self.diffusion.denoiser).__name__} has no log-probabilities of mixed rows"
            raise ValueError(f"{what}: take the model without guidance, classifiers and measurements")

    def __call__(self, x: Tensor, of: Tensor | None = None, given: Tensor | None = None) -> LogProb:
        """The log-probabilities of rows.

        Arguments:
            x: Rows of data, `(N, C)` in float64; NaN where a value is missing.
            of: Whose marginal: true for these columns, `(C,)`; of all that are not given by default.
            given: Which columns are conditioned on, true or false, `(C,)`; none by default.

        Returns:
            The log-probabilities in nats, `(N,)`, with their errors.
        """
        x = x.to(self.units.device)
        known = torch.zeros(x.shape[1], dtype=torch.bool) if given is None else given
        wanted = ~known if of is None else of
        known, wanted = (flags.to(x.device).expand(x.shape) for flags in (known, wanted))
        count = _PLACES if self.units.has_cells else 1
        found = []
        for k in range(count):
            place = Samples(self.seed, 0, len(x), f"place {k}").uniform(tuple(x.shape), torch.float64, x.device)
            found.append(self._at(x, place if count > 1 else None, known, wanted, k))
        return found[0] if count == 1 else _mean_over_places(found)

    def _at(self, x: Tensor, place: Tensor | None, known: Tensor, wanted: Tensor, draw: int) -> LogProb:
        """The log-probabilities with values at places in their cells."""
        state = self.units(x, place)
        status = torch.where(self.units.status(known, x) == GIVEN, GIVEN, ABSENT)
        targets = (self.units.status(wanted, x) == GIVEN) & (status != GIVEN)
        chain, status, evaluations = self._categories(state, status, targets)
        numbers = targets[:, : self._numbers]
        status[:, : self._numbers] = torch.where(numbers, FREE, status[:, : self._numbers])
        volume = self.units.log_volume(torch.where(wanted & ~known, x, torch.nan), place)
        found = self._flow(state, status, numbers, draw).plus((chain + volume).cpu())
        return replace(found, evaluations=found.evaluations + evaluations)

    @property
    def _variables(self) -> Variables:
        return self.units.variables or Variables(math.prod(self.units.state_shape))

    @property
    def _numbers(self) -> int:
        return self._variables.numbers

    def _categories(self, state: Tensor, status: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
        """The log-probability of the categories of each row, one given the ones before; what is known after them."""
        variables = self._variables
        total, status, evaluations = state.new_zeros(len(state), dtype=torch.float64), status.clone(), 0
        for i in chain(variables):
            variable, (begin, end) = variables.numbers + i, variables.blocks[i]
            rows = targets[:, variable].nonzero()[:, 0]
            if not len(rows):
                continue
            denoiser = self.diffusion.denoiser.samples(rows)
            logs = denoiser.category_log_probs(state[rows], status[rows], i)
            code = state[rows, begin:end].argmax(1, keepdim=True)
            total[rows] += logs.gather(1, code)[:, 0].double()
            status[rows, variable] = GIVEN
            evaluations += 1
        return total, status, evaluations

    def _flow(self, state: Tensor, status: Tensor, numbers: Tensor, draw: int) -> LogProb:
        """The log-density of the free numbers of each row, given all else that is known: rows of one pattern together."""
        zero = torch.zeros(len(state), dtype=torch.float64)
        found = LogProb(zero, zero, zero, zero, zero, torch.zeros(len(state), dtype=torch.int64))
        patterns, kind = torch.unique(numbers, dim=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            rows, free = (kind == i).nonzero()[:, 0], pattern.nonzero()[:, 0]
            if not len(free):
                continue
            denoiser = self.diffusion.denoiser.samples(rows).restricted(state[rows], status[rows])
            diffusion = replace(self.diffusion, denoiser=denoiser, moments=self._moments(free))
            found = found.put(rows.cpu(), self.density(diffusion, state[rows][:, free], draw))
        return found

    def _moments(self, free: Tensor) -> Gaussian | None:
        """The moments of some numbers."""
        moments = self.diffusion.moments
        if moments is None:
            return None
        covariance = moments.covariance[free] if moments.diagonal else moments.covariance[free][:, free]
        return Gaussian(moments.mean[free], covariance)


def _mean_over_places(found: list[LogProb]) -> LogProb:
    """The log of the mean probability over places, with its standard error."""
    values = torch.stack([part.value for part in found])
    value = values.logsumexp(0) - math.log(len(found))
    weights = (values - value).exp()
    spread = weights.std(0) / math.sqrt(len(found))
    names = ("standard_error", "solver_error", "end_error", "truncation")
    errors = {name: (weights * torch.stack([getattr(part, name) for part in found])).mean(0) for name in names}
    errors["standard_error"] = torch.hypot(spread, errors["standard_error"])
    evaluations = torch.stack([part.evaluations for part in found]).sum(0)
    return LogProb(value=value, evaluations=evaluations, **errors)
