"""What is given beside data, on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["told"]


def told(model: Model, given: Sequence[str] | None, guidance: float) -> Model:
    """The model that is told something: `label=3`, several of these, lone values in their order, or a file of them."""
    if given is None:
        if guidance != 1:
            raise ValueError(f"--guidance {guidance:g} sharpens what is given: say what with --given")
        return model
    pairs = [word.partition("=") for word in given]
    named = [bool(sign) for _, sign, _ in pairs]
    if all(named):
        return model.given({name: _value(text) for name, _, text in pairs}, guidance)
    if any(named):
        raise ValueError(f"--given takes name=value for each, or values alone; got {' '.join(given)}")
    if len(given) == 1 and Path(given[0]).is_file():
        from ..data import read

        return model.given(read(given[0]), guidance)
    values = [_value(text) for text in given]
    return model.given(values[0] if len(values) == 1 else values, guidance)


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
