"""The choice of the units of grids: which map each channel gets, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..data.summary import Summary
from .base import Units
from .bases import Bases
from .channels import ChannelUnits, Limits
from .column_map import Base, ColumnMap
from .standardize import Standardize
from .wishes import Wish

__all__ = ["choose_channels"]

_DECADES = 2.0  # from the 5 % to the 95 % quantile of a positive channel, for its logarithm to be taken unasked
_ON_BOUND = 0.01  # of the values, for one value to be a bound of a quantity, or an atom
_NEIGHBOURS = 3  # values next to an end, than which an atom is far more frequent
_FEWEST = 100  # other values
_SKEWED = 1.0  # skewness, from which on the logarithm is taken of what is not an atom
_COLOURS = (3, 4)  # channels of pictures
_OFFSET = 0.01  # of the mean: how far beyond a bound that is reached the bound of a softplus lies
_ROUNDS = 60  # until a gap and the standard deviation of the states agree
GAP = 0.7  # standard deviations of the states, between an atom and the nearest other value (benchmarks/wet_fields.py)


def choose_channels(
    x: Tensor, asked: Sequence[Wish], summary: Summary | None = None, quantities: bool = False
) -> tuple[Units, tuple[str, ...]]:
    """The map of each channel of grids `(N, C, *S)`: as asked for, or log where values above 0 span decades.

    Amounts, which are nowhere negative, have the inverse of a softplus, a logarithm near 0 and a straight line above the mean:
    errors of a network, which a logarithm would make factors, stay as they are in the tail. They have a logarithm where the
    values are closer to a lognormal distribution.

    The lowest or the highest value is an atom where 1 % of the values are that and it stands out (`shares_at_ends`), but not of
    whole numbers, nor where all channels lie on one lattice, whose values stand for cells, unless they are bounded quantities.

    Arguments:
        x: The grids, in float64.
        asked: What is known and asked of each channel.
        summary: The moments of all data; by default those of `x`.
        quantities: Whether channels are quantities of their own, and not the colours of pictures: one that is nowhere
            negative is then bounded by 0 where 1 % are exact zeros, or a normal distribution would go below; by 1 or 100, too,
            where 1 % are that. Where it is not known, a channel is one if it lies above 0 and not in [0, 1] alone, on no
            lattice, and is none of three or four.

    Raises:
        ValueError: If what was asked for does not fit the values.

    Example:
        >>> fields = torch.linspace(-8.0, 8.0, 320).reshape(20, 1, 4, 4).double().exp()
        >>> choose_channels(fields, [Wish(0)])[1]
        ('log: positive, spans 7 decades',)
    """
    lattice = summary is not None and bool((summary.step > 0).any())
    colours = lattice or x.shape[1] in _COLOURS
    found = []
    for c, wish in enumerate(asked):
        values = x[:, c].flatten()
        found.append(_channel(values, wish, quantities or (not colours and _is_quantity(values)), lattice))
    reasons = tuple(each.reason for each in found)
    if all(each.plain for each in found):
        return _standardize(x, summary), reasons
    margins, gaps = (torch.tensor(pairs, dtype=torch.float64) for pairs in zip(*((f.margins, f.gaps) for f in found)))
    limits = [each.limits for each in found]
    limits = [] if limits == [each.column.bounds for each in found] else limits
    columns = [each.column for each in found]
    return ChannelUnits(x.shape[1:], columns, margins, limits, gaps if bool(gaps.any()) else None), reasons


@dataclass(frozen=True)
class _Channel:
    """The map of one channel.

    Arguments:
        column: The smooth map.
        reason: Why it is this one.
        limits: The bounds of the values.
        margins: How far from its bounds the nearest other values are; 0 where no values are on them.
        gaps: Between atoms on its bounds and these values, in states; 0 for no atoms.
    """

    column: ColumnMap
    reason: str
    limits: Limits = (None, None)
    margins: tuple[float, float] = (0.0, 0.0)
    gaps: tuple[float, float] = (0.0, 0.0)

    @property
    def plain(self) -> bool:
        """Whether it has a mean and a standard deviation alone."""
        return self.column.base == "affine" and not any(self.gaps)


def _channel(values: Tensor, wish: Wish, quantity: bool, lattice: bool) -> _Channel:
    """The map of one channel `(n,)`; `lattice` says whether all channels are on one, so that their values stand for cells."""
    low, high = float(values.min()), float(values.max())
    shares = (0.0, 0.0) if wish.transform == "affine" else shares_at_ends(values)
    form = _form(values, wish, quantity, shares)
    bounded = form.lower is not None or form.upper is not None
    shares = (0.0, 0.0) if lattice and not (bounded and quantity) else shares
    limits = low if shares[0] else form.lower, high if shares[1] else form.upper
    if any(shares) and not bounded and wish.free:
        form = _beyond(values, shares)
    lower, upper, offset, reason = form.lower, form.upper, form.offset, form.reason
    if any(shares):
        ends = " and ".join(f"{end:.6g} ({100 * share:.2g} %)" for end, share in zip((low, high), shares) if share)
        reason = f"atoms at {ends}, else {reason}"
    if lower is None and upper is None and not any(shares):
        mean, std = float(values.mean()), float(values.std(correction=0))
        return _Channel(ColumnMap(location=mean, scale=std if std > 0 else 1.0), "affine")
    count = (lower is not None) + (upper is not None)
    bases: tuple[Base, ...] = ("affine", "log" if form.bend is None else "softplus", "logit")
    sides = (None if lower is None else lower - offset, None if upper is None else upper + offset)
    plain = ColumnMap(base=bases[count], lower=sides[0], upper=sides[1], bend=form.bend or 1.0)
    return _located(values, plain, limits, shares, reason)


def _is_quantity(values: Tensor) -> bool:
    """Whether values are more probably those of a positive quantity than the brightness of pictures."""
    return float(values.min()) > 0 and float(values.max()) > 1


@dataclass(frozen=True)
class _Form:
    """The form of a smooth map.

    Arguments:
        lower, upper: Its bounds.
        reason: Why, which does not repeat the shares of atoms.
        bend: Of a softplus, where it turns to a straight line; None for other forms.
        offset: How far beyond the bound of the values its own lies.
    """

    lower: float | None
    upper: float | None
    reason: str
    bend: float | None = None
    offset: float = 0.0


def _form(values: Tensor, wish: Wish, quantity: bool, shares: tuple[float, float]) -> _Form:
    """The form of the map of a channel, without its atoms."""
    low, high = float(values.min()), float(values.max())
    lower, upper = wish.bounds
    if (lower is not None and low < lower) or (upper is not None and high > upper):
        what = f"channel {wish.name!r} is declared to be in [{lower}, {upper}] and holds {low:.6g} to {high:.6g}"
        raise ValueError(f"{what}: widen the bounds, or leave out these rows")
    if wish.transform == "log" and lower is None and upper is None:
        if low < 0:
            raise ValueError(
                f"the logarithm of channel {wish.name!r} needs values above 0, it holds {low:.6g}: give it bounds"
            )
        return _Form(0.0, None, "as asked")
    if wish.free and low > 0 and _over_decades(values):
        return _Form(0.0, None, f"log: positive, spans {math.log10(high / low):.0f} decades")
    if wish.free and quantity and low < high:
        return _evident(values, shares[0] > 0)
    return _Form(lower, upper, "affine" if wish.free else "as asked")


def shares_at_ends(values: Tensor) -> tuple[float, float]:
    """The shares of the lowest and of the highest value that are atoms; 0 where they are not, and for whole numbers.

    1 % of the values are an atom at least, and clearly more than three times as many as any of the three values next to it:
    of a continuous distribution no two values are equal, and on a lattice neighbours are about as frequent.

    Example:
        >>> shares_at_ends(torch.linspace(-1.0, 1.0, 2001).double().clamp(0.0, 0.98))[0].__round__(3)
        0.5
    """
    if bool((values == values.round()).all()):
        return 0.0, 0.0
    found = []
    for distance in (values - values.min(), values.max() - values):
        count = int((distance == 0).sum())
        rest, usual = distance[distance > 0], 0
        for _ in range(_NEIGHBOURS):
            here = rest == rest.min() if len(rest) else torch.zeros(0, dtype=torch.bool)
            usual, rest = max(usual, int(here.sum())), rest[~here]
        stands_out = count > 3 * usual + 4 * math.sqrt(usual) and len(rest) >= _FEWEST
        found.append(count / len(values) if stands_out and count >= _ON_BOUND * len(values) else 0.0)
    return found[0], found[1]


def _beyond(values: Tensor, shares: tuple[float, float]) -> _Form:
    """The form of a channel with atoms whose other values are skewed away from one of them; or affine."""
    low, high = float(values.min()), float(values.max())
    rest = values[~_on_ends(values, shares)]
    skewness = _skewness(rest)
    if shares[0] and skewness > _SKEWED:
        return _bent(low, None, "softplus: skewed", rest - low, True)
    if shares[1] and skewness < -_SKEWED:
        return _bent(None, high, "softplus: skewed", high - rest, True)
    return _Form(None, None, "affine")


def _on_ends(values: Tensor, shares: tuple[float, float]) -> Tensor:
    """Which values are atoms."""
    low, high = (values == values.min()) & (shares[0] > 0), (values == values.max()) & (shares[1] > 0)
    return low | high


def _bent(lower: float | None, upper: float | None, reason: str, distances: Tensor, reached: bool) -> _Form:
    """A softplus of distances from a bound, which bends at their mean; `reached` says whether some values are on the bound."""
    bend = float(distances.mean())
    return _Form(lower, upper, reason, bend, _OFFSET * bend * reached)


def _log_likelihood(state: Tensor, log_slope: Tensor) -> float:
    """The mean log-density of values whose states are normal, up to a constant."""
    return float(log_slope.mean() - state.std(correction=0).log())


def _evident(values: Tensor, atom: bool) -> _Form:
    """The form that the values of a quantity show; `atom` says whether the lowest value is one."""
    zeros, low, high = float((values == 0).double().mean()), float(values.min()), float(values.max())
    if low < 0 or (zeros < _ON_BOUND and float(values.mean()) > 2 * float(values.std(correction=0))):
        return _Form(None, None, "")
    reason = "nowhere negative" + (f", {100 * zeros:.2g} % zeros" if zeros and not atom else "")
    if high in (1.0, 100.0) and float((values == high).double().mean()) >= _ON_BOUND:
        return _Form(0.0, high, f"logit: {reason}, at most {high:g}")
    form = _bent(0.0, None, f"softplus: {reason}", values[values > 0], low == 0)
    if low > 0:
        column = ColumnMap(base="softplus", lower=0.0, bend=form.bend or 1.0)
        if _log_likelihood(values.log(), -values.log()) > _log_likelihood(*Bases([column])(values[:, None])):
            return _Form(0.0, None, f"log: {reason}")
    return form


def _over_decades(values: Tensor) -> bool:
    """Whether positive values span decades and their logarithms are more symmetric than they are themselves."""
    first, last = np.quantile(values.numpy(), (0.05, 0.95))
    return bool(last >= 10**_DECADES * first) and abs(_skewness(values.log())) < 0.5 * abs(_skewness(values))


def _skewness(values: Tensor) -> float:
    z = (values - values.mean()) / values.std(correction=0)
    return float((z**3).mean())


def _located(values: Tensor, plain: ColumnMap, limits: Limits, shares: tuple[float, float], reason: str) -> _Channel:
    """A channel with bounds or atoms: the standardized coordinates, the margins and the gaps.

    With an offset the lower bound of the map lies below that of the values, and less is clipped. A gap is a multiple of the
    standard deviation of all states, to which it belongs.
    """
    margins, sides = [0.0, 0.0], (1.0, -1.0)
    for side, (limit, sign) in enumerate(zip(limits, sides)):
        distance = torch.zeros(0) if limit is None else sign * (values - limit)
        if bool((distance == 0).any()):
            margins[side] = float(distance[distance > 0].min()) if bool((distance > 0).any()) else 1.0
    near = torch.tensor([margins], dtype=torch.float64)
    units = ChannelUnits((1, 1), (plain,), near, (limits,))
    states, atoms = units(values[:, None, None])[:, 0, 0], _on_ends(values, shares)
    rest = states[~atoms]
    inner = (0.0 if limit is None else limit + sign * margin for limit, sign, margin in zip(limits, sides, margins))
    nearest = [float(units(torch.full((1, 1, 1), value, dtype=torch.float64))) for value in inner]
    weights = torch.tensor([*shares, 1 - sum(shares)], dtype=torch.float64)
    mean, scale = float(rest.mean()), float(rest.std(correction=0))
    within = torch.tensor([0.0, 0.0, float(rest.var(correction=0))], dtype=torch.float64)
    for _ in range(_ROUNDS if any(shares) else 0):
        at = torch.tensor([nearest[0] - GAP * scale, nearest[1] + GAP * scale, float(rest.mean())], dtype=torch.float64)
        mean = float((weights * at).sum())
        scale = float((weights * (within + (at - mean).square())).sum().sqrt())
    column = replace(plain, location=mean, scale=scale if scale > 0 else 1.0)
    gap = GAP if scale > 0 else 0.0
    return _Channel(column, reason, limits, (margins[0], margins[1]), (gap * (shares[0] > 0), gap * (shares[1] > 0)))


def _standardize(x: Tensor, summary: Summary | None) -> Standardize:
    """One mean and standard deviation a channel."""
    axes = tuple(range(1, x.ndim - 1))
    mean, variance = (x.mean(0), x.var(0, correction=0)) if summary is None else (summary.mean, summary.variance)
    center = mean.mean(axes, keepdim=True)
    spread = (variance + (mean - center) ** 2).mean(axes, keepdim=True)
    return Standardize(tuple(mean.shape), center, spread.sqrt())
