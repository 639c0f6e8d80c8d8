"""Simulation-based inference by whichever method describes held-out simulations best."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from ..inverse.ranks import RankTest, rank_test
from ..mcmc import sequential_monte_carlo
from ..progress import mapped, part
from ..rng import Samples, permutation
from .nle import NLE, NLEPosterior
from .npe import HELD_OUT, NPE, NPEPosterior
from .posteriors import SimulationPosterior
from .simulations import Simulations

__all__ = ["SBI", "InferenceCheck", "SBIPosterior"]

_JUDGED = (100, 400, 250)  # held-out simulations by which a method is chosen: from, to; one for so many simulations
_PROPOSED = 1000  # draws from which an evidence is estimated
_PRIOR = 0.1  # of these from the prior, so that no weight is large
_WIDE = 200  # numbers of an observation, up to which a likelihood is learned
_FEW, _LEFT, _MOVED, _MOVES = 2, 0.5, 2.0, 30  # a quick population: its points for a draw, their path and their moves
_FEWEST = 50  # draws that are taken, or more
_POPULATION, _SPARE = 1000, 4  # points of a whole population at least, and how many are proposed for each
_SETTLED = 2.0  # its moves at the end, for each parameter: fewer than from the prior, as it begins near
_EFFECTIVE = 1.5  # effective draws for each one that is taken, or a population is drawn instead
_RARE = 0.01  # of simulations: an observation among these is not like them


@dataclass(frozen=True)
class InferenceCheck:
    """Whether posteriors of held-out simulations contain their parameters as often as they say.

    Arguments:
        ranks: How the true parameters rank among the draws, by every quantity (simulation-based calibration).
        coverage: How often the central intervals of 50 and of 90 per cent of a parameter hold the true one, over parameters.
        coverage_error: The standard errors of these.
        density: The mean log-density of the true parameters under their posteriors.
        method: What answers.
        typical: The share of simulations whose data are as improbable as the observation that was asked for, if one was.
        predicted: Of data drawn again at its posterior, the share that are as improbable; None where nothing predicts them.
        seconds: What it took.
    """

    ranks: RankTest
    coverage: tuple[float, float]
    coverage_error: tuple[float, float]
    density: float
    method: str
    typical: float | None
    predicted: float | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the posterior."""
        local = [share for share in (self.typical, self.predicted) if share is not None]
        return self.ranks.passed() and all(share >= _RARE for share in local)

    @property
    def verdict(self) -> str:
        """The result in a line."""
        half, most = (
            f"{100 * value:.0f} ± {100 * error:.0f} %" for value, error in zip(self.coverage, self.coverage_error)
        )
        if not self.ranks.passed():
            return f"Do not trust it: {self.ranks.verdict} Use more simulations."
        if self.typical is not None and self.typical < _RARE:
            what = f"{100 * self.typical:.1f} % of the simulations are as far out as this observation"
            return (
                f"Do not trust it here: {what}, and the model may not describe it. Check it, or simulate more like it."
            )
        if self.predicted is not None and self.predicted < _RARE:
            what = f"of data drawn again at the posterior, {100 * self.predicted:.1f} % are as improbable as the observation"
            return f"Do not trust it here: {what}. The simulator may not describe it."
        said = f"intervals of 50 and 90 % hold the truth in {half} and {most} of {self.ranks.simulations:,}"
        return f"Trust it: {said} held-out simulations ({self.method}, {self.seconds:.0f} s)."

    def __str__(self) -> str:
        return self.verdict


class SBI(Simulations):
    """The posterior of a simulator's parameters, by the method that is measured to be best, called as `sbi` calls its methods.

    Learned are the posterior itself (`NPE`), and, if an observation has at most 200 numbers, the likelihood (`NLE`). Each says
    how probable the parameters of held-out simulations are given their data; what says most answers. Several independent
    observations of the same parameters are always for the likelihood.

    Arguments:
        prior: The prior of the parameters, whose density a likelihood needs: a distribution as those of torch.distributions, or
            a list of such, of independent parameters; or bounds (low, high), each a number or one a parameter, between which it
            is uniform.

    Raises:
        ValueError: If the prior has no density.

    Example:
        >>> theta = torch.rand(400, 1) * 2 - 1
        >>> x = theta + 0.1 * torch.randn(400, 1)
        >>> inference = SBI(prior=([-1.0], [1.0])).append_simulations(theta, x)
        >>> posterior = inference.train(max_num_epochs=20) and inference.build_posterior().set_default_x([0.3])
        >>> posterior.sample((50,)).shape
        torch.Size([50, 1])
        >>> bool(abs(posterior.map() - 0.3) < 0.1)
        True
    """

    def __init__(self, prior: Any) -> None:
        super().__init__(prior)
        self.nle, self.npe = NLE(prior), NPE(prior)
        self.by_likelihood = False
        self.why = ""
        self.held_out = torch.empty(0, 1), torch.empty(0, 1)

    def append_simulations(self, theta: Any, x: Any) -> Self:
        super().append_simulations(theta, x)
        self.nle.append_simulations(theta, x)
        if self._x[-1].ndim == 2:
            self.npe.append_simulations(theta, x)
        return self

    def train(
        self,
        *,
        seed: int = 0,
        training_batch_size: int | None = None,
        max_num_epochs: float | None = None,
        show_train_summary: bool = False,
    ) -> Self:
        """Fits what may answer, and chooses.

        Arguments:
            seed: The seed of everything that is random.
            training_batch_size: How many simulations a step takes; None: 128 of up to 2,000 rows, 256 of more.
            max_num_epochs: How often all of them are passed at most; by default as their number asks for.
            show_train_summary: Whether what was learned is printed, and why the method was chosen.

        Raises:
            ValueError: If there are no simulations yet, or numbers are missing.
        """
        theta, x = self.complete_pairs()
        how: dict[str, Any] = {"seed": seed, "training_batch_size": training_batch_size}
        how["max_num_epochs"] = max_num_epochs
        how["show_train_summary"] = show_train_summary
        held = permutation(len(theta), seed, -1)[: max(1, round(HELD_OUT * len(theta)))]
        self.held_out = theta[held], torch.cat(self._x)[held]
        narrow, sets = x[0].numel() <= _WIDE, x.ndim == 3
        if narrow or sets:
            with part(0, 0.4):
                self.nle.train(**how)
        if not sets:
            with part(0.4, 0.8):
                self.npe.train(**how)
        with part(0.8, 1):
            self.by_likelihood, self.why = self._choice(narrow, sets)
        if show_train_summary:
            print(self.why)  # what was asked for
        return self

    def _choice(self, narrow: bool, sets: bool) -> tuple[bool, str]:
        """Whether the likelihood answers, and why."""
        if sets:
            return True, "the likelihood answers: an observation is a set of independent ones"
        if not narrow:
            return False, f"the posterior itself was learned: an observation has more than {_WIDE} numbers"
        least, most, each_of = _JUDGED
        judged = min(most, max(least, len(self.held_out[0]) / HELD_OUT / each_of))
        theta, x = (each[: int(judged)] for each in self.held_out)
        pairs = list(zip(theta[:, None], x))
        by_likelihood, itself = (_log_densities(self._posterior(which), pairs) for which in (True, False))
        gain = float((by_likelihood - itself).mean())
        error = float((by_likelihood - itself).std()) / len(pairs) ** 0.5 if len(pairs) > 1 else math.inf
        likely = gain > error  # where neither is better, the one that draws at once answers
        names = ("likelihood", "posterior itself") if likely else ("posterior itself", "likelihood")
        what = f"log-densities of the parameters of {len(pairs)} held-out simulations"
        said = (
            f"{abs(gain):.2f} ± {error:.2f} nats {'higher' if likely == (gain > 0) else 'lower'} than by the {names[1]}"
        )
        return likely, f"the {names[0]} answers: {what} are {said}"

    def _posterior(self, by_likelihood: bool) -> SBIPosterior:
        nle = None if self.nle.likelihood is None else self.nle.build_posterior()
        found = SBIPosterior(nle, None if self.npe.estimator is None else self.npe.build_posterior(), by_likelihood)
        return found.learned_from(self)

    def build_posterior(self) -> SBIPosterior:
        """The posterior, by the method that was chosen; `why` says why."""
        if not self.why:
            raise ValueError("there is no posterior before training: train() first")
        return self._posterior(self.by_likelihood)

    def check(self, x: Any = None, simulations: int = 200, draws: int = 100, seed: int = 0) -> InferenceCheck:
        """Whether to trust the posterior: on held-out simulations, and, if one is given, for an observation.

        Arguments:
            x: The observation that is asked for.
            simulations, draws: How many held-out simulations at most, and draws of the posterior of each.
            seed: The seed of the draws.

        Raises:
            ValueError: If it was not trained, or fewer than 8 simulations are held out or asked for.
        """
        if simulations < 8 or draws < 8:
            raise ValueError(f"a check needs 8 simulations and draws or more, got {simulations} and {draws}")
        posterior, start = self.build_posterior(), time.perf_counter()
        theta, data = (each[:simulations] for each in self.held_out)
        some = list(
            mapped(lambda i: posterior.few(draws, posterior.observed(data[i]), seed + i), range(len(theta)), len(theta))
        )
        pool = torch.cat([theta[:, None], torch.stack([found for found, _ in some])], 1)
        density = torch.stack([posterior.climb(each, posterior.observed(one)) for each, one in zip(pool, data)])
        ranks = rank_test(pool, pool, -density, seed=seed)
        inside = [(_central(pool) <= level).double().mean(1) for level in (0.5, 0.9)]
        shares = tuple(float(each.mean()) for each in inside)
        errors = tuple(float(each.std()) / len(theta) ** 0.5 for each in inside)
        value = density[:, 0] - torch.tensor([evidence for _, evidence in some])
        typical = None if x is None or self.nearness is None else self.nearness.share(posterior.observed(x))
        predicted = None if x is None else posterior.predicted(x, draws, seed)
        names = "likelihood" if posterior.by_likelihood else "posterior itself"
        found = (float(value.mean()), f"by the {names}", typical, predicted, time.perf_counter() - start)
        return InferenceCheck(ranks, shares, errors, *found)  # type: ignore[arg-type]  # pairs


def _log_densities(posterior: SBIPosterior, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The log-densities of the parameters of pairs given their data, `(M, 1)`."""
    return torch.stack(list(mapped(lambda pair: posterior.log_prob(pair[0], pair[1]), pairs, len(pairs))))


def _central(pool: Tensor) -> Tensor:
    """The level of the central interval of the draws whose border the truth, the first one, is: `(N, L + 1, P)` to `(N, P)`."""
    below = (pool[:, 1:] < pool[:, :1]).double().mean(1)
    return (2 * below - 1).abs()


class SBIPosterior(SimulationPosterior):
    """The posterior of parameters by a likelihood, or by itself; both where the one helps the other.

    Arguments:
        nle: The posterior by a likelihood; None where none was learned.
        npe: The posterior that was learned itself; None for sets.
        by_likelihood: Which of them answers.
    """

    def __init__(self, nle: NLEPosterior | None, npe: NPEPosterior | None, by_likelihood: bool) -> None:
        self.nle, self.npe, self.by_likelihood = nle, npe, by_likelihood

    def draw(self, count: int, x: Tensor, seed: int, **how: Any) -> Tensor:
        if not self._helped(x):
            return self._of(x).draw(count, x, seed, **how)
        many = max(count, _POPULATION)
        return self._near(count, x, seed, _Effort(_SPARE * many, max(count, _FEWEST), many, settled=_SETTLED))[0]

    def _of(self, x: Tensor) -> NLEPosterior | NPEPosterior:
        """What answers about an observation."""
        many = x.ndim == 2 and len(x) > 1
        if self.nle is not None and (self.by_likelihood or many):
            return self.nle
        if self.npe is None or many:
            raise ValueError(
                f"the posterior itself knows one observation, got {len(x)}: use NLE for several of the same parameters"
            )
        return self.npe

    def log_density(self, theta: Tensor, x: Tensor, **how: Any) -> Tensor:
        return self.climb(theta, x) - self.few(1, x, 0)[1]

    def climb(self, theta: Tensor, x: Tensor) -> Tensor:
        return self._of(x).climb(theta, x)

    def few(self, count: int, x: Tensor, seed: int) -> tuple[Tensor, float]:
        """A few draws, `(count, P)`, and log p(x), 0 where the posterior itself is known: quicker than a population."""
        if self.nle is None or self._of(x) is self.npe:
            return self.draw(count, x, seed), 0.0
        if self._helped(x):
            some = max(count, _FEWEST)
            return self._near(count, x, seed, _Effort(_PROPOSED, some, _FEW * some, _LEFT, _MOVED, _MOVES))
        found, evidence = self.nle.population(x, max(count, _POPULATION), seed)
        return found[:count], evidence

    def _helped(self, x: Tensor) -> bool:
        """Whether the likelihood answers about an observation of which the posterior itself was learned, too."""
        return self.npe is not None and self._of(x) is not self.npe and x.numel() == x.shape[-1]

    def _near(self, count: int, x: Tensor, seed: int, effort: _Effort) -> tuple[Tensor, float]:
        """Draws by the likelihood that begin at the posterior that was learned itself, `(count, P)`, and log p(x).

        They are independent where enough of what is proposed has weight, and the points of a population where not.
        """
        proposal = _Proposal(self.nle, self.npe, x)  # type: ignore[arg-type]  # there are both
        theta = proposal.draw(effort.proposed, seed)
        weight = proposal.log_weight(theta)
        effective = float(weight.logsumexp(0) * 2 - (2 * weight).logsumexp(0))
        if effective > math.log(_EFFECTIVE * effort.independent):
            return theta[_resampled(weight, count, seed)], float(weight.logsumexp(0)) - math.log(len(weight))
        start, settled = theta[: effort.points], effort.settled * theta.shape[1]
        rng = Samples(seed, 0, len(start), "few")
        path = effort.effective, effort.accepted, effort.moves, settled
        near = sequential_monte_carlo(proposal.log_prob, proposal.target, start, rng, *path)
        return near.points[:count], near.log_ratio

    def predicted(self, x: Any, draws: int, seed: int) -> float | None:
        """The share of data drawn again at the posterior that are as improbable as an observation, if a likelihood answers."""
        observed, nle = self.observed(x), self.nle
        if nle is None or self._of(observed) is self.npe:
            return None
        theta, rows = self.few(draws, observed, seed)[0], observed.reshape(-1, observed.shape[-1])
        again = torch.stack([nle.likelihood.sample(theta, seed + i) for i in range(len(rows))], 1)
        new = torch.stack([nle.likelihood.log_prob(theta[i : i + 1], again[i])[0] for i in range(len(theta))])
        return float((new <= nle.likelihood.log_prob(theta, rows)).double().mean())


@dataclass(frozen=True)
class _Effort:
    """What draws may cost.

    Arguments:
        proposed: How many are proposed.
        independent: How many of them must count for, times a factor, so that no population is needed.
        points: Of a population.
        effective, accepted, moves: Its path and its moves (`sequential_monte_carlo`).
        settled: The moves of its points at the end, for each parameter.
    """

    proposed: int
    independent: int
    points: int
    effective: float = 0.5
    accepted: float = 4.0
    moves: int = 200
    settled: float = 0.0


@dataclass(frozen=True)
class _Proposal:
    """A distribution near the posterior by a likelihood: mostly the learned posterior, and some of the prior."""

    nle: NLEPosterior
    npe: NPEPosterior
    x: Tensor

    def draw(self, count: int, seed: int) -> Tensor:
        """Draws, `(count, P)`, in a random order; those that rounding moved to a bound are left out."""
        few = round(_PRIOR * count)
        theta = torch.cat([self.npe.draw(count - few, self.x, seed), self.nle.prior.draw(few, seed)])
        theta = theta[Samples(seed, 0, count, "proposal").uniform((count, 1))[:, 0].argsort()]
        return theta[torch.isfinite(self.nle.prior.log_prob(theta))]

    def log_prob(self, theta: Tensor) -> Tensor:
        """The log-density, `(N,)`; of both distributions together, so that no weight is large."""
        prior = self.nle.prior.log_prob(theta)
        own = self.npe.log_density(theta, self.x)
        value = torch.logaddexp(own + math.log(1 - _PRIOR), prior + math.log(_PRIOR))
        return torch.where(torch.isfinite(prior), value, -torch.inf)

    def target(self, theta: Tensor) -> Tensor:
        """log p(x | θ) + log p(θ), `(N,)`."""
        return self.nle.unnormalized(theta, self.x)

    def log_weight(self, theta: Tensor) -> Tensor:
        """Prior times likelihood over the proposal, `(N,)`; where the prior is 0, so is the weight."""
        proposed = self.log_prob(theta)
        return torch.where(torch.isfinite(proposed), self.target(theta) - proposed, -torch.inf)


def _resampled(weight: Tensor, count: int, seed: int) -> Tensor:
    """Places of `count` draws by their log-weights, systematically, in a random order."""
    rng = Samples(seed, 0, count, "resample")
    places = (torch.arange(count, dtype=torch.float64) + rng.uniform((count, 1), torch.float64)[0]) / count
    chosen = torch.searchsorted(weight.softmax(0).cumsum(0), places).clamp_max(len(weight) - 1)
    return chosen[rng.child("order").uniform((count, 1), torch.float64)[:, 0].argsort()]
