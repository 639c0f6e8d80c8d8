"""A battery of all distances and tests for vectors and grids, and a correction for multiple tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ..progress import mapped, part
from .base import Array, Distance, subsample
from .classifier import FOLDS, classifier_test
from .declared import DISTANCES, TESTED, Metric
from .distances import wasserstein, with_floor
from .features import Features, features_of, frechet_with_floor
from .kernels import energy_test, kernel_test, mmd_test
from .manifold import manifold_distances
from .moments import directions, marginal_test, moment_test, sliced_test
from .pool import Pool

__all__ = ["battery", "rejected"]

FEATURES = 64  # larger data are represented by this many principal components


def battery(
    samples: Array,
    held_out: Array,
    train: Array | None = None,
    *,
    features: Features | None = None,
    maximum: int = 20000,
    pairs: int = 2000,
    permutations: int = 499,
    seed: int = 0,
    own: Mapping[str, Metric] | None = None,
    names: Sequence[str] = (),
) -> tuple[Distance, ...]:
    """All distances between samples and held-out data with their noise floors, tests first.

    Tests on sums over rows (moments, marginals, the classifier) use up to `maximum` rows of each side. Those on pairs of rows
    (energy, kernels, neighbours), which share one distance matrix, use `pairs` rows, and exact Wasserstein distances a quarter
    of that.

    Arguments:
        samples, held_out, train: Samples of the model, held-out data, and further real data for the noise floors, `(N, *D)`.
        features: A function of data `(B, *D)` to features `(B, F)`, for Fréchet and kernel distances, precision and recall; by
            default the data, or their 64 leading principal components.
        maximum: The maximum number of rows of each side.
        pairs: The maximum number of rows of each side in tests on all pairs.
        permutations: The number of permutations of each test; the smallest p-value is 1/(permutations + 1).
        seed: The seed of the subsets and of the tests.
        own: Further distances by their names, functions of two samples; those that `metric` declares are there already.
        names: What the numbers of an example are called, for notes.

    Raises:
        ValueError: If there are fewer than ten rows on a side, the shapes differ, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> real = rng.normal(size=(900, 2))
        >>> found = battery(1.3 * rng.normal(size=(300, 2)), real[:300], real[300:])
        >>> sorted({d.name for d in rejected(found)} & {"moments", "energy distance"})
        ['energy distance', 'moments']
    """
    if min(len(samples), len(held_out)) < 2 * FOLDS:
        counts = f"{len(samples)} and {len(held_out)}"
        raise ValueError(f"battery needs at least {2 * FOLDS} samples and as many held-out data, got {counts}")
    with part(0, 0.4):
        every = Pool.of(samples, held_out, train, maximum=maximum, seed=seed)
        found = _of_all(replace(every, names=tuple(names)), permutations)
    pool = Pool.of(samples, held_out, train, maximum=pairs, seed=seed)
    with part(0.4, 0.7):
        found += _of_pairs(pool, permutations)
    others = pool
    if features is not None:
        data = [x for x in (samples, held_out, train) if x is not None]
        parts = [features_of(subsample(x, pairs, seed + i), features) for i, x in enumerate(data)]
        others = Pool.of(*parts, maximum=pairs, standardize=False, seed=seed)
    elif pool.flat.shape[1] > FEATURES:
        others = pool.with_rows(pool.flat @ directions(pool.flat[pool.pair], FEATURES))
    with part(0.7, 0.8):
        found.append(kernel_test(others, permutations))
    few = max(2, pairs // 4)
    name, note = "Wasserstein, order 2", f"exact, with at most {few:,} rows of each side"
    options = {"resamples": 20, "maximum": few, "seed": seed}
    with part(0.8, 0.9):
        found.append(with_floor(wasserstein, samples, held_out, train, name=name, note=note, **options))
    found.append(frechet_with_floor(samples, held_out, train, features=features, maximum=maximum // 2, seed=seed))
    further = {name: f for name, f in DISTANCES.items() if name not in TESTED} | dict(own or {})
    last = [with_floor(f, samples, held_out, train, name=n, maximum=pairs, seed=seed) for n, f in further.items()]
    return (*found, *manifold_distances(others if features else pool), *last)


def _of_all(pool: Pool, permutations: int) -> list[Distance]:
    """The tests that take all rows."""
    tests: list[Callable[[], Distance]] = [
        lambda: moment_test(pool, permutations).distance,
        lambda: marginal_test(pool, permutations).distance,
        lambda: classifier_test(pool, permutations=permutations),
    ]
    return [*mapped(lambda test: test(), tests)]


def _of_pairs(pool: Pool, permutations: int) -> list[Distance]:
    """The tests on distances of all pairs of rows."""
    tests: list[Callable[[], Distance]] = [
        lambda: energy_test(pool, permutations),
        lambda: mmd_test(pool, (1.0,), permutations),
        lambda: mmd_test(pool, permutations=permutations),
        lambda: sliced_test(pool, permutations),
    ]
    return [*mapped(lambda test: test(), tests)]


def rejected(found: Iterable[Distance], level: float = 0.05) -> tuple[Distance, ...]:
    """The tests that reject with a correction for multiple testing, smallest p-value first (Holm, 1979).

    If samples and held-out data have the same distribution, the probability of any rejection is at most `level`, whatever the
    dependence of the tests.

    Arguments:
        found: Distances; those without a p-value are ignored.
        level: The joint significance level.

    Example:
        >>> a, b = (Distance(name, 1.0, 0.0, 0.0, 0.5, p_value=p) for name, p in (("a", 0.03), ("b", 0.01)))
        >>> [d.name for d in rejected([a, b])]
        ['b', 'a']
    """
    tests = sorted((d.p_value, i, d) for i, d in enumerate(found) if d.p_value is not None)
    chosen: list[Distance] = []
    for rank, (p, _, distance) in enumerate(tests):
        if p > level / (len(tests) - rank):
            break
        chosen.append(distance)
    return tuple(chosen)
