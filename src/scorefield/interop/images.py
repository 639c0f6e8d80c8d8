"""What all imported models of images share: schema, units, moments, the check, what was assumed, and the run folder."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from .. import __version__
from ..data import Schema, summarize
from ..denoisers import Denoiser, Gaussian
from ..model import Model
from ..runs import Run, fingerprint
from ..settings import Data
from ..units import Standardize
from .smoke import ImportCheck, check_import

__all__ = ["STEPS", "Imported", "finish", "form", "keep", "moments", "units"]

Choice = tuple[str, str, str]
_BETTER = 0.93  # how much smaller the error of an alternative must be
_LEAST = 8  # images that the check needs
_SPREAD = 0.25  # the standard deviation of natural images with values from 0 to 1
STEPS = 64  # of the sampler, at least: the code that networks come from takes 50 to 1000


def form(channels: int, size: Sequence[int], x: Any | None) -> Schema:
    """The schema of images: that of `x`, or of 8-bit images `(H, W, C)`, `(H, W)` if there is one channel.

    Raises:
        ValueError: If the images of `x` have another size.
    """
    inner = (channels, *size)
    if x is None:
        shape, axis = ((*size,), None) if channels == 1 else ((*size, channels), 2)
        reason = f"images, {' x '.join(map(str, size))}, of {channels} channel{'s' * (channels > 1)}: imported"
        return Schema("numpy", shape, "uint8", "grid", axis, reason, True, 0.0, 255.0)
    schema = Schema.of(x, "grid")
    if schema.inner_shape != inner:
        raise ValueError(f"the network is for images {inner} (channels first), but the data are {schema.inner_shape}")
    return schema


def units(schema: Schema, centred: bool) -> Standardize:
    """The change of units from 8-bit images or values from 0 to 1 to those of the network, 0 to 1 or -1 to 1."""
    top = 255.0 if schema.dtype == "uint8" else 1.0
    mean, std = (top / 2, top / 2) if centred else (0.0, top)
    return Standardize(schema.inner_shape, torch.tensor(mean), torch.tensor(std))


def moments(schema: Schema, standardize: Standardize, x: Any | None) -> tuple[Gaussian, Choice]:
    """The mean and variances of images in the units of the network, and where they come from.

    Raises:
        ValueError: If images that are not 8-bit have values outside 0 to 1.
    """
    if x is None:
        top = 255.0 if schema.dtype == "uint8" else 1.0
        mean = standardize(torch.full(schema.inner_shape, top / 2))
        variance = torch.full(schema.inner_shape, (_SPREAD * top / float(standardize.std)) ** 2)
        values = f"mean {0.5 * top:g}, standard deviation {_SPREAD * top:g}"
        return Gaussian(mean, variance), ("moments", values, "assumed, for natural images: no data were given")
    summary = summarize(schema.rows(x), schema.columns)
    low, high = float(summary.minimum.min()), float(summary.maximum.max())
    if schema.dtype != "uint8" and (low < -0.01 or high > 1.01):
        got = f"these range from {low:g} to {high:g}: rescale them"
        raise ValueError(f"images must be 8-bit or have values from 0 to 1, {got}")
    variance = summary.variance / standardize.std.double() ** 2
    found = Gaussian(standardize(summary.mean).float(), variance.float())
    return found, ("moments", f"of {summary.count:,} images", "from the data that were given")


@dataclass(frozen=True)
class Imported:
    """An imported model, before it is checked and kept.

    Arguments:
        model: The model.
        origin: What is kept of where it comes from.
        choices: What was chosen, and why.
        assumed: What neither the file nor a configuration nor an argument says, each with the argument that says it.
        alternatives: What could be instead: calls that change the network, by the argument that asks for it.
        settle: Sets the network back to what was assumed.
    """

    model: Model
    origin: Mapping[str, Any]
    choices: Sequence[Choice]
    assumed: Sequence[str] = ()
    alternatives: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    settle: Callable[[], None] = lambda: None

    def check(self, x: Any | None) -> ImportCheck | None:
        """How well it denoises these images; None if there are too few, or it is conditional."""
        if x is None or not isinstance(self.model.denoiser, Denoiser) or self.model.schema.rows(x).count < _LEAST:
            return None
        return check_import(self.model, x)

    def better(self, x: Any, check: ImportCheck) -> str:
        """The alternative that denoises these images clearly better, as advice; empty if there is none."""
        found = {}
        for argument, change in self.alternatives.items():
            change()
            found[argument] = check_import(self.model, x)
        self.settle()
        best = min(found, key=lambda argument: found[argument].mean_ratio, default=None)
        if best is None or not found[best].mean_ratio < _BETTER * check.mean_ratio:
            return ""
        return f"{best} fits better ({', '.join(f'{ratio:.3g}' for ratio in found[best].ratios)}): pass it"


def finish(
    found: Imported,
    run: str | os.PathLike[str] | None = None,
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
) -> Model:
    """Checks an imported model on images, warns of what was assumed unless the check confirms it, and saves the run.

    Raises:
        ValueError: If the folder already holds a run.
    """
    check = found.check(x)
    better = "" if check is None else found.better(x, check)
    assumed = ", ".join(found.assumed)
    choices = [*found.choices]
    if assumed:
        choices.append(("assumed", assumed, "neither the file nor a configuration next to it says"))
    if check is not None:
        choices.append(("check", check.verdict, f"{check}; {better}" if better else str(check)))
    if run is not None:
        keep(found.model, run, found.origin, choices, x, source)
    if assumed and check is None:
        _warn(f"the import assumed what the file does not say: {assumed}; pass x=, images of the training, to check it")
    if check is not None and (check.verdict != "right" or better):
        parts = (str(check), f"assumed: {assumed}" if assumed else "", better)
        _warn("; ".join(part for part in parts if part))
    return found.model


def _warn(text: str) -> None:
    """Warns at the line of the caller's code."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith("scorefield."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level)


def keep(
    model: Model,
    run: str | os.PathLike[str],
    origin: Mapping[str, Any],
    choices: Sequence[Choice],
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
) -> None:
    """Saves an imported model as a run, which every command takes; `origin` is kept as `imported` in `run.json`.

    Raises:
        ValueError: If the folder already holds a run.
    """
    folder = Run(run)
    with folder.lock():
        if folder.file("run.json").exists():
            raise ValueError(f"{folder.path} already holds a run: choose a new folder")
        rows = None if x is None else model.schema.rows(x)
        asked = {
            "source": None if source is None else dict(source),
            "data": asdict(Data(held_out=0.0)),
            "network": type(model.denoiser).__qualname__,
            "training": "imported",
            "noise_levels": None,
            "seed": 0,
            "fingerprint": None if rows is None else fingerprint(rows),
        }
        content = {
            "version": __version__,
            "imported": dict(origin),
            "asked": asked,
            "choices": [list(choice) for choice in choices],
            "noise_levels": [],
            "shape": [0 if rows is None else len(rows), *model.schema.inner_shape],
            "created": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        folder.write("run.json", content)
        model.save(folder.file("model.safetensors"))
