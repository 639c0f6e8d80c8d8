"""Priors of parameters that are independent of each other, given as a list, as `sbi` takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["IndependentPriors", "distribution_of"]


class IndependentPriors:
    """The distribution of parameters that are independent of each other, each with its own prior.

    Arguments:
        parts: Distributions as those of torch.distributions, of one parameter or of several; in the order of the parameters.

    Example:
        >>> from torch.distributions import Gamma, Normal
        >>> prior = IndependentPriors([Normal(0.0, 1.0), Gamma(torch.ones(2), torch.ones(2))])
        >>> prior.sample((5,)).shape, prior.lower_bound
        (torch.Size([5, 3]), tensor([-inf, 0., 0.], dtype=torch.float64))
    """

    batch_shape = torch.Size()

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = tuple(parts)
        self.sizes = [math.prod((*part.batch_shape, *part.event_shape)) for part in self.parts]
        self.event_shape = torch.Size([sum(self.sizes)])
        self.lower_bound = self._ends("lower_bound", -math.inf)
        self.upper_bound = self._ends("upper_bound", math.inf)

    @property
    def support(self) -> IndependentPriors:
        """Says the bounds of the parameters."""
        return self

    def sample(self, shape: Sequence[int] = ()) -> Tensor:
        """Draws of all parameters, `(*shape, P)`."""
        return torch.cat([part.sample(shape).reshape(*shape, size) for part, size in zip(self.parts, self.sizes)], -1)

    def log_prob(self, theta: Tensor) -> Tensor:
        """The log-densities of parameters within the bounds, `(*shape, P)` to `shape`."""
        shape = theta.shape[:-1]
        found = theta.new_zeros(shape)
        for part, some in zip(self.parts, torch.split(theta, self.sizes, -1)):
            each = part.log_prob(some.reshape((*shape, *part.batch_shape, *part.event_shape)))
            found += each.reshape(*shape, -1).sum(-1)
        return found

    def _ends(self, name: str, free: float) -> Tensor:
        """The bounds of the parameters on one side, `(P,)`."""
        supports = [getattr(part.support, "base_constraint", part.support) for part in self.parts]
        ends = (torch.as_tensor(getattr(each, name, free), dtype=torch.float64) for each in supports)
        return torch.cat(
            [end.expand(part.batch_shape + part.event_shape).reshape(-1) for end, part in zip(ends, self.parts)]
        )


def distribution_of(prior: Any) -> Any:
    """A list of priors as the distribution of all parameters; any other prior as it is.

    Raises:
        ValueError: If it is neither a distribution, nor bounds (low, high), nor a list of distributions.
    """
    if prior is None or hasattr(prior, "sample") or hasattr(prior, "support"):
        return prior
    several = list(prior) if hasattr(prior, "__len__") and not isinstance(prior, str | dict) else []
    if several and all(hasattr(part, "sample") and hasattr(part, "support") for part in several):
        return IndependentPriors(several)
    if len(several) != 2 or any(hasattr(part, "sample") or isinstance(part, str) for part in several):
        need = "a distribution as those of torch.distributions, a list of such, or bounds (low, high)"
        raise ValueError(f"a prior is {need}, got {prior!r:.80}")
    return prior
