"""Observations that consist of parts, independent and alike given the parameters, as repeated measurements are."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor, nn

from ..context import Context
from ..user_values import real_tensor
from .mixture_likelihood import MixtureLikelihood

__all__ = ["IndependentParts", "find_parts"]

_LEVEL = 1e-3  # of the test whether parts are alike: the probability that alike ones are taken for different
_TESTED = (1000, 20_000)  # simulations by which it is tested: a few first, as most are found to be different by these


class IndependentParts(nn.Module):
    """p(x | θ) = Π_i p(x_i | θ) over the parts of an observation. Saved and loaded by `scorefield.checkpoint`.

    Arguments:
        likelihood: The likelihood of a part.
        parts: How many parts an observation consists of.
        strided: Whether the first numbers of all parts come first, then all second ones; else part comes after part.
    """

    model = None  # nothing is left to a diffusion model

    def __init__(self, likelihood: MixtureLikelihood, parts: int, strided: bool) -> None:
        super().__init__()
        self.likelihood, self.parts, self.strided = likelihood, parts, strided

    @property
    def context(self) -> Context:
        """How parameters become numbers."""
        return self.likelihood.context

    def log_prob(self, theta: Any, x: Any, tolerance: float | None = None) -> Tensor:
        """The log-densities of independent observations together, as those of `MixtureLikelihood`.

        Arguments:
            theta: Parameters, `(N, P)`.
            x: m observations of the same parameters, `(m, Q)`, or one, `(Q,)`.
            tolerance: Taken as other likelihoods take it: nothing is solved here.

        Returns:
            One number for each row of `theta`, `(N,)`, in float64.
        """
        x = real_tensor(x, "observations")
        rows = split(x.reshape(-1, x.shape[-1]), self.parts, self.strided)
        return self.likelihood.log_prob(theta, rows.flatten(0, 1), tolerance)

    gaussian_log_prob = log_prob

    def paired_log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """The log-density of each observation given its parameters, `(N, P)` and `(N, Q)` to `(N,)`."""
        rows = split(x, self.parts, self.strided).flatten(0, 1)
        each = self.likelihood.paired_log_prob(theta.repeat_interleave(self.parts, 0), rows)
        return each.reshape(len(x), self.parts).sum(1)

    def sample(self, theta: Any, seed: int = 0) -> Tensor:
        """Draws one observation for each row of parameters, `(N, P)` to `(N, Q)`."""
        theta = real_tensor(theta, "parameters")
        drawn = self.likelihood.sample(theta.repeat_interleave(self.parts, 0), seed)
        drawn = drawn.reshape(len(theta), self.parts, -1)
        return (drawn.mT if self.strided else drawn).flatten(1)


def split(x: Tensor, parts: int, strided: bool) -> Tensor:
    """The parts of observations, `(N, Q)` to `(N, parts, Q / parts)`."""
    return x.reshape(len(x), -1, parts).mT if strided else x.reshape(len(x), parts, -1)


def find_parts(theta: Tensor, x: Tensor) -> tuple[int, bool] | None:
    """Whether observations look like alike parts: how many, the most that are possible, and whether they are strided.

    Parts that are independent and alike given the parameters have the same distribution, also together with the parameters.
    Compared are means, squares and products, of ranks, of each part with those of the first; what looks alike may still be
    dependent: a likelihood of parts has to prove itself on held-out simulations.

    Arguments:
        theta: Parameters, `(N, P)`.
        x: Their observations, `(N, Q)`.
    """
    for parts in range(x.shape[1], 1, -1):
        if x.shape[1] % parts == 0:
            for strided in (False, True) if parts < x.shape[1] else (False,):
                if all(_alike(theta[:count], split(x[:count], parts, strided)) for count in _TESTED):
                    return parts, strided
    return None


def _alike(theta: Tensor, parts: Tensor) -> bool:
    """Whether parts `(N, m, q)` have the same distribution together with the parameters, as far as some moments say."""
    given = _scores(theta[:, None])[:, 0]
    score = _scores(parts)
    powers = torch.cat([score, score.square()], -1)
    products = torch.einsum("nmf,np->nmfp", powers, given).flatten(2)
    own = torch.einsum("nma,nmb->nmab", score, score).flatten(2)
    moments = torch.cat([powers, products, own], -1)
    difference = moments[:, 1:] - moments[:, :1]
    z = difference.mean(0) * math.sqrt(len(parts)) / difference.std(0).clamp_min(1e-12)
    return bool(z.abs().max() < NormalDist().inv_cdf(1 - _LEVEL / 2 / z.numel()))


def _scores(parts: Tensor) -> Tensor:
    """Values `(N, m, q)` by their ranks among those of all parts, from -1 to 1."""
    flat = parts.flatten(0, 1)
    low = torch.stack([torch.searchsorted(v.sort().values, v.contiguous()) for v in flat.unbind(1)], 1)
    high = torch.stack([torch.searchsorted(v.sort().values, v.contiguous(), right=True) for v in flat.unbind(1)], 1)
    return ((low + high).double() / len(flat) - 1).reshape(parts.shape)
