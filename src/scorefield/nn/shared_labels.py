"""Noise labels that all states of a batch share: they are embedded once."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

__all__ = ["SharesLabel", "shared_label"]


@runtime_checkable
class SharesLabel(Protocol):
    """A network that can take one noise label, `(1,)`, for all states."""

    @property
    def shares_label(self) -> bool:
        """Whether it does; not where a subclass has a `forward` of its own."""


def shared_label(network: nn.Module, c: Tensor) -> Tensor:
    """Noise labels as a network takes them with the least work: `(1,)` where it can take one for all states, else `(B,)`.

    Which it is does not depend on how many states there are, nor do the bits of an answer.

    Arguments:
        network: The network.
        c: The labels, `(B,)`; expanded from a single one where all states have the same noise level.

    Example:
        >>> import torch
        >>> from scorefield.nn import MLP
        >>> c = torch.zeros(()).expand(5)
        >>> shared_label(MLP(2), c).shape, shared_label(nn.Identity(), c).shape, shared_label(MLP(2), c.clone()).shape
        (torch.Size([1]), torch.Size([5]), torch.Size([5]))
    """
    if len(c) == 0 or c.stride(0) != 0 or not isinstance(network, SharesLabel) or not network.shares_label:
        return c
    return c[:1]
