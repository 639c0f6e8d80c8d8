"""Hyperparameters read off the data, each with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .process import EDM

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True)
class Calibration:
    """What the data ask for; levels are in units of the standardized data.

    Arguments:
        sigma_min: The smallest noise level.
        sigma_max: The largest noise level.
        level_mean: The mean of ln σ in training.
        level_std: The standard deviation of ln σ in training.
        reasons: Why: a sentence for each of the four, in this order.
    """

    sigma_min: float
    sigma_max: float
    level_mean: float
    level_std: float
    reasons: tuple[str, ...] = ("given",) * 4

    def process(self) -> EDM:
        """The noise process between the two levels."""
        return EDM(self.sigma_min, self.sigma_max)

    def table(self) -> list[tuple[str, float, str]]:
        """Rows of a name, a value and a reason."""
        names = (
            "smallest level σ_min",
            "largest level σ_max",
            "mean of ln σ in training",
            "spread of ln σ in training",
        )
        return list(zip(names, (self.sigma_min, self.sigma_max, self.level_mean, self.level_std), self.reasons))


def calibrate(x: Tensor, step: float | None = None) -> Calibration:
    """Reads the noise levels off data.

    The largest level follows Technique 1 of NCSNv2 (Song & Ermon, 2020): the largest distance between two data, so that
    from pure noise every datum is within reach. The smallest is a tenth of the median distance to the nearest neighbour,
    or of the step between neighbouring values if data are integers: finer noise blurs nothing that the data show. The law
    of training levels follows the spectrum: a direction of standard deviation s is decided at levels around s.

    Arguments:
        x: Standardized data, of shape `(N, *D)`: a few thousand suffice.
        step: The distance between neighbouring values, in these units, if data are integers.

    Returns:
        The calibration.

    Raises:
        ValueError: If there are fewer than 2 data, or all are equal.

    Example:
        >>> found = calibrate(torch.randn(500, 2, generator=torch.Generator().manual_seed(0)))
        >>> found.sigma_min < 0.1 < 10 < found.sigma_max
        True
    """
    if len(x) < 2:
        raise ValueError(f"noise levels are read off distances between data: at least 2 are needed, got {len(x)}")
    flat = x.reshape(len(x), -1).double()
    size = flat.shape[1]
    far, near = _distances(flat)
    if far == 0:
        raise ValueError(f"all {len(x)} data are equal: there is nothing to learn")
    high = max(far, 40.0)
    low, why = 0.1 * near / math.sqrt(size), "a tenth of the median distance to the nearest neighbour, per coordinate"
    if step is not None and 0.1 * step > low:
        low, why = 0.1 * step, "a tenth of the step between neighbouring values of the data"
    low = min(max(low, 1e-3), 2e-2)
    centre, spread = _spectrum(flat)
    centre += 0.5 if x.ndim > 2 else -0.5
    return Calibration(
        low,
        high,
        centre,
        spread,
        (
            f"{why}, kept between 0.001 and 0.02 of the standard deviation",
            f"the largest distance between two data is {far:.3g}; at least 40, where the start is Gaussian to the eye",
            "where the directions of the data, weighted by their standard deviations, are decided",
            "as wide as those directions differ, and never less than 1.2: one scale alone teaches little",
        ),
    )


def _distances(x: Tensor) -> tuple[float, float]:
    """The largest distance of data `(N, n)`, and the median of positive distances to the nearest neighbour."""
    far = 0.0
    nearest = []
    for part in x.split(256):
        distance = torch.cdist(part, x, compute_mode="use_mm_for_euclid_dist")
        far = max(far, float(distance.max()))
        distance[distance < 1e-6 * max(far, 1e-30)] = math.inf  # itself, and its copies
        nearest.append(distance.min(1).values)
    found = torch.cat(nearest)
    found = found[torch.isfinite(found)]
    return far, float(found.median()) if len(found) else 0.0


def _spectrum(x: Tensor) -> tuple[float, float]:
    """The mean and the spread of ln s over principal directions, weighted by their standard deviations s."""
    centred = (x - x.mean(0))[:2048]
    gram = centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T
    s = torch.linalg.eigvalsh(gram / len(centred)).clamp_min(0).sqrt()
    s = s[s > 1e-4 * s.max()]
    weight = s / s.sum()
    mean = float((weight * s.log()).sum())
    variance = float((weight * (s.log() - mean) ** 2).sum())
    return mean, max(1.2, math.sqrt(variance + 0.2))
