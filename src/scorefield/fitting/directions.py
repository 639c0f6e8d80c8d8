"""Directions in which vectors vary little: what a network is preconditioned by."""

from __future__ import annotations

import torch

from ..denoisers import EDMPrediction, Parametrization, Whitening
from .options import Choice, Options
from .prepared import Prepared

__all__ = ["find_whitening"]

_LARGEST, _MIXED = 512, 32  # columns of vectors of numbers, and numbers of mixed states, at most
_ROWS = 4  # for each column, at least: half as many, and thin directions seem to be thinner than they are
_WHY = "so thin that the network sees and answers them in units of their own"


def find_whitening(
    prepared: Prepared, options: Options, parametrization: Parametrization
) -> tuple[Whitening | None, tuple[Choice, ...]]:
    """The moments of what a network learns of vectors, if there are directions in which they vary little.

    Arguments:
        prepared: The data.
        options: What the user asks for.
        parametrization: What the network predicts: all others than that of EDM have the same coefficients at any scale.
    """
    variables, x = prepared.units.variables, prepared.residual
    if isinstance(options.network, torch.nn.Module) or not options.whitening or not prepared.vectors:
        return None, ()
    if type(parametrization) is not EDMPrediction or (variables is not None and variables.readings):
        return None, ()
    count, most = (x.shape[1], _LARGEST) if variables is None else (variables.numbers, _MIXED)
    if not 1 < count <= most or len(x) < _ROWS * count:
        return None, ()
    x = x[:, :count].double()
    covariance = torch.cov(x.T, correction=0)
    if variables is None:
        covariance.diagonal().add_(prepared.cell_width.double() ** 2 / 12)  # values are spread over their cells
    found = Whitening(x.mean(0).float(), covariance.float(), parametrization.scale)
    if not found.count:
        return None, ()
    words = f"{found.count} of {count}"
    return found, (Choice("thin directions", words, _WHY),)
