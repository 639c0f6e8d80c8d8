"""Which columns of a table a measurement is of: they follow the state smoothly, and do not miss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .data.variables import FREE, GIVEN
from .denoisers import Denoiser
from .measurement import Operator
from .units import Units

__all__ = ["given_what_was_measured"]


def given_what_was_measured(prior: Denoiser, operator: Operator, units: Units) -> Denoiser:
    """The denoiser given that the columns that were measured do not miss, if columns may.

    Arguments:
        prior: The denoiser.
        operator: What measures the data.
        units: The units of the data.

    Raises:
        ValueError: If a measured column holds something else than numbers that gradients can follow, or is known to miss, or
            the denoiser has not learned conditionals.
    """
    if len(units.shape) > 1:
        return prior
    x = _middle(units)
    _check_smooth(operator, x, units)
    variables = units.variables
    if variables is None or max(variables.indicators) < 0:
        return prior
    flags = sorted({v for v in variables.indicators if v >= 0})
    each = torch.eye(units.shape[0], dtype=torch.bool, device=units.device)
    says = (units.status(each, x.expand(len(each), -1)) == GIVEN)[:, flags]
    columns = _measured(operator, x, says.any(1).nonzero()[:, 0].tolist())
    if not columns:
        return prior
    status = torch.full((1, variables.count), FREE, device=units.device)
    status[:, flags] = torch.where(says[columns].any(0), GIVEN, FREE)
    try:
        return prior.given_variables(units(x), status)
    except (TypeError, ValueError) as error:
        cannot = "is known to miss" if isinstance(error, ValueError) else "may miss, which this model draws too"
        what = f"column {columns[0]} of the data was measured with noise, and {cannot}"
        raise ValueError(f"{what}: condition on its value, model.condition(…)") from None


def _middle(units: Units) -> Tensor:
    """The data at the origin of states, `(1, C)`, where nothing misses."""
    return units.inverse(torch.zeros(1, *units.state_shape, dtype=torch.float64, device=units.device)).nan_to_num()


def _measured(operator: Operator, x: Tensor, columns: Sequence[int]) -> list[int]:
    """Those of some columns on which what was measured depends."""
    found = []
    for column in columns:
        moved = x.clone()
        moved[:, column] += 1
        if not torch.equal(operator(moved), operator(x)):
            found.append(column)
    return found


def _check_smooth(operator: Operator, x: Tensor, units: Units) -> None:
    rough = _measured(operator, x, (~units.smooth).nonzero()[:, 0].tolist())
    if rough:
        holds = "holds categories, atoms such as exact zeros, values of another column, or one value"
        what = f"column {rough[0]} of the data {holds}, and cannot be measured with noise"
        raise ValueError(f"{what}: condition on its value, model.condition(…)")
