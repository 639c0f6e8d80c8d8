"""Bits per dimension of integers and rounded numbers, by uniform dequantization (Uria et al., 2013; Theis et al., 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.lattice import Lattice
from ..progress import part
from ..rng import Samples
from .base import LogProb

__all__ = ["BitsPerDim", "bits_of", "bits_per_dim", "spacing"]


@dataclass(frozen=True)
class BitsPerDim:
    """Bits per dimension, each of shape `(B,)`, in float64.

    Arguments:
        value: The mean over draws of -log₂ (density times cell volume): on average an upper bound on -log₂ P(cell).
        standard_error: Its standard error over draws and probes; with one draw, over the probes alone.
        tight: The same from the mean density over the draws, a tighter bound with more of them (Burda et al., 2016).
        draws: The number of draws within each cell.
        log_prob: The mean over draws of the log of density times cell volume, in nats, with its errors.
    """

    value: Tensor
    standard_error: Tensor
    tight: Tensor
    draws: int
    log_prob: LogProb


def spacing(x: Tensor, integer: bool | tuple[bool, ...]) -> Tensor:
    """The distance between neighbouring values of each feature, 0 for continuous ones, of the shape of one example.

    Arguments:
        x: Data, of shape `(N, *D)`.
        integer: Whether they are known to be integers; for vectors one flag per feature.

    Returns:
        The spacings, of shape `D`.

    Raises:
        ValueError: If no feature holds integers or rounded numbers.
    """
    found = Lattice(tuple(x.shape[1:]), x.dtype)
    found.begin(x.double().cpu())
    found.add(x.double().cpu())
    known = torch.as_tensor(integer).expand(x.shape[1:]) if x.ndim == 2 else torch.full(x.shape[1:], integer is True)
    step = torch.where(known, 1.0, found.step)
    if not bool((step > 0).any()):
        need = "bits per dimension need integers or rounded numbers, and no feature here is either"
        raise ValueError(f"{need}: use log_prob, or pass step=")
    return step.to(x.device)


def bits_of(nats: LogProb, size: int) -> BitsPerDim:
    """Bits per dimension of log-probabilities of rows of `size` numbers, which are averaged over their cells already."""
    unit = size * math.log(2)
    return BitsPerDim(-nats.value / unit, nats.standard_error / unit, -nats.value / unit, 1, nats)


def bits_per_dim(
    density: Callable[[Tensor, int], LogProb], x: Tensor, step: Tensor, rng: Samples, draws: int = 4
) -> BitsPerDim:
    """Bits per dimension of data in cells around their values.

    A value k of spacing s stands for the cell from k - s/2 to k + s/2, and its probability is the mean of the density
    over the cell times its volume. The mean of -log₂ of that at uniform points in the cell is an upper bound on -log₂
    of the probability (Jensen). Continuous features contribute a density, in their units.

    Arguments:
        density: Log-densities for data and the index of the draw.
        x: Data, of shape `(B, *D)`, in float64.
        step: The spacing of each feature, 0 for continuous ones; broadcasts against `x`.
        rng: The random source of these samples.
        draws: The number of uniform draws in each cell.

    Returns:
        The bits per dimension, each of shape `(B,)`.

    Raises:
        ValueError: If `draws` is not positive, or a spacing is negative.
    """
    if draws < 1 or bool((step < 0).any()):
        raise ValueError(f"bits_per_dim needs draws >= 1 and spacings >= 0, got draws={draws}, {float(step.min()):g}")
    size = x[0].numel()
    discrete = (step > 0).expand(x.shape[1:])
    log_volume = float(torch.where(step > 0, step, 1.0).double().log().expand(x.shape[1:])[discrete].sum())
    found = []
    for i in range(draws):
        position = rng.child(f"place {i}").uniform(tuple(x.shape), torch.float64, x.device)
        with part(i / draws, (i + 1) / draws):
            found.append(density(x + step * (position - 0.5), i).plus(log_volume))
    values = torch.stack([each.value for each in found])
    error = values.std(0) / math.sqrt(draws) if draws > 1 else found[0].standard_error
    names = ("solver_error", "end_error", "truncation")
    solver, end, truncation = (torch.stack([getattr(each, name) for each in found]).mean(0) for name in names)
    evaluations = torch.stack([each.evaluations for each in found]).sum(0)
    nats = LogProb(values.mean(0), error, solver, end, truncation, evaluations)
    unit = size * math.log(2)
    tight = values.logsumexp(0) - math.log(draws)
    return BitsPerDim(-nats.value / unit, error / unit, -tight / unit, draws, nats)
