"""How often times of day and weekdays occur: the cycle of a column of dates, by the evidence for it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .cycles import on_cycle

__all__ = ["fit_cycle", "stands_out"]

_PARTS = (2, 3, 4, 6, 8, 12, 24, 48, 96)  # of a day
_DAYS, _WEEKS = 4, 3  # that values extend over at least, for times of day and for weekdays
_FEWEST = 10  # independent values
_CLEAR = math.log(1000)  # nats of evidence for a cycle
_STRENGTHS = tuple(4.0**k for k in range(7))  # how many dates of a weekday the hours of all weekdays count as
_RAREST = 1e-4  # of the mean density: where nothing occurs, the map can still be inverted
_WEEKDAYS = 7


def fit_cycle(values: np.ndarray, week: tuple[float, float]) -> tuple[Tensor, str] | None:
    """The cycle of a day or a week that dates follow, `(2, K)` as in `ColumnMap`, and what it is, in words.

    A day has as many parts as make its histogram likeliest: by the evidence of a Dirichlet-multinomial distribution against
    the uniform one. Weekdays differ, and the times of each weekday from those of all, where there is evidence for that. Dates
    that come in clusters count as fewer than they are.

    Arguments:
        values: Whole numbers, `(n,)`: times in steps that divide a day.
        week: At which number a week begins, and how many make one.

    Returns:
        The cycle and the words; None if all are alike, or the values extend over less than four days.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> hours = 24 * rng.integers(0, 365, 400) + rng.integers(9, 17, 400)  # every day, from 9 o'clock on
        >>> cycle, words = fit_cycle(hours, (0.0, 168.0))
        >>> words, float(cycle[1, -1] - cycle[1, 0])
        ('times of day as often as in the data, in 24 parts', 24.0)
    """
    day = round(week[1] / _WEEKDAYS)
    if day < 1 or abs(day * _WEEKDAYS - week[1]) > 1e-9 * week[1] or len(values) < 2:
        return None
    place, extent = values - week[0], float(np.ptp(values)) / day
    if extent < _DAYS:
        return None
    parts, whole_weeks = _parts_of(place, day), extent >= _WEEKS * _WEEKDAYS
    weekdays = whole_weeks and _evidence(*_counts(place, day, _WEEKDAYS)) > _CLEAR
    hours = _share(place, day / parts, parts)
    days = _share(place, day, _WEEKDAYS) if weekdays else np.full(_WEEKDAYS, 1 / _WEEKDAYS)
    shares = _by_weekday(place, day, days, hours) if parts > 1 and whole_weeks else None
    said = [f"times of day as often as in the data, in {parts} parts"] if parts > 1 else []
    said[0:0] = ["weekdays as often as in the data"] if weekdays else []
    if shares is not None:
        said = [f"times of day of each weekday as often as in the data, in {parts} parts"]
    elif weekdays:
        shares = np.outer(days, hours)
    elif parts > 1:
        shares = hours
    else:
        return None
    return torch.from_numpy(_cycle(shares.reshape(-1), day / parts, week[0])), ", ".join(said)


def stands_out(dates: np.ndarray, values: np.ndarray, cycle: Tensor, week: float) -> np.ndarray:
    """Whether dates are more frequent than their weekday and time of day are in the weeks around them, `(d,)`.

    That is three times as often, and more often than chance would have it, as for other atoms.

    Arguments:
        dates: Some of the values, `(d,)`.
        values: Whole numbers, `(n,)`.
        cycle: Their cycle.
        week: How many steps make a week.

    Example:
        >>> mondays = np.repeat(7.0 * np.arange(60), 40)
        >>> values = np.concatenate((mondays, np.arange(420.0), np.full(200, 77.0)))
        >>> cycle, _ = fit_cycle(values, (0.0, 7.0))
        >>> stands_out(np.array([70.0, 77.0]), values, cycle, 7.0)
        array([False,  True])
    """
    line = np.sort(on_cycle(values, cycle))
    low, high = (on_cycle(dates + side, cycle) for side in (-0.5, 0.5))
    bottom, top = on_cycle(np.array([values.min() - 0.5, values.max() + 0.5]), cycle)
    first, last = np.maximum(low - week, bottom), np.minimum(high + week, top)
    own, with_weeks = (np.searchsorted(line, b) - np.searchsorted(line, a) for a, b in ((low, high), (first, last)))
    usual = (with_weeks - own) * (high - low) / np.maximum(last - first - (high - low), 1e-9)
    found: np.ndarray = own > 3 * usual + 4 * np.sqrt(usual)
    return found


def _cycle(shares: np.ndarray, width: float, first: float) -> np.ndarray:
    """The ends of the parts, and where they are on the new line, `(2, K)`: 0 stays where it is."""
    period = width * shares.size
    density = np.maximum(shares * shares.size, _RAREST)
    known = first - 0.5 + width * np.arange(shares.size + 1)  # a value is the middle of its cell
    wanted = period * np.concatenate(([0.0], (density / density.sum()).cumsum()))
    wanted[-1] = period
    periods = math.floor(-known[0] / period)
    zero = float(np.interp(-periods * period, known, wanted)) + periods * period
    return np.stack((known, wanted - zero))


def _parts_of(place: np.ndarray, day: int) -> int:
    """Into how many parts a day is divided; 1 if its times are as often as each other."""
    best, found = _CLEAR, 1
    for parts in (p for p in _PARTS if day % p == 0):
        evidence = _evidence(*_counts(place, day / parts, parts))
        if evidence > best:
            best, found = evidence, parts
    return found


def _counts(place: np.ndarray, width: float, size: int) -> tuple[np.ndarray, float]:
    """How many values lie in each part of a cycle, `(size,)`, and how many of them count as independent of each other.

    Those are fewer by the dispersion of the numbers in one part, from cycle to cycle: about 1 for independent values, and
    the size of clusters in which they come.
    """
    cells = np.floor((place + 0.5) / width)
    part = (cells % size).astype(np.int64)
    counts = np.bincount(part, minlength=size).astype(np.float64)
    found, together = np.unique(cells, return_counts=True)
    total = float(found[-1] - found[0]) + 1
    usual = np.maximum(counts * size / total, 1e-300)
    squares = np.bincount((found % size).astype(np.int64), together.astype(np.float64) ** 2, minlength=size)
    dispersion = float((squares / usual - counts).sum()) / max((total / size - 1) * float((counts > 0).sum()), 1.0)
    return counts, len(place) / max(1.0, dispersion)


def _evidence(counts: np.ndarray, independent: float) -> float:
    """How much more likely values are in parts of unknown probabilities than in equally probable ones, in nats."""
    if independent < _FEWEST:
        return -math.inf
    effective = counts * independent / counts.sum()
    uniform = independent * math.log(len(counts))
    return max(_log_marginal(effective, np.full(len(counts), a)) for a in (1 / len(counts), 0.5)) + uniform


def _log_marginal(counts: np.ndarray, prior: np.ndarray) -> float:
    """The logarithm of the probability of a sequence with such counts, where probabilities have a Dirichlet distribution."""
    total, gained = float(prior.sum()), 0.0
    for count, a in zip(counts.tolist(), prior.tolist()):
        gained += math.lgamma(a + count) - math.lgamma(a)
    return math.lgamma(total) - math.lgamma(total + float(counts.sum())) + gained


def _share(place: np.ndarray, width: float, size: int) -> np.ndarray:
    """The probability of each part of a cycle, `(size,)`: the mean of the posterior distribution."""
    counts, independent = _counts(place, width, size)
    effective = counts * independent / counts.sum()
    prior = max((1 / size, 0.5), key=lambda a: _log_marginal(effective, np.full(size, a)))
    return _expected(counts, np.full(size, prior), _possible(effective, np.full(size, prior)))


def _expected(counts: np.ndarray, prior: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """The mean of the posterior distribution of the probability of each part, which may be impossible, `(size,)`."""
    weight = (counts + prior) * possible
    found: np.ndarray = weight / weight.sum()
    return found


def _possible(counts: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The probability that a part is possible, `(size,)`, if half of the parts are beforehand: 1 where something lies.

    Where nothing does, it falls with the number of values, by how likely that is under the Dirichlet distribution.

    Arguments:
        counts: How many independent values lie in each part, `(size,)`.
        prior: The parameters of the Dirichlet distribution, `(size,)`.

    Example:
        >>> _possible(np.array([50.0, 0.0]), np.ones(2)).round(3)  # nothing in the second one: 1 / 51 if it is possible
        array([1.   , 0.019])
    """
    total, number = float(prior.sum()), float(counts.sum())
    others = [max(float(total - each), 1e-300) for each in prior]
    shift = np.array([math.lgamma(each + number) - math.lgamma(each) for each in others])
    chance = np.exp(shift + math.lgamma(total) - math.lgamma(total + number))
    return np.where(counts > 0, 1.0, chance / (1 + chance))


def _by_weekday(place: np.ndarray, day: int, days: np.ndarray, hours: np.ndarray) -> np.ndarray | None:
    """The probability of each part of a week, where hours differ by weekday, `(7, parts)`; None if they do not."""
    counts, independent = _counts(place, day / len(hours), len(days) * len(hours))
    scale, found, evidence = independent / counts.sum(), [], 0.0
    for own in counts.reshape(len(days), -1):
        alike = float((own * scale * np.log(hours)).sum())
        apart = np.full(len(hours), 1 / len(hours))  # which does not know of other weekdays
        priors = [apart, *(k * hours for k in _STRENGTHS)]
        gains = [_log_marginal(own * scale, prior) - alike for prior in priors]
        best = int(np.argmax(gains))
        prior = priors[best] / (scale if best else 1)
        possible = _possible(own * scale, priors[best])
        found.append(_expected(own, prior, possible) if gains[best] > 0 else hours)
        evidence += max(0.0, gains[best])
    return None if evidence < _CLEAR else _share(place, day, len(days))[:, None] * np.stack(found)
