"""Tests of whether samples copy training rows: equal rows, near copies, and closeness to the rows that were trained on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .base import stream

__all__ = ["COPIES_LEVEL", "EqualRows", "NearCopies", "closer_test", "equal_rows", "row_keys"]

COPIES_LEVEL = 1e-3  # of all tests of copies together
TESTS = 3  # equal rows, near copies, closeness
THIRD = 1 / 3  # of the distance to the second neighbour: nearer rows count as near copies
PERMUTATIONS = 9999
FEW = 999  # of them, first
CELLS = 2**22  # rows of divisions held in memory at once
MANY = 4000  # rows that equal others: beyond them fewer permutations, and a normal limit, serve
MOST = 20000  # rows that equal others, in as many of their values, chosen at random, as have no more rows
CERTAIN = 1.2816  # standard deviations: a power of 90 %
LIMIT = 3.4  # standard deviations: the level of one of the tests


@dataclass(frozen=True)
class EqualRows:
    """How many samples equal a training row, next to how many real rows equal another one.

    Arguments:
        count, samples: The number of samples that equal a training row, of how many.
        real, rows: The number of real rows that equal another row, a training row, of how many.
        p_value: The p-value that samples equal training rows no more often than real and sampled rows equal each other.
        smallest: The smallest share of copies that the test finds in nine of ten cases; infinite if there is none.
        matched: Whether real rows are all rows, which equal another; if not, held-out rows, which equal a training row.
    """

    count: int
    samples: int
    real: int
    rows: int
    p_value: float
    smallest: float
    matched: bool = True

    @property
    def said(self) -> str:
        """Both counts, in words."""
        others = "real rows equal another" if self.matched else "held-out rows equal one"
        return f"{self.count:,} of {self.samples:,} samples equal a training row, and {self.real:,} of {self.rows:,} {others}"


def row_keys(parts: Iterable[np.ndarray]) -> list[bytes]:
    """A key for each row of data in parts, the same for equal rows; −0 equals 0, and missing equals missing.

    Example:
        >>> first, second, third = row_keys([np.array([[0.0, np.nan], [-0.0, np.nan], [1.0, 2.0]])])
        >>> first == second != third
        True
    """
    keys: list[bytes] = []
    for part in parts:
        rows = np.asarray(part, np.float64).reshape(len(part), -1)
        rows = np.ascontiguousarray(np.where(np.isnan(rows), np.nan, rows + 0.0))
        keys += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
    return keys


def equal_rows(
    samples: Sequence[bytes], train: Sequence[bytes], held_out: Sequence[bytes], matched: bool = True, seed: int = 0
) -> EqualRows:
    """Tests whether samples equal training rows more often than chance makes equal rows, from the keys of all rows.

    Let κ be the probability that two rows are equal: of two samples, of two real rows, or of one of each. For samples that
    depend on the training rows by their distribution alone, κ of the mixed pairs is at most the mean of the other two,
    whatever the distributions (the squared maximum mean discrepancy of the kernel "equal or not" is not negative). Copies
    make it larger. The p-value is that of random divisions of all rows into samples, training and held-out rows: exact if
    samples have the distribution of the data, and conservative otherwise, as for a model that draws one value too often.

    Arguments:
        samples, train, held_out: Keys of the rows, as `row_keys` gives them.
        matched: Whether training and held-out rows have the same distribution; if not, samples are compared with held-out
            rows alone (Fisher's exact test).
        seed: The seed of the divisions.

    Example:
        >>> keys = [bytes([i // 256, i % 256]) for i in range(600)]
        >>> found = equal_rows(keys[:12] + keys[400:588], keys[:300], keys[300:400])
        >>> found.count, found.real, found.p_value < 1e-3
        (12, 0, True)
    """
    sizes = len(samples), len(train), len(held_out)
    counts = _groups(samples, train, held_out)
    drawn, known, fresh = counts
    count = int(drawn[known > 0].sum())
    at_chance = int(fresh[known > 0].sum())
    if not matched:
        p, smallest = _by_held_out(count, at_chance, sizes)
        return EqualRows(count, sizes[0], at_chance, sizes[2], p, smallest, matched=False)
    real = int(known[known > 1].sum()) + at_chance
    rows = sizes[1] + sizes[2]
    pair = (
        2 * sizes[0] * sizes[1] / (sum(sizes) * (sum(sizes) - 1))
    )  # that two equal rows are a sample and a training row
    least = 2 + math.log(COPIES_LEVEL / TESTS) / math.log(pair) if pair < 1 else math.inf
    some = _some(counts[:, counts.sum(0) > 1], seed)
    if not some.shape[1]:
        return EqualRows(0, sizes[0], 0, rows, 1.0, _share(least, sizes[0]))
    p = _excess_p_value(some, sizes, seed) if count else 1.0
    least = max(least, _standing_out(some, sizes, seed)) if real else least
    return EqualRows(count, sizes[0], real, rows, p, _share(least, sizes[0]))


def _excess_p_value(counts: np.ndarray, sizes: tuple[int, int, int], seed: int) -> float:
    """The p-value of the excess; a tenth of the divisions serve where ten of these are as large already."""
    null = _divided(counts.sum(0), sizes, stream(seed, "equal rows"), FEW)
    found, spread = float(_excess(counts, sizes)), float(null.std())
    if counts.sum() > MANY:
        return _normal_tail((found - float(null.mean())) / spread if spread else 0.0)
    least = found - 1e-9 * max(spread, 1e-300)
    if (null >= least).sum() < 10:
        more = _divided(counts.sum(0), sizes, stream(seed, "more equal rows"), PERMUTATIONS - FEW)
        null = np.concatenate([null, more])
    return (1 + int((null >= least).sum())) / (1 + len(null))


def _standing_out(counts: np.ndarray, sizes: tuple[int, int, int], seed: int) -> float:
    """How many copies stand out from equal rows by chance in nine of ten cases, by planting more and more of them."""
    known = counts[1]
    rng, planted, factor = stream(seed, "planted"), max(4.0, 0.01 * sizes[0]), 2.0
    while planted <= sizes[0]:
        expected = counts[0] * (1 - planted / sizes[0]) + planted * known / sizes[1]
        # Copies of rows that are alone make pairs.
        alone = sizes[1] - known.sum()
        pairs = min(int(alone), int(planted * alone / sizes[1]))
        copied = np.ceil(planted * alone / sizes[1] / max(1, pairs))
        lone = np.repeat([[copied], [1.0], [0.0]], pairs, 1)
        mixed = np.concatenate([np.stack([np.floor(expected + rng.random(len(known))), *counts[1:]]), lone], 1)
        mixed = mixed[:, mixed.sum(0) > 0]
        whole = max(sizes[0], int(mixed[0].sum())), *sizes[1:]
        null = _divided(mixed.sum(0), whole, rng, 99)
        z = (float(_excess(mixed, whole)) - float(null.mean())) / max(float(null.std()), 1e-300)
        if z > LIMIT + 2 * CERTAIN:  # the null distribution is skewed, and the number of copies of a row varies
            return planted
        planted *= factor if z < LIMIT / 2 else 1.2
    return math.inf


def _share(count: float, size: int) -> float:
    return math.ceil(count) / size if count <= size else math.inf


def _groups(*parts: Sequence[bytes]) -> np.ndarray:
    """How many rows of each part have each key, `(parts, keys)`."""
    numbers: dict[bytes, int] = {}
    places = [np.array([numbers.setdefault(key, len(numbers)) for key in part], np.int64) for part in parts]
    return np.stack([np.bincount(place, minlength=len(numbers)) for place in places]).astype(np.float64)


def _some(counts: np.ndarray, seed: int) -> np.ndarray:
    """Values of which there are at most `MOST` rows: which rows are equal is tested as well by some of their values."""
    if counts.sum() <= MOST:
        return counts
    order = stream(seed, "values").permutation(counts.shape[1])
    kept = int(np.searchsorted(np.cumsum(counts[:, order].sum(0)), MOST)) + 1
    return counts[:, order[:kept]]


def _excess(counts: np.ndarray, sizes: tuple[int, int, int]) -> np.ndarray:
    """2 κ of samples and training rows − κ of samples − κ of real rows, summed over the last axis."""
    drawn, known, fresh = counts
    n, m, rest = sizes
    real, rows = known + fresh, m + rest
    mixed = (drawn * known).sum(-1) / (n * m)
    within = (drawn * (drawn - 1)).sum(-1) / max(1, n * (n - 1))
    excess: np.ndarray = 2 * mixed - within - (real * (real - 1)).sum(-1) / max(1, rows * (rows - 1))
    return excess


def _divided(groups: np.ndarray, sizes: tuple[int, int, int], rng: np.random.Generator, count: int) -> np.ndarray:
    """The excess in random divisions of all rows, from those alone that equal others."""
    borders = np.concatenate([[0], np.cumsum(groups[:-1])]).astype(int)
    labels = np.repeat(np.arange(3, dtype=np.int8), sizes)
    found = []
    for start in range(0, count, step := max(1, CELLS // len(labels))):
        size = min(step, count - start)
        if 20 * int(groups.sum()) < len(labels):
            label = _one_by_one(int(groups.sum()), sizes, rng, size)
        else:
            label = rng.permuted(np.tile(labels, (size, 1)), axis=1)[:, : int(groups.sum())]
        sides = [np.add.reduceat(label == side, borders, axis=1, dtype=np.float64) for side in range(3)]
        found.append(_excess(np.stack(sides), sizes))
    return np.concatenate(found)


def _one_by_one(rows: int, sizes: tuple[int, int, int], rng: np.random.Generator, count: int) -> np.ndarray:
    """The sides of a few rows in random divisions of all, `(count, rows)`."""
    left = np.repeat(np.array(sizes, np.float64)[:, None], count, 1)
    label = np.empty((count, rows), np.int8)
    for row in range(rows):
        at = rng.random(count) * left.sum(0)
        label[:, row] = (at >= left[0]).astype(np.int8) + (at >= left[0] + left[1])
        for side in range(3):
            left[side] -= label[:, row] == side
    return label


def _by_held_out(count: int, at_chance: int, sizes: tuple[int, int, int]) -> tuple[float, float]:
    """Fisher's exact test against held-out rows, and the smallest share of copies that it would find."""
    p = fisher(count, sizes[0], at_chance, sizes[2])
    chance = at_chance / sizes[2]
    for more in np.unique(np.geomspace(1, sizes[0], 100).astype(int)):
        expected = chance * (sizes[0] - more) + more
        likely = expected - CERTAIN * math.sqrt(max(0.0, expected * (1 - expected / sizes[0])))
        if likely > 0 and fisher(int(likely), sizes[0], at_chance, sizes[2]) <= COPIES_LEVEL / TESTS:
            return p, int(more) / sizes[0]
    return p, math.inf


def fisher(count: int, size: int, other: int, others: int) -> float:
    """The p-value of Fisher's exact test that `count` of `size` is not a larger share than `other` of `others`.

    Example:
        >>> fisher(3, 3, 0, 3)
        0.05
    """
    from scipy.stats import hypergeom

    return round(float(hypergeom.sf(count - 1, size + others, count + other, size)), 15)


def _normal_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


def closer_test(nearest: np.ndarray, held_out: np.ndarray, seed: int = 0, groups: np.ndarray | None = None) -> float:
    """The p-value that samples are not nearer to training rows than to held-out rows.

    If samples depend on training rows by their distribution alone, these and held-out rows can be exchanged, whatever that
    distribution is: the number of samples whose nearest real row was held out is that of a random choice of held-out rows.

    Arguments:
        nearest: The number of the nearest real row of each sample, `(N,)`, with ties broken without regard to who it is.
        held_out: Whether each real row was held out, `(M,)`.
        seed: The seed of the random choices.
        groups: The group of each real row, `(M,)`, if whole groups were held out: then as many groups are chosen at random,
            and the samples at a held-out row are counted.

    Example:
        >>> closer_test(np.arange(100), np.arange(200) >= 100) < 1e-3
        True
    """
    often = np.bincount(nearest, minlength=len(held_out))
    if groups is not None:
        return _closer_groups(often, held_out, groups, seed)
    found = int(often[held_out].sum())
    weights, sizes = np.unique(often, return_counts=True)
    chosen = stream(seed, "closer").multivariate_hypergeometric(
        sizes, int(held_out.sum()), size=PERMUTATIONS, method="marginals"
    )
    return (1 + int((chosen @ weights <= found).sum())) / (1 + PERMUTATIONS)


def _closer_groups(often: np.ndarray, held_out: np.ndarray, groups: np.ndarray, seed: int) -> float:
    """The same by random choices of groups; how many samples there are for each held-out row, for groups differ in size."""
    _, first, codes = np.unique(groups, return_index=True, return_inverse=True)
    drawn, sizes = (np.bincount(codes.reshape(-1), weight) for weight in (often, np.ones(len(often))))
    held, rng = held_out[first], stream(seed, "closer groups")
    least = drawn[held].sum() / sizes[held].sum() + 1e-12
    fewer = 0
    for _ in range(PERMUTATIONS):
        chosen = rng.permutation(held)
        fewer += bool(drawn[chosen].sum() / sizes[chosen].sum() <= least)
    return (1 + fewer) / (1 + PERMUTATIONS)


@dataclass(frozen=True)
class NearCopies:
    """A test of near copies from ratios of distances: to the nearest training row over that to the second nearest.

    Where the density is smooth, the ratio r of a new row is below t with probability t^D in D dimensions, whatever the
    density. Two tests share the level. The first compares the frequency of r < 1/3 with that of real rows, by Fisher's exact
    test. The second extends the frequencies of real rows to smaller ratios by the power of t that fits their lower quarter,
    less three standard errors of its exponent: it finds a single copy in many dimensions. It is for continuous data.

    Arguments:
        fresh, others: Ratios of held-out rows, and of training rows to the other training rows. These come in pairs, of rows
            that are each other's nearest, and count half.
        fine_fresh, fine_others: The same in the columns whose values do not repeat; empty if there are none.
    """

    fresh: np.ndarray
    others: np.ndarray
    fine_fresh: np.ndarray
    fine_others: np.ndarray

    def p_value(self, ratios: np.ndarray, fine: np.ndarray) -> float:
        """That samples of these ratios, in all columns and in those whose values do not repeat, are not nearer copies."""
        chance = int((self.fresh < THIRD).sum()) + math.ceil((self.others < THIRD).sum() / 2)
        size = len(self.fresh) + len(self.others) // 2
        often = fisher(int((ratios < THIRD).sum()), len(ratios), chance, size) if size else 1.0
        return min(1.0, 2 * min(often, self._single(fine)))

    def _single(self, fine: np.ndarray) -> float:
        """Whether the smallest 1, 2, 4, … ratios are smaller than chance makes them."""
        from scipy.stats import binom

        tail = self._tail()
        if tail is None or not len(fine):
            return 1.0
        border, share, power = tail
        rank = 2 ** np.arange(int(math.log2(len(fine))) + 1)
        at = np.sort(fine)[rank - 1]
        inside = at < border / 2
        if not inside.any():
            return 1.0
        chance = np.minimum(1.0, share * (at[inside] / border) ** power)
        return min(1.0, len(rank) * float(binom.sf(rank[inside] - 1, len(fine), chance).min()))

    def _tail(self) -> tuple[float, float, float] | None:
        """The lower quartile of real ratios, a bound of the frequency below it, and one of the power."""
        both = np.concatenate([self.fine_fresh, self.fine_others])
        count = len(self.fine_fresh) + len(self.fine_others) / 2
        if count < 20:
            return None
        border = float(np.quantile(both, 0.25))
        low = both[(both < border) & (both > 0)]
        if border <= 0 or len(low) < len(both) / 8:
            return None
        power = len(low) / float(np.log(border / low).sum())
        power *= max(0.0, 1 - 3 / math.sqrt(count / 4))
        return border, 0.25 + 3 * math.sqrt(0.25 * 0.75 / count), power

    def smallest(self, size: int, copied: np.ndarray, fine_copied: np.ndarray, seed: int = 0) -> float:
        """The smallest share of copies among `size` samples that the test finds in nine of ten cases, by planting them.

        Arguments:
            size: The number of samples.
            copied, fine_copied: Ratios of copies of training rows, in all columns and in those that do not repeat.
            seed: The seed of what is planted.
        """
        rng = stream(seed, "planted")
        real = np.concatenate([self.fresh, self.others])
        fine = np.concatenate([self.fine_fresh, self.fine_others])
        if not len(copied):
            return math.inf

        def found(planted: int) -> bool:
            chosen, kept = rng.integers(len(real), size=size), rng.integers(len(copied), size=planted)
            ratios = np.concatenate([copied[kept], real[chosen[planted:]]])
            few = np.concatenate([fine_copied[kept], fine[chosen[planted:]]]) if len(fine) else fine
            return self.p_value(ratios, few) <= COPIES_LEVEL / TESTS

        for planted in np.unique(np.geomspace(1, size, 24).astype(int)):
            if found(int(planted)) and sum(found(int(planted)) for _ in range(10)) >= 9:
                return int(planted) / size
        return math.inf
