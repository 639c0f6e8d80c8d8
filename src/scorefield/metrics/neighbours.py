"""Exact nearest neighbours, and a test of whether samples are copies of the training data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..display import joined
from .base import Array, as_rows, rows_alike, scale_of, stream, subsample
from .copies import COPIES_LEVEL, TESTS, THIRD, EqualRows, NearCopies, closer_test, equal_rows, row_keys
from .groups import one_per_group

__all__ = ["Neighbours", "memorization", "nearest"]

BLOCK = 2**23  # distances held in memory at once: 32 MB in float32
SPARE = 8  # candidates beyond the k requested, to absorb the rounding of the fast pass
NOISE = 0.01  # of the spread of each column: what near copies differ by where the power is stated
FEW = 10  # up to this many features, a tree is faster than products of matrices
SEARCHED = 1_000_000  # training rows that are searched for near copies at most, at random if there are more


@dataclass(frozen=True)
class Neighbours:
    """Distances of samples to the training data, compared with those of held-out data, in standard deviations.

    Arguments:
        samples, held_out: The distances of samples, and of held-out data, to their nearest training sample, `(N,)`, `(M,)`.
        copied: The fraction of samples that are more than three times closer to one training sample than to any other.
        copied_held_out: That fraction of the held-out data: what chance gives (a third in one dimension, a ninth in two).
        p_value: The p-value of the Mann-Whitney test that samples are not closer than held-out data. Samples of a model that
            is too narrow are closer too, so that it does not count as a sign of copies.
        copied_p_value: The p-value of the tests of near copies, `NearCopies`.
        authentic: The fraction of samples that are farther from their nearest training sample than that one is from its
            nearest training neighbour (Alaa et al., 2022).
        authentic_held_out: That fraction of the held-out data: what chance gives, about a half.
        equal: How many samples equal a training row, with a test.
        closer_p_value: The p-value of the test that samples are not nearer to training rows than to held-out rows.
        smallest_near: The smallest share of near copies, training rows with noise of 1 % of the spread of each column, that is
            found in nine of ten cases; infinite if none is.
        searched, rows: How many training rows were searched for near copies, and how many there are; 0 if not known. Equal rows
            are found among all of them.
    """

    samples: np.ndarray
    held_out: np.ndarray
    copied: float
    copied_held_out: float
    p_value: float
    copied_p_value: float = math.nan
    authentic: float = math.nan
    authentic_held_out: float = math.nan
    equal: EqualRows | None = None
    closer_p_value: float = math.nan
    smallest_near: float = math.nan
    searched: int = 0
    rows: int = 0

    @property
    def ratio(self) -> float:
        """Median distance of the samples over that of held-out data: 1 is ideal, 0 is a copy."""
        below = float(np.median(self.held_out))
        return float(np.median(self.samples)) / below if below > 0 else math.nan

    @property
    def copies_p_value(self) -> float:
        """The p-value that nothing was copied: of equal rows, near copies and closeness together (Bonferroni)."""
        each = [self.copied_p_value, self.closer_p_value, math.nan if self.equal is None else self.equal.p_value]
        known = [p for p in each if not math.isnan(p)]
        return min(1.0, TESTS * min(known)) if known else math.nan

    @property
    def suspicious(self) -> bool:
        """Whether samples are copies of training data: the p-value of all tests of copies together is at most 0.001."""
        return self.copies_p_value <= COPIES_LEVEL

    @property
    def smallest_equal(self) -> float:
        """The smallest share of exact copies that is found in nine of ten cases: as equal rows, or as near copies."""
        return math.inf if self.equal is None else self.equal.smallest

    @property
    def what_is_visible(self) -> str:
        """The shares of copies that would have been found, as a sentence; empty if they are not known."""
        if self.equal is None:
            return ""
        near = f"near copies (rows with noise of {100 * NOISE:g} % of the spread)"
        each = ((self.smallest_equal, "exact copies"), (self.smallest_near, near))
        found = [f"{what} of {_percent(share)} % of the samples" for share, what in each if math.isfinite(share)]
        missed = [what for share, what in each if not math.isfinite(share)]
        parts = [f"the search would have found {joined(found)}"] if found else []
        parts += [f"{joined(missed)} could not have been found in any number"] if missed else []
        sampled = f" Near copies were sought in {self.searched:,} of {self.rows:,} training rows, drawn at random."
        return f"{', '.join(parts)}.{sampled if self.searched < self.rows else ''}"

    @property
    def verdict(self) -> str:
        """The result in a sentence, and what could have been found."""
        shares = f"{self.copied:.1%} of samples and {self.copied_held_out:.1%} of held-out data are near copies"
        if math.isnan(self.ratio):
            where = "most held-out data are also in the training data"
        else:
            where = f"the median distance of samples is {self.ratio:.2g} times that of held-out data"
        equal = "" if self.equal is None else f"{self.equal.count:,} of {self.equal.samples:,} samples equal one, "
        visible = f" {self.what_is_visible}" if self.what_is_visible else ""
        if self.suspicious:
            return f"Samples are copied from the training data: {equal}{shares} of a training sample, and {where}."
        if math.isnan(self.ratio):
            return f"Distances cannot distinguish copies from chance, because {where}.{visible}"
        if self.ratio > 1.15:
            text = "No copies were found, but samples are farther from the training data than new real data are"
            return f"{text}: {where}.{visible}"
        return f"No copies were found: {equal}{shares} of a training sample, and {where}.{visible}"


def nearest(x: Array, reference: Array, k: int = 1) -> tuple[Tensor, Tensor]:
    """The exact k nearest rows of `reference` to each row of x by Euclidean distance, in bounded memory.

    Up to ten features are searched by a k-d tree, in a time that grows more slowly than the number of rows. For more, a fast
    pass ranks candidates by dot products in float32, and their distances are recomputed from differences in float64. Rows
    for which rounding in the fast pass could have missed a neighbour are processed again more precisely.

    Arguments:
        x, reference: Rows `(N, *D)`, and those to search, `(M, *D)`.
        k: The number of neighbours, at most M.

    Returns:
        Distances `(N, k)`, increasing, in float64, and indices `(N, k)` into `reference`; ties are in any order.

    Raises:
        ValueError: If k is not in 1..M, the shapes differ, or a value is not finite.

    Example:
        >>> distance, index = nearest(torch.tensor([[0.9], [4.0]]), torch.tensor([[0.0], [1.0], [5.0]]))
        >>> index.flatten().tolist()
        [1, 2]
    """
    x, reference = rows_alike({"x": x, "reference": reference}, "reference")
    if not 1 <= k <= len(reference):
        raise ValueError(f"nearest needs 1 <= k <= {len(reference)}, the number of rows of reference, got k={k}")
    x, reference = x.flatten(1), reference.flatten(1)
    if x.shape[1] <= FEW and x.device.type == "cpu" and len(x):
        return _by_tree(x, reference, k)
    distances = torch.empty(len(x), k, dtype=torch.float64, device=x.device)
    indices = torch.empty(len(x), k, dtype=torch.long, device=x.device)
    pending = torch.arange(len(x), device=x.device)
    if len(reference) > k + SPARE:
        for dtype in (torch.float32, torch.float64):
            distance, index, sure = _by_dot_product(x[pending], reference, k, dtype)
            distances[pending], indices[pending] = distance, index
            pending = pending[~sure]
    if len(pending):
        distances[pending], indices[pending] = _by_difference(x[pending], reference, k)
    return distances, indices


def memorization(
    samples: Array,
    train: Array,
    held_out: Array,
    *,
    maximum: int = 2000,
    seed: int = 0,
    keys: Sequence[Sequence[bytes]] | None = None,
    matched: bool = True,
    groups: Sequence[np.ndarray] | None = None,
) -> Neighbours:
    """Tests whether samples are copies: exact copies, near copies, and samples that are too close to training rows.

    Data are divided by the standard deviations of the training data: of each feature for `(N, F)`, of each channel for
    grids `(N, C, *S)`. All samples are examined, and all of `train` is searched, or 1,000,000 of its rows, chosen by the seed:
    the smallest shares of near copies that are found, and the verdict, say so. What chance gives is known from real rows:
    held-out ones, and training rows compared with the other training rows.

    Arguments:
        samples, train, held_out: Samples of the model `(N, *D)`, training data `(M, *D)` with M ≥ 2, and held-out data.
        maximum, seed: The maximum number of held-out data and of training data that say what chance gives, and the seed that
            chooses them.
        keys: Keys of all samples, training and held-out rows in the units of the data, by `row_keys`, if these are not: equal
            rows have equal keys.
        matched: Whether training rows, compared with the other training rows, are like held-out ones: not if held-out rows
            were chosen otherwise.
        groups: The groups of training and of held-out rows, `(M,)` each, if whole groups were held out. Then one row of each
            held-out group says what chance gives, and the test of closeness is by random choices of groups.

    Raises:
        ValueError: If there are fewer than two training samples, the shapes differ, or a value is not finite.

    References:
        Meehan et al., 2020, A non-parametric test to detect data-copying in generative models; Yoon et al., 2023, Diffusion
        probabilistic models generalize when they fail to memorize (the ratio of a third); Alaa et al., 2022, How faithful
        is your synthetic data?

    Example:
        >>> rng = np.random.default_rng(0)
        >>> train, held_out = rng.normal(size=(500, 3)), rng.normal(size=(200, 3))
        >>> memorization(train[:200] + 1e-3, train, held_out).suspicious
        True
    """
    from scipy.stats import mannwhitneyu

    known = as_rows(train, "train")
    if len(known) < 2:
        raise ValueError(f"memorization needs at least two training samples, got {len(known)}")
    known, drawn, fresh = rows_alike({"train": known, "samples": samples, "held_out": held_out}, "train")
    if keys is None:
        parts = (np.split(x.cpu().float().numpy(), range(8192, len(x), 8192)) for x in (drawn, known, fresh))
        keys = [row_keys(part) for part in parts]
    scale, rows = scale_of(known), len(known)
    if rows > SEARCHED:
        kept = subsample(np.arange(rows), SEARCHED, seed + 3)
        known = known[torch.as_tensor(kept, device=known.device)]
        groups = None if groups is None else (groups[0][kept], groups[1])
    share = len(known) / rows  # of near copies whose original is searched
    known, drawn, fresh = ((x / scale).flatten(1) for x in (known, drawn, fresh))
    some = _chosen(fresh if groups is None else fresh[one_per_group(groups[1], seed)], maximum, seed + 1)
    found = [nearest(rows, known, 2) for rows in (drawn, some)]
    near, far = (distance.cpu().numpy() for distance, _ in found)
    copies = [THIRD * distance[:, 1] > distance[:, 0] for distance in (near, far)]
    authentic = _authentic(found, known)
    equal = equal_rows(keys[0], keys[1], keys[2], matched, seed)
    test, ratios = _near_copies(known, drawn, some, (near, far), (maximum, seed), matched and groups is None)
    return Neighbours(
        samples=near[:, 0],
        held_out=far[:, 0],
        copied=float(np.mean(copies[0])),
        copied_held_out=float(np.mean(copies[1])),
        p_value=float(mannwhitneyu(near[:, 0], far[:, 0], alternative="less").pvalue),
        copied_p_value=test.p_value(*ratios["samples"]),
        authentic=authentic[0],
        authentic_held_out=authentic[1],
        equal=replace(
            equal, smallest=min(equal.smallest, _found(test.smallest(len(drawn), *ratios["exact"], seed=seed), share))
        ),
        closer_p_value=_closer(drawn, known, fresh, seed, groups) if matched else math.nan,
        smallest_near=_found(test.smallest(len(drawn), *ratios["near"], seed=seed), share),
        searched=len(known),
        rows=rows,
    )


def _found(smallest: float, share: float) -> float:
    """The smallest share of copies that is found where a share of the training rows is searched; infinite if there is none."""
    return smallest / share if smallest <= share else math.inf


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.095 else f"{100 * share:.0f}"


def _chosen(rows: Tensor, count: int, seed: int) -> Tensor:
    return torch.as_tensor(subsample(rows, count, seed))


def _authentic(found: Sequence[tuple[Tensor, Tensor]], known: Tensor) -> list[float]:
    """How often rows are farther from their nearest training row than that is from its nearest training neighbour."""
    # The nearest training sample of each row, and its distance to its own nearest training neighbour.
    unique, place = torch.unique(torch.cat([index[:, 0] for _, index in found]), return_inverse=True)
    between = nearest(known[unique], known, 2)[0][:, 1][place]
    parts = torch.split(between, [len(index) for _, index in found])
    return [float((distance[:, 0] > reach).double().mean()) for (distance, _), reach in zip(found, parts)]


def _closer(
    drawn: Tensor, known: Tensor, fresh: Tensor, seed: int, groups: Sequence[np.ndarray] | None = None
) -> float:
    """The test of closeness; in random order, so that ties of distances do not depend on who a row is."""
    real = torch.cat([known, fresh])
    order = torch.from_numpy(stream(seed, "order").permutation(len(real))).to(real.device)
    index = nearest(drawn, real[order])[1][:, 0]
    codes = None if groups is None else np.concatenate(groups)[order.cpu().numpy()]
    return closer_test(index.cpu().numpy(), (order >= len(known)).cpu().numpy(), seed, codes)


def _near_copies(
    known: Tensor,
    drawn: Tensor,
    fresh: Tensor,
    distances: tuple[np.ndarray, np.ndarray],
    chosen: tuple[int, int],
    matched: bool,
) -> tuple[NearCopies, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The test of near copies, and the ratios, in all columns and in those that do not repeat, of what it tests."""
    (near, far), (maximum, seed) = distances, chosen
    others = _chosen(known, maximum, seed + 2) if len(known) > 2 else known[:0]
    fine, step = _fine(torch.cat([known, fresh]))
    within = nearest(others, known, 3)[0][:, 1:].cpu().numpy() if len(others) else np.zeros((0, 2))
    if len(fine) == known.shape[1]:
        parts = [near, far, within]
    elif len(fine):
        few = known[:, fine]
        parts = [nearest(rows[:, fine], few, 2)[0].cpu().numpy() for rows in (drawn, fresh)]
        parts.append(nearest(others[:, fine], few, 3)[0][:, 1:].cpu().numpy() if len(others) else np.zeros((0, 2)))
    else:
        parts = [np.zeros((0, 2))] * 3
    # Differences below those between values of the data count as those: they may be how values are written.
    single, seldom, around = (_ratios(part, step) for part in parts)
    count = len(within) if matched else 0
    test = NearCopies(_ratios(far), _ratios(within)[:count], seldom, around[:count])
    share = (len(fine) / known.shape[1]) ** 0.5
    sizes = {"exact": 0.0, "near": known.shape[1] ** 0.5 * NOISE}
    planted = {
        name: (_ratios(_copied(within, size)), _ratios(_copied(parts[2], size * share), step))
        for name, size in sizes.items()
    }
    return test, {"samples": (_ratios(near), single)} | planted


def _copied(within: np.ndarray, size: float) -> np.ndarray:
    """The two smallest distances of copies of rows with noise of this size, whose own nearest are at `within`."""
    own = np.full(len(within), size)
    distances: np.ndarray = np.stack([own, np.hypot(own, within[:, 0])], 1)
    return distances


def _ratios(distances: np.ndarray, least: float = 0.0) -> np.ndarray:
    """Distances to the nearest row over those to the second nearest; 1 if both are zero."""
    low, high = np.maximum(distances.min(1), least), np.maximum(distances.max(1), least)
    ratio: np.ndarray = np.where(high > 0, low / np.where(high > 0, high, 1.0), 1.0)
    return ratio


def _fine(real: Tensor) -> tuple[Tensor, float]:
    """The columns in which no value of the real rows repeats, and the length of the smallest differences between values."""
    some = _chosen(real, 4096, 0)
    steps = some.double().sort(0).values.diff(dim=0).amin(0)
    fine = torch.nonzero(steps > 0)[:, 0]
    return fine, float(steps[fine].square().sum().sqrt())


def _by_tree(x: Tensor, reference: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest by a k-d tree in float64, whose cells are halved in the middle: many equal rows do no harm."""
    from scipy.spatial import KDTree

    tree = KDTree(reference.double().numpy(), leafsize=32, balanced_tree=False)
    distance, index = tree.query(x.double().numpy(), k=range(1, k + 1))
    return torch.from_numpy(distance), torch.from_numpy(index)


def _by_dot_product(x: Tensor, reference: Tensor, k: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Distances, indices, and whether the result of each row is certain; squares are ranked as ‖r‖² − 2 x·r in `dtype`."""
    # With reduced precision of matrix products (TF32, bfloat16) the rounding bound below would not hold.
    dtype = dtype if torch.get_float32_matmul_precision() == "highest" else torch.float64
    middle = reference.mean(0)
    norms = torch.cat([(rows - middle).double().square().sum(1) for rows in torch.split(reference, 4096)])
    kept = min(k + SPARE, len(reference))
    width = min(len(reference), 16384)
    answers = []
    for rows in torch.split(x, max(1, BLOCK // width)):
        best = torch.full((len(rows), kept), torch.inf, dtype=dtype, device=x.device)
        index = torch.zeros(len(rows), kept, dtype=torch.long, device=x.device)
        centred = (rows - middle).to(dtype)
        for start in range(0, len(reference), width):
            part = (reference[start : start + width] - middle).to(dtype)
            rank = torch.addmm(norms[start : start + width].to(dtype), centred, part.T, alpha=-2)
            found = rank.topk(min(kept, len(part)), largest=False)
            best = torch.cat([best, found.values], 1)
            best, order = best.topk(kept, largest=False)
            index = torch.cat([index, found.indices + start], 1).gather(1, order)
        exact = torch.stack([(rows.double() - reference[column].double()).norm(dim=1) for column in index.T], 1)
        distance, order = exact.topk(k, largest=False)
        index = index.gather(1, order)
        lengths = centred.double().square().sum(1)
        # The rounding error of ‖r‖² − 2 x·r is at most D ε of its size; rows left out rank no better than the last one kept.
        slack = 4 * (x.shape[1] + 4) * torch.finfo(dtype).eps * (lengths + norms.max())
        sure = distance[:, -1].square() <= best[:, -1].double() + lengths - slack
        answers.append((distance, index, sure))
    distances, indices, sures = (torch.cat(column) for column in zip(*answers))
    return distances, indices, sures


def _by_difference(x: Tensor, reference: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest by plain differences in float64."""
    width = min(len(reference), 16384)
    answers = []
    for rows in torch.split(x.double(), max(1, BLOCK // (2 * width))):
        best = torch.full((len(rows), k), torch.inf, dtype=torch.float64, device=x.device)
        index = torch.zeros(len(rows), k, dtype=torch.long, device=x.device)
        for start in range(0, len(reference), width):
            part = reference[start : start + width].double()
            distance = torch.cdist(rows, part, compute_mode="donot_use_mm_for_euclid_dist")
            found = distance.topk(min(k, len(part)), largest=False)
            best, order = torch.cat([best, found.values], 1).topk(k, largest=False)
            index = torch.cat([index, found.indices + start], 1).gather(1, order)
        answers.append((best, index))
    distances, indices = (torch.cat(column) for column in zip(*answers))
    return distances, indices
