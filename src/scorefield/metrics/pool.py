"""Samples and real data in one pile, and the three ways to divide it anew: permuted, split, and resampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .base import Array, Distance, as_rows, stream, subsample

__all__ = ["Pool", "Statistic", "p_value", "permutation_test"]

COLUMNS = 128  # divisions that are looked at together

Statistic = Callable[[slice, Tensor, Tensor], Tensor]
"""Of a block of the pile's rows and the weights `(K, rows)` of either side in it: K values, the larger the farther."""


@dataclass(frozen=True)
class Pool:
    """Drawn samples, held-out data, and perhaps more real data for the floors: one after another, in one unit.

    The unit of each feature (of each channel, for grids) is its deviation among samples and held-out data together: it
    treats both alike, so that a permutation test stays exact.

    Arguments:
        rows: All of them, `(n + m + more, *D)` in float32.
        n: How many are samples.
        m: How many are held-out data.
        seed: Of everything that is drawn for tests.

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
        """Piles up at most `maximum` rows of samples and as many held-out data, chosen by `seed`.

        Arguments:
            samples: Drawn samples `(N, *D)`.
            held_out: Real data `(M, *D)` that the model did not see.
            train: More real data, for the floors only: they compare real data with real data at the sizes of the test
                where there are as many of them as of the samples.
            maximum: At most this many rows on either side.
            standardize: Whether to take off the mean and divide by deviations; features may be wanted as they are.
            seed: Chooses the rows, and everything that is drawn for tests.

        Raises:
            ValueError: If there are fewer than two rows on a side, the shapes differ, or a value is not finite.
        """
        n, m = min(len(samples), maximum), min(len(held_out), maximum)
        if min(n, m) < 2:
            raise ValueError(f"a comparison needs two samples and two held-out data or more, got {n} and {m}")
        given = {"samples": (samples, n), "held_out": (held_out, m)}
        if train is not None and len(train) >= n:
            given["train"] = (train, n)
        parts = [as_rows(subsample(x, c, seed + i), name) for i, (name, (x, c)) in enumerate(given.items())]
        device = parts[1].device
        for name, part in zip(given, parts):
            if part.shape[1:] != parts[1].shape[1:]:
                raise ValueError(
                    f"{name} must hold data of the shape of held_out, got {tuple(part.shape[1:])} and "
                    f"{tuple(parts[1].shape[1:])}"
                )
        rows = torch.cat([part.to(device, torch.float64) for part in parts])
        if standardize:
            rows = (rows - rows[: n + m].mean(0)) / _scale(rows[: n + m])
        return cls(rows.float(), n, m, seed)

    @property
    def extra(self) -> int:
        """How many real data there are beside the held-out ones."""
        return len(self.rows) - self.n - self.m

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
        """The rows `(N, D)`."""
        return self.rows.flatten(1)

    @cached_property
    def squares(self) -> Tensor:
        """All squared distances `(N, N)`, in float32: one pass that energy, kernels and neighbours share."""
        rows = self.flat - self.flat.mean(0)
        norm = rows.square().sum(1)
        square = torch.addmm(norm, rows, rows.T, alpha=-2).add_(norm[:, None]).clamp_min_(0)
        return square.fill_diagonal_(0)

    def with_rows(self, rows: Tensor) -> Pool:
        """The same pile seen through other features of its rows."""
        return Pool(rows, self.n, self.m, self.seed)

    def observed(self) -> tuple[Tensor, Tensor]:
        """The weights `(1, n + m)` of samples and of held-out data in `pair`."""
        side = torch.zeros(1, self.n + self.m, device=self.rows.device)
        side[:, : self.n] = 1
        return side, 1 - side

    def permuted(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples and held-out data under one another's names, `count` times."""
        return self._divided("permutations", self.n + self.m, count)

    def splits(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real data divided at random into disjoint parts of n and of m rows, as weights in `real`."""
        return self._divided("splits", self.m + self.extra, count)

    def resampled(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Both sides drawn again from themselves with replacement (the bootstrap): how often each row of `pair` occurs."""
        rng = stream(self.seed, "bootstrap")
        for size in _chunks(count):
            weights = np.zeros((2, size, self.n + self.m), np.float32)
            for a, b in zip(*weights):
                a[: self.n] = np.bincount(rng.integers(self.n, size=self.n), minlength=self.n)
                b[self.n :] = np.bincount(rng.integers(self.m, size=self.m), minlength=self.m)
            a, b = torch.from_numpy(weights).to(self.rows.device)
            yield a, b

    @cached_property
    def _memory(self) -> dict[tuple[str, int], list[np.ndarray]]:
        return {}

    def _divided(self, purpose: str, rows: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Divisions are drawn once, and the same for every statistic: a byte a row, 1 for one side and 2 for the other."""
        if (purpose, count) not in self._memory:
            rng = stream(self.seed, purpose)
            side = np.repeat(np.array([1, 2, 0], np.int8), [self.n, self.m, rows - self.n - self.m])
            made = [np.stack([rng.permutation(side) for _ in range(size)]) for size in _chunks(count)]
            self._memory[purpose, count] = made
        for sides in self._memory[purpose, count]:
            whole = torch.from_numpy(sides).to(self.rows.device)
            yield (whole == 1).float(), (whole == 2).float()


def p_value(observed: float, null: np.ndarray) -> float:
    """The exact p-value of a randomization test, (1 + #{null ≥ observed}) / (1 + K) (Phipson and Smyth, 2010).

    Example:
        >>> p_value(2.0, np.array([0.0, 1.0, 2.0]))
        0.5
    """
    # Equal values may differ by rounding: an arrangement that only names the rows anew must count as equal.
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
    """A statistic of the pile with its permutation p-value, its noise floor and its bootstrap interval.

    The floor comes from disjoint random parts of the real data, of the sizes of the test; where there are too few for
    that, from the permutations. The interval holds the quantiles of the bootstrap, moved so that their mean is the value.

    Arguments:
        pool: Samples and real data.
        statistic: What is measured; larger is farther.
        name: What it is called.
        permutations: K; the least p-value is 1/(K + 1). At 0 there is no test, and the floor needs more real data.
        splits: How many splits of real data.
        resamples: How many bootstrap resamples; at 0 there is no interval.
        note: A word on how it was computed.
    """
    value = float(statistic(pool.pair, *pool.observed())[0])
    null = _values(statistic, pool.pair, pool.permuted(permutations))
    if not np.isfinite(value) or not np.isfinite(null).all():
        raise RuntimeError(f"the {name} is not a finite number: look for values that are too large for float32 squares")
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


def _scale(rows: Tensor) -> Tensor:
    """Deviations by feature of `(N, F)`, by channel of `(N, C, *S)`; 1 where nothing varies."""
    axes = [axis for axis in range(rows.ndim) if axis != 1]
    scale = rows.std(axes, correction=0, keepdim=True)
    return torch.where(scale > 1e-7 * rows.abs().amax(axes, keepdim=True), scale, 1.0)
