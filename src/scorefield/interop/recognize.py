"""Which code wrote a checkpoint, by the names in it; and the way from one importer to another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .released import is_state, without_prefix

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["TITLES", "names_in", "recognize", "sent_on"]

TITLES = {
    "ncsnv2": "a checkpoint of NCSN or NCSNv2",
    "score-sde": "a checkpoint of Score SDE",
    "tutorial": "a checkpoint of the tutorial on score-based models",
    "diffusers": "the weights of a UNet2DModel of diffusers",
}
_SIGNS = {
    "ncsnv2": ("begin_conv.weight", "end_conv.weight"),
    "score-sde": ("all_modules.",),
    "tutorial": ("tconv4.weight", "gnorm4.weight", "embed.0.W"),
    "diffusers": ("conv_in.weight", "down_blocks.", "time_embedding."),
}
_FOREIGN = {
    "input_blocks.0.0.": "a network of guided-diffusion or improved-diffusion: convert it to a folder of diffusers",
    "x_embedder.": "a diffusion transformer, and only convolutional networks of images can be imported",
    "first_stage_model.": "a latent diffusion model, and only networks of images can be imported",
}


def names_in(content: Any) -> list[str]:
    """The names of the tensors of a network, wherever the file keeps them, without the prefix `module.`."""
    for state in _states(content):
        return list(without_prefix(state))
    return []


def _states(content: Any) -> Iterator[Mapping[str, Any]]:
    if is_state(content):
        yield content
    elif isinstance(content, list | tuple) and content:
        yield from _states(content[0])
    elif isinstance(content, Mapping):
        for key in ("model", "state_dict", "ema"):
            if is_state(content.get(key)):
                yield content[key]


def recognize(content: Any, path: str | os.PathLike[str]) -> str | None:
    """The code that wrote a checkpoint: "ncsnv2", "score-sde", "tutorial" or "diffusers"; None if it is not known.

    Arguments:
        content: What is in the file.
        path: The file, for the error.

    Raises:
        ValueError: If it holds a network of another code that is known, and cannot be imported.
    """
    names = names_in(content)
    for kind, signs in _SIGNS.items():
        if all(any(name.startswith(sign) for name in names) for sign in signs):
            return kind
    for sign, what in _FOREIGN.items():
        if any(name.removeprefix("model.diffusion_model.").startswith(sign) for name in names):
            raise ValueError(f"{path} holds {what}")
    return None


def sent_on(
    kind: str, path: str | os.PathLike[str], run: str | os.PathLike[str] | None, options: Mapping[str, Any]
) -> Model:
    """What the importer of the code that wrote a file makes of it.

    Arguments:
        kind: The code that wrote it.
        path: The file, or for diffusers its weights.
        run: As for the importers.
        options: The arguments of the importer that was called; those that are None are left out.

    Raises:
        ValueError: If an argument does not apply to the other importer.
    """
    importing = import_module(f"{__package__}.importing")  # which imports the importers
    where = Path(path).parent if kind == "diffusers" and Path(path).is_file() else path
    made: Model = importing.import_as(kind, where, run, options)
    return made
