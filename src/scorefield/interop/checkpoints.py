"""Published checkpoints of NCSN and NCSNv2 as models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from .. import presets
from ..data import Schema
from ..denoisers.ncsn import NCSNDenoiser
from ..model import Model
from ..nn.refinenet import RefineNet
from ..noise_levels import best_ratio
from ..processes import VE
from ..samplers import ExponentialAdams, Sampling
from .images import SPREAD, Choice, form, keep, moments, units
from .released import fill, is_state, read_released, without_prefix

__all__ = ["import_ncsnv2"]

_STEPS = 64
# Ladders of the released NCSNv2 (number of levels, largest one), the data and the side of their images. LSUN church
# (788, 140) is not among them: 96 in the paper, 64 in the configuration that was released.
_KNOWN = {
    (232, 50): ("CIFAR-10", 32),
    (500, 90): ("CelebA", 64),
    (1086, 190): ("LSUN bedroom or tower", 128),
    (2311, 348): ("FFHQ", 256),
}
_NAMES = {(4, False): "NCSNv2", (5, False): "NCSNv2Deeper", (6, False): "NCSNv2Deepest"}
_NAMES |= {(4, True): "NCSN", (5, True): "NCSNdeeper"}


@dataclass(frozen=True)
class _Found:
    """The numbers of a file: of the network alone, the ladder if it has one, and which numbers they are."""

    state: dict[str, Tensor]
    sigmas: Tensor | None
    weights: Choice


def import_ncsnv2(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    ladder: tuple[float, float, int] | None = None,
    weights: Literal["ema", "raw"] = "ema",
    centred: bool = False,
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
) -> Model:
    """A checkpoint of github.com/ermongroup/ncsnv2 or ncsn as a model of images.

    The file is what their runners write: the list of the network's state, the optimizer's, the epoch, the step and the
    averaged weights; or a state_dict alone, with `module.` before its names or without. Which network it is (NCSNv2,
    NCSNv2Deeper, NCSNv2Deepest, NCSN), its width and its channels are read off the names and shapes.

    Arguments:
        path: The file.
        run: A folder to keep the model in, as a run that the other commands take.
        size: The side of the images, or height and width, which the file does not hold; known for the released ladders of
            CIFAR-10, CelebA, LSUN bedroom and tower, and FFHQ, and taken from `x`.
        ladder: The largest noise level, the smallest and their number, where the file does not hold them: NCSN's, 1 to
            0.01 by default, and averaged weights alone.
        weights: "ema", the averaged weights if there are any, or "raw".
        centred: Whether the network was trained on images from -1 to 1 (`rescaled` in their configuration), not 0 to 1.
        x: Images, `(N, H, W, C)` of 8 bits or numbers from 0 to 1: their mean and variance are those of the model.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.

    Returns:
        The model, in the form of `x`, of 8-bit images `(H, W, C)` if there are none. It samples by the reverse SDE in 64
        steps; annealed Langevin dynamics, as the authors sample, is in the run's choices as `scorefield sample` takes it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken, holds objects, or does not fit: the first wrong names and shapes are listed.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f'weights are "ema" or "raw", got {weights!r}')
    found = _find(read_released(path), weights, path)
    network, name = _network(found.state, path)
    sigmas = _sigmas(found.sigmas, network, ladder)
    side, why = _size(size, sigmas, network, x)
    schema = form(network.channels, side, x)
    network.check(schema.inner_shape)
    standardize = units(schema, centred)
    law, told = moments(schema, standardize, x)
    scale = SPREAD * (2 if centred else 1) if x is None else float(law.covariance.mean().sqrt())
    process = VE(float(sigmas[-1].double()), float(sigmas[0].double()))
    sampler = ExponentialAdams(order=2, scale=scale, eta=1.0)
    denoiser = NCSNDenoiser(network, sigmas, centred)
    model = Model(schema, standardize, denoiser, law, Sampling(sampler, _STEPS, process=process)).eval()
    if run is not None:
        count = sum(p.numel() for p in network.parameters())
        choices = [
            ("structure", schema.structure, schema.reason),
            ("network", f"{name}, {count:,} parameters", "read off the names and shapes in the file"),
            ("size", " x ".join(map(str, side)), why),
            ("noise levels", f"{len(sigmas)}, {sigmas[0]:g} to {sigmas[-1]:g}", _units(centred)),
            _published(sigmas, network),
            found.weights,
            told,
        ]
        origin = {"kind": "ncsnv2", "network": name, "path": os.path.abspath(path), "weights": found.weights[1]}
        keep(model, run, origin, choices, x, source)
    return model


def _units(centred: bool) -> str:
    return f"the network's ladder, for images from {-1 if centred else 0} to 1"


def _published(sigmas: Tensor, network: RefineNet) -> Choice:
    """How the authors sample, as `--sampler` takes it."""
    line = presets.ncsn if network.classes else presets.ncsnv2
    ladders = {(e.ladder.count, e.ladder.first): e for e in (getattr(line, name) for name in line.__all__)}
    known, steps = ladders.get((len(sigmas), round(float(sigmas[0])))), len(sigmas) - 1
    if known is not None:
        moves, ratio, why = known.moves, known.annealing.ratio, "as published for this ladder"
    else:
        moves, gap = 5, float(sigmas[0] / sigmas[-1]) ** (1 / steps)
        ratio, why = best_ratio(moves, gap), "the ladder is not a published one: the step keeps the variance best"
    text = f"annealedlangevin(langevin({ratio:.4g}), moves={moves}, steps={steps})"
    return "annealed Langevin", text, f"for --sampler, {why}; {moves * steps + 1:,} evaluations"


def _find(content: Any, weights: str, path: str | os.PathLike[str]) -> _Found:
    """The weights in what a file holds."""
    parts = list(content) if isinstance(content, list | tuple) else [content]
    if not parts or not is_state(parts[0]):
        keys = ", ".join(map(str, list(content)[:4])) if isinstance(content, Mapping) else type(content).__name__
        need = "a state_dict, or the list of their runner that begins with one"
        need += ": those of Score SDE have an import of their own" if "model" in keys else ""
        raise ValueError(f"{path} holds no weights of the NCSN line ({keys}): it needs {need}")
    raw = without_prefix(parts[0])
    sigmas = raw.pop("sigmas", None)
    if weights == "ema" and len(parts) > 1 and is_state(parts[-1]):
        state = without_prefix(parts[-1])
        state.pop("sigmas", None)
        return _Found(state, sigmas, ("weights", "averaged", "the file holds them, and the authors sample with them"))
    if len(parts) > 1:
        why = "as asked for" if weights == "raw" else "the file holds no averaged ones"
        return _Found(raw, sigmas, ("weights", "raw", why))
    return _Found(raw, sigmas, ("weights", "the only ones", "the file holds one state_dict"))


def _network(state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> tuple[RefineNet, str]:
    """The network whose numbers these are, and the authors' name of it."""
    first = state.get("begin_conv.weight")
    if first is None or first.ndim != 4:
        names = ", ".join(list(state)[:3])
        what = f"{path} holds no network of the NCSN line: there is no begin_conv.weight among its names"
        raise ValueError(f"{what} ({names}, …)")
    features, channels = first.shape[:2]
    depth = 6 if "res31.0.conv1.weight" in state else 5 if "res5.0.conv1.weight" in state else 4
    embedded = state.get("normalizer.embed.weight")
    classes = 0 if embedded is None else len(embedded)
    name = _NAMES.get((depth, classes > 0), "RefineNet")
    with torch.random.fork_rng():  # first weights, which are replaced, come from PyTorch's own generator
        network = RefineNet(channels, features, depth, classes)
    fill(network, state, f"{name} with {features} features and {channels} channels")
    return network, name


def _sigmas(found: Tensor | None, network: RefineNet, ladder: tuple[float, float, int] | None) -> Tensor:
    """The levels of the ladder, in float32 as published code has them."""
    if found is not None:
        if ladder is not None:
            raise ValueError(f"the file holds its {len(found)} noise levels: leave ladder out")
        return found.detach().float().clone()
    if ladder is None and not network.classes:
        raise ValueError("the file holds no noise levels (sigmas): give ladder=(largest, smallest, number)")
    high, low, count = ladder or (1.0, 0.01, network.classes)
    if not 0 < low < high or count < 2:
        raise ValueError(f"a ladder falls from a large level to a small one in 2 steps or more, got {ladder}")
    return torch.logspace(0, 1, count, low / high, dtype=torch.float64).mul(high).float()


def _size(
    size: int | tuple[int, int] | None, sigmas: Tensor, network: RefineNet, x: Any | None
) -> tuple[tuple[int, ...], str]:
    """The height and the width of images, and why."""
    if size is not None:
        return ((size, size) if isinstance(size, int) else size), "as asked for"
    if x is not None:
        return Schema.of(x, "grid").inner_shape[1:], "that of the data"
    known = _KNOWN.get((len(sigmas), round(float(sigmas[0]))))
    if known is not None and not network.classes:
        return (known[1], known[1]), f"the ladder is that of {known[0]}"
    if network.classes:
        side, data = (28, "MNIST") if network.channels == 1 else (32, "CIFAR-10 and CelebA")
        return (side, side), f"that of {data} in the paper of NCSN"
    ladder = f"{len(sigmas)} levels from {sigmas[0]:g}"
    raise ValueError(
        f"a checkpoint does not hold the size of images, and a ladder of {ladder} is not known: give size=…"
    )
