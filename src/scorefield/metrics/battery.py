"""All measures of vectors and grids at once, and which of the tests among them reject."""

from __future__ import annotations

from collections.abc import Iterable

from .base import Array, Distance, subsample
from .classifier import FOLDS, classifier_test
from .distances import wasserstein, with_floor
from .features import Features, features_of, frechet_with_floor
from .kernels import energy_test, kernel_test, mmd_test
from .manifold import manifold_distances
from .moments import directions, marginal_test, moment_test, sliced_test
from .pool import Pool

__all__ = ["battery", "rejected"]

FEATURES = 64  # principal components that stand for data of more numbers than this


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
) -> tuple[Distance, ...]:
    """Every measure of how far samples are from held-out data, each beside its floor, tests first.

    Tests of sums over rows (moments, marginals, the classifier) look at `maximum` rows on either side; those of pairs of
    rows (energy, kernels, neighbours), which share one matrix of distances, at `pairs` of them, and exact Wasserstein
    distances at a fourth of that.

    Arguments:
        samples: Drawn samples `(N, *D)`.
        held_out: Real data `(M, *D)` that the model did not see.
        train: More real data, for the floors.
        features: Of data `(B, *D)`, giving `(B, F)`, for Fréchet and kernel distances, precision and recall; those are of the
            data, or of their 64 leading principal components, by default.
        maximum: Rows on either side, at most.
        pairs: Rows on either side where all pairs are looked at, at most.
        permutations: How many for each test: the least p-value is 1/(permutations + 1).
        seed: Of the choice of rows and of what is drawn for the tests.

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
        raise ValueError(
            f"a battery of tests needs {2 * FOLDS} samples and as many held-out data or more, got {len(samples)} and "
            f"{len(held_out)}"
        )
    whole = Pool.of(samples, held_out, train, maximum=maximum, seed=seed)
    found = [
        moment_test(whole, permutations).distance,
        marginal_test(whole, permutations).distance,
        classifier_test(whole, permutations=permutations),
    ]
    del whole
    pool = Pool.of(samples, held_out, train, maximum=pairs, seed=seed)
    found += [
        energy_test(pool, permutations),
        mmd_test(pool, (1.0,), permutations),
        mmd_test(pool, permutations=permutations),
        sliced_test(pool, permutations),
    ]
    others = _features(pool, samples, held_out, train, features, pairs, seed)
    found.append(kernel_test(others, permutations))
    found.append(
        with_floor(
            wasserstein,
            samples,
            held_out,
            train,
            name="Wasserstein, order 2",
            resamples=20,
            maximum=max(2, pairs // 4),
            seed=seed,
            note=f"exact, of at most {max(2, pairs // 4):,} rows on either side",
        )
    )
    found.append(frechet_with_floor(samples, held_out, train, features=features, maximum=maximum // 2, seed=seed))
    return (*found, *manifold_distances(others if features else pool))


def rejected(found: Iterable[Distance], level: float = 0.05) -> tuple[Distance, ...]:
    """The tests that reject when all are taken together, most certain first (Holm, 1979).

    If samples and held-out data have one law, there is any with a probability of `level` at most, however the tests depend
    on one another.

    Arguments:
        found: Results; those without a p-value are passed over.
        level: Of all together.

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


def _features(
    pool: Pool,
    samples: Array,
    held_out: Array,
    train: Array | None,
    features: Features | None,
    maximum: int,
    seed: int,
) -> Pool:
    """The rows of the pile as the user's features, in their own units, or as principal components."""
    if features is not None:
        given = [x for x in (samples, held_out, train) if x is not None]
        parts = [features_of(subsample(x, maximum, seed + i), features) for i, x in enumerate(given)]
        return Pool.of(*parts, maximum=maximum, standardize=False, seed=seed)
    if pool.flat.shape[1] <= FEATURES:
        return pool
    return pool.with_rows(pool.flat @ directions(pool.flat[pool.pair], FEATURES))
