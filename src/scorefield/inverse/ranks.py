"""Ranks of the truth among posterior draws, by quantities in which posteriors go wrong, with one exact test of all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..metrics.base import stream
from ..progress import report

__all__ = ["RankTest", "rank_test"]

_FEW = 16  # up to this many numbers each is ranked, and directions are looked for among all of them
_MEASURED, _PROJECTED = 8, 2  # as many measured quantities are ranked, of which so many at random where there are more
_INFORMED, _THIN, _WIDE = 6, 2, 4  # directions of either kind
_PRINCIPAL, _REGIONS = 4, (2, 3, 6)  # principal directions of draws, and regions that their space is divided into
_DENSE = 512  # up to this many numbers the covariance of draws is a matrix
_TINY = 1e-300
_ROUNDS = 8  # of k-means
_CELLS = 2**24  # numbers held in memory at once


@dataclass(frozen=True)
class RankTest:
    """Whether the truth ranks evenly among the draws, by every quantity at once.

    Arguments:
        quantities: What was ranked, C names: coordinates, measured quantities, the misfit, directions, distances.
        p_values: The p-value of each quantity by itself, `(C,)`.
        p_value: That of all of them together.
        shift: How far the truth lies above the draws, as a mean normal score with standard error 1, `(C,)`.
        spread: How much wider the draws would have to be, as an excess of squared normal scores with standard error 1, `(C,)`:
            above 0 draws are too narrow, below too wide.
        simulations, draws: How many data there were, and draws of each.
    """

    quantities: tuple[str, ...]
    p_values: np.ndarray
    p_value: float
    shift: np.ndarray
    spread: np.ndarray
    simulations: int
    draws: int

    def passed(self, level: float = 0.01) -> bool:
        """Whether the test does not reject at this level."""
        return self.p_value > level

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if self.passed():
            what = f"{len(self.quantities)} quantities rank evenly in {self.simulations:,} simulations"
            return f"{what} (p = {self.p_value:.2g})."
        order = np.lexsort((-np.maximum(np.abs(self.shift), np.abs(self.spread)), self.p_values))
        worst = [i for i in order if self.p_values[i] <= 0.01][:4]
        found = ", ".join(f"{self.quantities[i]} ({self._fault(i)})" for i in worst) or "no single one"
        return f"The truth does not rank evenly among the draws (p = {self.p_value:.2g}), worst by: {found}."

    def _fault(self, i: int) -> str:
        shift, spread = float(self.shift[i]), float(self.spread[i])
        if max(abs(shift), abs(spread)) < 3:
            return "unevenly"
        if abs(shift) > abs(spread):
            return "draws too low" if shift > 0 else "draws too high"
        return "draws too narrow" if spread > 0 else "draws too wide"


def rank_test(
    pool: Tensor, measured: Tensor, misfit: Tensor, axes: Tensor | None = None, randomizations: int = 999, seed: int = 0
) -> RankTest:
    """Tests whether the truth behind each simulated measurement can be distinguished from the draws that were made from it.

    Given a measurement, the truth and L right draws are exchangeable. So is every quantity that is computed from one of these
    L + 1 points and from all of them as a set. Ranked are: coordinates; measured quantities A(x); the misfit; the directions
    that the measurement informs most and least, and the thinnest ones; how isolated a point is among the others, which sees
    weights of modes that are wrong in another sense for each measurement. For each the ranks are tested for a shift, for their
    spread, and by their Kolmogorov distance; a last test takes the direction in which the truth lies worst, whichever it is.
    The null distribution of the largest of all these statistics is made by randomization, so that the level is exact.

    Arguments:
        pool: The truth and, after it, L draws of the posterior given its measurement, `(N, L + 1, n)`.
        measured: A(x) for each of them, `(N, L + 1, m)`.
        misfit: -log p(y | x) for each of them, `(N, L + 1)`.
        axes: Directions in place of coordinates, `(n, P)`; by default coordinates where there are few, random ones otherwise.
        randomizations: How often another draw takes the place of the truth; the smallest p-value is one over this, about.
        seed: The seed of ties, directions and randomizations.

    Raises:
        ValueError: If there are fewer than 8 simulations, or values are not finite.

    Example:
        >>> x = torch.from_numpy(np.random.default_rng(0).normal(size=(200, 21, 2)))  # a prior, and no measurement
        >>> y, wide = torch.zeros(200, 1, 1), torch.cat([x[:, :1], 1.5 * x[:, 1:]], 1)
        >>> [rank_test(each, each[:, :, :1], each[:, :, 0] ** 2).passed() for each in (x, wide)]
        [True, False]
    """
    if len(pool) < 8:
        raise ValueError(f"ranks need at least 8 simulations, and hundreds for any power, got {len(pool)}")
    if not all(bool(each.isfinite().all()) for each in (pool, measured, misfit)):
        raise ValueError("the draws hold NaN or infinite values: drop these simulations, or fix the sampler")
    pool, measured, misfit = (each.double().cpu() for each in (pool, measured, misfit))
    names, columns, whitened, regions = _quantities(pool, measured, misfit, axes, seed)
    ranks = _ranks(columns.numpy(), seed)
    count, places, _ = ranks.shape
    rng = stream(seed, "randomizations")
    chosen = np.concatenate([np.zeros((1, count), int), rng.integers(places, size=(randomizations, count))])
    statistics = np.stack([_statistics(ranks[np.arange(count), index], places) for index in chosen])
    shares = np.stack([regions[np.arange(count), index].mean(0) for index in chosen])
    parts = np.abs(statistics).transpose(0, 2, 1), _alone(np.abs(shares)), _worst(whitened.numpy(), chosen)
    sizes = np.concatenate(parts, 1)
    sizes = ((sizes - sizes.mean(0)) / np.maximum(sizes.std(0), _TINY)).max(2)
    largest = sizes.max(1)
    each, together = (
        (1 + (values[1:] >= values[0] - 1e-12).sum(0)) / (1 + randomizations) for values in (sizes, largest)
    )
    shift = np.concatenate([each[0] / np.maximum(each[1:].std(0), _TINY) for each in (statistics[:, 0], shares)])
    spread = statistics[0, 1] / np.maximum(statistics[1:, 1].std(0), _TINY)
    shift, spread = (np.pad(values, (0, len(names) - len(values))) for values in (shift, spread))
    return RankTest(names, each, float(together), shift, spread, count, places - 1)


def _alone(values: np.ndarray) -> np.ndarray:
    """One statistic for each quantity, `(K, C)`, as three that are equal."""
    return np.repeat(values[:, :, None], 3, 2)


def _quantities(
    pool: Tensor, measured: Tensor, misfit: Tensor, axes: Tensor | None, seed: int
) -> tuple[tuple[str, ...], Tensor, Tensor, np.ndarray]:
    """The names of quantities, their values `(N, L + 1, C)`, whitened coordinates `(N, L + 1, q)`, and scores of regions."""
    n, m = pool.shape[2], measured.shape[2]
    rng = stream(seed, "axes of ranks")
    if axes is None:
        axes = torch.eye(n).double() if n <= _FEW else torch.from_numpy(rng.normal(size=(n, _FEW))).double()
    sums = measured if m <= _MEASURED else measured @ _principal(measured, rng)
    directions, names, principal = _directions(pool, axes)
    along = pool @ directions
    centred = along - along.mean(1, keepdim=True)
    whitened = centred / centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-150)
    parts = [
        ([f"coordinate {i}" for i in range(axes.shape[1])], pool @ axes),
        ([f"measured quantity {i}" for i in range(sums.shape[2])], sums),
        (["misfit"], misfit[:, :, None]),
        (names, along),
        (["distance to the nearest draw", "distance to near draws", "distance to all draws"], _isolation(along)),
    ]
    found = [name for group, _ in parts for name in group]
    for regions in _REGIONS:
        found += [f"share of region {i} of {regions}" for i in range(regions)] + [
            f"share of the fuller of {regions} regions"
        ]
    return (
        (*found, "worst direction"),
        torch.cat([values for _, values in parts], 2),
        whitened,
        _regions(pool @ principal, rng),
    )


def _principal(measured: Tensor, rng: np.random.Generator) -> Tensor:
    """Projections of many measured quantities: their principal components, and some at random, `(m, 8)`."""
    flat = measured.flatten(0, 1)
    flat = flat[:: max(1, len(flat) // 4096)]
    few = _MEASURED - _PROJECTED
    main = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:few].T
    return torch.cat([main, torch.from_numpy(rng.normal(size=(flat.shape[1], _PROJECTED)))], 1)


def _directions(pool: Tensor, axes: Tensor) -> tuple[Tensor, list[str], Tensor]:
    """Directions `(n, q)` by how much narrower the draws are there than data, and by their width alone, with their names;
    and the principal directions of draws, `(n, p)`.

    They come from sums over the pools, in which the truth has no other part than each draw.
    """
    space = torch.eye(pool.shape[2]).double() if pool.shape[2] <= _DENSE else axes
    x = pool @ space
    within, total = (_covariance(each) for each in (x - x.mean(1, keepdim=True), x - x.mean((0, 1))))
    scale = total.diagonal().clamp_min(1e-300).sqrt()
    within, total = (each / scale[:, None] / scale for each in (within, total))
    root = torch.linalg.cholesky(total + 1e-12 * torch.eye(len(total)))
    inner = torch.linalg.solve_triangular(root, within, upper=False)
    vectors = torch.linalg.eigh(torch.linalg.solve_triangular(root, inner.mT, upper=False))[1]
    informed = torch.linalg.solve_triangular(root.mT, vectors, upper=True)
    thin = torch.linalg.eigh(within)[1]
    principal = space @ (thin[:, -_PRINCIPAL:].flip(1) / scale[:, None])
    if x.shape[2] <= _FEW:
        names = [f"direction {i} by information" for i in range(x.shape[2])]
        return space @ (informed / scale[:, None]), names, principal
    chosen = torch.cat([informed[:, :_INFORMED], thin[:, :_THIN], informed[:, -_WIDE:]], 1) / scale[:, None]
    names = [f"direction {i} by information" for i in range(_INFORMED)]
    names += [f"thin direction {i}" for i in range(_THIN)]
    names += [f"direction {i - _WIDE} by information" for i in range(_WIDE)]
    names += [f"principal direction {i}" for i in range(_PRINCIPAL)]
    return torch.cat([space @ chosen, principal], 1), names, principal


def _covariance(x: Tensor) -> Tensor:
    flat = x.flatten(0, 1)
    return flat.T @ flat / len(flat)


def _isolation(along: Tensor) -> Tensor:
    """How far each point is from the nearest, from near and from all others of its simulation, `(N, L + 1, 3)`."""
    unit = along / (along - along.mean(1, keepdim=True)).square().mean((0, 1)).sqrt().clamp_min(1e-150)
    near, found = max(1, round((along.shape[1] - 1) ** 0.5)), []
    for some in unit.split(max(1, _CELLS // along.shape[1] ** 2 // 8)):  # type: ignore[no-untyped-call]
        distance = torch.cdist(some, some, compute_mode="donot_use_mm_for_euclid_dist")
        ordered = distance.sort(2).values[:, :, 1:]
        found.append(torch.stack([ordered[:, :, 0], ordered[:, :, :near].mean(2), ordered.mean(2)], 2))
    return torch.cat(found)


def _ranks(values: np.ndarray, seed: int) -> np.ndarray:
    """The rank 0..L of each of the L + 1 points by each quantity, `(N, L + 1, C)`; ties are broken at random."""
    ranks, rng = np.empty(values.shape, np.int32), stream(seed, "ties")
    places = np.arange(values.shape[1], dtype=np.int32)[None, :, None]
    for i in range(0, len(values), step := max(1, _CELLS // values[0].size)):
        part = values[i : i + step]
        np.put_along_axis(ranks[i : i + step], np.lexsort((rng.random(part.shape), part), axis=1), places, 1)
    return ranks


def _regions(x: Tensor, rng: np.random.Generator) -> np.ndarray:
    """Whether each point is in each of some regions, less how many of its simulation are, and how full its own region is of
    them, less the mean of that, `(N, L + 1, E)`. Regions are found by k-means among all points, for several numbers of them.
    """
    flat, found = x.flatten(0, 1), []
    for count in _REGIONS:
        own = _clusters(flat, count, rng)
        member = torch.nn.functional.one_hot(own, count).double().reshape(*x.shape[:2], count)
        share = member.mean(1, keepdim=True)
        fullness = (member * share).sum(2, keepdim=True)
        found += [member - share, fullness - fullness.mean(1, keepdim=True)]
    return torch.cat(found, 2).numpy()


def _clusters(x: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """The cluster of each point, `(B,)`, by k-means."""
    centres = x[rng.choice(len(x), 1)]
    while len(centres) < count:  # the farthest of some from those chosen
        some = x[rng.choice(len(x), min(len(x), 64), replace=False)]
        centres = torch.cat([centres, some[torch.cdist(some, centres).min(1).values.argmax()][None]])
    for _ in range(_ROUNDS):
        own = torch.cdist(x, centres).argmin(1)
        filled = torch.bincount(own, minlength=count)[:, None]
        centres = torch.where(
            filled > 0, torch.zeros_like(centres).index_add_(0, own, x) / filled.clamp_min(1), centres
        )
    return own


def _statistics(ranks: np.ndarray, places: int) -> np.ndarray:
    """The mean normal score, the mean squared one less its mean, and the Kolmogorov distance, `(3, C)`, of ranks `(N, C)`."""
    scores = torch.special.ndtri(torch.arange(1, 2 * places, 2).double() / (2 * places)).numpy()
    taken = scores[ranks]
    count, columns = ranks.shape
    table = np.bincount((ranks + places * np.arange(columns)).ravel(), minlength=places * columns)
    table = table.reshape(columns, places).T / count - 1 / places
    folded = table + table[::-1]
    distance = np.maximum(np.abs(table.cumsum(0)).max(0), np.abs(folded[: places // 2].cumsum(0)).max(0))
    return np.stack([taken.mean(0), (taken**2).mean(0) - (scores**2).mean(), distance])


def _worst(whitened: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """In the worst of all directions: the shift, the largest and the smallest variance, `(K + 1, 1, 3)`."""
    found = []
    for i, index in enumerate(chosen):
        report(i / len(chosen))
        x = whitened[np.arange(len(whitened)), index]
        values = np.linalg.eigvalsh(x.T @ x / len(x))
        found.append([np.sqrt((x.mean(0) ** 2).sum()), np.log(max(values[-1], _TINY)), -np.log(max(values[0], 1e-30))])
    return np.array(found)[:, None]
