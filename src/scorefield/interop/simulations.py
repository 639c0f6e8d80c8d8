"""Pairs of parameters and the data that a simulator made of them."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

__all__ = ["Simulations", "bounded", "unbounded"]


class Simulations:
    """Gathers pairs, called as `sbi` calls its methods.

    Arguments:
        prior: What parameters are drawn from: any law with a `support`, as those of torch.distributions have, for its bounds;
            or the bounds themselves, (low, high), each a number or one a parameter; None for parameters without bounds.
    """

    def __init__(self, prior: Any = None) -> None:
        self.prior = prior
        self.low, self.high = _bounds(prior)
        self._theta: list[Tensor] = []
        self._x: list[Tensor] = []

    def append_simulations(self, theta: Any, x: Any) -> Self:
        """Adds pairs: parameters `(N, P)` and the data that they made, `(N, Q)`; or n observations each whose order says
        nothing, as independent ones have none, `(N, n, Q)`: a network that knows so needs fewer simulations.

        Raises:
            ValueError: If there are not as many of one as of the other, a number is not finite, or a parameter lies outside of
                the bounds.
        """
        theta, x = (torch.as_tensor(np.asarray(v), dtype=torch.float64) for v in (theta, x))
        theta, x = (v[:, None] if v.ndim == 1 else v for v in (theta, x))
        like = self._x[0].shape[1:] if self._x else x.shape[1:]
        if len(theta) != len(x) or theta.ndim != 2 or x.ndim not in (2, 3) or x.shape[1:] != like:
            need = f"pairs are (N, P) and (N, Q) or (N, n, Q){', as those before' if self._x else ''}"
            raise ValueError(f"{need}, got {tuple(theta.shape)} and {tuple(x.shape)}: reshape them")
        broken = ~(torch.isfinite(theta).all(1) & torch.isfinite(x.flatten(1)).all(1))
        if bool(broken.any()):
            what = f"{int(broken.sum())} of {len(x)} simulations are not finite (first: row {int(broken.nonzero()[0])})"
            raise ValueError(f"{what}: leave them out, or let the simulator say what it means")
        outside = ((theta <= self.low) | (theta >= self.high)).any(1)
        if bool(outside.any()):
            what = f"{int(outside.sum())} of {len(x)} parameters lie outside of the bounds of the prior, or on them"
            raise ValueError(f"{what} (first: row {int(outside.nonzero()[0])}): check prior=…")
        self._theta.append(theta)
        self._x.append(x)
        return self

    def pairs(self) -> tuple[Tensor, Tensor]:
        """All of them: parameters, `(N, P)`, and data.

        Raises:
            ValueError: If there are none yet.
        """
        if not self._theta:
            raise ValueError("there are no simulations to learn from: append_simulations(theta, x) first")
        return torch.cat(self._theta), torch.cat(self._x)


def unbounded(theta: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Parameters on the whole line, `(N, P)`, and the logarithm of the volume dz/dθ, `(N,)`."""
    low, width, both = _spans(theta, low, high)
    part = torch.where(both, (theta - low) / width, 0.5)
    volume = torch.where(both, -torch.log(width * part * (1 - part)), 0.0)
    return torch.where(both, torch.logit(part), theta), volume.sum(-1)


def bounded(z: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The way back, `(N, P)`."""
    low, width, both = _spans(z, low, high)
    return torch.where(both, low + width * torch.sigmoid(z), z)


def _spans(theta: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The lower bounds, the distances to the upper ones, and which parameters have both."""
    low, high = (bound.expand(theta.shape[-1]) for bound in (low, high))
    both = torch.isfinite(low) & torch.isfinite(high)
    return torch.where(both, low, 0.0), torch.where(both, high - low, 1.0), both


def _bounds(prior: Any) -> tuple[Tensor, Tensor]:
    if prior is None:
        low: Any = -math.inf
        high: Any = math.inf
    elif hasattr(prior, "support"):
        support = getattr(prior.support, "base_constraint", prior.support)
        low, high = getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf)
    else:
        low, high = prior
    low, high = (torch.as_tensor(bound, dtype=torch.float64) for bound in (low, high))
    if not bool((low < high).all()):
        raise ValueError(f"bounds need low < high, got {low.tolist()} and {high.tolist()}")
    return low, high
