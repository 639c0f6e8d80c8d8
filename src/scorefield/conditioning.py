"""A denoiser that was trained with a context, once it is told what is given."""

from __future__ import annotations

import math

from torch import Tensor

from .context import Context
from .denoisers import Conditioned, Denoiser, Guided, Preconditioned

__all__ = ["conditioned", "waits"]


def waits(denoiser: Denoiser, context: Context) -> bool:
    """Whether it cannot answer before it is told what is given."""
    if context.optional or not isinstance(denoiser, Conditioned):
        return False
    nothing = context.nothing()
    return denoiser.context.shape == nothing.shape and bool((denoiser.context.cpu() == nothing).all())


def conditioned(
    denoiser: Denoiser,
    context: Context,
    given: Tensor,
    guidance: float = 1.0,
    interval: tuple[float, float] = (0.0, math.inf),
    weak: Denoiser | None = None,
) -> Denoiser:
    """The denoiser of the law of data given something.

    Arguments:
        denoiser: That of a model which was fitted with a context.
        context: How what is given becomes numbers.
        given: What is given, as numbers, a row for all samples or M of them: sample i has that of row i mod M.
        guidance: The weight of guidance; 1 for none.
        interval: The levels at which it guides.
        weak: What it leads away from: a weaker denoiser, told the same (autoguidance), in place of the same one that is told
            nothing (classifier-free guidance).

    Raises:
        ValueError: If the denoiser takes no context, or has not learned to do without, as guidance needs.
    """
    strong = Conditioned(_base(denoiser), given)
    if guidance == 1:
        return strong
    if weak is None and not context.optional:
        need = "a model that has also learned the law without what is given, or a weaker model to lead away from"
        raise ValueError(f"guidance needs {need}: fit with unconditional=0.1, or pass weak=…")
    other = (
        Conditioned(_base(denoiser), context.nothing().to(given)) if weak is None else Conditioned(_base(weak), given)
    )
    return Guided(strong, other, guidance, *interval)


def _base(denoiser: Denoiser) -> Preconditioned:
    """The denoiser that is told something."""
    while isinstance(denoiser, Conditioned | Guided):
        denoiser = denoiser.denoiser if isinstance(denoiser, Conditioned) else denoiser.strong
    if not isinstance(denoiser, Preconditioned):
        raise ValueError(
            f"a {type(denoiser).__name__} cannot be told anything: it needs a network that takes a context"
        )
    return denoiser
