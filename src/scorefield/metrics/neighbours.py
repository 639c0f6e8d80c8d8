"""Exact nearest neighbours, and a test of whether samples are copies of the training data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .base import Array, as_rows, rows_alike, scale_of, subsample

__all__ = ["Neighbours", "memorization", "nearest"]

BLOCK = 2**23  # distances held in memory at once: 32 MB in float32
SPARE = 8  # candidates beyond the k requested, to absorb the rounding of the fast pass
SMALL = 16  # up to this many features, differences are as fast as dot products


@dataclass(frozen=True)
class Neighbours:
    """Distances of samples to the training data, compared with those of held-out data, in standard deviations.

    Arguments:
        samples, held_out: The distances of samples, and of as many held-out data, to their nearest training sample, `(N,)`.
        copied: The fraction of samples that are more than three times closer to one training sample than to any other.
        copied_held_out: That fraction of the held-out data: what chance gives (a third in one dimension, a ninth in two).
        p_value: The p-value of the Mann-Whitney test that samples are not closer than held-out data.
        copied_p_value: The p-value of Fisher's exact test that samples are not copied more often than held-out data.
        authentic: The fraction of samples that are farther from their nearest training sample than that one is from its
            nearest training neighbour (Alaa et al., 2022).
        authentic_held_out: That fraction of the held-out data: what chance gives, about a half.
    """

    samples: np.ndarray
    held_out: np.ndarray
    copied: float
    copied_held_out: float
    p_value: float
    copied_p_value: float = math.nan
    authentic: float = math.nan
    authentic_held_out: float = math.nan

    @property
    def ratio(self) -> float:
        """Median distance of the samples over that of held-out data: 1 is ideal, 0 is a copy."""
        below = float(np.median(self.held_out))
        return float(np.median(self.samples)) / below if below > 0 else math.nan

    @property
    def suspicious(self) -> bool:
        """Whether the samples are significantly closer to the training data than held-out data."""
        n = len(self.samples)
        middle = (self.copied + self.copied_held_out) / 2
        chance = 4 * math.sqrt(2 * middle * (1 - middle) / n) + 1 / n
        return self.copied - self.copied_held_out > chance or (self.p_value < 1e-4 and self.ratio < 0.9)

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        shares = f"{self.copied:.1%} of samples and {self.copied_held_out:.1%} of held-out data are near copies"
        if math.isnan(self.ratio):
            where = "most held-out data are also in the training data"
        else:
            where = f"the median distance of samples is {self.ratio:.2g} times that of held-out data"
        if self.suspicious:
            return f"Samples are copied from the training data: {shares} of a training sample, and {where}."
        if math.isnan(self.ratio):
            return f"Distances cannot distinguish copies from chance, because {where}."
        if self.ratio > 1.15:
            return f"Nothing is copied, but samples are farther from the training data than new real data are: {where}."
        return f"Nothing is copied: {shares} of a training sample, and {where}."


def nearest(x: Array, reference: Array, k: int = 1) -> tuple[Tensor, Tensor]:
    """The exact k nearest rows of `reference` to each row of x by Euclidean distance, in bounded memory.

    A fast pass ranks candidates by dot products in float32, and their distances are recomputed from differences in float64.
    Rows for which rounding in the fast pass could have missed a neighbour are processed again more precisely.

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
    distances = torch.empty(len(x), k, dtype=torch.float64, device=x.device)
    indices = torch.empty(len(x), k, dtype=torch.long, device=x.device)
    pending = torch.arange(len(x), device=x.device)
    if x.shape[1] > SMALL and len(reference) > k + SPARE:
        for dtype in (torch.float32, torch.float64):
            distance, index, sure = _by_dot_product(x[pending], reference, k, dtype)
            distances[pending], indices[pending] = distance, index
            pending = pending[~sure]
    if len(pending):
        distances[pending], indices[pending] = _by_difference(x[pending], reference, k)
    return distances, indices


def memorization(samples: Array, train: Array, held_out: Array, *, maximum: int = 1000, seed: int = 0) -> Neighbours:
    """Tests whether samples are copies: compares their distances to the training data with those of held-out data.

    Data are divided by the standard deviations of the training data: of each feature for `(N, F)`, of each channel for
    grids `(N, C, *S)`. All of `train` is searched.

    Arguments:
        samples, train, held_out: Samples of the model `(N, *D)`, training data `(M, *D)` with M ≥ 2, and held-out data.
        maximum, seed: The maximum number of samples and of held-out data, and the seed that chooses them.

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
    from scipy.stats import hypergeom, mannwhitneyu

    known = as_rows(train, "train")
    if len(known) < 2:
        raise ValueError(f"memorization needs at least two training samples, got {len(known)}")
    count = min(len(samples), len(held_out), maximum)
    some = {"samples": subsample(samples, count, seed), "held_out": subsample(held_out, count, seed + 1)}
    scale = scale_of(known)
    known, *others = (rows / scale for rows in rows_alike({"train": known} | some, "train"))
    found = [nearest(rows, known, 2) for rows in others]
    near, far = (distance.cpu().numpy() for distance, _ in found)
    copies = [3 * distance[:, 0] < distance[:, 1] for distance in (near, far)]
    counts = [int(copied.sum()) for copied in copies]
    # The nearest training sample of each row, and its distance to its own nearest training neighbour.
    unique, place = torch.unique(torch.cat([index[:, 0] for _, index in found]), return_inverse=True)
    between = nearest(known[unique], known, 2)[0][:, 1].cpu().numpy()[place.cpu().numpy()]
    authentic = [distance[:, 0] > reach for distance, reach in zip((near, far), np.split(between, 2))]
    return Neighbours(
        samples=near[:, 0],
        held_out=far[:, 0],
        copied=float(np.mean(copies[0])),
        copied_held_out=float(np.mean(copies[1])),
        p_value=float(mannwhitneyu(near[:, 0], far[:, 0], alternative="less").pvalue),
        copied_p_value=float(hypergeom.sf(counts[0] - 1, 2 * count, sum(counts), count)),
        authentic=float(np.mean(authentic[0])),
        authentic_held_out=float(np.mean(authentic[1])),
    )


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
