"""Fields and microstructures: curves of samples beside those of real data, with bands and a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .base import Array, Distance
from .curves import correlation, histogram, spectrum, variogram
from .moments import Means
from .pool import Pool, permutation_test
from .two_phase import chord_lengths, default_threshold, lineal_path, minkowski

__all__ = ["Curve", "compare_curves", "field_tests"]

BINS = 16  # of one-point histograms
LEVELS = 7  # thresholds of Minkowski functionals


@dataclass(frozen=True)
class Curve:
    """A curve that is measured on each field: its mean over samples and over held-out data, with bands.

    Arguments:
        name: What is measured.
        at: Where, `(R,)`.
        samples, real: Mean curves `(C, R)` of samples and of held-out data.
        low, high: Where the whole mean curve of as many real fields lies with a probability of 95 % (of 90 % or less with
            a hundred fields or fewer, whose spread is uncertain itself), `(C, R)`.
        spread: The 5 % and 95 % quantiles of the curves of single held-out fields, `(2, C, R)`.
        distance: The largest standardized difference of mean curves, and of their mean squared deviations, with a test.
        places: What each place is, where numbers do not say it.
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
    """Compares a curve of any kind between samples and held-out data; whole fields change sides in its permutation test.

    The statistic is the largest |z| among the differences of mean curves and of mean squared deviations from the mean curve
    of the whole pile: the second show samples that all have the right spectrum, and too much the same one.

    Arguments:
        pool: Samples and real data.
        name: What is measured.
        at: Where, `(R,)`.
        curves: Of every row of the pile, `(rows, C, R)`.
        places: What each place is, where numbers do not say it.
        permutations: How many.
        note: A word on how it was computed.

    Raises:
        ValueError: If there is not one curve a row, or curves are not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> pool = Pool.of(rng.normal(size=(100, 1, 16)), rng.normal(size=(100, 1, 16)) * 1.3, standardize=False)
        >>> compare_curves(pool, "power spectrum", *spectrum(pool.rows)).distance.p_value
        0.002
    """
    if curves.ndim != 3 or len(curves) != len(pool.rows):
        raise ValueError(f"curves must be ({len(pool.rows)}, C, R), one a row of the pile, got {tuple(curves.shape)}")
    if not torch.isfinite(curves).all():
        raise ValueError(f"curves of the {name} hold NaN or infinite values")
    channels, count = curves.shape[1:]
    flat = curves.flatten(1).double()
    about = flat - flat[pool.pair].mean(0)
    means = Means(torch.cat([about, about.square()], 1).float())
    first = Means(about.float())
    distance = permutation_test(pool, means, name, permutations=permutations)
    z = means.z(pool.pair, *pool.observed())[0]
    worst = int(z.abs().argmax())
    kind = "spread" if worst >= channels * count else "mean"
    channel, place = divmod(worst % (channels * count), count)
    where = places[place] if places else f"{float(at[place]):.3g}"
    said = f"largest in the {kind} at {where}" + (f" of channel {channel}" if channels > 1 else "")
    said += f", z = {float(z[worst]):.1f}; {pool.n:,} samples and {pool.m:,} held-out data"
    null = torch.cat([first(pool.pair, a, b) for a, b in pool.permuted(min(permutations, 199))])
    here, there = flat[pool.drawn], flat[pool.held]
    # As many real fields as there are samples, about the mean of as many held-out ones as there are.
    error = flat[pool.real].std(0) * (1 / pool.n + 1 / pool.m) ** 0.5 * float(null.quantile(0.95))
    middle = there.mean(0)
    quantiles = torch.from_numpy(np.quantile(there.cpu().numpy(), [0.05, 0.95], axis=0))

    def shaped(x: Tensor) -> np.ndarray:
        return x.reshape(*x.shape[:-1], channels, count).cpu().numpy()

    return Curve(
        name,
        np.asarray(at),
        shaped(here.mean(0)),
        shaped(middle),
        shaped(middle - error),
        shaped(middle + error),
        shaped(quantiles),
        replace(distance, note=f"{said}; {note}" if note else said),
        places,
    )


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
    """What is known of fields and microstructures, measured on samples and on held-out data, each with a test.

    The power spectrum, the two-point correlation, the variogram along each axis, the one-point law; of the phase above a
    threshold the two-point probability, the lineal path and the chord lengths, and the same two of the phase below; and the
    Minkowski functionals of the parts above seven quantiles (of media with two values, above the threshold).

    Arguments:
        samples: Drawn fields `(N, C, *S)` with one to three axes S.
        held_out: Real fields `(M, C, *S)` that the model did not see.
        train: More real fields, for the floors.
        thresholds: Between the phases, one number or one a channel; halfway between the 1 % and 99 % quantiles by default.
        periodic: Whether opposite borders touch: for the correlations.
        own: Further measurements by name: of fields `(B, C, *S)`, giving places `(R,)` and curves `(B, C, R)`.
        maximum: At most this many fields on either side.
        permutations: How many.
        seed: Of the choice of fields and of what is drawn for the tests.

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
    shape = (1, -1, *[1] * (x.ndim - 2))
    phase = x > middle.reshape(shape)
    levels, edges = _levels(pair, middle)
    centre = pair.transpose(0, 1).flatten(1).mean(1)
    found = {
        "power spectrum": spectrum(x),
        "two-point correlation": correlation(x, periodic, centre),
        "variogram": variogram(x),
        "one-point law": histogram(x, edges),
        "two-point probability": correlation(phase.float(), periodic),
        "lineal path": lineal_path(phase),
        "lineal path, other phase": lineal_path(~phase),
        "chord lengths": chord_lengths(phase),
        "chord lengths, other phase": chord_lengths(~phase),
    }
    found |= {name: measure(x) for name, measure in (own or {}).items()}
    curves = [compare_curves(pool, name, *curve, permutations=permutations) for name, curve in found.items()]
    parts, places = [], []
    for i, level in enumerate(levels.T):
        names, values = minkowski(x > level.reshape(shape))
        parts.append(values)
        where = "the threshold" if levels.shape[1] == 1 else f"the {100 * (i + 1) / (LEVELS + 1):.3g} % quantile"
        places += [f"{name} above {where}" for name in names]
    whole = torch.cat(parts, 2)
    at = torch.arange(whole.shape[2], dtype=torch.float64)
    curves.append(
        compare_curves(pool, "Minkowski functionals", at, whole, places=tuple(places), permutations=permutations)
    )
    return tuple(curves)


def _levels(x: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Thresholds `(C, T)` of the functionals, and inner borders `(C, B − 1)` of bins, by quantiles of the values."""
    values = x.transpose(0, 1).flatten(1)
    values = values[:, :: 1 + values.shape[1] // 2**20].sort(1).values
    if len(torch.unique(values[:, :: 1 + values.shape[1] // 4096])) <= 2:
        return middle[:, None], middle[:, None]

    def quantiles(count: int) -> Tensor:
        places = [round(i / count * (values.shape[1] - 1)) for i in range(1, count)]
        return values[:, places]

    return quantiles(LEVELS + 1), quantiles(BINS)
