"""Nearest neighbours, exactly, and what they tell: whether samples are copies of the training data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .base import Array, as_rows, scale_of, subsample

__all__ = ["Neighbours", "memorization", "nearest"]

BLOCK = 2**23  # distances held at once: 32 MB in float32
SPARE = 8  # candidates beyond the k wanted: they absorb the rounding of the fast pass
SMALL = 16  # up to this many features, plain differences cost no more than the dot product


@dataclass(frozen=True)
class Neighbours:
    """How near samples come to the training data, beside how near held-out data come; in deviations of the data.

    Arguments:
        samples: Distances `(N,)` of drawn samples to their nearest training datum.
        held_out: The same `(N,)` for as many held-out data.
        copied: Fraction of the samples more than three times nearer to one training datum than to any other.
        copied_held_out: The same of held-out data: what chance alone gives (a third in one dimension, a ninth in two).
        p_value: Of the Mann-Whitney test that samples are no nearer than held-out data.
        copied_p_value: Of FisherWeighting's exact test that samples are no more often copied than held-out data.
        authentic: Fraction of the samples that are farther from their nearest training datum than that one is from the
            nearest other training datum (Alaa et al., 2022).
        authentic_held_out: The same of held-out data: what chance alone gives, about a half.
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
        """Whether the samples are nearer to the training data than chance explains."""
        n = len(self.samples)
        middle = (self.copied + self.copied_held_out) / 2
        chance = 4 * math.sqrt(2 * middle * (1 - middle) / n) + 1 / n
        return self.copied - self.copied_held_out > chance or (self.p_value < 1e-4 and self.ratio < 0.9)

    @property
    def verdict(self) -> str:
        """What the numbers say, in a sentence."""
        shares = f"{self.copied:.1%} of samples and {self.copied_held_out:.1%} of held-out data are near copies"
        if math.isnan(self.ratio):
            where = "most held-out data are in the training data too"
        else:
            where = f"the median sample lies at {self.ratio:.2g} times the distance of the median held-out datum"
        if self.suspicious:
            return f"Samples are copied from the training data: {shares} of a training datum, and {where}."
        if math.isnan(self.ratio):
            return f"Distances cannot tell copies from chance, for {where}."
        if self.ratio > 1.15:
            return f"Nothing is copied, but samples keep farther from the training data than new real data do: {where}."
        return f"Nothing is copied: {shares} of a training datum, and {where}."


def nearest(x: Array, reference: Array, k: int = 1) -> tuple[Tensor, Tensor]:
    """The k nearest rows of `reference` for every row of x: Euclidean, exact, in bounded memory.

    A fast pass ranks candidates by the dot product in float32; their distances are then recomputed from differences in
    float64. Rows for which the rounding of the fast pass could have hidden a nearer one go through a slower pass.

    Arguments:
        x: `(N, *D)`.
        reference: `(M, *D)`, M ≥ k.
        k: Number of neighbours.

    Returns:
        Distances `(N, k)`, ascending, float64, and the indices `(N, k)` into `reference`; ties in any order.

    Raises:
        ValueError: For k outside 1..M, the shapes differ, or a value is not finite.

    Example:
        >>> distance, index = nearest(torch.tensor([[0.9], [4.0]]), torch.tensor([[0.0], [1.0], [5.0]]))
        >>> index.flatten().tolist()
        [1, 2]
    """
    x, reference = as_rows(x, "x"), as_rows(reference, "reference")
    if x.shape[1:] != reference.shape[1:]:
        raise ValueError(
            f"x and reference must hold data of one shape, got {tuple(x.shape[1:])} and {tuple(reference.shape[1:])}"
        )
    if not 1 <= k <= len(reference):
        raise ValueError(f"nearest needs 1 <= k <= {len(reference)}, the rows of reference, got k={k}")
    x, reference = x.flatten(1).to(reference.device), reference.flatten(1)
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


def memorization(
    samples: Array, train: Array, held_out: Array, *, maximum: int = 1000, seed: int = 0
) -> Neighbours:
    """Whether samples are copies: their distances to the training data beside those of held-out data, equally many.

    All are divided by the standard deviations of the training data first: of each feature for `(N, F)`, of each channel
    for grids `(N, C, *S)`. The whole of `train` is searched.

    Arguments:
        samples: Drawn samples `(N, *D)`.
        train: What the model was trained on `(M, *D)`, M ≥ 2.
        held_out: Real data it did not see.
        maximum: At most this many samples and as many held-out data are looked up, chosen by `seed`.

    Raises:
        ValueError: If there are fewer than two training data, the shapes differ, or a value is not finite.

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
        raise ValueError(f"memorization needs two training data or more, got {len(known)}")
    scale = scale_of(known)
    count = min(len(samples), len(held_out), maximum)
    drawn = as_rows(subsample(samples, count, seed), "samples")
    fresh = as_rows(subsample(held_out, count, seed + 1), "held_out")
    for name, rows in (("samples", drawn), ("held_out", fresh)):
        if rows.shape[1:] != known.shape[1:]:
            raise ValueError(
                f"{name} must hold data of the shape of train, got {tuple(rows.shape[1:])} and {tuple(known.shape[1:])}"
            )
    known = known / scale
    looked = [nearest(rows.to(known.device) / scale, known, 2) for rows in (drawn, fresh)]
    near, far = (distance.cpu().numpy() for distance, _ in looked)
    copies = [3 * distance[:, 0] < distance[:, 1] for distance in (near, far)]
    found = [int(each.sum()) for each in copies]
    # Each one's nearest training datum, and how far that one is from the others.
    touched, place = torch.unique(torch.cat([index[:, 0] for _, index in looked]), return_inverse=True)
    apart = nearest(known[touched], known, 2)[0][:, 1].cpu().numpy()[place.cpu().numpy()]
    authentic = [distance[:, 0] > others for distance, others in zip((near, far), np.split(apart, 2))]
    return Neighbours(
        samples=near[:, 0],
        held_out=far[:, 0],
        copied=float(np.mean(copies[0])),
        copied_held_out=float(np.mean(copies[1])),
        p_value=float(mannwhitneyu(near[:, 0], far[:, 0], alternative="less").pvalue),
        copied_p_value=float(hypergeom.sf(found[0] - 1, 2 * count, sum(found), count)),
        authentic=float(np.mean(authentic[0])),
        authentic_held_out=float(np.mean(authentic[1])),
    )


def _by_dot_product(x: Tensor, reference: Tensor, k: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Distances, indices, and whether each row's answer is proven; squares are ranked as ‖r‖² − 2 x·r in `dtype`."""
    # Reduced precision of matrix products (TF32, bfloat16) would break the bound on the rounding below.
    dtype = dtype if torch.get_float32_matmul_precision() == "highest" else torch.float64
    middle = reference.mean(0)
    norms = torch.cat([(rows - middle).double().square().sum(1) for rows in reference.split(4096)])
    kept = min(k + SPARE, len(reference))
    width = min(len(reference), 16384)
    answers = []
    for rows in x.split(max(1, BLOCK // width)):
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
        distance, index = _recomputed(rows, reference, index, k)
        lengths = centred.double().square().sum(1)
        # ‖r‖² − 2 x·r rounds by at most D ε of its size; a row left out was ranked no better than the last one kept.
        slack = 4 * (x.shape[1] + 4) * torch.finfo(dtype).eps * (lengths + norms.max())
        sure = distance[:, -1].square() <= best[:, -1].double() + lengths - slack
        answers.append((distance, index, sure))
    distances, indices, sures = (torch.cat(column) for column in zip(*answers))
    return distances, indices, sures


def _recomputed(rows: Tensor, reference: Tensor, index: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest among the candidates `index`, by differences in float64."""
    exact = torch.stack([(rows.double() - reference[column].double()).norm(dim=1) for column in index.T], 1)
    distance, order = exact.topk(k, largest=False)
    return distance, index.gather(1, order)


def _by_difference(x: Tensor, reference: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest by plain differences in float64."""
    width = min(len(reference), 16384)
    answers = []
    for rows in x.double().split(max(1, BLOCK // (2 * width))):
        best = torch.full((len(rows), k), torch.inf, dtype=torch.float64, device=x.device)
        index = torch.zeros(len(rows), k, dtype=torch.long, device=x.device)
        for start in range(0, len(reference), width):
            part = reference[start : start + width].double()
            found = torch.cdist(rows, part, compute_mode="donot_use_mm_for_euclid_dist").topk(
                min(k, len(part)), largest=False
            )
            best, order = torch.cat([best, found.values], 1).topk(k, largest=False)
            index = torch.cat([index, found.indices + start], 1).gather(1, order)
        answers.append((best, index))
    return torch.cat([best for best, _ in answers]), torch.cat([index for _, index in answers])
