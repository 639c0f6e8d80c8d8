"""One entry for all checkpoints of other code: it recognizes the format."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..model import Model
from ..nn.ncsnpp import NCSNpp
from ..overwriting import refuse_overwriting
from .checkpoints import import_ncsnv2
from .diffusers import import_diffusers
from .recognize import TITLES, names_in, recognize
from .released import read_released
from .score_sde import import_score_sde, refuse_jax
from .tutorial import import_tutorial

__all__ = ["import_as", "import_checkpoint", "kind_of"]

_IMPORTERS: dict[str, Callable[..., Model]] = {
    "ncsnv2": import_ncsnv2,
    "score-sde": import_score_sde,
    "tutorial": import_tutorial,
    "diffusers": import_diffusers,
}


def import_checkpoint(path: str | os.PathLike[str], run: str | os.PathLike[str] | None = None, **options: Any) -> Model:
    """Imports a checkpoint of other code as a model of images; the names in the file say which code wrote it.

    Known are NCSN and NCSNv2, also as stored by Score SDE, Score SDE itself, the tutorial on score-based models by Song
    (2021), and folders of diffusers with a `UNet2DModel`. See `import_ncsnv2`, `import_score_sde`, `import_tutorial` and
    `import_diffusers`.

    Arguments:
        path: The file, or the folder of diffusers.
        run: A folder in which to save the model as a run, for the command line.
        options: Arguments of the importer of this format. All take `x`, images like those of the training: they give the
            model its mean and variance, and the import is checked on them.

    Returns:
        The model. A warning says what was assumed, if the file leaves something open, or that the check failed.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the package of a format is not installed.
        ValueError: If the format is not known or cannot be imported, an argument does not apply to it, or as for its importer.
    """
    return import_as(kind_of(path), Path(path), run, options)


def kind_of(path: str | os.PathLike[str]) -> str:
    """The code that wrote a checkpoint: "ncsnv2", "score-sde", "tutorial" or "diffusers".

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not known, or cannot be imported.
    """
    path = Path(path)
    if path.is_dir():
        return "diffusers"
    refuse_jax(path)
    content = read_released(path)
    kind = recognize(content, path)
    if kind is None:
        keys = list(content) if isinstance(content, Mapping) else []
        found = ", ".join((names_in(content) or [str(key) for key in keys])[:3]) or type(content).__name__
        raise ValueError(
            f"{path} is of no known format (found {found}): it must be {_known()}, or a folder of diffusers"
        )
    return kind


def _known() -> str:
    return ", ".join(title for kind, title in TITLES.items() if kind != "diffusers")


def import_as(
    kind: str, path: str | os.PathLike[str], run: str | os.PathLike[str] | None, options: Mapping[str, Any]
) -> Model:
    """Calls the importer of a code.

    Arguments:
        kind: The code, as of `kind_of`.
        path: The file, or the folder of diffusers or a file in it.
        run: A folder for the run.
        options: Its other arguments; those that are None are left out.

    Raises:
        ValueError: If an argument does not apply to it, or as for the importer.
    """
    importer, path = _IMPORTERS[kind], Path(path)
    if run is not None:
        refuse_overwriting(run, {path: "the checkpoint"})
    given = {name: value for name, value in options.items() if value is not None}
    parameters = inspect.signature(importer).parameters
    taken = {name for name, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        taken |= set(inspect.signature(NCSNpp).parameters)
    for name in given:
        if name not in taken:
            raise ValueError(f"{path} is {TITLES[kind]}, to which {name}= does not apply: leave it out")
    if kind == "diffusers" and path.is_file():
        path = path.parent
    return importer(path, run, **given)
