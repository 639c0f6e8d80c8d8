"""How unusual data are among others, by their log-densities."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["typicality"]


def typicality(value: Tensor, reference: Tensor) -> Tensor:
    """p-values of log-densities among those of reference data, of the shape of `value`.

    With r⁻ and r⁺ the number of the N reference values that are no larger and no smaller, p = 2 min(1 + r⁻, 1 + r⁺)/(N
    + 1), 1 at most. For data that are exchangeable with the reference data (held out, of the same law) P(p ≤ a) ≤ a for
    every a, whatever the model (Vovk et al., 2005). It is small for data that are too unlikely, and for those that are
    too likely: in many dimensions typical data lie away from the mode, and images without content are more likely than
    any that a model has learned (Nalisnick et al., 2019). It says that a datum is odd, not why, and a large one proves
    nothing: laws may differ and have the same log-densities.

    Arguments:
        value: Log-densities, of shape `(B,)`.
        reference: Log-densities of data that the model was not trained on, by the same settings, of shape `(N,)`.

    Raises:
        ValueError: If there are no reference values, or values that are not finite among them.

    Example:
        >>> typicality(torch.tensor([-9.0, -1.5, 5.0]), torch.linspace(-3, 0, 99))
        tensor([0.0200, 1.0000, 0.0200])
    """
    if reference.ndim != 1 or len(reference) == 0 or not bool(torch.isfinite(reference).all()):
        got = f"shape {tuple(reference.shape)}"
        raise ValueError(f"typicality needs finite log-densities of reference data, of shape (N,), got {got}")
    order = reference.sort().values
    below = torch.searchsorted(order, value.contiguous(), right=True)
    above = len(order) - torch.searchsorted(order, value.contiguous(), right=False)
    return (2 * (1 + torch.minimum(below, above)) / (len(order) + 1)).clamp_max(1.0).to(value.dtype)
