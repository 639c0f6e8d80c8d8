"""The change of volume along the probability flow: the integral of its divergence over a path that is known.

The divergence costs as much as one evaluation for each coordinate or probe; the path costs one for each slope. So the path
is found first, and then the divergence is evaluated at the nodes of Gauss's rule, whose order is much higher than that of any
step: about 50 nodes where steps of fifth order need 170. Panels begin as a few steps of the path each, short where the flow
bends, and are halved where their error is too large.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..ode import Path
from ..progress import part, report

__all__ = ["Panels", "Volume", "integrate_panels", "panels_of"]

_NODES = 10  # of Gauss's rule in a panel
_STEPS = 3  # of the path in a panel
_HALVINGS = 40
_MOST_PANELS = 5_000  # of a sample


Integrand = Callable[[Tensor, Tensor], Tensor]


class Panels(NamedTuple):
    """Intervals of time of the samples `rows`, each of shape `(P,)`."""

    rows: Tensor
    begin: Tensor
    end: Tensor


class Volume(NamedTuple):
    """Integrals `(B, K)`, estimates of their errors `(B,)`, and how many values of the integrand each took, `(B,)`."""

    value: Tensor
    error: Tensor
    evaluations: Tensor


@cache
def _rule() -> tuple[Tensor, Tensor]:
    """Gauss's nodes on [-1, 1], `(m,)`, and the matrix that makes Legendre coefficients of values there, `(m, m)`."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    values = np.polynomial.legendre.legvander(nodes, _NODES - 1)
    matrix = (values * weights[:, None]).T * (np.arange(_NODES) + 0.5)[:, None]
    return torch.from_numpy(nodes), torch.from_numpy(matrix)


def panels_of(path: Path) -> Panels:
    """Panels of a few steps each of a path."""
    rows, begin, length, _ = path.joined()
    index = torch.arange(len(rows), device=rows.device)
    starts = ((index - torch.searchsorted(rows, rows)) % _STEPS == 0).nonzero()[:, 0]
    ends = torch.cat([starts[1:], starts.new_tensor([len(rows)])]) - 1
    return Panels(rows[starts], begin[starts], (begin + length)[ends])


def _values(f: Integrand, rows: Tensor, t: Tensor, at_once: int) -> Tensor:
    """The integrand at times of shape `(P, m)`: `(P, m, K)`."""
    parts: list[Tensor] = []
    for some, times in zip(*(torch.split(a, at_once) for a in (rows.repeat_interleave(t.shape[1]), t.reshape(-1)))):
        parts.append(f(some, times))
        report(len(parts) * at_once / t.numel())
    return torch.cat(parts).reshape(*t.shape, -1)


def _values_and_rounding(
    f: Integrand, rough: Integrand | None, panels: Panels, allowed: float, at_once: int
) -> tuple[Tensor, Tensor]:
    """The integrand at the nodes of panels, `(P, m, K)`, and what rounding changes in their integrals, `(P,)`.

    With a rough integrand this is read off one node of each panel, where both are evaluated; where it is more than half of
    what is allowed, the panel is evaluated again.
    """
    width, nodes = panels.end - panels.begin, _rule()[0].to(panels.begin.device)
    t = (panels.begin + width / 2)[:, None] + width[:, None] / 2 * nodes
    if rough is None:
        return _values(f, panels.rows, t, at_once), torch.zeros_like(width)
    values, middle = _values(rough, panels.rows, t, at_once), _NODES // 2
    exact = _values(f, panels.rows, t[:, middle, None], at_once)[:, 0]
    rounding = width.abs() * (values[:, middle] - exact).mean(1).abs()
    again = ~(rounding <= allowed / 2)
    if bool(again.any()):
        values[again], rounding[again] = _values(f, panels.rows[again], t[again], at_once), 0.0
    return values, rounding


def _integrals(values: Tensor, panels: Panels) -> tuple[Tensor, Tensor]:
    """The integrals over panels, `(P, K)`, of an integrand with values `(P, m, K)`, and estimates of their errors, `(P,)`.

    If the Legendre coefficients c_k of the integrand fall geometrically, the error of the rule, which m nodes make exact up to
    degree 2m - 1, is of the order of c_m² over the largest coefficient.
    """
    width = panels.end - panels.begin
    coefficients = torch.einsum("km,pmj->pkj", _rule()[1].to(values.device), values)
    size = coefficients.mean(2).abs()
    tail = size[:, -2:].amax(1)
    error = width.abs() * tail * (tail / size.amax(1).clamp_min(1e-300))
    return width[:, None] * coefficients[:, 0], error


def integrate_panels(
    f: Integrand, panels: Panels, count: int, allowed: float, at_once: int, rough: Integrand | None = None
) -> Volume:
    """Integrates over the panels of `count` samples, which are halved until the error of each is at most `allowed`.

    Arguments:
        f: The integrand of the samples `rows` at the times `t`, both of shape `(M,)`, gives `(M, K)` in float64.
        panels: The intervals, one or more of each sample; they are added up.
        count: The number of samples.
        allowed: The largest error of a panel, that of the mean over K.
        at_once: At how many times the integrand is evaluated at once.
        rough: The integrand with rounding errors, if it is cheaper. It is evaluated instead where these are small enough.

    Returns:
        The integrals, with the sums of the errors of their panels.

    Raises:
        RuntimeError: If the integrand is not finite, or no panel is short enough.
    """
    value, error = panels.begin.new_zeros(count, 0), panels.begin.new_zeros(count)
    evaluations = torch.zeros(count, dtype=torch.int64, device=error.device)
    for k in range(_HALVINGS):
        with part(1 - 0.3**k, 1 - 0.3 ** (k + 1)):
            values, rounding = _values_and_rounding(f, rough, panels, allowed, at_once)
        found, wrong = _integrals(values, panels)
        wrong = wrong + rounding
        value = value if value.shape[1] else found.new_zeros(count, found.shape[1])
        good = wrong <= allowed
        value.index_add_(0, panels.rows[good], found[good])
        error.index_add_(0, panels.rows[good], wrong[good])
        evaluations.index_add_(0, panels.rows, torch.full_like(panels.rows, _NODES))
        rows, begin, end = (part[~good] for part in panels)
        if len(rows) == 0:
            return Volume(value, error, evaluations)
        if int(evaluations.max()) > _NODES * _MOST_PANELS:
            break
        middle = (begin + end) / 2
        panels = Panels(rows.repeat(2), torch.cat([begin, middle]), torch.cat([middle, end]))
    first = int(begin.argmin())
    where = f"sample {int(rows[first])} near {float(begin[first]):.3g}"
    raise RuntimeError(f"the divergence of {where} is not finite or not smooth: increase the tolerance")
