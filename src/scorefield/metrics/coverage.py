"""Calibration of posterior draws: ranks (SBC) and expected coverage (TARP), with exact tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..user_values import real_tensor
from .base import Array, stream

__all__ = ["Calibration", "calibration"]

CURVE = np.linspace(0, 1, 41)  # credibility levels of the coverage
CELLS = 2**24  # numbers held in memory at once


@dataclass(frozen=True)
class Calibration:
    """The ranks of prior draws among the posterior draws for the data that each of them generated.

    Arguments:
        ranks: The number of the L posterior draws below the prior draw, `(N, P)`: uniform on 0..L if calibrated.
        p_values, p_value: The p-values of the ranks of each parameter, `(P,)`, and of all parameters together.
        credibility: The credibility levels α, `(A,)`.
        coverage: The frequency with which the prior draw lies in the credible region of level α around a reference point,
            `(A,)`: α if calibrated.
        band: The pointwise 95 % band of that curve if calibrated, `(2, A)`.
        coverage_p_value: The p-value of the coverage.
        shift: The mean of (rank + ½) / (L + 1) − ½ of each parameter, in standard errors: positive if the posterior is too low.
        width: The excess frequency of extreme ranks, in standard errors: positive if the posterior is too narrow.
        draws: The number L of posterior draws per simulation.
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
        """Whether neither of the two tests rejects, at a joint level of `level`."""
        return min(self.p_value, self.coverage_p_value) > level / 2

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        if self.passed():
            return f"No miscalibration was found in {len(self.ranks):,} simulations with {self.draws:,} posterior draws each."
        findings = []
        for i in np.argsort(-np.maximum(np.abs(self.shift), np.abs(self.width))):
            if abs(self.shift[i]) > 4:
                findings.append(f"parameter {i} is biased {'low' if self.shift[i] > 0 else 'high'}")
            if abs(self.width[i]) > 4:
                findings.append(f"parameter {i} is {'overconfident' if self.width[i] > 0 else 'underconfident'}")
        what = ", ".join(findings[:4]) or "no single parameter stands out, so check their dependence"
        return f"The posterior draws are not calibrated: {what} (p = {min(self.p_value, self.coverage_p_value):.2g})."


def calibration(
    prior: Array, posterior: Array, references: Array | None = None, *, randomizations: int = 999, seed: int = 0
) -> Calibration:
    """Checks posterior draws by simulation: θ_i from the prior, data y_i given θ_i, and L draws from the posterior given y_i.

    If the draws are from the posterior, θ_i and the L draws are exchangeable given y_i. The rank of θ_i among them is then
    uniform for each parameter (SBC), and so is its rank by the distance to a reference point that does not depend on θ_i
    (TARP), which tests all parameters jointly. The tests use the exchangeability itself: in each randomization another of the
    L + 1 draws takes the place of θ_i. This is exact for any N, L and dependence of the parameters. The statistic is the
    largest Kolmogorov distance of the ranks u and of |2u − 1| from the uniform distribution.

    A posterior that ignores the data passes SBC, and also TARP if the references do not depend on the data. To detect it, pass
    references that do, such as a simple estimate from y_i.

    Arguments:
        prior: The prior draws θ_i, `(N, P)` or `(N, *D)`.
        posterior: Independent posterior draws given y_i, `(N, L, P)` or `(N, L, *D)`; thin chains first.
        references: Reference points of the coverage, `(N, P)`; by default uniform in the bounding box of the prior draws.
        randomizations: The number K of randomizations; the smallest p-value is 1/(K + 1).
        seed: The seed of the references, of ties and of the randomizations.

    Raises:
        ValueError: If shapes do not fit, there are fewer than eight simulations, or a value is not finite.

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
    truth, drawn = _numbers(prior), _numbers(posterior)
    count = len(truth)
    if drawn.ndim < 2 or drawn.shape[0] != count or drawn.shape[2:] != truth.shape[1:] or drawn.shape[1] < 1:
        shapes = f"{truth.shape} and {drawn.shape}"
        raise ValueError(f"calibration needs prior draws (N, P) and posterior draws (N, L, P), got {shapes}")
    if count < 8:
        raise ValueError(f"calibration needs at least 8 simulations, and hundreds for any power, got {count}")
    every = np.concatenate([truth.reshape(count, 1, -1), drawn.reshape(*drawn.shape[:2], -1)], 1)
    if not np.isfinite(every).all():
        raise ValueError("calibration got NaN or infinite draws: drop these simulations, or fix the sampler")
    distance = _distances(every, _references(every[:, 0], references, seed))
    ranks = np.concatenate([_ranks(every, seed), _ranks(distance[:, :, None], seed)], 2)
    return _tested(ranks, randomizations, seed)


def _references(truth: np.ndarray, points: Array | None, seed: int) -> np.ndarray:
    if points is None:
        low, high = truth.min(0), truth.max(0)
        return np.asarray(low + (high - low) * stream(seed, "references").random(truth.shape))
    points = _numbers(points).reshape(len(points), -1)
    if points.shape != truth.shape:
        raise ValueError(f"references needs one point per simulation, shape {truth.shape}, got {points.shape}")
    return points


def _numbers(x: Array) -> np.ndarray:
    return real_tensor(x, "draws").detach().cpu().numpy()


def _distances(every: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distances `(N, L + 1)` to the reference points, with each parameter in units of its standard deviation."""
    scale = every.std((0, 1))
    distance: np.ndarray = np.sqrt((((every - reference[:, None]) / np.where(scale > 0, scale, 1.0)) ** 2).sum(2))
    return distance


def _ranks(values: np.ndarray, seed: int) -> np.ndarray:
    """The rank 0..L of each of the L + 1 draws, `(N, L + 1, P)`; ties are broken at random."""
    count, draws, parameters = values.shape
    ranks = np.empty(values.shape, np.int32)
    rng = stream(seed, "ties")
    for i in range(0, count, step := max(1, CELLS // (draws * parameters))):
        chunk = values[i : i + step]
        order = np.lexsort((rng.random(chunk.shape), chunk), axis=1)
        np.put_along_axis(ranks[i : i + step], order, np.arange(draws, dtype=np.int32)[None, :, None], 1)
    return ranks


def _tested(ranks: np.ndarray, randomizations: int, seed: int) -> Calibration:
    """The result from the ranks of all draws by each parameter and, in the last column, by distance."""
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
    # The variances of discrete u and |2u − 1| differ from 1/12 by at most 1/(L + 1)².
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
    """The larger of the Kolmogorov distances of u and of |2u − 1| from the uniform distribution, for each column, `(P,)`.

    With few simulations it takes few values; a thousandth of the mean distance is added to break ties.
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
    """The fraction of ranks by distance below α, for each α; a rank stands for an interval of length 1/(L + 1)."""
    members = np.concatenate([[0], np.cumsum(np.bincount(ranks, minlength=places))]) / len(ranks)
    return np.interp(CURVE, np.arange(places + 1) / places, members)
