"""Fields and microstructures: statistics of samples and real data as curves, with bands and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..progress import mapped, part
from .base import Array, Distance
from .curves import correlation, histogram, spectrum, variogram
from .moments import Means
from .pool import Pool, permutation_test
from .two_phase import chord_lengths, default_threshold, lineal_path, minkowski

__all__ = ["Curve", "compare_curves", "field_tests"]

BINS = 16  # of one-point histograms
_LENGTH = "grid points"
AXES = {  # of the built-in statistics
    "power spectrum": "cycles per grid point",
    "two-point correlation": f"distance, {_LENGTH}",
    "variogram": f"lag, {_LENGTH}",
    "one-point distribution": "ranges of values, from low to high",
    "two-point probability": f"distance, {_LENGTH}",
    "lineal path": f"length, {_LENGTH}",
    "chord lengths": f"length, {_LENGTH}",
}
LEVELS = 7  # thresholds of Minkowski functionals


@dataclass(frozen=True)
class Curve:
    """A statistic of each field as a curve: its means over samples and held-out data, with bands.

    Arguments:
        name, at: The name of the statistic, and its abscissas, `(R,)`.
        samples, real: The mean curves of samples and of held-out data, `(C, R)`.
        low, high: The ends of a band that contains the whole mean curve of as many real fields with a probability of 95 % (90 %
            or less with up to a hundred fields, whose standard deviation is itself uncertain), `(C, R)`.
        spread: The 5 % and 95 % quantiles of the curves of single held-out fields, `(2, C, R)`.
        distance: The largest standardized difference of mean curves and mean squared deviations, with a test.
        places: Labels of the abscissas, if they are not numbers.
        axis: What the abscissas are, with their unit.
    """

    name: str
    at: np.ndarray
    samples: np.ndarray
    real: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray
    distance: Distance
    places: tuple[str, ...] = ()
    axis: str = ""


def compare_curves(
    pool: Pool,
    name: str,
    at: Tensor | np.ndarray,
    curves: Tensor,
    *,
    places: tuple[str, ...] = (),
    permutations: int = 499,
    note: str = "",
) -> Curve:
    """Compares curves of any kind between samples and held-out data, with a test that permutes whole fields.

    The statistic is the largest |z| of the differences of mean curves, and of mean squared deviations from the mean curve of
    the pool. The latter detect samples whose curves have the right mean but too little variation.

    Arguments:
        pool: The pooled samples and real data.
        name, at: The name of the statistic, and its abscissas, `(R,)`.
        curves: The curves of all rows of the pool, `(rows, C, R)`.
        places: Labels of the abscissas, if they are not numbers.
        permutations, note: The number of permutations, and a note on the computation.

    Raises:
        ValueError: If there is not one curve per row, or a curve is not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> pool = Pool.of(rng.normal(size=(100, 1, 16)), rng.normal(size=(100, 1, 16)) * 1.3, standardize=False)
        >>> compare_curves(pool, "power spectrum", *spectrum(pool.rows)).distance.p_value
        0.002
    """
    if curves.ndim != 3 or len(curves) != len(pool.rows):
        raise ValueError(f"curves must be ({len(pool.rows)}, C, R), one per row of the pool, got {tuple(curves.shape)}")
    if not torch.isfinite(curves).all():
        raise ValueError(f"curves of the {name} contain NaN or infinite values")
    channels, count = curves.shape[1:]
    flat = curves.flatten(1).double()
    centred = flat - flat[pool.pair].mean(0)
    means = Means(torch.cat([centred, centred.square()], 1).float())
    first = Means(centred.float())
    distance = permutation_test(pool, means, name, permutations=permutations)
    z = means.z(pool.pair, *pool.observed())[0]
    summary = _largest(z, channels, places or tuple(f"{float(place):.3g}" for place in at)) + f"; {pool.sizes}"
    null = torch.cat([first(pool.pair, a, b) for a, b in pool.permuted(min(permutations, 199))])
    drawn, real = flat[pool.drawn], flat[pool.held]
    # Of the difference between means of n and of m real fields.
    error = flat[pool.real].std(0) * (1 / pool.n + 1 / pool.m) ** 0.5 * float(null.quantile(0.95))
    middle = real.mean(0)
    quantiles = torch.from_numpy(np.quantile(real.cpu().numpy(), [0.05, 0.95], axis=0))

    def shaped(x: Tensor) -> np.ndarray:
        return x.reshape(*x.shape[:-1], channels, count).cpu().numpy()

    return Curve(
        name,
        np.asarray(at),
        shaped(drawn.mean(0)),
        shaped(middle),
        shaped(middle - error),
        shaped(middle + error),
        shaped(quantiles),
        replace(distance, note=f"{summary}; {note}" if note else summary),
        places,
    )


def _largest(z: Tensor, channels: int, places: Sequence[str]) -> str:
    """Where the largest difference is, among those of means and of variances."""
    worst = int(z.abs().argmax())
    kind = "variance" if worst >= channels * len(places) else "mean"
    channel, place = divmod(worst % (channels * len(places)), len(places))
    where = f"largest difference in the {kind}, at {places[place]}" + (f" of channel {channel}" if channels > 1 else "")
    return f"{where}, z = {float(z[worst]):.1f}"


def field_tests(
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    thresholds: Tensor | float | None = None,
    periodic: bool = False,
    own: Mapping[str, Callable[[Tensor], tuple[Tensor, Tensor]]] | None = None,
    maximum: int = 2000,
    permutations: int = 499,
    seed: int = 0,
) -> tuple[Curve, ...]:
    """Compares the standard statistics of fields and microstructures between samples and held-out data.

    These are the power spectrum, the two-point correlation, the variogram along each axis and the one-point distribution; for
    the phase above a threshold the two-point probability; the lineal path and the chord lengths of both phases; and the
    Minkowski functionals of the sets above seven quantiles (for two-valued media, above the threshold).

    Arguments:
        samples, held_out, train: Fields of the model, held-out fields, and further real fields for the noise floors,
            `(N, C, *S)` with one to three axes S.
        thresholds: The threshold between the phases, one for all or one per channel; by default halfway between the 1 % and the
            99 % quantile.
        periodic: Whether the fields are periodic, for the correlations.
        own: Further statistics by name: functions of fields `(B, C, *S)` that return abscissas `(R,)` and curves `(B, C, R)`.
        maximum: The maximum number of fields of each side.
        permutations, seed: The number of permutations of each test, and the seed of the subsets and of the tests.

    Raises:
        ValueError: If the data are not fields, the shapes differ, or a value is not finite.

    References:
        Torquato, 2002, Random heterogeneous materials.
    """
    pool = Pool.of(samples, held_out, train, maximum=maximum, standardize=False, seed=seed)
    x = pool.rows
    if not 3 <= x.ndim <= 5:
        raise ValueError(f"fields must be (N, C, *S) with one to three axes S, got shape {tuple(x.shape)}")
    pair = x[pool.pair]
    middle = default_threshold(pair) if thresholds is None else torch.as_tensor(thresholds, dtype=x.dtype).to(x.device)
    middle = middle.expand(x.shape[1])
    phase = x > middle.reshape(1, -1, *[1] * (x.ndim - 2))
    levels, edges = _levels(pair, middle)
    centre = pair.transpose(0, 1).flatten(1).mean(1)
    found: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
        "power spectrum": lambda: spectrum(x),
        "two-point correlation": lambda: correlation(x, periodic, centre),
        "variogram": lambda: variogram(x),
        "one-point distribution": lambda: histogram(x, edges),
        "two-point probability": lambda: correlation(phase.float(), periodic),
        "lineal path": lambda: lineal_path(phase),
        "lineal path, other phase": lambda: lineal_path(~phase),
        "chord lengths": lambda: chord_lengths(phase),
        "chord lengths, other phase": lambda: chord_lengths(~phase),
    }
    found |= {name: partial(measure, x) for name, measure in (own or {}).items()}
    labels = {"one-point distribution": _bin_labels(edges)}

    def compared(name: str) -> Curve:
        return compare_curves(pool, name, *found[name](), places=labels.get(name, ()), permutations=permutations)

    with part(0, 0.9):
        curves = [*mapped(compared, list(found))]
    curves = [replace(curve, axis=AXES.get(curve.name.split(",")[0], "")) for curve in curves]
    places, functionals = _functionals(x, levels)
    at = torch.arange(len(places), dtype=torch.float64)
    name = "Minkowski functionals"
    return (*curves, compare_curves(pool, name, at, functionals, places=places, permutations=permutations))


def _functionals(x: Tensor, levels: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """The Minkowski functionals above thresholds `(C, T)`: their labels, and values `(N, C, R)`."""
    parts, places = [], []
    for i, level in enumerate(levels.T):
        names, values = minkowski(x > level.reshape(1, -1, *[1] * (x.ndim - 2)))
        parts.append(values)
        where = "the threshold" if levels.shape[1] == 1 else f"the {100 * (i + 1) / (LEVELS + 1):.3g} % quantile"
        places += [f"{name} above {where}" for name in names]
    return tuple(places), torch.cat(parts, 2)


def _bin_labels(edges: Tensor) -> tuple[str, ...]:
    """The ranges of values of the bins; of several channels, whose edges `(C, B − 1)` differ, the quantiles."""
    if len(edges) == 1:
        inner = [f"{float(edge):.3g}" for edge in edges[0]]
        ranges = [f"{low} to {high}" for low, high in pairwise(inner)]
        return tuple(f"values {part}" for part in (f"below {inner[0]}", *ranges, f"above {inner[-1]}"))
    inner = [f"{100 * i / (edges.shape[1] + 1):.3g}" for i in range(edges.shape[1] + 2)]
    return tuple(f"values between the {low} % and {high} % quantiles" for low, high in pairwise(inner))


def _levels(x: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Thresholds of the functionals, `(C, T)`, and inner edges of the bins, `(C, B − 1)`, at quantiles of the values."""
    values = x.transpose(0, 1).flatten(1)
    values = values[:, :: 1 + values.shape[1] // 2**20].sort(1).values
    if len(torch.unique(values[:, :: 1 + values.shape[1] // 4096])) <= 2:
        return middle[:, None], middle[:, None]
    places = ([round(i / count * (values.shape[1] - 1)) for i in range(1, count)] for count in (LEVELS + 1, BINS))
    levels, edges = (values[:, place] for place in places)
    return levels, edges
