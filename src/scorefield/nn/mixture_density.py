"""A mixture of Gaussians whose weights, means and covariances are learned functions of a context."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..rng import Rng
from .regression import SmoothRegression

__all__ = ["ConditionalMixture"]

_LARGEST = 20  # features, up to which covariances are full ones
_LOG_STD = (-12.0, 5.0)  # of a component, in standard deviations of the residual
_APART = 0.5  # the distance of components at the start
_SPREAD = 0.1  # of the first weights of the last layer, in units of the usual ones


class ConditionalMixture(nn.Module):
    """The conditional density Σ_k w_k(c) N(x; m_k(c), C_k(c)), a mixture density network; several of them are averaged.

    A regression of x on c comes first (`SmoothRegression`), and its residuals, in coordinates in which they are uncorrelated,
    are what the networks describe (`start_at`): near-singular data train as others do. Covariances are full up to 20 features,
    and diagonal in those coordinates above. The members of an ensemble are computed together: where they differ, the data do
    not determine the density, and their mean is nearer to it than one of them.

    Arguments:
        features: The number of features of x, n.
        context: The number of context values c.
        components: The number of Gaussians of a member.
        members: The number of networks.
        width: The width of the hidden layers.
        depth: The number of residual blocks.
        waves: The number of random features of the regression; 0: it is linear.

    Raises:
        ValueError: If a size is not positive.

    References:
        Bishop, 1994, Mixture density networks; Papamakarios and Murray, 2016, Fast ε-free inference of simulation models.

    Example:
        >>> density = ConditionalMixture(2, 3)
        >>> density.log_prob(torch.zeros(5, 2), torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    root: Tensor
    row: Tensor
    column: Tensor

    def __init__(
        self,
        features: int,
        context: int,
        components: int = 8,
        members: int = 4,
        width: int = 128,
        depth: int = 3,
        waves: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"features": features, "context": context, "components": components, "members": members}
        sizes |= {"width": width, "depth": depth}
        if min(sizes.values()) < 1:
            raise ValueError(
                f"ConditionalMixture needs positive sizes, got {', '.join(f'{k}={v}' for k, v in sizes.items())}"
            )
        self.features, self.context, self.components = features, context, components
        self.members, self.width, self.depth, self.waves = members, width, depth, waves
        self.below = features * (features - 1) // 2 if features <= _LARGEST else 0
        self.first = _Linear(members, context, width)
        self.blocks = nn.ModuleList(_Block(members, width) for _ in range(depth))
        self.last = _Linear(members, width, features + components * (1 + 2 * features + self.below))
        self.regression = SmoothRegression(context, features, waves)
        self.register_buffer("root", torch.eye(features))
        row, column = torch.eye(features)[:, torch.tril_indices(features, features, -1)].unbind(1)
        self.register_buffer(
            "row", row.mT.contiguous(), persistent=False
        )  # of the numbers below the diagonal, as corners
        self.register_buffer("column", column, persistent=False)
        with torch.no_grad():
            self.last.weight.mul_(_SPREAD if components > 1 else 0.0)  # one Gaussian starts at the regression itself
            self.last.bias.zero_()
            means = self.last.bias[:, features + components : features + components * (1 + features)]
            means.copy_(_APART * torch.randn(means.shape) * (components > 1))

    @torch.no_grad()
    def start_at(self, x: Tensor, context: Tensor) -> None:
        """Takes the regression of x, `(N, n)`, on contexts, `(N, context)`, and the covariance that it leaves."""
        covariance = self.regression.fit(x, context)
        ridge = 1e-10 * covariance.diagonal().mean().clamp_min(1e-300)
        eye = torch.eye(self.features, dtype=torch.float64, device=x.device)
        self.root.copy_(torch.linalg.cholesky(covariance + ridge * eye))

    def _parts(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of contexts `(M, B, context)`: log-weights `(M, B, K)`, means, log-deviations, `(M, B, K, n)`, and what is below."""
        n, k = self.features, self.components
        h = F.silu(self.first(context))
        for block in self.blocks:
            h = block(h)
        shared, weight, mean, log_std, below = self.last(h).split((n, k, k * n, k * n, k * self.below), -1)
        means = mean.unflatten(-1, (k, n)) + shared[..., None, :]
        log_std = log_std.unflatten(-1, (k, n)).clamp(*_LOG_STD)
        return weight.log_softmax(-1), means, log_std, below.unflatten(-1, (k, self.below)) if self.below else below

    def _whiten(self, below: Tensor, like: Tensor) -> Tensor:
        """Unit lower triangular matrices, `(…, K, n, n)`."""
        n = self.features
        row, column = torch.tril_indices(n, n, -1, device=like.device)
        whiten = torch.diag_embed(torch.ones_like(like))
        whiten[..., row, column] = below
        return whiten

    def member_log_probs(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-densities by each member, `(M, B)`, of x, `(B, n)` or `(M, B, n)`, and contexts alike, or one of all."""
        x, context = (v if v.ndim == 3 else v.expand(self.members, *v.shape) for v in (x, context))
        return self._log_probs(x - self.regression(context), *self._parts(context))

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-densities of the mean of the members, `(B,)`, of x, `(B, n)`, given a context each, or one of all."""
        return torch.logsumexp(self.member_log_probs(x, context), 0) - math.log(self.members)

    def each_log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-density of every row of x, `(m, n)`, given every context, `(B, context)`: `(B, m)`.

        The networks are evaluated once for each context.
        """
        parts = (part[:, :, None] for part in self._parts(context.expand(self.members, *context.shape)))
        residual = x - self.regression(context)[:, None]
        found = self._log_probs(residual.expand(self.members, *residual.shape), *parts)
        return torch.logsumexp(found, 0) - math.log(self.members)

    def _log_probs(self, residual: Tensor, weight: Tensor, means: Tensor, log_std: Tensor, below: Tensor) -> Tensor:
        """Those of residuals `(M, B, …, n)`, given what `_parts` found, with as many axes: `(M, B, …)`."""
        r = torch.linalg.solve_triangular(self.root, residual.flatten(0, -2).mT, upper=False).mT.reshape(residual.shape)
        z = (r[..., None, :] - means) * torch.exp(-log_std)
        if self.below:
            z = z + (z @ self.column * below) @ self.row
        inner = -log_std.sum(-1) - z.square().sum(-1) / 2 - self.features * math.log(2 * math.pi) / 2
        found: Tensor = torch.logsumexp(weight + inner, -1) - self.root.diagonal().log().sum()
        return found

    @torch.no_grad()
    def sample(self, context: Tensor, rng: Rng, count: int | None = None) -> Tensor:
        """One draw for each context, `(B, context)` to `(B, n)`; or `count` of them for one, `(1, context)` to `(count, n)`."""
        count = len(context) if count is None else count
        rows = torch.arange(count, device=context.device)
        u = rng.child("component").uniform((count, 2), torch.float64, context.device)
        member = (u[:, 0] * self.members).long()
        each = self._parts(context.expand(self.members, -1, -1))
        given = rows if len(context) > 1 else torch.zeros_like(rows)
        weight, means, log_std, below = (part[member, given] for part in each)
        chosen = torch.searchsorted(weight.double().exp().cumsum(1), u[:, 1:].contiguous()).clamp_max(
            self.components - 1
        )[:, 0]
        z = rng.child("normal").normal((count, self.features), context.dtype, context.device)
        if self.below:
            whiten = self._whiten(below[rows, chosen], log_std[rows, chosen])
            z = torch.linalg.solve_triangular(whiten, z[..., None], upper=False)[..., 0]
        r = means[rows, chosen] + torch.exp(log_std[rows, chosen]) * z
        found: Tensor = r @ self.root.T + self.regression(context)
        return found


class _Linear(nn.Module):
    """A linear layer for each member, `(M, B, a)` to `(M, B, b)`."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class _Block(nn.Module):
    """h + W_2 silu(W_1 norm(h))."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.first, self.second = _Linear(members, width, width), _Linear(members, width, width)

    def forward(self, h: Tensor) -> Tensor:
        changed: Tensor = h + self.second(F.silu(self.first(F.layer_norm(h, h.shape[-1:]))))
        return changed
