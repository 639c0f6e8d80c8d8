"""Pooled samples and real data, their permutations, splits and bootstrap resamples, and permutation tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..progress import part
from .base import Array, Distance, rows_alike, scale_of, stream, subsample

__all__ = ["Pool", "Statistic", "p_value", "permutation_test"]

COLUMNS = 128  # divisions of the pool that are processed together

Statistic = Callable[[slice, Tensor, Tensor], Tensor]
"""A function of a block of rows and the weights `(K, rows)` of both sides: K values, larger for larger differences."""


@dataclass(frozen=True)
class Pool:
    """Samples, held-out data and possibly further real data for the noise floors, concatenated and standardized.

    Each feature (or channel of a grid) is divided by its standard deviation over samples and held-out data together. This
    treats both sides equally, so that permutation tests are exact.

    Arguments:
        rows: All rows, `(n + m + extra, *D)` in float32.
        n, m: The numbers of samples and of held-out data.
        seed: The seed of all tests.
        against: What the `m` rows are, for notes.
        names: What the features are called, for notes; empty where they are only numbered.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> pool = Pool.of(rng.normal(size=(30, 2)), rng.normal(size=(20, 2)), rng.normal(size=(500, 2)))
        >>> pool.n, pool.m, pool.extra
        (30, 20, 30)
    """

    rows: Tensor
    n: int
    m: int
    seed: int = 0
    against: str = "held-out rows"
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        samples: Array,
        held_out: Array,
        train: Array | None = None,
        *,
        maximum: int = 2000,
        standardize: bool = True,
        seed: int = 0,
    ) -> Pool:
        """Pools at most `maximum` samples and as many held-out data, chosen by `seed`.

        Arguments:
            samples: Samples of the model, `(N, *D)`.
            held_out: Real data that were not used in training, `(M, *D)`.
            train: Further real data, for the noise floors. They are used if there are at least as many as samples, so that
                real data can be compared with real data at the sizes of the test.
            maximum: The maximum number of rows of each side.
            standardize: Whether to subtract the mean and divide by the standard deviations.
            seed: The seed of the subsets and of all tests.

        Raises:
            ValueError: If there are fewer than two rows on a side, the shapes differ, or a value is not finite.
        """
        n, m = min(len(samples), maximum), min(len(held_out), maximum)
        if min(n, m) < 2:
            raise ValueError(f"a comparison needs at least two samples and two held-out data, got {n} and {m}")
        given = {"samples": (samples, n), "held_out": (held_out, m)}
        if train is not None and len(train) >= n:
            given["train"] = (train, n)
        some = {name: subsample(x, c, seed + i) for i, (name, (x, c)) in enumerate(given.items())}
        parts = rows_alike(some, "held_out")
        rows = torch.cat([part.double() for part in parts])
        if standardize:
            rows = (rows - rows[: n + m].mean(0)) / scale_of(rows[: n + m])
        return cls(rows.float(), n, m, seed)

    @property
    def extra(self) -> int:
        """The number of further real data."""
        return len(self.rows) - self.n - self.m

    def called(self, feature: int) -> str:
        """What a number of an example is called: of vectors `(F,)`, or of grids `(C, *S)`."""
        if feature < len(self.names):
            return self.names[feature]
        channel, *point = (int(i) for i in np.unravel_index(feature, tuple(self.rows.shape[1:])))
        if not point:
            return f"feature {feature}"
        where = f"point ({', '.join(map(str, point))})" if len(point) > 1 else f"point {point[0]}"
        return where + (f" of channel {channel + 1}" if self.rows.shape[1] > 1 else "")

    @property
    def sizes(self) -> str:
        """What is compared, for notes."""
        return f"{self.n:,} samples and {self.m:,} {self.against}"

    @property
    def pair(self) -> slice:
        """The rows of samples and held-out data."""
        return slice(0, self.n + self.m)

    @property
    def drawn(self) -> slice:
        """The rows of samples."""
        return slice(0, self.n)

    @property
    def held(self) -> slice:
        """The rows of held-out data."""
        return slice(self.n, self.n + self.m)

    @property
    def real(self) -> slice:
        """The rows of real data."""
        return slice(self.n, len(self.rows))

    @cached_property
    def flat(self) -> Tensor:
        """The rows, flattened to `(N, D)`."""
        return self.rows.flatten(1)

    @cached_property
    def squares(self) -> Tensor:
        """All squared distances, `(N, N)` in float32, which energy, kernel and neighbour statistics share."""
        rows = self.flat - self.flat.mean(0)
        norm = rows.square().sum(1)
        square = torch.addmm(norm, rows, rows.T, alpha=-2).add_(norm[:, None]).clamp_min_(0)
        return square.fill_diagonal_(0)

    def with_rows(self, rows: Tensor) -> Pool:
        """The same pool with other features as rows."""
        return replace(self, rows=rows, names=())

    def observed(self) -> tuple[Tensor, Tensor]:
        """The weights of samples and of held-out data in `pair`, `(1, n + m)` each."""
        side = torch.zeros(1, self.n + self.m, device=self.rows.device)
        side[:, : self.n] = 1
        return side, 1 - side

    def permuted(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`count` permutations of samples and held-out data, as weights in `pair`."""
        return self._divided("permutations", self.n + self.m, count)

    def splits(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`count` random splits of the real data into disjoint parts of n and m rows, as weights in `real`."""
        return self._divided("splits", self.m + self.extra, count)

    def resampled(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`count` bootstrap resamples of both sides, as counts of the rows of `pair`."""
        rng = stream(self.seed, "bootstrap")
        for size in _chunks(count):
            weights = np.zeros((2, size, self.n + self.m), np.float32)
            for a, b in zip(*weights):
                a[: self.n] = np.bincount(rng.integers(self.n, size=self.n), minlength=self.n)
                b[self.n :] = np.bincount(rng.integers(self.m, size=self.m), minlength=self.m)
            a, b = torch.from_numpy(weights).to(self.rows.device)
            yield a, b

    @cached_property
    def _divisions(self) -> dict[tuple[str, int], list[np.ndarray]]:
        return {}

    def _divided(self, purpose: str, rows: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Divisions are drawn once and shared by all statistics: one byte per row, 1 for one side and 2 for the other."""
        if (purpose, count) not in self._divisions:
            rng = stream(self.seed, purpose)
            side = np.repeat(np.array([1, 2, 0], np.int8), [self.n, self.m, rows - self.n - self.m])
            made = [np.stack([rng.permutation(side) for _ in range(size)]) for size in _chunks(count)]
            self._divisions[purpose, count] = made
        for sides in self._divisions[purpose, count]:
            whole = torch.from_numpy(sides).to(self.rows.device)
            yield (whole == 1).float(), (whole == 2).float()


def p_value(observed: float, null: np.ndarray) -> float:
    """The exact p-value of a randomization test, (1 + #{null ≥ observed}) / (1 + K) (Phipson and Smyth, 2010).

    Example:
        >>> p_value(2.0, np.array([0.0, 1.0, 2.0]))
        0.5
    """
    # Equal values can differ by rounding: a permutation within the sides must count as equal.
    slack = 1e-5 * max(float(np.std(null)), 1e-30)
    return (1 + int((null >= observed - slack).sum())) / (1 + len(null))


def permutation_test(
    pool: Pool,
    statistic: Statistic,
    name: str,
    *,
    permutations: int = 499,
    splits: int = 100,
    resamples: int = 100,
    note: str = "",
) -> Distance:
    """A statistic of the pool with its permutation p-value, its noise floor and its bootstrap interval.

    The floor is computed on disjoint random subsets of the real data of the sizes of the test, or on the permutations if there
    are too few real data. The interval has the bootstrap quantiles, shifted to have the value as their mean.

    Arguments:
        pool: The pooled samples and real data.
        statistic: The statistic; larger values mean larger differences.
        name: The name of the statistic.
        permutations: The number K of permutations; the smallest p-value is 1/(K + 1). With 0 there is no test, and the floor
            needs further real data.
        splits: The number of splits of real data.
        resamples: The number of bootstrap resamples; 0 for no interval.
        note: A note on the computation.

    Raises:
        RuntimeError: If the statistic is not finite.
    """
    value = float(statistic(pool.pair, *pool.observed())[0])
    with part(0, 0.7):
        null = _values(statistic, pool.pair, pool.permuted(permutations))
    if not np.isfinite(value) or not np.isfinite(null).all():
        raise RuntimeError(f"the {name} is not finite: check for values whose squares overflow float32")
    with part(0.7, 0.85):
        floors = _values(statistic, pool.real, pool.splits(splits)) if pool.extra and splits else null
    low, middle, high = (float(q) for q in np.quantile(floors, [0.05, 0.5, 0.95]))
    interval = None
    if resamples:
        drawn = _values(statistic, pool.pair, pool.resampled(resamples))
        ends = value + np.quantile(drawn - drawn.mean(), [0.025, 0.975])
        interval = float(ends[0]), float(ends[1])
    p = p_value(value, null) if permutations else None
    return Distance(name, value, middle, low, high, (pool.n, pool.m), p, interval, note)


def _values(statistic: Statistic, block: slice, divisions: Iterator[tuple[Tensor, Tensor]]) -> np.ndarray:
    parts = [statistic(block, a, b).double().cpu().numpy() for a, b in divisions]
    return np.concatenate(parts) if parts else np.empty(0)


def _chunks(count: int) -> Iterator[int]:
    for start in range(0, count, COLUMNS):
        yield min(COLUMNS, count - start)
