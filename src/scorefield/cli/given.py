"""Contexts on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["conditioned"]


def conditioned(model: Model, given: Sequence[str] | None, guidance: float) -> Model:
    """The model conditioned on `label=3`, several of these, values in their order, or a file of them."""
    if given is None:
        if guidance != 1:
            raise ValueError(f"--guidance {guidance:g} strengthens a context: give one with --given")
        return model
    pairs = [word.partition("=") for word in given]
    named = [bool(sign) for _, sign, _ in pairs]
    if all(named):
        return model.condition({name: _value(text) for name, _, text in pairs}, guidance=guidance)
    if any(named):
        raise ValueError(f"--given takes name=value for each, or values alone; got {' '.join(given)}")
    if len(given) == 1 and Path(given[0]).is_file():
        from ..data import read

        return model.condition(read(given[0]), guidance=guidance)
    values = [_value(text) for text in given]
    return model.condition(values[0] if len(values) == 1 else values, guidance=guidance)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
