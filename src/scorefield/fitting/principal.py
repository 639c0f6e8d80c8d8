"""Mixtures of Gaussians in the principal components of grids: what a network for them starts from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..denoisers import Denoiser, PrincipalMixture, share_of_network
from ..progress import part
from ..rng import Samples, permutation, torch_seeded
from ..training import flipped
from .mixture import fit_mixture_of_many
from .prepared import Prepared

__all__ = ["PrincipalFit", "fit_principal_mixture", "quarter_removed", "trusted_level"]

_ROWS = 60_000  # that are looked at, at most
_MIXED, _ALL = 60, 128  # components whose mixture is fitted, and that are known one by one, at most
_PER_MIXED, _PER_DIRECTION = 50, 10  # rows that are needed for each of them, at least
_NUMBERS = 2**21  # in the directions, at most
_SMALL = 1024  # numbers in a sample, up to which the covariance is computed as a whole
_IN_MEMORY, _IN_ALL = 2**23, 2**28  # numbers of rows at once, and of all rows that are looked at
_LOOKED_AT = 256  # examples to find a level
_APART = 5  # one of so many rows measures variances
_STREAM = -30  # of the rows that are looked at
_LOST = 0.02  # nats, of a whole sample: no probability differs by more than 0.1
_FINE = 512  # levels between those where losses are known
_FEWEST = 50  # held-out rows, to say what is lost


class PrincipalFit(NamedTuple):
    """A fitted mixture in principal components.

    Arguments:
        mixture: The mixture.
        components: How many Gaussians it has.
        dimensions: How many directions they are fitted in.
    """

    mixture: PrincipalMixture
    components: int
    dimensions: int


def fit_principal_mixture(prepared: Prepared, width: float) -> PrincipalFit | None:
    """Fits a mixture of Gaussians to the first principal components of the training data, and one Gaussian to all others.

    Arguments:
        prepared: The data; where mirrored forms are as probable, these are looked at as well.
        width: The standard deviation that Gaussians have at least in the directions of the mixture.

    Returns:
        The mixture; None for too few data.

    References:
        Tipping & Bishop, 1999, Mixtures of probabilistic principal component analysers; Halko, Martinsson & Tropp, 2011, for
        the components of large grids.
    """
    source = _Source.of(prepared)
    n, count = source.numbers, len(source.places)
    mixed = min(n, _MIXED, count // _PER_MIXED, source.together // _PER_DIRECTION)
    if mixed < 1:
        return None
    known = max(mixed, min(n, _ALL, _NUMBERS // n, source.together // _PER_DIRECTION))
    with part(0, 0.3):
        mean, vectors, values, rest = _components(source, known)
    with part(0.3, 0.5):
        coordinates = torch.cat([(x - mean) @ vectors[:, :mixed] for x in source.parts()])
    with part(0.5, 1):
        mixture = fit_mixture_of_many(coordinates, prepared.seed, width, source.groups)
    found = PrincipalMixture(mean.reshape(prepared.shape), vectors, mixture, values[mixed:], rest)
    return PrincipalFit(found, len(mixture.weights), mixed)


def quarter_removed(denoiser: Denoiser, x: Tensor, scale: float = 1.0) -> float:
    """The level at which a denoiser removes a quarter of the variance of the noise: below it removes less.

    Arguments:
        denoiser: The denoiser.
        x: Standardized data, of shape `(M, *D)`, of which some are looked at.
        scale: The standard deviation of these.

    Returns:
        The level, between 0.02 and 3 times the scale.

    Example:
        >>> from ..denoisers import Gaussian
        >>> x = torch.randn(1000, 50, generator=torch.Generator().manual_seed(0))
        >>> exact = Gaussian(torch.zeros(50), torch.ones(50))  # it leaves σ² / (1 + σ²)
        >>> 2.6 < quarter_removed(exact, x) ** -2 < 3.4  # 1 / (1 + σ²) = 3/4
        True
    """
    x = x[: max(16, min(_LOOKED_AT, 2**20 // x[0].numel()))]
    noise = Samples(0, 0, len(x), "quarter removed").normal(tuple(x.shape), x.dtype)
    low, high = math.log(0.02 * scale), math.log(3 * scale)
    for _ in range(8):
        middle = (low + high) / 2
        level = torch.tensor(math.exp(middle), dtype=x.dtype)
        with torch.no_grad():
            left = (denoiser(x + level * noise, level) - x).square().mean() / level**2
        low, high = (middle, high) if float(left) > 0.75 else (low, middle)
    return math.exp((low + high) / 2)


def trusted_level(levels: Tensor, learned: Tensor, baseline: Tensor, weights: Tensor, numbers: int) -> float | None:
    """The level above which a mixture serves as well as the network that was trained to correct it.

    By the loss of each, ∫ (‖D_B - x_0‖² - ‖D - x_0‖²) / σ² d ln σ above a level is how much farther from the distribution of
    the data, in nats, the distribution that sampling has at this level is with the answers of the mixture (Song et al., 2021).
    It is the smallest level for which that is at most 0.02 nats, two standard errors of held-out rows included, and what is
    lost where the network fades in below it.

    Arguments:
        levels: Noise levels that increase, of shape `(L,)`.
        learned: The losses of the network on held-out rows, `(N, L)`.
        baseline: Those of the mixture, with the same noise.
        weights: The weights of the losses, w ‖D - x_0‖² / n, of shape `(L,)`.
        numbers: How many numbers n a sample has.

    Returns:
        The level; None if the network is better up to the largest levels, or held-out rows are too few to say.

    References:
        Song et al., 2021, Maximum likelihood training of score-based diffusion models, Theorem 1.

    Example:
        >>> levels, rows = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.ones(200, 1)
        >>> gain = torch.tensor([0.3, 0.02, 0.0, 0.0]) * rows
        >>> 1.7 < trusted_level(levels, 1 - gain, torch.ones(200, 4), 1 / levels**2, 1) < 1.9
        True
    """
    if len(learned) < _FEWEST:
        return None
    rates = (numbers * (baseline - learned) / (weights * levels**2)).double()
    ends = levels.double().log()
    fine = torch.linspace(float(ends[0]), float(ends[-1]), _FINE, dtype=torch.float64)
    right = torch.searchsorted(ends, fine).clamp(1, len(ends) - 1)
    part = (fine - ends[right - 1]) / (ends[right] - ends[right - 1])
    between = rates[:, right - 1] + part * (rates[:, right] - rates[:, right - 1])
    asked = share_of_network(fine.exp(), fine.exp()[:, None])  # a row for each level that may be trusted
    lost = between @ ((1 - asked) ** 2).T * float(fine[1] - fine[0])
    bound = lost.mean(0) + 2 * lost.std(0) / math.sqrt(len(lost))
    bad = (bound > _LOST).nonzero().flatten()
    first = 0 if len(bad) == 0 else int(bad[-1]) + 1
    return None if first > _FINE * (1 - 1 / len(levels)) else float(fine[first].exp())


class _Source(NamedTuple):
    """Training rows at some places, in standard units.

    Arguments:
        prepared: The data.
        places: Which rows.
        groups: The group of each, `(N,)`, if rows belong to groups.
        apart: Which of them measure variances along directions that the others have chosen, `(N,)`: along those of their own
            choice variances are too large.
        numbers: How many numbers a row has.
        together: How many rows are in memory at once, at most.
    """

    prepared: Prepared
    places: list[int]
    groups: np.ndarray | None
    apart: Tensor
    numbers: int
    together: int

    @classmethod
    def of(cls, prepared: Prepared) -> _Source:
        rows, split = prepared.split.train, prepared.split
        numbers = prepared.moments.mean.numel()
        places = permutation(len(rows), prepared.seed, _STREAM)[: min(_ROWS, max(1, _IN_ALL // numbers))]
        groups = None if split.groups is None else split.groups[split.places[0][places]]
        together = max(1, min(len(places), _IN_MEMORY // numbers))
        unit = np.arange(len(places)) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
        unit = unit if int(unit.max()) > 0 else np.arange(len(places))  # one group cannot be divided but by its rows
        apart = torch.from_numpy(permutation(int(unit.max()) + 1, prepared.seed, _STREAM - 1)[unit] % _APART == 0)
        return cls(prepared, places.tolist(), groups, apart, numbers, together)

    def parts(self) -> Iterator[Tensor]:
        """All rows, some after the other, `(M, n)`."""
        for start in range(0, len(self.places), self.together):
            where = self.places[start : start + self.together]
            x = self.prepared.states(self.prepared.split.train, where, "principal components")
            if self.prepared.mirror:
                axes = self.prepared.mirror
                u = Samples(self.prepared.seed, start, 1, "mirrored").uniform((1, len(x) * len(axes)), torch.float32)
                x = flipped(x, axes, u.reshape(len(x), len(axes)) < 0.5)
            yield x.flatten(1)


def _components(source: _Source, known: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The mean `(n,)`, the first principal directions `(n, known)`, the variances along them `(known,)` and elsewhere `()`."""
    n = source.numbers
    if n <= _SMALL:
        moments = [_Moments(n), _Moments(n)]
        for i, x in enumerate(source.parts()):
            apart = source.apart[i * source.together :][: len(x)]
            for found, rows in zip(moments, (x[~apart], x[apart])):
                found.add(rows)
        mean = (moments[0].total + moments[1].total) / len(source.places)
        first, second = (found.covariance(mean) for found in moments)
        vectors = torch.linalg.eigh(first)[1].flip(1)[:, :known]
        values, total = ((second @ vectors) * vectors).sum(0), second.trace()
    else:
        x = next(source.parts())
        mean, apart = x.mean(0), source.apart[: len(x)]
        centred, others = (x - mean)[~apart], (x - mean)[apart]
        with torch_seeded(source.prepared.seed):
            vectors = torch.svd_lowrank(centred, min(known + 8, *centred.shape), niter=4)[2][:, :known]
        values, total = (others @ vectors).square().mean(0), others.square().sum(1).mean()
    rest = (total - values.sum()).clamp_min(0) / max(n - known, 1)
    return mean.float(), vectors.float().contiguous(), values.float().clamp_min(0), rest.float()


class _Moments:
    """Sums over rows `(M, n)`, from which their covariance follows."""

    def __init__(self, n: int) -> None:
        self.count = 0
        self.total, self.square = torch.zeros(n, dtype=torch.float64), torch.zeros(n, n, dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Adds rows."""
        self.count += len(x)
        self.total += x.double().sum(0)
        self.square += (x.mT @ x).double()

    def covariance(self, mean: Tensor) -> Tensor:
        """The covariance around a mean."""
        cross = self.total[:, None] * mean / max(self.count, 1)
        return self.square / max(self.count, 1) - cross - cross.mT + mean[:, None] * mean
