"""Annealed importance sampling: chains along a path of laws, whose weights make up for what they had no time to do.

Weights are of an extended law, of whole ways: their mean is exactly the ratio of the normalizing constants at the two ends,
however few and however bad the moves are. Bad moves make them scatter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..derivatives import divergence
from ..rng import Rng
from ..tensors import sum_events
from .transition import ChainState, Langevin, MetropolisLangevin, Target, Transition, Unadjusted
from .weighted import WeightedSamples

__all__ = ["Path", "annealed_importance", "geometric", "score_importance"]

_AHEAD = 64  # numbers a sample draws at once, about
_EXACT, _PROBES = (
    64,
    8,
)  # up to how many coordinates the divergence is exact by default, and how many probes it has above

Path = Callable[[float], Target]
"""β ↦ a law with a log-density, up to a constant, from one end at β = 0 to the other at β = 1."""


def geometric(first: Target | Callable[[Tensor], Tensor], last: Target | Callable[[Tensor], Tensor]) -> Path:
    """The path log f_β = (1 - β) log f_0 + β log f_1 between two log-densities, `(B, *D)` to `(B,)` each.

    Example:
        >>> path = geometric(lambda x: -x.square().sum(1) / 2, lambda x: -x.square().sum(1))
        >>> path(0.5).log_prob(torch.ones(1, 2))
        tensor([-1.5000])
    """
    ends = [end if isinstance(end, Target) else Target(log_prob=end) for end in (first, last)]
    for end in ends:
        if end.log_prob is None:
            raise ValueError("a geometric path needs the log-density of both ends: give it, or take score_importance")
    (f, g), (s, t) = ([end.log_prob for end in ends], [end.score for end in ends])

    def at(beta: float) -> Target:
        def mixed(x: Tensor, a: Callable[[Tensor], Tensor], b: Callable[[Tensor], Tensor]) -> Tensor:
            if beta in (0.0, 1.0):  # 0 · ∞ is no number
                return (b if beta else a)(x)
            return (1 - beta) * a(x) + beta * b(x)

        score = None if s is None or t is None else lambda x: mixed(x, s, t)
        return Target(score, lambda x: mixed(x, f, g))  # type: ignore[arg-type]  # there is a density

    return at


def _noises(x: Tensor, moves: int, rng: Rng, tests: bool) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The noise of each move, `(B, *D)`, and uniform numbers `(B,)` if there are tests; drawn for some moves at once."""
    ahead = max(1, _AHEAD // math.prod(x.shape[1:]))
    for first in range(0, moves, ahead):
        z = rng.normal((len(x), ahead, *x.shape[1:]), x.dtype, x.device)
        u = rng.uniform((len(x), ahead), x.dtype, x.device) if tests else None
        for i in range(min(ahead, moves - first)):
            yield z[:, i].contiguous(), None if u is None else u[:, i]


def _check(x: Tensor, moves: int, name: str, values: Sequence[float], need: str, fine: bool) -> None:
    if not x.is_floating_point() or len(x) < 2:
        raise ValueError(f"annealed importance sampling needs 2 floating-point states or more, got {tuple(x.shape)}")
    if moves < 1:
        raise ValueError(f"each law needs at least 1 move, got moves={moves}")
    if len(values) < 2 or not fine:
        raise ValueError(f"{name} must {need}, two of them or more; got {[round(v, 6) for v in values[:8]]}")


@torch.no_grad()
def annealed_importance(
    path: Path,
    x: Tensor,
    betas: Sequence[float] | Tensor,
    rng: Rng,
    transition: Transition = MetropolisLangevin(0.3),  # noqa: B008  # a frozen value
    moves: int = 1,
    scale: float | Callable[[float], float] = 1.0,
) -> WeightedSamples:
    """Annealed importance sampling between any two unnormalized densities (Neal, 2001).

    At each β in turn the weights take what the log-density of the states has gained over the β before, then the states move.
    `log_mean_weight` of the result estimates log Z_1 - log Z_0, and its weighted means are those of the last law.

    Arguments:
        path: β ↦ the law; `geometric(first, last)`, or any function of your own that gives a `Target` with a log-density.
        x: Independent draws from the first law, of shape `(N, *D)`.
        betas: Where on the path to move, rising; the first is the law of `x`. The finer, the less the weights scatter.
        rng: The source of randomness. State i depends on `(seed, i)` alone.
        transition: The move. With a test (`MetropolisLangevin`, `Hamiltonian`) it leaves each law as it is; one without
            (`Langevin`) errs, and its error goes into the weights as well.
        moves: How many at each β.
        scale: A standard deviation that sizes the steps: of all laws, or a function of β.

    Returns:
        The states at the last β, with their weights.

    Raises:
        ValueError: If the betas do not rise, or a law has no log-density.
        RuntimeError: If a weight is not finite.

    Example:
        >>> from scorefield.rng import Samples
        >>> wide, narrow = lambda x: -x.square().sum(1) / 2, lambda x: -x.square().sum(1) / 0.02  # Z: 2π and 0.02π
        >>> rng = Samples(seed=0, count=500)
        >>> betas = torch.linspace(0, 1, 60) ** 3
        >>> found = annealed_importance(geometric(wide, narrow), rng.child("start").normal((500, 2)), betas, rng,
        ...                             scale=lambda beta: (1 - beta + 100 * beta) ** -0.5)
        >>> bool((found.log_mean_weight.value - math.log(0.01)).abs() < 0.3)
        True
    """
    values = [float(beta) for beta in betas]
    _check(x, moves, "betas", values, "rise", all(a < b for a, b in pairwise(values)))
    width = scale if callable(scale) else lambda beta: scale
    noises = _noises(x, moves * (len(values) - 1), rng, transition.adjusted)
    start = path(values[0])
    if start.log_prob is None:
        raise ValueError("weights need the log-density of each law, and of this path the score alone is known")
    log_weight, height = x.new_zeros(len(x), dtype=torch.float64), start.log_prob(x)
    here = ChainState(x.detach())
    for beta in values[1:]:
        law = path(beta)
        here = ChainState(here.x, law.look(here.x))
        log_weight += here.known[0] - height  # type: ignore[index]  # it was just computed
        for _ in range(moves):
            z, u = next(noises)
            if isinstance(transition, Unadjusted):
                here, gain = _drift(transition, law, here, width(beta), z)
                log_weight += gain
            else:
                here, _ = transition.move(law, here, width(beta), z, u)
                here = here if here.known else ChainState(here.x, law.look(here.x))
        height = here.known[0]  # type: ignore[index]
    return WeightedSamples(here.x, log_weight)


def _drift(transition: Unadjusted, law: Target, here: ChainState, scale: float, z: Tensor) -> tuple[ChainState, Tensor]:
    """A move without a test, and what it owes to the law: log f(y) - log f(x) + log k(x|y) - log k(y|x)."""
    (a, b), (height, slope) = transition.factors(scale), here.known or law.look(here.x)
    y = here.x + a * slope + b * z
    there = law.look(y)
    return ChainState(y, there), there[0] - height + _turn(here.x, y, there[1], a, b, z)


def _turn(x: Tensor, y: Tensor, slope: Tensor, a: float, b: float, z: Tensor) -> Tensor:
    """log k(x|y) - log k(y|x) of the kernel k(y|x) = N(y; x + a s(x), b²), for y = x + a s(x) + b z: `(B,)`."""
    back = (x - y - a * slope) / b
    return (sum_events(z**2) - sum_events(back**2)) / 2


@torch.no_grad()
def score_importance(
    score: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    levels: Sequence[float] | Tensor,
    rng: Rng,
    transition: Unadjusted = Langevin(),  # noqa: B008  # a frozen value
    moves: int = 1,
    probes: int | None = None,
) -> WeightedSamples:
    """Annealed Langevin dynamics with importance weights, from the score alone.

    Along the levels the densities q_v of data plus noise of the variance v = level² are normalized and obey the heat
    equation, whose right side the score knows: ∂ log q_v / ∂v = ½ (∇·s + ‖s‖²). Between two levels a weight takes the
    integral of it (trapezoids in log v), and at each move what the move owes to the law, with log q_v(y) - log q_v(x) as the
    line integral of s (Simpson's rule): the bias of unadjusted moves, and the modes whose weights they had no time to set
    right, are repaired without a density.

    For the exact score the mean weight is 1, up to the two rules of integration and to how well `x` follows the first law.
    `log_mean_weight` away from 0 says that the score is no gradient, or that of one law at one level and of another at the
    next. It is nearly blind to a score that is too large by a factor: the chains then follow the wrong law too.

    Arguments:
        score: (x, level) ↦ the score of the data plus noise of a level of shape `()`, `(N, *D)` to `(N, *D)`.
        x: Draws from the law of the first level, of shape `(N, *D)`, best in float64.
        levels: The noise levels, which fall. The finer, the less the weights scatter.
        rng: The source of randomness. State i depends on `(seed, i)` alone.
        transition: The move, `Langevin` or `GaussianLangevin`.
        moves: How many at each level.
        probes: How many random probes estimate the divergence, or 0 for the exact one. By default exact up to 64
            coordinates, 8 probes above. Their noise is in the logarithms of the weights, and raises their mean by half its
            variance.

    Returns:
        The states at the last level, with their weights.

    Raises:
        ValueError: If the levels do not fall, or the transition tests its proposals.
        RuntimeError: If a weight is not finite.

    Example:
        >>> from scorefield.rng import Samples
        >>> score = lambda x, level: -x / (1 + level**2)  # of standard normal data
        >>> rng = Samples(seed=0, count=1000)
        >>> x, levels = 10.05 * rng.child("start").normal((1000, 2), torch.float64), torch.logspace(1, -1, 100)
        >>> found = score_importance(score, x, levels, rng)
        >>> bool(found.log_mean_weight.value.abs() < 0.05)
        True
    """
    values = [float(level) for level in levels]
    falls = all(a > b for a, b in pairwise(values)) and values[-1:] > [0]
    _check(x, moves, "levels", values, "be positive and fall", falls)
    if not isinstance(transition, Unadjusted):
        what = f"{type(transition).__name__} tests its proposals with a density, and here the score alone is known"
        raise ValueError(f"{what}: take Langevin, or annealed_importance where there is a density")
    size = x[0].numel()
    probes = (_PROBES if size > _EXACT else 0) if probes is None else probes
    draw = rng.child("probes")

    def rise(x: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """s, `(N, *D)`, and v ∂ log q_v / ∂v, `(N,)`."""
        signs = None
        if probes:
            u = draw.uniform((len(x), probes, *x.shape[1:]), torch.float32, x.device)
            signs = torch.where(u < 0.5, -1.0, 1.0).to(x)
        s, spread = divergence(lambda x: score(x, x.new_tensor(level)).to(x.dtype), x, signs)
        spread = spread.mean(1) if probes else spread
        return s, level**2 * (spread + sum_events(s**2)) / 2

    noises = _noises(x, moves * (len(values) - 1), rng, False)
    log_weight = x.new_zeros(len(x), dtype=torch.float64)
    x = x.detach()
    before, climb = values[0], rise(x, values[0])[1]
    for level in values[1:]:
        s, after = rise(x, level)
        log_weight -= (climb + after) * math.log(before / level)  # ∫ dv/v = 2 log(before / level), times the mean
        a, b = transition.factors(level)
        for i in range(moves):
            z, _ = next(noises)
            y = x + a * s + b * z
            last = i == moves - 1
            there, climb = rise(y, level) if last else (score(y, y.new_tensor(level)).to(y.dtype), climb)
            middle = score((x + y) / 2, x.new_tensor(level)).to(x.dtype)
            log_weight += sum_events((y - x) * (s + 4 * middle + there)) / 6 + _turn(x, y, there, a, b, z)
            x, s = y, there
        before = level
    return WeightedSamples(x, log_weight)
