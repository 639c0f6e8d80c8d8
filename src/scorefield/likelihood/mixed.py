"""Log-probabilities of rows of numbers and categories, by the chain rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data.variables import ABSENT, FREE, GIVEN, Variables
from ..denoisers import Denoiser, Gaussian
from ..denoisers.questions import chain
from ..diffusion import Diffusion
from ..progress import mapped, part, report
from ..units import Units
from .base import LogProb
from .places import mean_of_logs, mean_over_places, moving, places, spread_over_places

__all__ = ["MixedDensity"]

_SURE = 0.05  # nats, a standard error above which a row takes more places in its cells
_MORE = (1, 2, 4)  # times as many again, one after another

StateDensity = Callable[[Diffusion, Tensor, int], LogProb]


@dataclass(frozen=True)
class MixedDensity:
    """Log-probabilities of mixed rows: of categories one after another, then of numbers given all categories.

    The probability of a category given some others is one evaluation of the denoiser at a level where nothing is left of
    itself. The log-density of the numbers is that of the probability flow of their conditional distribution. Where values stand
    for cells (whole numbers, atoms), the density is averaged over places in the cells: more of them
    for rows whose mean is not sure. The result is a log-density with respect
    to the columns of numbers (for whole numbers, a log-probability), and a log-probability for categories and atoms.

    Arguments:
        diffusion: The diffusion, whose denoiser knows conditionals.
        units: The units, with `variables`.
        density: The log-densities of states of a diffusion; its third argument is the number of the draw.
        seed: The seed of the places.
        observed: Of densities of rows that miss nothing, whether each column never misses in the data: whether others do is
            taken to depend on these alone (missing at random), and not part of a row then. None where it is.
        together: Whether all places are solved in one batch, for densities that draw nothing: a few rows then take as many
            steps as the slowest of them, not the sum over places.

    Raises:
        ValueError: If the denoiser does not know conditionals: with guidance, or a measurement.
    """

    diffusion: Diffusion
    units: Units
    density: StateDensity
    seed: int = 0
    together: bool = False
    observed: tuple[bool, ...] | None = None

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
        if not self.units.has_cells:
            return self._at(x, None, known, wanted, 0)
        inside = self._places(x, known, 0)
        alone = (moving([self.units(x, place) for place in inside]) <= 1).cpu()
        parts = self._parts(x, inside, known, wanted, 0)
        found, rows, number = mean_over_places(parts, alone), torch.arange(len(x)), 1
        for sets in _MORE:
            unsure = (spread_over_places(parts, alone[rows]) > _SURE).nonzero()[:, 0]
            if not len(unsure):
                break
            rows, parts = rows[unsure], [part.at(unsure) for part in parts]
            there = rows.to(x.device)
            some = replace(self, diffusion=self.diffusion.samples(there))
            for _ in range(sets):
                inside = [place[there] for place in self._places(x, known, number)]
                parts += some._parts(x[there], inside, known[there], wanted[there], number)
                number += 1
            found = found.put(rows, mean_over_places(parts, alone[rows]))
        return found

    def mean(self, x: Tensor) -> LogProb:
        """The mean over places of the logs, which for lower bounds is a lower bound; of rows `(N, C)`."""
        x = x.to(self.units.device)
        wanted = torch.ones_like(x, dtype=torch.bool)
        if not self.units.has_cells:
            return self._at(x, None, ~wanted, wanted, 0)
        return mean_of_logs(self._parts(x, self._places(x, ~wanted, 0), ~wanted, wanted, 0))

    def _places(self, x: Tensor, known: Tensor, number: int) -> list[Tensor]:
        """Places in the cells, of known values those at which networks learn them."""
        return [torch.where(known, self.units.drawn(u), u) for u in places(self.units, x, self.seed, number)]

    def _parts(self, x: Tensor, inside: list[Tensor], known: Tensor, wanted: Tensor, number: int) -> list[LogProb]:
        """The log-probabilities at places in the cells."""
        count = len(x)
        if self.together:
            rows, flags, targets = (each.repeat(len(inside), 1) for each in (x, known, wanted))
            found = self._at(rows, torch.cat(inside), flags, targets, 0)
            return [found.at(slice(k * count, (k + 1) * count)) for k in range(len(inside))]
        first = number * len(inside)
        return [*mapped(lambda k: self._at(x, inside[k], known, wanted, first + k), range(len(inside)))]

    def _at(self, x: Tensor, place: Tensor | None, known: Tensor, wanted: Tensor, draw: int) -> LogProb:
        """The log-probabilities with values at places in their cells."""
        state = self.units(x, place)
        status = torch.where(self.units.status(known, x) == GIVEN, GIVEN, ABSENT)
        targets, counted = self.units.targets(wanted, known, x)
        chain, status, evaluations = self._categories(state, status, targets)
        if self.observed is not None:
            missing, count = self._missingness(state, known, wanted, x, targets)
            chain, evaluations = chain - missing, evaluations + count
        numbers = targets[:, : self._numbers]
        status[:, : self._numbers] = torch.where(numbers, FREE, status[:, : self._numbers])
        volume = self.units.log_volume(x, place, counted)
        found = self._flow(state, status, numbers, draw).plus((chain + volume).cpu())
        return replace(found, evaluations=found.evaluations + evaluations)

    def _missingness(
        self, state: Tensor, known: Tensor, wanted: Tensor, x: Tensor, targets: Tensor
    ) -> tuple[Tensor, int]:
        """The log-probability that the wanted values miss as they do, given the columns that never miss.

        Without it a log-density is that of rows that were observed like this one. p(row, pattern) = p(row) P(pattern | row),
        and the last factor depends on columns that never miss alone.

        Raises:
            ValueError: If values that may miss are wanted, and not all columns that never miss are wanted or known.
        """
        indicators = sorted({v for v in self._variables.indicators if v >= 0})
        asked = torch.zeros_like(targets)
        asked[:, indicators] = targets[:, indicators]
        always = torch.tensor(self.observed, device=x.device).expand(x.shape)
        if bool(asked.any()) and bool((always & ~(known | wanted)).any()):
            what = "a marginal of columns that miss values depends on the columns that never miss"
            raise ValueError(f'{what}: take these into it, condition on them, or fit with missing="draw"')
        status = torch.where(self.units.status(always, x) == GIVEN, GIVEN, ABSENT)
        before = self.units.status(known, x)[:, indicators] == GIVEN
        status[:, indicators] = torch.where(before, GIVEN, ABSENT)
        total, _, evaluations = self._categories(state, status, asked)
        return total, evaluations

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
        if not numbers.shape[1]:
            return found
        patterns, kind = torch.unique(numbers, dim=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            report(i / len(patterns))
            rows, free = (kind == i).nonzero()[:, 0], pattern.nonzero()[:, 0]
            if not len(free):
                continue
            denoiser = self.diffusion.denoiser.samples(rows).restricted(state[rows], status[rows])
            level = self.diffusion.process.level(torch.ones((), dtype=torch.float64, device=state.device))
            with torch.no_grad():  # where noise is all there is, the answer is the mean
                mean = denoiser(state.new_zeros(len(rows), len(free)), level.to(state))
            diffusion = replace(self.diffusion, denoiser=_Centred(denoiser, mean), moments=self._moments(free))
            with part(i / len(patterns), (i + 1) / len(patterns)):
                found = found.put(rows.cpu(), self.density(diffusion, state[rows][:, free] - mean, draw))
        return found

    def _moments(self, free: Tensor) -> Gaussian | None:
        """The moments of some numbers less their means."""
        moments = self.diffusion.moments
        if moments is None:
            return None
        covariance = moments.covariance[free] if moments.diagonal else moments.covariance[free][:, free]
        return Gaussian(torch.zeros_like(moments.mean[free]), covariance)


class _Centred(Denoiser):
    """The denoiser of data less a mean, which may differ from row to row: the prior then has the right mean for each."""

    mean: Tensor

    def __init__(self, denoiser: Denoiser, mean: Tensor) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.register_buffer("mean", mean)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        centred: Tensor = self.denoiser(x + self.mean, level) - self.mean
        return centred

    @property
    def contexts(self) -> int:
        return len(self.mean)

    def samples(self, index: Tensor) -> Denoiser:
        return _Centred(self.denoiser.samples(index), self.mean[index.to(self.mean.device) % len(self.mean)])
