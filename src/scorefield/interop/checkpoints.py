"""Published checkpoints of NCSN and NCSNv2 as models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from .. import presets
from ..data import Schema
from ..denoisers.ncsn import NCSNDenoiser
from ..model import Model
from ..nn.activations import Activated
from ..nn.refinenet import RefineNet
from ..noise_levels import best_ratio
from ..processes import VE
from ..reading import reads
from ..samplers import sde_sampling
from .configuration import Configuration, stored_configuration
from .images import STEPS, Choice, Imported, finish, form, moments, units
from .recognize import names_in, recognize, sent_on
from .released import fill, is_state, read_released, without_prefix

__all__ = ["import_ncsnv2"]

_FIRST = "begin_conv.weight"
_AVERAGED = ("weights", "averaged", "they are in the file, and the authors sample with them")
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


@reads("check that it is whole, and of that code")
def import_ncsnv2(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    ladder: tuple[float, float, int] | None = None,
    weights: Literal["ema", "raw"] = "ema",
    centred: bool | None = None,
    activation: str | None = None,
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
) -> Model:
    """Imports a checkpoint of github.com/ermongroup/ncsnv2 or ncsn as a model of images.

    The file is what their training code writes (a list of the states of network and optimizer, epoch, step and averaged
    weights), what Score SDE writes for these networks (a dict), or a state_dict alone, with or without the prefix `module.`.
    The architecture (NCSNv2, NCSNv2Deeper, NCSNv2Deepest, NCSN), its width and its channels follow from names and shapes. What
    leaves no trace in them is taken from the `config.yml` that the training code writes next to the file, if there is one.
    A file of another code that is known is sent to its importer.

    Arguments:
        path: The file.
        run: A folder in which to save the model as a run, for the command line.
        size: The side of the images, or height and width, which the file does not hold. By default that of `x`, of the
            configuration, or of the released ladders of CIFAR-10, CelebA, LSUN bedroom and tower, and FFHQ.
        ladder: The largest noise level, the smallest and their number, where neither file nor configuration holds them
            (NCSN, by default 1 to 0.01; averaged weights alone).
        weights: "ema" for the averaged weights if there are any, or "raw".
        centred: Whether the network was trained on images from -1 to 1 (`rescaled` in their configuration), not 0 to 1; by
            default as the configuration says, or from 0 to 1.
        activation: The activation function, "elu", "relu", "lrelu" or "silu" (`swish`); by default that of the
            configuration, or "elu" as in all released checkpoints. The weights do not show it.
        x: Images, `(N, H, W, C)`, 8-bit or with values from 0 to 1, which give the model its mean and variance. From 8 images
            on, the import is checked on them: see `scorefield.interop.check_import`.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.

    Returns:
        The model, in the form of `x`, by default of 8-bit images `(H, W, C)`. It samples by the reverse SDE in 64 steps.
        Annealed Langevin dynamics, which the authors use, is listed in the choices of the run in the form that
        `scorefield sample --sampler` takes. A warning says what was assumed, unless the check confirms it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds pickled objects, or does not fit; the first wrong names and shapes are
            listed.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f'weights must be "ema" or "raw", got {weights!r}')
    content = read_released(path)
    kind = recognize(content, path)
    if kind not in (None, "ncsnv2"):
        options = {
            "size": size,
            "ladder": ladder,
            "centred": centred,
            "activation": activation,
            "x": x,
            "source": source,
        }
        return sent_on(kind, path, run, options | ({} if weights == "ema" else {"weights": weights}))
    state, own_levels, weights_choice = _find(content, weights, path)
    stored = stored_configuration(path, _width(state, path))
    asked = _Asked(size, ladder, centred, activation).completed(stored, own_levels)
    network, name = _network(state, asked.activation or "elu")
    sigmas = _sigmas(own_levels, network, asked.ladder)
    side, why = _size(size, sigmas, network, x, (asked.size, stored.origin))
    denoiser = NCSNDenoiser(network, sigmas, bool(asked.centred))
    model = _model(denoiser, side, x)
    choices = [
        *_choices(model.schema, denoiser, name, (" x ".join(map(str, side)), why)),
        ("activation", network.activation, asked.reason("activation", activation is not None, stored)),
        weights_choice,
        moments(model.schema, units(model.schema, bool(asked.centred)), x)[1],
    ]
    origin = {"kind": "ncsnv2", "network": name, "path": os.path.abspath(path), "weights": weights_choice[1]}
    settle = partial(Activated.choose, network, network.activation)
    others = Activated.others(network, network.activation)
    return finish(Imported(model, origin, choices, asked.assumed, others, settle), run, x, source)


@dataclass(frozen=True)
class _Asked:
    """What neither names nor shapes say: from arguments and the configuration; None where it has to be assumed."""

    size: int | tuple[int, ...] | None
    ladder: tuple[float, float, int] | None
    centred: bool | None
    activation: str | None

    def completed(self, stored: Configuration, own_levels: Tensor | None) -> _Asked:
        """With what the configuration says where there is no argument."""
        if stored.get("data.logit_transform"):
            raise ValueError(
                f"{stored.path} says that the network was trained on logits of images: it cannot be imported"
            )
        side = stored.get("data.image_size")
        names = zip(("sigma_begin", "sigma_end", "num_classes"), ("sigma_max", "sigma_min", "num_scales"), strict=True)
        ends = [stored.get(f"model.{own}", f"model.{of_score_sde}") for own, of_score_sde in names]
        geometric = own_levels is None and None not in ends and stored.get("model.sigma_dist") in (None, "geometric")
        return _Asked(
            self.size or (None if side is None else (int(side), int(side))),
            self.ladder or ((float(ends[0]), float(ends[1]), int(ends[2])) if geometric else None),
            stored.get("data.rescaled", "data.centered") if self.centred is None else self.centred,
            self.activation or stored.activation,
        )

    @property
    def assumed(self) -> tuple[str, ...]:
        """What is still open."""
        activation = () if self.activation else ("activation elu (activation=)",)
        return activation if self.centred is not None else (*activation, "images from 0 to 1 (centred=)")

    def reason(self, name: str, given: bool, stored: Configuration) -> str:
        """Why a value was chosen."""
        if given:
            return "as requested"
        return stored.origin if getattr(self, name) is not None else "assumed, as in all released checkpoints"


def _choices(schema: Schema, denoiser: NCSNDenoiser, name: str, size: tuple[str, str]) -> list[Choice]:
    """What is said of the network, of its images and of its noise levels."""
    sigmas, count = denoiser.sigmas, sum(p.numel() for p in denoiser.parameters())
    own = f"the network's ladder, for images from {-1 if denoiser.centred else 0} to 1"
    return [
        ("structure", schema.structure, schema.reason),
        ("network", f"{name}, {count:,} parameters", "from the names and shapes in the file"),
        ("size", *size),
        ("noise levels", f"{len(sigmas)}, {sigmas[0]:g} to {sigmas[-1]:g}", own),
        _published(sigmas, denoiser.network),
    ]


def _model(denoiser: NCSNDenoiser, side: tuple[int, ...], x: Any | None) -> Model:
    """The model of images of that size."""
    network, sigmas, centred = denoiser.network, denoiser.sigmas, denoiser.centred
    schema = form(network.channels, side, x)
    network.check(schema.inner_shape)
    standardize = units(schema, centred)
    gaussian, _ = moments(schema, standardize, x)
    process = VE(float(sigmas[-1].double()), float(sigmas[0].double()))
    return Model(schema, standardize, denoiser, gaussian, sde_sampling(process, STEPS)).eval()


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
    if isinstance(content, Mapping) and is_state(content.get("model")) and _FIRST in names_in(content):
        return _of_score_sde(content, weights)
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
        return state, sigmas, _AVERAGED
    if len(parts) > 1:
        return raw, sigmas, _raw(weights)
    return raw, sigmas, ("weights", "the only ones", "the file is a single state_dict")


def _raw(weights: str) -> Choice:
    return "weights", "raw", "as requested" if weights == "raw" else "the file has no averaged weights"


def _of_score_sde(content: Mapping[str, Any], weights: str) -> tuple[dict[str, Tensor], Tensor | None, Choice]:
    """What Score SDE stores: its averaged weights are a list in the order of the names of the others."""
    raw = without_prefix(content["model"])
    sigmas = raw.pop("sigmas", None)
    average = content.get("ema")
    if weights == "raw" or not isinstance(average, Mapping) or "shadow_params" not in average:
        return raw, sigmas, _raw(weights)
    averaged = [value for value in average["shadow_params"] if isinstance(value, Tensor)]
    if len(averaged) != len(raw):
        what = f"the file has {len(averaged)} averaged tensors, but the network has {len(raw)} parameters"
        raise ValueError(f"{what}: use weights='raw'")
    return dict(zip(raw, averaged, strict=True)), sigmas, _AVERAGED


def _width(state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> int:
    """The number of features of the network at full resolution."""
    first = state.get(_FIRST)
    if first is None or first.ndim != 4:
        names = ", ".join(list(state)[:3])
        what = f"{path} has no network of NCSN or NCSNv2: begin_conv.weight is not among its names"
        raise ValueError(f"{what} ({names}, …)")
    return len(first)


def _network(state: Mapping[str, Tensor], activation: str) -> tuple[RefineNet, str]:
    """The network with these weights, and the name that the authors give it."""
    features, channels = state[_FIRST].shape[:2]
    depth = 6 if "res31.0.conv1.weight" in state else 5 if "res5.0.conv1.weight" in state else 4
    embedded = state.get("normalizer.embed.weight")
    classes = 0 if embedded is None else len(embedded)
    name = _NAMES.get((depth, classes > 0), "RefineNet")
    with torch.random.fork_rng():  # the initial weights, which are replaced, use PyTorch's global generator
        network = RefineNet(channels, features, depth, classes, activation)
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
    size: int | tuple[int, int] | None,
    sigmas: Tensor,
    network: RefineNet,
    x: Any | None,
    stored: tuple[int | tuple[int, ...] | None, str],
) -> tuple[tuple[int, ...], str]:
    """Height and width of the images, and the reason."""
    if size is not None:
        return ((size, size) if isinstance(size, int) else size), "as requested"
    if x is not None:
        return Schema.of(x, "grid").inner_shape[1:], "from the data"
    if stored[0] is not None:
        return ((stored[0], stored[0]) if isinstance(stored[0], int) else stored[0]), stored[1]
    known = _KNOWN.get((len(sigmas), round(float(sigmas[0]))))
    if known is not None and not network.classes:
        return (known[1], known[1]), f"the noise levels are those of {known[0]}"
    if network.classes:
        side, data = (28, "MNIST") if network.channels == 1 else (32, "CIFAR-10 and CelebA")
        return (side, side), f"as for {data} in the NCSN paper"
    ladder = f"{len(sigmas)} levels from {sigmas[0]:g}"
    what = f"the size of the images, and its noise levels ({ladder}) are not published ones"
    raise ValueError(f"the file does not hold {what}: pass size=")
