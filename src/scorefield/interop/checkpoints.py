"""Published checkpoints of NCSN and NCSNv2 as models."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
# Ladders of the released NCSNv2 (number of levels, largest level): the data and the side of their images. LSUN church
# (788, 140) is missing: its images are 96 pixels wide in the paper and 64 in the released configuration.
_KNOWN = {
    (232, 50): ("CIFAR-10", 32),
    (500, 90): ("CelebA", 64),
    (1086, 190): ("LSUN bedroom or tower", 128),
    (2311, 348): ("FFHQ", 256),
}
_NAMES = {(4, False): "NCSNv2", (5, False): "NCSNv2Deeper", (6, False): "NCSNv2Deepest"}
_NAMES |= {(4, True): "NCSN", (5, True): "NCSNdeeper"}


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
    """Imports a checkpoint of github.com/ermongroup/ncsnv2 or ncsn as a model of images.

    The file is what their training code writes (a list of the states of network and optimizer, epoch, step and averaged
    weights), or a state_dict alone, with or without the prefix `module.`. The architecture (NCSNv2, NCSNv2Deeper,
    NCSNv2Deepest, NCSN), its width and its channels follow from names and shapes.

    Arguments:
        path: The file.
        run: A folder in which to save the model as a run, for the command line.
        size: The side of the images, or height and width, which the file does not hold. By default that of `x`, or that
            of the released ladders of CIFAR-10, CelebA, LSUN bedroom and tower, and FFHQ.
        ladder: The largest noise level, the smallest and their number, where the file does not hold them (NCSN, by
            default 1 to 0.01; averaged weights alone).
        weights: "ema" for the averaged weights if there are any, or "raw".
        centred: Whether the network was trained on images from -1 to 1 (`rescaled` in their configuration), not 0 to 1.
        x: Images, `(N, H, W, C)`, 8-bit or with values from 0 to 1, which give the model its mean and variance.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.

    Returns:
        The model, in the form of `x`, by default of 8-bit images `(H, W, C)`. It samples by the reverse SDE in 64 steps.
        Annealed Langevin dynamics, which the authors use, is listed in the choices of the run in the form that
        `scorefield sample --sampler` takes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds pickled objects, or does not fit; the first wrong names and shapes are
            listed.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f'weights must be "ema" or "raw", got {weights!r}')
    state, own_levels, weights_choice = _find(read_released(path), weights, path)
    network, name = _network(state, path)
    sigmas = _sigmas(own_levels, network, ladder)
    side, why = _size(size, sigmas, network, x)
    schema = form(network.channels, side, x)
    network.check(schema.inner_shape)
    standardize = units(schema, centred)
    gaussian, moments_choice = moments(schema, standardize, x)
    scale = SPREAD * (2 if centred else 1) if x is None else float(gaussian.covariance.mean().sqrt())
    process = VE(float(sigmas[-1].double()), float(sigmas[0].double()))
    sampler = ExponentialAdams(order=2, scale=scale, eta=1.0)
    denoiser = NCSNDenoiser(network, sigmas, centred)
    model = Model(schema, standardize, denoiser, gaussian, Sampling(sampler, _STEPS, process=process)).eval()
    if run is not None:
        count = sum(p.numel() for p in network.parameters())
        own = f"the network's ladder, for images from {-1 if centred else 0} to 1"
        choices = [
            ("structure", schema.structure, schema.reason),
            ("network", f"{name}, {count:,} parameters", "from the names and shapes in the file"),
            ("size", " x ".join(map(str, side)), why),
            ("noise levels", f"{len(sigmas)}, {sigmas[0]:g} to {sigmas[-1]:g}", own),
            _published(sigmas, network),
            weights_choice,
            moments_choice,
        ]
        origin = {"kind": "ncsnv2", "network": name, "path": os.path.abspath(path), "weights": weights_choice[1]}
        keep(model, run, origin, choices, x, source)
    return model


def _published(sigmas: Tensor, network: RefineNet) -> Choice:
    """The sampler of the authors, in the form that `--sampler` takes."""
    family = presets.ncsn if network.classes else presets.ncsnv2
    ladders = {(e.ladder.count, e.ladder.first): e for e in (getattr(family, name) for name in family.__all__)}
    known, steps = ladders.get((len(sigmas), round(float(sigmas[0])))), len(sigmas) - 1
    if known is not None:
        moves, ratio, why = known.moves, known.annealing.ratio, "as published for this ladder"
    else:
        moves, gap = 5, float(sigmas[0] / sigmas[-1]) ** (1 / steps)
        ratio = best_ratio(moves, gap)
        why = "the ladder is not a published one; this step size preserves the variance best"
    text = f"annealedlangevin(langevin({ratio:.4g}), moves={moves}, steps={steps})"
    return "annealed Langevin", text, f"for --sampler, {why}; {moves * steps + 1:,} evaluations"


def _find(content: Any, weights: str, path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], Tensor | None, Choice]:
    """The state of the network in a file, its noise levels if there are any, and which weights these are."""
    parts = list(content) if isinstance(content, list | tuple) else [content]
    if not parts or not is_state(parts[0]):
        keys = ", ".join(map(str, list(content)[:4])) if isinstance(content, Mapping) else type(content).__name__
        need = "a state_dict, or the list that the NCSN code writes"
        need += "; for Score SDE use import_score_sde" if "model" in keys else ""
        raise ValueError(f"{path} has no weights of NCSN or NCSNv2 (found {keys}): it must hold {need}")
    raw = without_prefix(parts[0])
    sigmas = raw.pop("sigmas", None)
    if weights == "ema" and len(parts) > 1 and is_state(parts[-1]):
        state = without_prefix(parts[-1])
        state.pop("sigmas", None)
        why = "they are in the file, and the authors sample with them"
        return state, sigmas, ("weights", "averaged", why)
    if len(parts) > 1:
        why = "as requested" if weights == "raw" else "the file has no averaged weights"
        return raw, sigmas, ("weights", "raw", why)
    return raw, sigmas, ("weights", "the only ones", "the file is a single state_dict")


def _network(state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> tuple[RefineNet, str]:
    """The network with these weights, and the name that the authors give it."""
    first = state.get("begin_conv.weight")
    if first is None or first.ndim != 4:
        names = ", ".join(list(state)[:3])
        what = f"{path} has no network of NCSN or NCSNv2: begin_conv.weight is not among its names"
        raise ValueError(f"{what} ({names}, …)")
    features, channels = first.shape[:2]
    depth = 6 if "res31.0.conv1.weight" in state else 5 if "res5.0.conv1.weight" in state else 4
    embedded = state.get("normalizer.embed.weight")
    classes = 0 if embedded is None else len(embedded)
    name = _NAMES.get((depth, classes > 0), "RefineNet")
    with torch.random.fork_rng():  # the initial weights, which are replaced, use PyTorch's global generator
        network = RefineNet(channels, features, depth, classes)
    fill(network, state, f"{name} with {features} features and {channels} channels")
    return network, name


def _sigmas(found: Tensor | None, network: RefineNet, ladder: tuple[float, float, int] | None) -> Tensor:
    """The noise levels, in float32 as in the published code."""
    if found is not None:
        if ladder is not None:
            raise ValueError(f"the file has its own {len(found)} noise levels: do not pass ladder")
        return found.detach().float().clone()
    if ladder is None and not network.classes:
        raise ValueError("the file has no noise levels (sigmas): pass ladder=(largest, smallest, number)")
    high, low, count = ladder or (1.0, 0.01, network.classes)
    if not 0 < low < high or count < 2:
        raise ValueError(f"a ladder needs largest > smallest > 0 and at least 2 levels, got {ladder}")
    return torch.logspace(0, 1, count, low / high, dtype=torch.float64).mul(high).float()


def _size(
    size: int | tuple[int, int] | None, sigmas: Tensor, network: RefineNet, x: Any | None
) -> tuple[tuple[int, ...], str]:
    """Height and width of the images, and the reason."""
    if size is not None:
        return ((size, size) if isinstance(size, int) else size), "as requested"
    if x is not None:
        return Schema.of(x, "grid").inner_shape[1:], "from the data"
    known = _KNOWN.get((len(sigmas), round(float(sigmas[0]))))
    if known is not None and not network.classes:
        return (known[1], known[1]), f"the noise levels are those of {known[0]}"
    if network.classes:
        side, data = (28, "MNIST") if network.channels == 1 else (32, "CIFAR-10 and CelebA")
        return (side, side), f"as for {data} in the NCSN paper"
    ladder = f"{len(sigmas)} levels from {sigmas[0]:g}"
    what = f"the size of the images, and its noise levels ({ladder}) are not published ones"
    raise ValueError(f"the file does not hold {what}: pass size=")
