"""The common ground of all comparisons: rows of one shape in common units, and the type of a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..rng import generator
from ..user_values import real_tensor

__all__ = ["Array", "Distance", "as_rows", "paired", "rows_alike", "scale_of", "stream", "subsample"]

Array = Tensor | np.ndarray


@dataclass(frozen=True)
class Distance:
    """A distance between samples and held-out data, with the same distance between real data and real data.

    Arguments:
        name: The name of the distance.
        value: The distance between samples and held-out data.
        floor: Its median over random splits of real data of the same sizes: what a perfect model would reach.
        low, high: The 5 % and the 95 % quantile over these splits.
        counts: The numbers of samples and of real data.
        p_value: The p-value of a test that samples and held-out data have the same distribution, if it is a test.
        interval: The 95 % bootstrap interval of the value, if there is one.
        note: How it was computed, or what stands out.
        higher: Whether higher values are better, as for a recall.

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
        """Whether the value is within the 95 % quantile of the noise floor."""
        return self.value >= self.low if self.higher else self.value <= self.high


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A generator of random numbers for a purpose, independent of what was drawn for others.

    Example:
        >>> bool(stream(0, "splits").random() == stream(0, "splits").random() != stream(0, "labels").random())
        True
    """
    return np.random.default_rng([seed & 0xFFFF_FFFF_FFFF_FFFF, *purpose.encode()])


def as_rows(x: Array, name: str = "x") -> Tensor:
    """Samples as a floating-point tensor `(N, *D)` with at least two axes, checked to be finite; `name` is for errors.

    A row of `(N,)` is one feature, and integers become float32.

    Raises:
        TypeError: If it is not a tensor or an array of real numbers.
        ValueError: If there are no rows or features, or NaN or infinite values.
    """
    if not isinstance(x, Tensor | np.ndarray):
        raise TypeError(f"{name} must be a tensor or an array (N, ...), got {type(x).__name__}: try np.asarray({name})")
    if isinstance(x, np.ma.MaskedArray):
        x = real_tensor(x, name)
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
        raise ValueError(f"{name} contains NaN or infinite values in {count} (first: {first}): drop these rows")
    return x


def scale_of(real: Tensor) -> Tensor:
    """Standard deviations of the features of rows `(N, F)`, or the channels of grids `(N, C, *S)`; 1 for constant ones."""
    values = real.double() if real.ndim == 2 else real
    axes = [axis for axis in range(real.ndim) if axis != 1]
    scale = values.std(axes, correction=0, keepdim=True)
    magnitude = real.abs().amax(axes, keepdim=True)
    # The standard deviation of a constant 0.1 is about 1e-17: dividing by it would amplify rounding errors.
    return torch.where(scale > 1e-7 * magnitude, scale, 1.0).to(real.dtype)


def subsample(x: Array, count: int, seed: int) -> Array:
    """At most `count` rows of x, chosen by `seed` only; x itself if it has no more."""
    if len(x) <= count:
        return x
    chosen = generator(seed).permutation(len(x))[:count]
    chosen.sort()
    return x[chosen] if isinstance(x, np.ndarray) else x[torch.from_numpy(chosen).to(x.device)]


def rows_alike(data: Mapping[str, Array], reference: str) -> list[Tensor]:
    """`as_rows` of several data by their names, which must have the shape of the reference, on its device."""
    rows = {name: as_rows(x, name) for name, x in data.items()}
    known = rows[reference]
    for name, x in rows.items():
        if x.shape[1:] != known.shape[1:]:
            shapes = f"{tuple(x.shape[1:])} and {tuple(known.shape[1:])}"
            raise ValueError(f"{name} must have the shape of {reference}, got {shapes}")
    return [x.to(known.device) for x in rows.values()]


def paired(x: Array, y: Array, standardize: bool, maximum: int, seed: int) -> tuple[Tensor, Tensor]:
    """Both samples as float64 `(N, D)` and `(M, D)`, centred at the mean of y, in its standard deviations if asked."""
    x, y = rows_alike({"x": subsample(x, maximum, seed), "y": subsample(y, maximum, seed + 1)}, "y")
    x, y = x.double(), y.double()
    middle = y.mean(0, keepdim=True)
    scale = scale_of(y) if standardize else torch.ones((), dtype=y.dtype, device=y.device)
    return ((x - middle) / scale).flatten(1), ((y - middle) / scale).flatten(1)
