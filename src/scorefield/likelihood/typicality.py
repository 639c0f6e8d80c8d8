"""How typical data are among reference data, by their log-densities: out-of-distribution p-values."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["typicality"]


def typicality(value: Tensor, reference: Tensor) -> Tensor:
    """Two-sided p-values of log-densities among those of reference data, of the shape of `value`.

    With r⁻ and r⁺ the number of the N reference values that are no larger and no smaller, p = 2 min(1 + r⁻, 1 + r⁺)/(N
    + 1), 1 at most. For data that are exchangeable with the reference data (held out, from the same distribution),
    P(p ≤ a) ≤ a for every a, whatever the model (Vovk et al., 2005). The p-value is small for data that are too
    unlikely, and for data that are too likely: blank images often have a higher likelihood than any training image
    (Nalisnick et al., 2019). A large p-value proves nothing: different distributions can have the same log-densities.

    Arguments:
        value: Log-densities, of shape `(B,)`.
        reference: Log-densities of data that the model was not trained on, with the same settings, of shape `(N,)`.

    Returns:
        p-values between 2/(N + 1) and 1, of shape `(B,)`.

    Raises:
        ValueError: If there are no reference values, or some of them are not finite.

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
