"""What every comparison of samples needs: rows of one shape, in the units of the real data, and the word for a result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Array", "Distance", "as_rows", "paired", "scale_of", "stream", "subsample"]

Array = Tensor | np.ndarray


@dataclass(frozen=True)
class Distance:
    """A number that compares samples with held-out data, beside the same number between real data and real data.

    Arguments:
        name: What is measured.
        value: Between samples and held-out data.
        floor: Median over random splits of real data, at the same sizes: what a perfect model would get.
        low, high: The 5 % and 95 % quantiles over those splits.
        counts: How many samples and how many real data entered each side.
        p_value: Where it is a test: how probable a value at least as extreme is if samples and held-out data have one law.
        interval: 95 % bootstrap interval of the value, where there is one.
        note: How it was computed, or what stands out, in words.
        higher: Whether more is better, as for a recall.

    Example:
        >>> Distance("energy distance", value=0.3, floor=0.0, low=-0.1, high=0.1).covered
        False
    """

    name: str
    value: float
    floor: float
    low: float
    high: float
    counts: tuple[int, int] = (0, 0)
    p_value: float | None = None
    interval: tuple[float, float] | None = None
    note: str = ""
    higher: bool = False

    @property
    def covered(self) -> bool:
        """Whether the samples are as near to held-out data as other real data are, up to the 95 % quantile."""
        return self.value >= self.low if self.higher else self.value <= self.high


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers that depend on the seed and on what they are for, and on nothing that was drawn before.

    Example:
        >>> bool(stream(0, "splits").random() == stream(0, "splits").random() != stream(0, "labels").random())
        True
    """
    return np.random.default_rng([seed & 0xFFFF_FFFF_FFFF_FFFF, *purpose.encode()])


def as_rows(x: Array, name: str = "x") -> Tensor:
    """The samples `(N, *D)` as a floating tensor of at least two axes, checked to be finite.

    Arguments:
        x: Tensor or array; `(N,)` counts as one feature, integers become float32.
        name: What an error calls it.

    Raises:
        TypeError: For anything but a real tensor or array.
        ValueError: For no rows, no features, NaN or infinite values.
    """
    if not isinstance(x, Tensor | np.ndarray):
        raise TypeError(f"{name} must be a tensor or an array (N, ...), got {type(x).__name__}: try np.asarray({name})")
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, got dtype {x.dtype}")
        x = torch.from_numpy(np.array(x, dtype=np.float64 if x.dtype == np.float64 else np.float32))
    if x.is_complex():
        raise TypeError(f"{name} must hold real numbers, got dtype {x.dtype}")
    x = x.detach().to(x.dtype if x.dtype == torch.float64 else torch.float32)
    if x.ndim == 0 or x.numel() == 0:
        raise ValueError(f"{name} needs at least one row and one feature, got shape {tuple(x.shape)}")
    x = x[:, None] if x.ndim == 1 else x
    broken = ~torch.isfinite(x.flatten(1)).all(1)
    if broken.any():
        first = broken.nonzero()[:3].flatten().tolist()
        count = f"{int(broken.sum())} of {len(x)} rows"
        raise ValueError(f"{name} holds NaN or infinite values in {count} (first: {first}): drop these rows")
    return x


def scale_of(real: Tensor) -> Tensor:
    """Standard deviations of rows `(N, F)` by feature, of grids `(N, C, *S)` by channel; 1 where nothing varies."""
    spread = real.double() if real.ndim == 2 else real
    axes = [axis for axis in range(real.ndim) if axis != 1]
    scale = spread.std(axes, correction=0, keepdim=True)
    magnitude = real.abs().amax(axes, keepdim=True)
    # A constant column of 0.1 has a deviation of about 1e-17, not of zero: dividing by it would make noise of rounding.
    return torch.where(scale > 1e-7 * magnitude, scale, 1.0).to(real.dtype)


def subsample(x: Array, count: int, seed: int) -> Array:
    """At most `count` rows of x, chosen by `seed` alone; x itself where it is no longer than that."""
    if len(x) <= count:
        return x
    chosen = np.random.default_rng(seed).permutation(len(x))[:count]
    chosen.sort()
    return x[chosen] if isinstance(x, np.ndarray) else x[torch.from_numpy(chosen).to(x.device)]


def paired(x: Array, y: Array, standardize: bool, maximum: int, seed: int) -> tuple[Tensor, Tensor]:
    """Both samples as float64 `(N, D)` and `(M, D)`, about the mean of y and, if asked, in its standard deviations."""
    x = as_rows(subsample(x, maximum, seed), "x")
    y = as_rows(subsample(y, maximum, seed + 1), "y")
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(f"x and y must hold data of one shape, got {tuple(x.shape[1:])} and {tuple(y.shape[1:])}")
    x = x.to(y.device, torch.float64)
    y = y.double()
    middle = y.mean(0, keepdim=True)
    scale = scale_of(y) if standardize else torch.ones((), dtype=y.dtype, device=y.device)
    return ((x - middle) / scale).flatten(1), ((y - middle) / scale).flatten(1)
