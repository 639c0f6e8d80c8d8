"""Joint tests of many differences: of means, variances and covariances, and of marginal distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .association import kolmogorov, normal
from .base import Distance, stream
from .pool import Pool, permutation_test

__all__ = ["Means", "Ranks", "TestFamily", "directions", "family", "marginal_test", "moment_test", "sliced_test"]

COORDINATES = 1000  # the maximum number of features whose means and variances are tested
LARGE = 2**26  # the maximum size of a table of features


@dataclass(frozen=True)
class TestFamily:
    """Many statistics of samples and held-out data, tested together.

    Arguments:
        distance: The largest difference, with a p-value for the whole family by permutations.
        labels: The names of the statistics.
        samples, real: Their values for samples and for held-out data; medians if distributions are compared.
        differences: Standardized differences, or Kolmogorov-Smirnov distances.
        p_values: The p-value of each, times their number (Bonferroni): valid, and conservative if they are dependent.
        values: What `samples` and `real` are, in words.
        against: The rows that `real` are values of, in words.
    """

    distance: Distance
    labels: tuple[str, ...]
    samples: np.ndarray
    real: np.ndarray
    differences: np.ndarray
    p_values: np.ndarray
    values: str = ""
    against: str = "held out"

    def against_all_rows(self) -> TestFamily:
        """The same, called a test against all rows, held out or not."""
        return replace(
            self, distance=replace(self.distance, name=f"{self.distance.name}, all rows"), against="all rows"
        )


class Means:
    """The largest |z| of the differences of mean features, each standardized by its permutation distribution.

    For each column φ of the features `(N, Q)`, z = (mean φ of samples − mean φ of held-out data) / (s √(1/n + 1/m)), with the
    variance s² of φ in the pool. The permutation distribution of the largest |z| is exact for any dependence of the features
    (Westfall and Young, 1993).
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self._scaled: tuple[slice, Tensor] | None = None

    def z(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        """Standardized differences, `(K, Q)`."""
        n, m = a.sum(1, keepdim=True), b.sum(1, keepdim=True)
        return (a / n - b / m) @ self._units(block) / torch.sqrt(1 / n + 1 / m)

    def __call__(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        return self.z(block, a, b).abs().amax(1)

    def _units(self, block: slice) -> Tensor:
        if self._scaled is None or self._scaled[0] != block:
            rows = self.features[block].double()
            rows -= rows.mean(0)
            # A difference of means has the permutation variance s² (1/n + 1/m), with the divisor N − 1 in s².
            std = rows.square().sum(0).div_(len(rows) - 1).sqrt_()
            level = self.features[block].abs().amax(0).double()
            rows *= torch.where(std > 1e-6 * level, 1 / std, 0.0)
            self._scaled = block, rows.float()
        return self._scaled[1]


def family(
    pool: Pool, features: Tensor, labels: Sequence[str], name: str, permutations: int = 499, note: str = ""
) -> TestFamily:
    """Tests whether the mean of any feature differs between samples and held-out data.

    Arguments:
        pool: The pooled samples and real data.
        features: The features φ of all rows of the pool, `(N, Q)`.
        labels, name: The names of the features, and of the test.
        permutations, note: The number of permutations, and a note on the computation.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> pool = Pool.of(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + [0.0, 1.0])
        >>> found = family(pool, pool.rows, ["first", "second"], "means")
        >>> found.distance.p_value, bool(found.p_values[0] > 0.05), bool(found.p_values[1] < 1e-6)
        (0.002, True, True)
    """
    means = Means(features)
    distance = permutation_test(pool, means, name, permutations=permutations)
    z = means.z(pool.pair, *pool.observed())[0].double().cpu().numpy()
    p = np.minimum(1, normal(z) * len(z))
    worst = int(np.abs(z).argmax())
    summary = f"of {len(z)}, {labels[worst]} differs the most: z = {z[worst]:.1f} (Bonferroni p = {p[worst]:.2g})"
    summary = f"{summary}; {note}" if note else summary
    drawn, real = (features[side].mean(0, dtype=torch.float64).cpu().numpy() for side in (pool.drawn, pool.held))
    return TestFamily(
        replace(distance, note=summary), tuple(labels), drawn, real, z, p, "means over rows, in standard units"
    )


def directions(rows: Tensor, count: int) -> Tensor:
    """The leading principal directions of rows `(N, D)`, as orthonormal columns, `(D, count)`.

    With more than 256 features they are approximated by a randomized method (Halko et al., 2011, with two power iterations).
    """
    rows = rows - rows.mean(0)
    count = min(count, rows.shape[1])
    if rows.shape[1] <= 256:
        vectors: Tensor = torch.linalg.eigh((rows.T @ rows).double()).eigenvectors
        return vectors.flip(1)[:, :count].float()
    start = stream(0, "directions").standard_normal((rows.shape[1], 2 * count + 8))
    basis = torch.linalg.qr(torch.from_numpy(start).to(rows))[0]
    for _ in range(3):
        basis = torch.linalg.qr(rows.T @ (rows @ basis))[0]
    image = rows @ basis
    rotation = torch.linalg.eigh((image.T @ image).double()).eigenvectors.flip(1)[:, :count]
    directions: Tensor = basis @ rotation.float()
    return directions


def moment_test(pool: Pool, permutations: int = 499, principal: int = 16) -> TestFamily:
    """Tests means, variances and covariances: along principal directions, and of each feature if there are more than two.

    The z of a mean compares means, that of a variance mean squares around the common mean, that of a covariance mean products.
    All are standardized by their permutation variance, which is valid for heavy tails. Of more than 1,000 features, 1,000
    equally spaced ones are tested.

    Arguments:
        pool, permutations: The pooled data, up to tens of thousands of rows, and the number of permutations.
        principal: The number of principal directions of the pool.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = moment_test(Pool.of(1.5 * rng.normal(size=(300, 3)), rng.normal(size=(300, 3))))
        >>> found.distance.p_value, "variance" in found.distance.note
        (0.002, True)
    """
    rows = pool.flat - pool.flat[pool.pair].mean(0)
    axes = directions(rows[pool.pair], principal)
    along = rows @ axes
    count = along.shape[1]
    first, second = torch.triu_indices(count, count, 1)
    blocks = [along, along.square(), along[:, first] * along[:, second]]
    labels = [f"mean along principal direction {i + 1}" for i in range(count)]
    labels += [f"variance along principal direction {i + 1}" for i in range(count)]
    labels += [f"covariance of principal directions {i + 1} and {j + 1}" for i, j in zip(first, second)]
    features = rows.shape[1]
    # Two features are equivalent to their two principal directions: testing both would only dilute the test.
    if features > 2:
        kept = max(1, min(features, COORDINATES, LARGE // (2 * len(rows))))
        chosen = torch.arange(kept) * features // kept
        blocks += [rows[:, chosen], rows[:, chosen].square()]
        names = [pool.called(int(i)) for i in chosen]
        labels += [f"mean of {name}" for name in names] + [f"variance of {name}" for name in names]
    return family(pool, torch.cat(blocks, 1), labels, "moments", permutations, pool.sizes)


class Ranks:
    """Distances of the one-dimensional distributions of all columns `(N, Q)`, from one sort of the pool.

    They are the supremum of |F − G| (Kolmogorov-Smirnov) if `largest`, and its integral (Wasserstein) otherwise.
    """

    def __init__(self, values: Tensor, largest: bool) -> None:
        self.values = values
        self.largest = largest
        self._sorted: tuple[slice, Tensor, Tensor] | None = None

    def columns(self, block: slice, a: Tensor, b: Tensor, fine: bool = False) -> Tensor:
        """sup |F − G| or ∫ |F − G| for each column, `(K, Q)`.

        With few rows the supremum takes few values; `fine` adds a thousandth of the mean of |F − G| over ranks, so that ties do
        not reduce the power of a test.
        """
        if self._sorted is None or self._sorted[0] != block:
            values, order = self.values[block].T.sort(1)
            self._sorted = block, values.diff(dim=1), order
        _, steps, order = self._sorted
        weight = a / a.sum(1, keepdim=True) - b / b.sum(1, keepdim=True)
        found = []
        for step, rank in zip(steps, order):
            gap = weight.index_select(1, rank[:-1]).cumsum(1).abs_()
            if not self.largest:
                found.append(gap @ step)
                continue
            # Within ties the distribution function is not defined.
            gap = gap if bool((step > 0).all()) else gap * (step > 0)
            found.append(gap.amax(1) + 1e-3 * gap.mean(1) if fine else gap.amax(1))
        return torch.stack(found, 1)

    def __call__(self, block: slice, a: Tensor, b: Tensor) -> Tensor:
        columns = self.columns(block, a, b, fine=True)
        return columns.amax(1) if self.largest else columns.mean(1)


def sliced_test(pool: Pool, permutations: int = 499, projections: int = 64) -> Distance:
    """The sliced Wasserstein distance of order 1, E_θ ∫ |F_θ − G_θ|, standardized by the pool, with a permutation test.

    It is a sum over gaps between sorted values, so that one sort of each projection serves all permutations.

    Arguments:
        pool, permutations: The pooled samples and real data, and the number of permutations.
        projections: The number of random directions.

    References:
        Bonneel et al., 2015, Sliced and Radon Wasserstein barycenters of measures.
    """
    values = pool.flat @ _random(pool, projections)
    note = f"order 1, {projections} projections, {pool.sizes}"
    name = "sliced Wasserstein, order 1"
    return permutation_test(pool, Ranks(values, False), name, permutations=permutations, note=note)


def marginal_test(pool: Pool, permutations: int = 499, projections: int = 32) -> TestFamily:
    """Tests marginal distributions by Kolmogorov-Smirnov distances.

    Up to `projections` features are tested directly, together with at most 8 principal directions. If there are more, half of
    `projections` are leading principal directions and half are random projections. Bonferroni p-values use Kolmogorov's limit
    distribution; that of the largest distance uses permutations, which is valid with ties.

    Arguments:
        pool, permutations: The pooled data, up to tens of thousands of rows, and the number of permutations.
        projections: The approximate number of marginals.
    """
    rows, features = pool.flat, pool.flat.shape[1]
    if features <= projections:
        values, labels = rows, [pool.called(i) for i in range(features)]
        if features > 1:
            axes = directions(rows[pool.pair], min(8, features))
            values = torch.cat([rows, rows @ axes], 1)
            labels += [f"principal direction {i + 1}" for i in range(axes.shape[1])]
    else:
        axes, random = directions(rows[pool.pair], projections // 2), _random(pool, projections - projections // 2)
        values = rows @ torch.cat([axes, random], 1)
        labels = [f"principal direction {i + 1}" for i in range(axes.shape[1])]
        labels += [f"random projection {i + 1}" for i in range(random.shape[1])]
    ranks = Ranks(values, True)
    distance = permutation_test(pool, ranks, "marginals, Kolmogorov-Smirnov", permutations=permutations)
    found = ranks.columns(pool.pair, *pool.observed())[0].double().cpu().numpy()
    p = np.minimum(1, kolmogorov(found * math.sqrt(pool.n * pool.m / (pool.n + pool.m))) * len(found))
    worst = int(found.argmax())
    note = f"of {len(found)}, {labels[worst]} differs the most (Bonferroni p = {p[worst]:.2g}); {pool.sizes}"
    middles = [values[side].median(0).values.cpu().numpy() for side in (pool.drawn, pool.held)]
    return TestFamily(
        replace(distance, note=note), tuple(labels), middles[0], middles[1], found, p, "medians, in standard units"
    )


def _random(pool: Pool, count: int) -> Tensor:
    """Random unit vectors, `(D, count)`."""
    drawn = stream(pool.seed, "projections").standard_normal((pool.flat.shape[1], count))
    drawn /= np.linalg.norm(drawn, axis=0)
    return torch.from_numpy(drawn).to(pool.flat)
