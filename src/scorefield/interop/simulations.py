"""Pairs of parameters and the data that a simulator made from them."""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor

from ..user_values import real_tensor
from .independent_priors import distribution_of
from .nearness import Nearness

__all__ = ["Simulations", "bounded", "positive_part", "rows_of", "unbounded"]

_FEWEST = 10  # simulations from which anything is learned


class Simulations:
    """Gathers pairs, called as `sbi` calls its methods.

    Arguments:
        prior: The prior of the parameters: any distribution with a `support`, as those of torch.distributions, for its bounds;
            a list of such, one for each parameter or group of them, which are independent; or the bounds themselves, (low,
            high), each a number or one a parameter; None for parameters without bounds.

    Raises:
        ValueError: If it is none of these.
    """

    def __init__(self, prior: Any = None) -> None:
        self.prior = distribution_of(prior)
        self.low, self.high = _bounds(self.prior)
        self.kept: Tensor | None = None
        self.same: Tensor | None = None
        self.width: int | None = None
        self.size: int | None = None
        self._theta: list[Tensor] = []
        self._x: list[Tensor] = []
        self.nearness: Nearness | None = None

    def append_simulations(self, theta: Any, x: Any) -> Self:
        """Adds pairs: parameters `(N, P)` and their data, `(N, Q)`; or n exchangeable observations each, as independent ones
        are, `(N, n, Q)`: a network that knows this needs fewer simulations.

        A number of the data may be NaN, where it is missing: `JointInference` learns from such pairs.

        Raises:
            ValueError: If there are not as many of one as of the other, or as many parameters as the prior has; if a number is
                infinite, all data of a pair are missing, or a parameter lies outside of the bounds.
        """
        theta, x = rows_of(theta), rows_of(x)
        like = self._x[0].shape[1:] if self._x else x.shape[1:]
        if len(theta) != len(x):
            raise ValueError(
                f"every simulation needs its parameters, got {len(theta)} parameters and {len(x)} simulations"
            )
        if theta.ndim != 2 or x.ndim not in (2, 3) or x.shape[1:] != like:
            need = f"pairs are (N, P) and (N, Q) or (N, n, Q){', as those before' if self._x else ''}"
            raise ValueError(f"{need}, got {tuple(theta.shape)} and {tuple(x.shape)}: reshape them")
        count = _parameters(self.prior)
        if count not in (None, 1, theta.shape[1]):
            raise ValueError(
                f"the prior has {count} parameters, and the simulations {theta.shape[1]}: pass their prior"
            )
        broken = ~torch.isfinite(theta).all(1) | torch.isinf(x.flatten(1)).any(1) | x.flatten(1).isnan().all(1)
        if bool(broken.any()):
            what = f"{int(broken.sum())} of {len(x)} simulations are not finite (first: row {int(broken.nonzero()[0])})"
            raise ValueError(f"{what}: leave them out, or make the simulator return finite numbers")
        outside = ((theta <= self.low) | (theta >= self.high)).any(1)
        if bool(outside.any()):
            what = f"{int(outside.sum())} of {len(x)} parameters lie outside of the bounds of the prior, or on them"
            raise ValueError(f"{what} (first: row {int(outside.nonzero()[0])}): check prior=…")
        self._theta.append(theta)
        self._x.append(x)
        return self

    def pairs(self) -> tuple[Tensor, Tensor]:
        """All of them: parameters, `(N, P)`, and data. Constant columns of data say nothing: `kept` has the rest.

        Raises:
            ValueError: If there are none yet, a parameter is constant, or all data are.
        """
        if not self._theta:
            raise ValueError("there are no simulations to learn from: append_simulations(theta, x) first")
        theta, x = torch.cat(self._theta), torch.cat(self._x)
        if len(theta) < _FEWEST:
            raise ValueError(f"{len(theta)} simulations are too few to learn from: append {_FEWEST} or more")
        same = (theta == theta[0]).all(0).nonzero()[:, 0].tolist()
        if same:
            raise ValueError(f"columns {same} of the parameters are the same in every simulation: leave them out")
        rows = x.flatten(0, -2)
        varies = ~((rows == rows[0]) | rows.isnan()).all(0)
        if not bool(varies.any()):
            raise ValueError("the data are the same in every simulation: there is nothing to learn the parameters from")
        self.kept = None if bool(varies.all()) else varies.nonzero()[:, 0]
        self.same = None if self.kept is None else torch.where(varies, torch.nan, rows[0])
        self.width, self.size = x.shape[-1], theta.shape[1]
        x = x if self.kept is None else x[..., self.kept]
        self.nearness = Nearness(x, self.kept)
        return theta, x

    def complete_pairs(self) -> tuple[Tensor, Tensor]:
        """`pairs`, for methods that need every number.

        Raises:
            ValueError: If one is missing.
        """
        theta, x = self.pairs()
        missing = x.flatten(1).isnan().any(1)
        if bool(missing.any()):
            what = f"data are missing in {int(missing.sum())} of {len(x)} simulations (first: row {int(missing.nonzero()[0])})"
            raise ValueError(
                f"{what}, and {type(self).__name__} needs them all: leave these out, or use JointInference"
            )
        return theta, x


def _parameters(prior: Any) -> int | None:
    """How many parameters a distribution has, if it says so."""
    batch, event = getattr(prior, "batch_shape", None), getattr(prior, "event_shape", None)
    return None if batch is None or event is None else math.prod((*batch, *event))


def rows_of(values: Any) -> Tensor:
    """Numbers in float64, one a row if there is one axis."""
    rows = real_tensor(values, "parameters and data of simulations", "numpy.hstack([x.real, x.imag])")
    return rows[:, None] if rows.ndim == 1 else rows


def unbounded(theta: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Parameters on the whole line, `(N, P)`, and the logarithm of the volume dz/dθ, `(N,)`.

    z = ln((θ - low) / (high - θ)), without the factor whose bound is infinite, and θ itself where both are.
    """
    below, above = torch.isfinite(low).expand_as(theta), torch.isfinite(high).expand_as(theta)
    left, right = torch.where(below, theta - low, 1.0), torch.where(above, high - theta, 1.0)
    z = torch.where(below | above, torch.log(left) - torch.log(right), theta)
    slope = torch.where(below, 1 / left, 0.0) + torch.where(above, 1 / right, 0.0)
    return z, torch.where(below | above, slope, 1.0).log().sum(-1)


def bounded(z: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The inverse of `unbounded`, `(N, P)`."""
    below, above = torch.isfinite(low).expand_as(z), torch.isfinite(high).expand_as(z)
    between = torch.where(below & above, low + (high - low) * torch.sigmoid(z), z)
    one = torch.where(below, low + torch.exp(z), high - torch.exp(-z))
    return torch.where(below ^ above, one, between)


def _bounds(prior: Any) -> tuple[Tensor, Tensor]:
    if prior is None:
        low: Any = -math.inf
        high: Any = math.inf
    elif hasattr(prior, "support"):
        support = getattr(prior.support, "base_constraint", prior.support)
        low, high = getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf)
    else:
        low, high = prior
    low, high = (real_tensor(bound, "bounds of a prior") for bound in (low, high))
    if not bool((low < high).all()):
        raise ValueError(f"bounds need low < high, got {low.tolist()} and {high.tolist()}")
    return low, high


def positive_part(theta: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Parameters `(N, P)`, those with one finite bound by the logarithm of their distance from it."""
    below, above = torch.isfinite(low).expand_as(theta), torch.isfinite(high).expand_as(theta)
    distance = torch.where(below, theta - low, torch.where(above, high - theta, 1.0))
    return torch.where(below ^ above, distance.clamp_min(1e-300).log(), theta)
