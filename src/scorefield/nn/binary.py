"""The distribution of numbers that are 0 or 1, whose logits are learned functions of a context and of those before."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..rng import Rng

__all__ = ["ConditionalBits"]

_PENALTY = 0.1  # of squared slopes, in units of a row: 10 is their variance beforehand
_RANK = 4  # of the functions of the context by which the weights of numbers before vary
_GAIN = 10.0  # of what numbers say about those after them: it is learned so much faster than the network
_ITERATIONS, _LONGEST = 30, 2.0  # of Newton's method, and its longest step


class ConditionalBits(nn.Module):
    """The conditional probability Π_i p(x_i | c, x_1, …, x_{i-1}) of x in {0, 1}^n, each factor by a logit.

    Logits are linear in the context, by logistic regression (`start_at`). With a width, a network adds to them, and so do the
    numbers before, with weights B_0 + Σ_r g_r(c) B_r, whose factors g the network gives: how numbers depend on each other may
    change with the context. A logistic autoregressive network (Frey, 1998) has B_0 alone.

    Arguments:
        features: How many numbers there are, n.
        context: The number of context values c.
        width: The width of the hidden layers; 0: logits are linear in the context, and the numbers independent given it.

    Raises:
        ValueError: If a size is not positive.

    References:
        Frey, 1998, Graphical models for machine learning and digital communication; Larochelle and Murray, 2011, The neural
        autoregressive distribution estimator.

    Example:
        >>> density = ConditionalBits(3, 2)
        >>> density.log_prob(torch.ones(5, 3), torch.zeros(5, 2)).exp().detach()[0]
        tensor(0.1250)
    """

    members = 1

    def __init__(self, features: int, context: int, width: int = 0) -> None:
        super().__init__()
        if min(features, context) < 1 or width < 0:
            sizes = f"features={features}, context={context}, width={width}"
            raise ValueError(f"ConditionalBits needs positive sizes, got {sizes}")
        self.features, self.context, self.width = features, context, width
        self.line = nn.Linear(context, features)
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)
        if width:
            last = nn.Linear(width, features + _RANK)
            nn.init.zeros_(last.weight[:features])
            nn.init.zeros_(last.bias)
            self.bend = nn.Sequential(nn.Linear(context, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)
            self.before = nn.Parameter(torch.zeros(1 + _RANK, features, features))

    @torch.no_grad()
    def start_at(self, x: Tensor, context: Tensor) -> None:
        """Takes the logistic regression of each number, of x `(N, n)`, on contexts, `(N, context)`, by Newton's method."""
        x, known = x.double(), torch.cat((context, torch.ones_like(context[:, :1])), 1).double()
        slopes = torch.zeros(known.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
        penalty = torch.full((known.shape[1],), _PENALTY, dtype=torch.float64, device=x.device)
        for _ in range(_ITERATIONS):
            p = torch.sigmoid(known @ slopes)
            gradient = known.T @ (x - p) - penalty[:, None] * slopes
            curvature = torch.stack([(known * w[:, None]).T @ known for w in (p * (1 - p)).T]) + penalty.diag()
            step = torch.linalg.solve(curvature, gradient.T[..., None])[..., 0].T
            slopes += step.clamp(-_LONGEST, _LONGEST)
            if float(step.abs().max()) < 1e-6:
                break
        self.line.weight.copy_(slopes[:-1].T)
        self.line.bias.copy_(slopes[-1])

    def _given(self, context: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits by the context alone, `(…, context)` to `(…, n)`, and the factors of what numbers say, `(…, 1 + R)`."""
        found: Tensor = self.line(context)
        if not self.width:
            return found, None
        more, factors = self.bend(context).split((self.features, _RANK), -1)
        return found + more, torch.cat((torch.ones_like(factors[..., :1]), factors), -1)

    def _logits(self, x: Tensor, given: Tensor, factors: Tensor | None) -> Tensor:
        """Logits of rows x, `(…, n)`, given contexts alike or ones that `x` is repeated for."""
        if factors is None:
            return given
        said = torch.einsum("...i,rij->...rj", x, torch.triu(_GAIN * self.before, 1))
        return given + (factors[..., None, :] @ said)[..., 0, :]

    def member_log_probs(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-probabilities of x, `(M, B, n)`, given contexts, `(M, B, context)`: `(M, B)`, with one member."""
        return self.log_prob(x, context)

    def log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-probabilities of x, `(…, n)`, given a context each, `(…, context)`."""
        return _log_probs(x, self._logits(x, *self._given(context)))

    def each_log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """The log-probability of every row of x, `(m, n)`, given every context, `(B, context)`: `(B, m)`."""
        given, factors = self._given(context)
        return _log_probs(x, self._logits(x, given[:, None], None if factors is None else factors[:, None]))

    @torch.no_grad()
    def sample(self, context: Tensor, rng: Rng, count: int | None = None) -> Tensor:
        """One draw for each context, `(B, context)` to `(B, n)`; or `count` of them for one, `(1, context)` to `(count, n)`."""
        count = len(context) if count is None else count
        given, factors = self._given(context)
        given = given.expand(count, -1)
        u = rng.child("bits").uniform((count, self.features), context.dtype, context.device)
        x = (u < torch.sigmoid(given)).to(context.dtype)
        if factors is None:
            return x
        for i in range(1, self.features):
            said = factors @ (_GAIN * self.before[:, :i, i])
            x[:, i] = (u[:, i] < torch.sigmoid(given[:, i] + (x[:, :i] * said).sum(1))).to(x.dtype)
        return x


def _log_probs(x: Tensor, logits: Tensor) -> Tensor:
    """Σ_i log p(x_i), over the last axis."""
    return (x * logits - F.softplus(logits)).sum(-1)
