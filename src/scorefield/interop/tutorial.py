"""Imports checkpoints of the tutorial on score-based models by Song (2021)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..data import Schema
from ..denoisers import ScorePrediction
from ..denoisers.pretrained import PretrainedDenoiser, TutorialConditioning
from ..model import Model
from ..nn.tutorial import TutorialUNet
from ..processes import TutorialVE
from ..reading import reads
from ..samplers import sde_sampling
from .images import STEPS, Imported, finish, form, moments, units
from .recognize import recognize, sent_on
from .released import fill, is_state, read_released, without_prefix

__all__ = ["import_tutorial"]


@reads("check that it is whole, and of that code")
def import_tutorial(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    base: float | None = None,
    size: int | tuple[int, int] | None = None,
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
) -> Model:
    """Imports a checkpoint of the tutorial on score-based models by Song (2021) as a model of images.

    The file is its `ckpt.pth`: the state_dict of its U-Net, with or without the prefix `module.`. The widths follow from the
    shapes. Images have values from 0 to 1. A file of another code that is known is sent to its importer.

    Arguments:
        path: The file.
        run: A folder in which to save the model as a run, for the command line.
        base: The number (the tutorial's `sigma`) whose power t is the diffusion coefficient; by default 25, as there.
        size: The side of the images, or height and width; by default that of `x`, or 28 as for MNIST.
        x: Images, `(N, H, W)` or `(N, H, W, C)`, 8-bit or with values from 0 to 1, which give the model its mean and
            variance. From 8 images on, the import is checked on them.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.

    Returns:
        The model, in the form of `x`, by default of 8-bit images.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds pickled objects, or does not fit; the first wrong names and shapes are
            listed.
    """
    content = read_released(path)
    kind = recognize(content, path)
    if kind not in (None, "tutorial"):
        return sent_on(kind, path, run, {"base": base, "size": size, "x": x, "source": source})
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if kind is None or not is_state(state):
        raise ValueError(f"{path} has no network of the tutorial: it must hold a state_dict with tconv4.weight")
    state = without_prefix(state)
    network = _network(state)
    labels = TutorialConditioning(25.0 if base is None else base)
    schema = form(network.channels, _side(size, x), x)
    standardize = units(schema, centred=False)
    gaussian, moments_choice = moments(schema, standardize, x)
    sampling = sde_sampling(TutorialVE(labels.base, labels.start), STEPS)
    denoiser = PretrainedDenoiser(network, labels, ScorePrediction())
    model = Model(schema, standardize, denoiser, gaussian, sampling).eval()
    choices = [
        ("structure", schema.structure, schema.reason),
        ("network", f"TutorialUNet of widths {network.widths}", "from the names and shapes in the file"),
        ("process", repr(model.process), "that of the tutorial" if base is None else "as requested"),
        moments_choice,
    ]
    origin = {"kind": "tutorial", "network": "TutorialUNet", "path": os.path.abspath(path), "weights": "the only ones"}
    assumed = (f"base {labels.base:g} (base=)",) if base is None else ()
    return finish(Imported(model, origin, choices, assumed), run, x, source)


def _network(state: Mapping[str, Tensor]) -> TutorialUNet:
    """The network with these weights; it returns the score times the level."""
    widths = [len(state[f"gnorm{i}.weight"]) for i in range(1, 5) if f"gnorm{i}.weight" in state]
    first, embedded = state.get("conv1.weight"), state.get("embed.1.weight")
    if len(widths) != 4 or first is None or first.ndim != 4 or embedded is None:
        raise ValueError("the tensors are not those of the tutorial's network: it has conv1, embed.1 and four norms")
    with torch.random.fork_rng():  # the initial weights, which are replaced, use PyTorch's global generator
        network = TutorialUNet(first.shape[1], widths, len(embedded))
    fill(network, state, f"the tutorial's network of widths {tuple(widths)}")
    return network


def _side(size: int | tuple[int, int] | None, x: Any | None) -> tuple[int, ...]:
    if size is not None:
        return (size, size) if isinstance(size, int) else size
    if x is not None:
        return Schema.of(x, "grid").inner_shape[1:]
    return (28, 28)
