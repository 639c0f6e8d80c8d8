"""Whether posterior draws are calibrated: ranks (SBC) and expected coverage (TARP), each with an exact test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .base import Array, stream

__all__ = ["Calibration", "calibration"]

CURVE = np.linspace(0, 1, 41)  # credibilities at which coverage is read
CELLS = 2**24  # numbers held at once


@dataclass(frozen=True)
class Calibration:
    """How prior draws rank among the posterior draws given the data that each of them made.

    Arguments:
        ranks: How many of the L posterior draws lie below the prior draw, `(N, P)`: uniform on 0..L if calibrated.
        p_values: Of each parameter's ranks, `(P,)`.
        p_value: Of all parameters together.
        credibility: α, `(A,)`.
        coverage: How often the prior draw lies in the credible region of α about a reference point, `(A,)`: α if calibrated.
        band: Where that curve lies with a probability of 95 % at each α if calibrated, `(2, A)`.
        coverage_p_value: Of the coverage.
        shift: Mean of (rank + ½) / (L + 1) − ½ of each parameter, in its standard errors: positive if the posterior is low.
        width: How much oftener than they should prior draws rank far out, in standard errors: positive if it is too narrow.
        draws: L.
    """

    ranks: np.ndarray
    p_values: np.ndarray
    p_value: float
    credibility: np.ndarray
    coverage: np.ndarray
    band: np.ndarray
    coverage_p_value: float
    shift: np.ndarray
    width: np.ndarray
    draws: int

    def passed(self, level: float = 0.01) -> bool:
        """Whether neither test rejects, at `level` for both together."""
        return min(self.p_value, self.coverage_p_value) > level / 2

    @property
    def verdict(self) -> str:
        """What the numbers say, in a sentence."""
        if self.passed():
            return f"The posterior draws are calibrated, as far as {len(self.ranks):,} tests of {self.draws:,} draws can tell."
        said = []
        for i in np.argsort(-np.maximum(np.abs(self.shift), np.abs(self.width))):
            if abs(self.shift[i]) > 4:
                said.append(f"parameter {i} is biased {'low' if self.shift[i] > 0 else 'high'}")
            if abs(self.width[i]) > 4:
                said.append(f"parameter {i} is {'overconfident' if self.width[i] > 0 else 'underconfident'}")
        what = ", ".join(said[:4]) if said else "no single parameter stands out, so look at how they go together"
        return f"The posterior draws are not calibrated: {what} (p = {min(self.p_value, self.coverage_p_value):.2g})."


def calibration(
    prior: Array,
    posterior: Array,
    references: Array | None = None,
    *,
    randomizations: int = 999,
    seed: int = 0,
) -> Calibration:
    """Checks posterior draws by simulation: θ_i from the prior, data y_i given θ_i, and L draws from the posterior given y_i.

    If these are draws from the posterior, θ_i and the L draws are exchangeable given y_i. So the rank of θ_i among them is
    uniform for each parameter (SBC), and so is its rank by the distance to a reference point that does not depend on θ_i
    (TARP), which sees all parameters together. The tests use the exchangeability itself: in each randomization another one
    of the L + 1 takes the place of θ_i, which is right at any N and L and however the parameters depend on one another.
    The statistic is the largest Kolmogorov distance of the ranks u and of |2u − 1| from the uniform law.

    A posterior that ignores the data passes SBC, and TARP with references that do not depend on the data: give references
    that do, such as a simple estimate from y_i, to see it.

    Arguments:
        prior: θ_i, `(N, P)` or `(N, *D)`.
        posterior: Independent draws given y_i, `(N, L, P)` or `(N, L, *D)`; thin chains first.
        references: Points for the coverage, `(N, P)`; drawn uniformly from the box of the prior draws by default.
        randomizations: K; the least p-value is 1/(K + 1).
        seed: Of the references, of ties and of randomizations.

    Raises:
        ValueError: For shapes that do not fit, fewer than eight simulations, or a value is not finite.

    References:
        Talts et al., 2018, Validating Bayesian inference algorithms with simulation-based calibration; Lemos et al., 2023,
        Sampling-based accuracy testing of posterior estimators for general inference.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> prior = rng.normal(size=(300, 1))
        >>> data = prior + rng.normal(size=(300, 1))
        >>> exact = data[:, None] / 2 + rng.normal(size=(300, 50, 1)) * 0.5**0.5
        >>> calibration(prior, exact).passed(), calibration(prior, exact + 0.5).passed()
        (True, False)
    """
    truth, drawn = (np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, np.float64) for x in (prior, posterior))
    count = len(truth)
    if drawn.ndim < 2 or drawn.shape[0] != count or drawn.shape[2:] != truth.shape[1:] or drawn.shape[1] < 1:
        raise ValueError(
            f"calibration needs prior draws (N, P) and posterior draws (N, L, P), got {truth.shape} and {drawn.shape}"
        )
    if count < 8:
        raise ValueError(f"calibration needs 8 simulations or more, and hundreds to see anything, got {count}")
    every = np.concatenate([truth.reshape(count, 1, -1), drawn.reshape(*drawn.shape[:2], -1)], 1)
    if not np.isfinite(every).all():
        raise ValueError("calibration got NaN or infinite draws: drop these simulations, or repair the sampler")
    reference = _references(every, references, seed)
    distance = _distances(every, reference)
    ranks = np.concatenate([_ranks(every, seed), _ranks(distance[:, :, None], seed)], 2)
    return _judged(ranks, randomizations, seed)


def _references(every: np.ndarray, given: Array | None, seed: int) -> np.ndarray:
    truth = every[:, 0]
    if given is None:
        low, high = truth.min(0), truth.max(0)
        return low + (high - low) * stream(seed, "references").random(truth.shape)
    points = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given, np.float64).reshape(len(given), -1)
    if points.shape != truth.shape:
        raise ValueError(f"references must be one a simulation, {truth.shape}, got {points.shape}")
    return points


def _distances(every: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distances `(N, L + 1)` to the reference points, in the deviation of each parameter among all draws."""
    spread = every.std((0, 1))
    spread = np.where(spread > 0, spread, 1.0)
    return np.sqrt((((every - reference[:, None]) / spread) ** 2).sum(2))


def _ranks(values: np.ndarray, seed: int) -> np.ndarray:
    """The rank 0..L of every one of the L + 1 draws among them, `(N, L + 1, P)`; chance decides between equal ones."""
    count, draws, parameters = values.shape
    ranks = np.empty(values.shape, np.int32)
    rng = stream(seed, "ties")
    for i in range(0, count, step := max(1, CELLS // (draws * parameters))):
        some = values[i : i + step]
        order = np.lexsort((rng.random(some.shape), some), axis=1)
        np.put_along_axis(ranks[i : i + step], order, np.arange(draws, dtype=np.int32)[None, :, None], 1)
    return ranks


def _judged(ranks: np.ndarray, randomizations: int, seed: int) -> Calibration:
    """From ranks of all draws by each parameter and, last, by distance."""
    count, places, columns = ranks.shape
    observed = ranks[:, 0]
    rng = stream(seed, "randomizations")
    null = np.empty((randomizations, columns))
    curves = np.empty((randomizations, len(CURVE)))
    for k in range(randomizations):
        other = ranks[np.arange(count), rng.integers(places, size=count)]
        null[k] = _departure(other, places)
        curves[k] = _coverage(other[:, -1], places)
    found = _departure(observed, places)
    p = (1 + (null >= found - 1e-12).sum(0)) / (1 + randomizations)
    together = (1 + (null[:, :-1].max(1) >= found[:-1].max() - 1e-12).sum()) / (1 + randomizations)
    u = (observed[:, :-1] + 0.5) / places
    # Variances of u and of |2u − 1| over whole numbers differ from 1/12 by 1/(L + 1)² at most.
    error = np.sqrt((1 - 1 / places**2) / 12 / count)
    centre = np.abs(2 * (np.arange(places) + 0.5) / places - 1)
    return Calibration(
        ranks=observed[:, :-1],
        p_values=p[:-1],
        p_value=float(together),
        credibility=CURVE,
        coverage=_coverage(observed[:, -1], places),
        band=np.quantile(curves, [0.025, 0.975], axis=0),
        coverage_p_value=float(p[-1]),
        shift=(u.mean(0) - 0.5) / error,
        width=(np.abs(2 * u - 1).mean(0) - centre.mean()) / max(centre.std(), 1e-12) * count**0.5,
        draws=places - 1,
    )


def _departure(ranks: np.ndarray, places: int) -> np.ndarray:
    """The larger of the Kolmogorov distances of u and of |2u − 1| from the uniform law, by column `(P,)`.

    It takes few values where there are few simulations; a thousandth of the mean distances tells equal ones apart.
    """
    count, last = len(ranks), places - 1
    exact = np.cumsum(np.bincount(np.abs(2 * np.arange(places) - last), minlength=places)) / places
    found = []
    for column in ranks.T:
        plain = np.cumsum(np.bincount(column, minlength=places)) / count - np.arange(1, places + 1) / places
        folded = np.cumsum(np.bincount(np.abs(2 * column - last), minlength=places)) / count - exact
        plain, folded = np.abs(plain), np.abs(folded)
        found.append(max(plain.max(), folded.max()) + 1e-3 * (plain.mean() + folded.mean()))
    return np.array(found)


def _coverage(ranks: np.ndarray, places: int) -> np.ndarray:
    """How often the rank by distance lies below α, for each α; a rank stands for an interval of the length 1/(L + 1)."""
    members = np.concatenate([[0], np.cumsum(np.bincount(ranks, minlength=places))]) / len(ranks)
    return np.interp(CURVE, np.arange(places + 1) / places, members)
