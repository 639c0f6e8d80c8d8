"""A check of imported models on images: do they denoise better than a linear filter?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data import Rows
from ..denoisers import Denoiser
from ..model import Model
from ..progress import mapped, part, report
from ..rng import Samples, generator
from ..tensors import device_named

__all__ = ["ImportCheck", "check_import", "linear_error"]

# The noise levels, in standard deviations of the images; higher ones ask for long training.
_MULTIPLES = (0.3, 1.0, 3.0)
_BATCH = 16
_MANY = 64
_LEAST, _MOST = 8, 256  # images from which the linear filter is made
_RIGHT, _WRONG = 1.15, 1.5  # ratios of errors; tests/interop/test_smoke.py measures how often they are wrong


@dataclass(frozen=True)
class ImportCheck:
    """The denoising error of an imported model on images, and that of the best linear filter.

    The filter is the Wiener filter for the power spectrum of these images around their mean, one channel at a time. A network
    that was trained on such images has the smaller error at every level. One whose weights are read in a wrong way (activation
    function, groups of its norms, labels, units) has a larger one, mostly at high levels.

    Arguments:
        multiples: The noise levels, in standard deviations of the images.
        errors: The mean square errors of the model per number, in the units of the network.
        linear: Those of the linear filter.
        images: On how many images the model was evaluated.
    """

    multiples: tuple[float, ...]
    errors: tuple[float, ...]
    linear: tuple[float, ...]
    images: int

    @property
    def ratios(self) -> tuple[float, ...]:
        """The errors over those of the linear filter."""
        return tuple(error / best for error, best in zip(self.errors, self.linear, strict=True))

    @property
    def mean_ratio(self) -> float:
        """The geometric mean of the ratios."""
        return math.exp(sum(math.log(ratio) for ratio in self.ratios) / len(self.ratios))

    @property
    def verdict(self) -> str:
        """Either "right" or "wrong", or "uncertain" in between."""
        if all(ratio <= _RIGHT for ratio in self.ratios):
            return "right"
        return "uncertain" if all(ratio <= _WRONG for ratio in self.ratios) else "wrong"  # also of NaN

    def __str__(self) -> str:
        """The verdict with its numbers, in one line."""
        ratios, levels = (", ".join(f"{value:.3g}" for value in values) for values in (self.ratios, self.multiples))
        text = "is uncertain" if self.verdict == "uncertain" else f"looks {self.verdict}"
        what = f"the import {text}: its denoising error is {ratios} times that of a linear filter"
        what = f"{what}, at noise of {levels} standard deviations of {self.images} images"
        if self.verdict == "right":
            return what
        return f"{what} (a network trained on such images stays below 1)"


def check_import(
    model: Model, x: Any, *, images: int | None = None, seed: int = 0, device: str = "auto"
) -> ImportCheck:
    """Compares the denoising error of a model of images with that of the best linear filter for them.

    Arguments:
        model: The model.
        x: Images like those of its training, at least 8, in the form of the model.
        images: On how many of them it is evaluated, at three noise levels each; by default as many as have 65,536 numbers
            together, from 4 to 256.
        seed: The seed of the noise, and of the choice of images.
        device: Where the network computes; the model stays where it is. "auto" takes a GPU if there is one.

    Returns:
        The errors at noise of 0.3, 1 and 3 standard deviations of the images, as far as the model knows these levels.

    Raises:
        ValueError: If there are fewer than 8 images, they are all equal, or the model is conditional or knows none of these
            noise levels.

    Example:
        >>> import numpy as np
        >>> from scorefield.data import Schema
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.processes import EDM
        >>> from scorefield.samplers import Heun, Sampling
        >>> from scorefield.units import Standardize
        >>> x = np.random.default_rng(0).normal(size=(50, 4, 4)).astype(np.float32)
        >>> exact, schema = Gaussian(torch.zeros(1, 4, 4), torch.ones(1, 4, 4)), Schema.of(x, "grid")
        >>> model = Model(schema, Standardize((1, 4, 4)), exact, exact, Sampling(Heun(), 8, process=EDM()))
        >>> check_import(model, x).verdict
        'right'
    """
    if not isinstance(model.denoiser, Denoiser):
        raise ValueError("a conditional model cannot be checked on images alone: pass model.condition(…)")
    clean = _some(model, model.schema.rows(x), seed)
    tested = clean[: images or max(4, min(_MOST, 2**16 // clean[0].numel()))]
    spread = float(clean.std())
    if not 0 < spread < math.inf:
        raise ValueError("all numbers in the images are equal or not finite: pass images like those of the training")
    levels = [(m, m * spread) for m in _MULTIPLES if _knows(model, m * spread)]
    if not levels:
        raise ValueError(
            f"the model knows no noise level of 0.3 to 3 times {spread:.3g}, the images' standard deviation"
        )
    before = model.device
    model.to(device_named(device))
    try:
        with part(0, 1, "checking the import"):
            errors = [*mapped(lambda each: _error(model, tested.to(model.device), each[1], seed), levels)]
    finally:
        model.to(before)
    linear = [linear_error(clean, level, tested) for _, level in levels]
    return ImportCheck(tuple(m for m, _ in levels), tuple(errors), tuple(linear), len(tested))


def linear_error(x: Tensor, level: float, tested: Tensor | None = None) -> float:
    """The expected square error of the Wiener filter for images with noise.

    It treats all places alike, but for the mean of each, which 64 images or more show.

    Arguments:
        x: The images of whose power spectrum S the filter S / (S + σ²) is made, `(N, C, H, W)`.
        level: The standard deviation σ of the noise.
        tested: The images that it is applied to, `(M, C, H, W)`; by default all.

    Returns:
        The error per number.

    Example:
        >>> x = torch.randn(4000, 1, 4, 4, generator=torch.Generator().manual_seed(0))  # no filter beats σ² / (1 + σ²)
        >>> round(linear_error(x, 1.0), 2)
        0.5
    """
    axes = (0,) if len(x) >= _MANY else (0, 2, 3)  # few images do not show the mean of each place
    mean = x.double().mean(axes, keepdim=True)

    def power(images: Tensor, count: int) -> Tensor:
        found: Tensor = torch.fft.fft2(images.double() - mean, norm="ortho").abs().square().sum(0)
        return found / count

    keep = (spectrum := power(x, len(x) - 1)) / (spectrum + level**2)
    found = power(x if tested is None else tested, len(x) - 1 if tested is None else len(tested))
    return float(((1 - keep).square() * found + keep.square() * level**2).mean())


def _some(model: Model, rows: Rows, seed: int) -> Tensor:
    """Random images in the units of the network."""
    if rows.count < _LEAST:
        raise ValueError(f"an import is checked on {_LEAST} images or more, got {rows.count}: pass more of them")
    index = generator(seed).permutation(rows.count)[:_MOST]
    found: Tensor = model.standardize(rows.take(index).to(model.device)).float().cpu()
    return found


def _knows(model: Model, level: float) -> bool:
    ends = model.process.level(torch.tensor([0.0, 1.0], dtype=torch.float64))
    return float(ends.min()) <= level <= float(ends.max())


@torch.no_grad()
def _error(model: Model, clean: Tensor, level: float, seed: int) -> float:
    noise = Samples(seed, 0, len(clean), "import").normal(tuple(clean.shape)).to(clean)
    total = 0.0
    for first in range(0, len(clean), _BATCH):
        x, z = clean[first : first + _BATCH], noise[first : first + _BATCH]
        denoised = model.denoiser(x + level * z, torch.tensor(level, device=x.device))
        report(min(1.0, (first + _BATCH) / len(clean)))
        total += float((denoised - x).double().square().sum())
    return total / clean.numel()
