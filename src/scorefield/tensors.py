"""Small helpers for tensors.

A time `t` or a noise level always *broadcasts* against the state `x` of shape `(B, *D)`: its shape is `()` or
`(B, 1, …, 1)`. Formulas then need no indexing, whatever the shape of the data.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["all_finite", "device_named", "expand", "per_sample", "sum_events"]


def device_named(device: str) -> str:
    """The name of a device that is there.

    Arguments:
        device: "cpu", "cuda", …; "auto" takes a GPU if there is one.

    Raises:
        ValueError: If it is not there.

    Example:
        >>> device_named("cpu")
        'cpu'
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
        if torch.device(device).type == "meta":
            raise ValueError("it holds no numbers")
    except (RuntimeError, AssertionError, ImportError, ValueError) as error:
        why = " ".join(str(error).splitlines()[:1])
        raise ValueError(f"there is no device {device!r} here: use device='cpu' ({why})") from error
    return device


def all_finite(x: Tensor) -> bool:
    """Whether no number is NaN or infinite: by their sum, which is one pass, and one by one only if that overflows.

    Example:
        >>> all_finite(torch.ones(2)), all_finite(torch.tensor([torch.inf, -torch.inf])), all_finite(torch.full((9,), 3e38))
        (True, False, True)
    """
    return bool(torch.isfinite(x.sum())) or bool(torch.isfinite(x).all())


def expand(t: Tensor, x: Tensor) -> Tensor:
    """Reshapes `t` so that it broadcasts against `x`.

    Arguments:
        t: One time or level for all samples, of shape `()`, or one per sample, of shape `(B,)`.
        x: A state, of shape `(B, *D)`.

    Returns:
        The same values, of shape `()` or `(B, 1, …, 1)`.

    Raises:
        ValueError: If `t` has another shape.

    Example:
        >>> import torch
        >>> expand(torch.ones(3), torch.zeros(3, 2, 8)).shape
        torch.Size([3, 1, 1])
    """
    if t.ndim == 0:
        return t
    if t.shape == x.shape[:1]:
        return t.reshape(-1, *(1,) * (x.ndim - 1))
    raise ValueError(
        f"t must have shape () or ({len(x)},) to go with x of shape {tuple(x.shape)}, got {tuple(t.shape)}"
    )


def per_sample(t: Tensor, x: Tensor) -> Tensor:
    """The inverse of `expand`: one value per sample.

    Arguments:
        t: Times or levels, of shape `()` or `(B, 1, …, 1)`.
        x: A state, of shape `(B, *D)`.

    Returns:
        The same values, of shape `(B,)`.

    Example:
        >>> import torch
        >>> per_sample(torch.tensor(2.0), torch.zeros(3, 2, 8))
        tensor([2., 2., 2.])
    """
    return t.reshape(-1).expand(len(x))


def sum_events(x: Tensor) -> Tensor:
    """Sums over all dimensions but the first: `(B, *D)` to `(B,)`.

    Example:
        >>> import torch
        >>> sum_events(torch.ones(2, 3, 4))
        tensor([12., 12.])
    """
    return x.reshape(len(x), -1).sum(1)
