"""Fields and microstructures: statistics of samples and real data as curves, with bands and tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..progress import report
from .base import Array, Distance
from .curves import asymmetry, correlation, histogram, spectrum, variogram
from .moments import Means
from .pool import Pool, permutation_test
from .two_phase import chord_lengths, default_threshold, lineal_path, minkowski

__all__ = ["Curve", "compare_curves", "field_tests"]

BINS = 16  # of one-point histograms
_ORDINATES = {  # of the built-in statistics: the quantity and the unit of abscissas, and what the curves are
    "power spectrum": ("frequency", "cycles per {point}", "power, variance per frequency"),
    "two-point correlation": ("distance", "{point}s", "correlation, variance"),
    "variogram": ("lag", "{point}s", "half the mean squared difference"),
    "asymmetry of increments": ("lag", "{point}s", "rises less falls, from -1 to 1"),
    "one-point distribution": ("value", "", "share of values"),
    "two-point probability": ("distance", "{point}s", "probability"),
    "lineal path": ("length", "{point}s", "probability"),
    "chord lengths": ("length", "{point}s", "share of chords"),
    "Minkowski functionals": ("threshold", "", "density per {point}"),
}
_SERIES = {  # what the statistics of fields are called for series
    "two-point correlation": ("autocorrelation", "lag"),
    "one-point distribution": ("distribution of values", "value"),
    "two-point probability": ("probability that two values exceed the threshold", "lag"),
    "lineal path": ("probability of runs above the threshold", "length"),
    "lineal path, other phase": ("probability of runs below the threshold", "length"),
    "chord lengths": ("lengths of runs above the threshold", "length"),
    "chord lengths, other phase": ("lengths of runs below the threshold", "length"),
    "Minkowski functionals": ("excursions above thresholds", "threshold"),
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
        value: What the curves are, with their unit.
        ticks: Places on the axis and their labels, if abscissas are not numbers.
        channels: The names of the channels, `(C,)`.
        directions: The names of the axes along which the pieces of a curve run, if there are several.
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
    value: str = ""
    ticks: tuple[tuple[float, str], ...] = ()
    channels: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()


def compare_curves(
    pool: Pool,
    name: str,
    at: Tensor | np.ndarray,
    curves: Tensor,
    *,
    places: Sequence[str] | Sequence[Sequence[str]] = (),
    channels: Sequence[str] = (),
    preposition: str = "at",
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
        places: Labels of the abscissas for the note, `(R,)`, or for each channel, `(C, R)`; the numbers by default.
        channels: The names of the channels; their numbers by default.
        preposition: What stands before a label in the note: the mean *at* a distance, or *of the* area.
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
    several, count = curves.shape[1:]
    flat = curves.flatten(1).double()
    centred = flat - flat[pool.pair].mean(0)
    means = Means(torch.cat([centred, centred.square()], 1).float())
    first = Means(centred.float())
    distance = permutation_test(pool, means, name, permutations=permutations)
    z = means.z(pool.pair, *pool.observed())[0]
    labels = places or tuple(f"{float(place):.3g}" for place in at)
    every: list[list[str]] = [[str(place) for place in labels]] * several
    if not isinstance(labels[0], str):
        every = [[str(place) for place in each] for each in labels]
    names = tuple(channels) or tuple(f"channel {c + 1}" for c in range(several))
    summary = f"{_largest(z, every, names, preposition)}; {pool.sizes}"
    null = torch.cat([first(pool.pair, a, b) for a, b in pool.permuted(min(permutations, 199))])
    drawn, real = flat[pool.drawn], flat[pool.held]
    # Of the difference between means of n and of m real fields.
    error = flat[pool.real].std(0) * (1 / pool.n + 1 / pool.m) ** 0.5 * float(null.quantile(0.95))
    middle = real.mean(0)
    quantiles = torch.from_numpy(np.quantile(real.cpu().numpy(), [0.05, 0.95], axis=0))

    def shaped(x: Tensor) -> np.ndarray:
        return x.reshape(*x.shape[:-1], several, count).cpu().numpy()

    return Curve(
        name,
        np.asarray(at),
        shaped(drawn.mean(0)),
        shaped(middle),
        shaped(middle - error),
        shaped(middle + error),
        shaped(quantiles),
        replace(distance, note=f"{summary}; {note}" if note else summary),
        tuple(every[0]) if places else (),
        channels=names,
    )


def _largest(z: Tensor, places: Sequence[Sequence[str]], channels: Sequence[str], preposition: str) -> str:
    """Where the largest difference is, among those of means and of variances."""
    worst, count = int(z.abs().argmax()), len(places[0])
    kind = "variance" if worst >= len(places) * count else "mean"
    channel, place = divmod(worst % (len(places) * count), count)
    where = f"{places[channel][place]}" + (f" in {channels[channel]}" if len(places) > 1 else "")
    side = "above" if float(z[worst]) > 0 else "below"
    return f"the {kind} {preposition} {where} is {abs(float(z[worst])):.1f} standard errors {side} that of real data"


def field_tests(
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    thresholds: Tensor | float | None = None,
    periodic: bool = False,
    own: Mapping[str, Callable[[Tensor], tuple[Tensor, Tensor]]] | None = None,
    phases: bool = True,
    units: Callable[[Tensor], Tensor] | None = None,
    channels: Sequence[str] = (),
    maximum: int = 2000,
    permutations: int = 499,
    seed: int = 0,
) -> tuple[Curve, ...]:
    """Compares the standard statistics of fields and microstructures between samples and held-out data.

    These are the power spectrum, the two-point correlation, the one-point distribution, and the variogram and the asymmetry
    of increments along each axis, which alone sees that an axis is reversed; for the phase above a threshold the two-point
    probability; the lineal path and the chord lengths of both phases; and the Minkowski functionals of the sets above seven
    quantiles (for two-valued media, above the threshold). Those of series have
    the names that they have for series, such as autocorrelation.

    Arguments:
        samples, held_out, train: Fields of the model, held-out fields, and further real fields for the noise floors,
            `(N, C, *S)` with one to three axes S.
        thresholds: The threshold between the phases, one for all or one per channel; by default halfway between the 1 % and the
            99 % quantile.
        periodic: Whether the fields are periodic, for the correlations.
        own: Further statistics by name: functions of fields `(B, C, *S)` that return abscissas `(R,)` and curves `(B, C, R)`.
        phases: Whether to compare the phases above and below the threshold, too: not of photographs, say.
        units: The values `(C, K)` of channels in the units of the user, for labels; as they are by default.
        channels: The names of the channels.
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
    found = {
        "power spectrum": spectrum(x),
        "two-point correlation": correlation(x, periodic, centre),
        "variogram": variogram(x),
        "asymmetry of increments": asymmetry(x),
        "one-point distribution": histogram(x, edges),
    }
    if phases:
        found |= {
            "two-point probability": correlation(phase.float(), periodic),
            "lineal path": lineal_path(phase),
            "lineal path, other phase": lineal_path(~phase),
            "chord lengths": chord_lengths(phase),
            "chord lengths, other phase": chord_lengths(~phase),
        }
    found |= {name: measure(x) for name, measure in (own or {}).items()}
    places, functionals = _functionals(x, levels)
    found["Minkowski functionals"] = torch.arange(len(places), dtype=torch.float64), functionals
    shown = edges if units is None else units(edges)
    curves = []
    for i, (name, (at, curve)) in enumerate(found.items()):
        report(i / len(found))
        described = _described(name, at, x.ndim - 2, places, shown)
        labels, more = described.pop("labels"), dict[str, Any](permutations=permutations, channels=channels)
        more["preposition"] = "of the" if described["ticks"] else "at"
        compared = compare_curves(pool, described.pop("name"), at, curve, places=labels, **more)
        kept = compared.places if described["ticks"] else ()
        curves.append(replace(compared, places=kept, **described))
    return tuple(curves)


def _described(name: str, at: Tensor, axes: int, places: tuple[str, ...], edges: Tensor) -> dict[str, Any]:
    """How a statistic is called, what its abscissas and values are, and the labels of its abscissas."""
    title, (quantity, unit, value) = name, _ORDINATES.get(name.split(",")[0], ("", "", ""))
    if axes == 1 and name in _SERIES:
        title, quantity = _SERIES[name]
    point = "time step" if axes == 1 else "grid point"
    unit, value = (text.format(point=point) for text in (unit, value))
    value = value.replace("chords", "runs") if axes == 1 else value
    known = {"name": title, "axis": f"{quantity}, {unit}" if unit else quantity, "value": value, "ticks": ()}
    if name == "one-point distribution":
        axis = quantity if len(edges) == 1 else "quantile of the values"
        return known | {"labels": _bin_labels(edges), "ticks": _bin_ticks(edges), "axis": axis}
    if name == "Minkowski functionals":
        return known | {
            "labels": places,
            "ticks": _functional_ticks(places),
            "axis": "threshold, from the lowest quantile to the highest",
        }
    labels = [f"{quantity} {float(place):.3g} {unit}".strip() for place in at]
    starts = [0, *(torch.nonzero(at.diff() <= 0)[:, 0] + 1).tolist(), len(at)]
    if len(starts) > 2:
        names = [f"axis {i + 1}" for i in range(len(starts) - 1)]
        along = [part for part, (a, b) in zip(names, pairwise(starts)) for _ in range(b - a)]
        return known | {"labels": [f"{a} along {b}" for a, b in zip(labels, along)], "directions": tuple(names)}
    return known | {"labels": labels}


def _functionals(x: Tensor, levels: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """The Minkowski functionals above thresholds `(C, T)`: their labels, grouped by functional, and values `(N, C, R)`."""
    parts, places = [], []
    for i, level in enumerate(levels.T):
        names, values = minkowski(x > level.reshape(1, -1, *[1] * (x.ndim - 2)))
        parts.append(values)
        where = "the threshold" if levels.shape[1] == 1 else f"the {100 * (i + 1) / (LEVELS + 1):.3g} % quantile"
        places += [f"{name} above {where}" for name in names]
    kinds = len(places) // len(parts)
    order = [i * kinds + kind for kind in range(kinds) for i in range(len(parts))]
    return tuple(places[i] for i in order), torch.cat(parts, 2)[:, :, order]


def _functional_ticks(places: tuple[str, ...]) -> tuple[tuple[float, str], ...]:
    """The name of each functional, at the middle of its values."""
    names = [place.split(" above ")[0] for place in places]
    return tuple(
        (float(np.mean([i for i, other in enumerate(names) if other == name])), name) for name in dict.fromkeys(names)
    )


def _bin_labels(edges: Tensor) -> list[list[str]]:
    """The ranges of values of the bins, for each channel."""
    found = []
    for row in edges:
        inner = _numbers(row)
        ranges = [f"share of values from {low} to {high}" for low, high in pairwise(inner)]
        found.append([f"share of values up to {inner[0]}", *ranges, f"share of values above {inner[-1]}"])
    return found


def _bin_ticks(edges: Tensor) -> tuple[tuple[float, str], ...]:
    """The borders of bins with their values, about five of them; of several channels, whose borders differ, quantiles."""
    count, step = edges.shape[1], max(1, edges.shape[1] // 4)
    borders = range(count // 2 % step, count, step)
    if len(edges) == 1:
        texts = _numbers(edges[0])
        return tuple((i + 0.5, texts[i]) for i in borders)
    return tuple((i + 0.5, f"{100 * (i + 1) / (count + 1):.3g} %") for i in borders)


def _numbers(values: Tensor) -> list[str]:
    """Values with three digits; what is 0 but for rounding is 0."""
    small = 1e-5 * float(values.abs().max())
    return [f"{0.0 if abs(value) < small else value:.3g}" for value in values.tolist()]


def _levels(x: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Thresholds of the functionals, `(C, T)`, and inner edges of the bins, `(C, B − 1)`, at quantiles of the values."""
    values = x.transpose(0, 1).flatten(1)
    values = values[:, :: 1 + values.shape[1] // 2**20].sort(1).values
    if len(torch.unique(values[:, :: 1 + values.shape[1] // 4096])) <= 2:
        return middle[:, None], middle[:, None]
    places = ([round(i / count * (values.shape[1] - 1)) for i in range(1, count)] for count in (LEVELS + 1, BINS))
    levels, edges = (values[:, place] for place in places)
    if len(edges) == 1:  # values that are common, such as zeros, would have several bins, of which one has them all
        edges = torch.unique(edges, dim=1)
    return levels, edges
