"""Imports published checkpoints of Score SDE (Song et al., 2021)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from ..denoisers.pretrained import PretrainedDenoiser
from ..model import Model
from ..nn.activations import Activated
from ..nn.ncsnpp import NCSNpp
from ..nn.ncsnpp_parts import set_groups
from ..processes import VE, Process
from ..reading import reads, regular
from ..samplers import sde_sampling
from .configuration import Configuration, stored_configuration
from .images import STEPS, Choice, Imported, finish, form, moments, units
from .recognize import recognize, sent_on
from .released import fill, is_state, read_released, without_prefix
from .score_sde_architecture import architecture, groups_of_norms, renumbered
from .score_sde_recipes import Recipe, find, recipe_of

__all__ = ["import_score_sde", "refuse_jax"]

_MSGPACK = (*range(0x81, 0x90), 0xDE, 0xDF)  # the first byte of a flax file


@reads("check that it is whole, and of that code")
def import_score_sde(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    *,
    preset: str | None = None,
    process: Process | None = None,
    continuous: bool | None = None,
    weights: Literal["ema", "raw"] = "ema",
    x: Any | None = None,
    source: Mapping[str, Any] | None = None,
    **network: Any,
) -> Model:
    """Imports a checkpoint of github.com/yang-song/score_sde_pytorch as a model of images.

    The network is NCSN++, DDPM++ or DDPM, the process VE, VP or sub-VP. The file is what their trainer writes (a dict of
    the state of the network, the averaged weights, the state of the optimizer and the step), or a state_dict alone, with
    or without the prefix `module.`. The architecture follows from names and shapes. A network with random Fourier
    features (`fourier` in their configuration) was trained on VE. For all others the file does not hold the process:
    pass the preset, or the process. Nor do the weights show the activation function, or how many groups the norms of a
    network `ddpm` with fewer than 128 features have: pass them, or the preset. A `config.yml` or `config.json` of the training
    next to the file, with `model.nonlinearity`, `model.nf`, `model.name`, `data.image_size`, `training.sde` and their like, is
    used for what no argument says. A file of another code that is known, such as an NCSNv2 trained by Score SDE, is sent to
    its importer.

    Arguments:
        path: The file, which ends in `.pth`.
        run: A folder in which to save the model as a run, for the command line.
        preset: The name of the training configuration, such as "vp/cifar10_ddpmpp_continuous". It determines everything.
        process: Without a preset: the process of the training, VE, VP or SubVP.
        continuous: Whether training used continuous times rather than integer ones, without a preset; by default as the
            configuration says, or True.
        weights: "ema" for the averaged weights if there are any, or "raw".
        x: Images, `(N, H, W, C)`, 8-bit or with values from 0 to 1, which give the model its mean and variance. From 8 images
            on, the import is checked on them: see `scorefield.interop.check_import`.
        source: Where `x` was read from, as arguments of `scorefield.data.read`.
        network: Arguments of `NCSNpp` that replace those of the preset or those inferred from the file, such as `size`,
            `activation` (by default "silu", as in all released checkpoints) and `groups` (by default 32 for `ddpm`).

    Returns:
        The model, in the form of `x`, by default of 8-bit images `(H, W, C)`. A warning says what was assumed, unless the
        check confirms it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, holds pickled objects, comes from the JAX code, does not determine the
            process or the size, or does not fit; the first wrong names and shapes are listed.
    """
    if weights not in ("ema", "raw"):
        raise ValueError(f'weights must be "ema" or "raw", got {weights!r}')
    if preset is not None and process is not None:
        raise ValueError(f"preset={preset!r} determines the process: do not pass process={process!r}")
    refuse_jax(path)
    content = read_released(path)
    kind = recognize(content, path)
    if kind not in (None, "score-sde"):
        options = {"preset": preset, "process": process, "continuous": continuous, "x": x, "source": source, **network}
        return sent_on(kind, path, run, options | ({} if weights == "ema" else {"weights": weights}))
    state = _state(content, path)
    plan = _planned(state, path, (preset, process, continuous), network)
    built = NCSNpp(**plan.arguments)
    if isinstance(plan.recipe.process, VE) and plan.recipe.continuous and built.embedding == "time":
        raise ValueError(f"the network in {path} takes the index of a level: pass continuous=False, or its preset")
    _check_levels(plan.recipe, state, path)
    name = preset or f"{type(built).__name__} for {type(plan.recipe.process).__name__}"
    chosen = _fill(built, content, state, weights, name)
    schema = form(built.channels, (built.size, built.size), x)
    standardize = units(schema, built.centered)
    gaussian, moments_choice = moments(schema, standardize, x)
    denoiser = PretrainedDenoiser(built, plan.recipe.labels, plan.recipe.parametrization)
    model = Model(schema, standardize, denoiser, gaussian, sde_sampling(plan.recipe.process, STEPS))
    model.eval().requires_grad_(False)
    origin = {"kind": "score-sde", "network": name, "path": os.path.abspath(path), "weights": chosen[1]}
    choices = [*_choices(model, built, plan), chosen, moments_choice]
    return finish(Imported(model, origin, choices, plan.assumed, *_alternatives(built)), run, x, source)


@dataclass(frozen=True)
class _Plan:
    """How the network was trained, its arguments, why its size is what it is, and what was assumed."""

    recipe: Recipe
    arguments: Mapping[str, Any]
    made: str
    size: str
    assumed: tuple[str, ...]


def _planned(
    state: Mapping[str, Tensor],
    path: str | os.PathLike[str],
    training: tuple[str | None, Process | None, bool | None],
    network: Mapping[str, Any],
) -> _Plan:
    """What the preset says, or else the file, the arguments and the configuration next to it."""
    preset, process, continuous = training
    if preset is not None:
        recipe, own = find(preset), f"from the preset {preset}"
        size = "as requested" if "size" in network else own
        return _Plan(recipe, {**recipe.arguments, **network}, own, size, ())
    stored = stored_configuration(path, architecture(state)["width"])
    side = network.get("size") or stored.get("data.image_size")
    inferred = architecture(state, side)
    if not inferred["size"]:
        raise ValueError(f"{path} does not determine the size of the images: pass size=, or a preset")
    recipe = _recipe(state, process, continuous, stored, path)
    found = {"activation": network.get("activation") or stored.activation, "groups": network.get("groups")}
    assumed: tuple[str, ...] = () if found["activation"] else ("activation silu (activation=)",)
    if inferred["block"] == "ddpm" and found["groups"] is None:
        found["groups"], certain = groups_of_norms(state, stored.get("model.name"))
        assumed += () if certain else (f"{found['groups']} groups in each norm, as in `ddpm` (groups=)",)
    known = {name: value for name, value in found.items() if value is not None}
    why = (
        "as requested" if "size" in network else stored.origin if side else "the size for which attention is at 16 x 16"
    )
    arguments = {**inferred, **recipe.arguments, **network, **known}
    return _Plan(recipe, arguments, "from the names and shapes in the file", why, assumed)


def _alternatives(network: NCSNpp) -> tuple[Mapping[str, Callable[[], None]], Callable[[], None]]:
    """What the weights do not show and could be otherwise, and the way back."""

    def settle() -> None:
        Activated.choose(network, network.activation)
        set_groups(network, network.groups)

    def change(groups: int) -> None:
        settle()
        set_groups(network, groups)

    found = dict(Activated.others(network, network.activation))
    fits = all(part.num_channels % 32 == 0 for part in network.modules() if isinstance(part, nn.GroupNorm))
    if network.block == "ddpm" and fits:
        found |= {f"groups={groups}": partial(change, groups) for groups in (0, 32) if groups != network.groups}
    return found, settle


def refuse_jax(path: str | os.PathLike[str]) -> None:
    """Checks that a file is not one of the JAX code.

    Raises:
        ValueError: If it is.
    """
    if Path(path).is_file():
        with open(regular(path, "checkpoint"), "rb") as file:
            start = file.read(1)
        if Path(path).suffix == ".flax" or (start and start[0] in _MSGPACK):
            what = f"{path} is a checkpoint of the JAX code, which cannot be read"
            raise ValueError(f"{what}: use the file of score_sde_pytorch, which ends in .pth")


def _state(content: Any, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state of the network in the content of a file."""
    given = content.get("model", content) if isinstance(content, Mapping) else content
    state = without_prefix(given) if is_state(given) else {}
    if not any(name.startswith("all_modules.") for name in state):
        names = ", ".join(map(str, list(given)[:3])) if isinstance(given, Mapping) else type(given).__name__
        need = "names all_modules.0…, in a state_dict or under 'model'"
        raise ValueError(f"{path} has no network of Score SDE (found {names}): it must hold {need}")
    return renumbered(state)


def _recipe(
    state: Mapping[str, Tensor],
    process: Process | None,
    continuous: bool | None,
    stored: Configuration,
    path: str | os.PathLike[str],
) -> Recipe:
    """How the network was trained, from the arguments, the configuration or the file."""
    sigmas = state.get("sigmas")
    network = {} if sigmas is None else {"levels": len(sigmas)}
    if process is None and (known := recipe_of(stored.values, network)) is not None:
        return known if continuous is None else Recipe(known.process, continuous, network)
    if process is None:
        if "all_modules.0.W" not in state:
            ask = "pass its preset, such as 'vp/cifar10_ddpmpp_continuous', or process=VP(), SubVP() or VE()"
            raise ValueError(f"{path} does not hold the process of its training: {ask}")
        if sigmas is None:
            ask = "pass process=VE(smallest, largest), or a preset"
            raise ValueError(f"{path} does not hold its noise levels (sigmas): {ask}")
        process = VE(*(float(f"{float(level):.6g}") for level in sigmas.double().aminmax()))
    return Recipe(process, continuous is not False, network)


def _check_levels(recipe: Recipe, state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Checks that the noise levels of the file are those of the recipe."""
    sigmas, process = state.get("sigmas"), recipe.process
    if sigmas is None or not isinstance(process, VE):
        return
    low, high = (float(level) for level in sigmas.double().aminmax())
    if abs(low / process.sigma_min - 1) > 1e-3 or abs(high / process.sigma_max - 1) > 1e-3:
        what = f"{path} has noise levels from {low:g} to {high:g}"
        need = f"from {process.sigma_min:g} to {process.sigma_max:g}"
        raise ValueError(f"{what}, not {need}: it belongs to another preset")


def _fill(network: NCSNpp, content: Any, state: Mapping[str, Tensor], weights: str, name: str) -> Choice:
    """Loads the weights; averaged ones are a list in the order of the parameters."""
    tensors = {**state, "sigmas": network.sigmas}
    fill(network, tensors, name)
    average = content.get("ema") if "model" in content else None
    if weights == "raw" or not isinstance(average, Mapping) or "shadow_params" not in average:
        return "weights", "raw", "as requested" if weights == "raw" else "the file has no averaged weights"
    names = [parameter for parameter, _ in network.named_parameters()]
    averaged = [value for value in average["shadow_params"] if isinstance(value, Tensor)]
    if len(names) != len(averaged):
        what = f"the file has {len(averaged)} averaged tensors, but the network has {len(names)} parameters"
        raise ValueError(f"{what}: use weights='raw'")
    fill(network, tensors | dict(zip(names, averaged)), f"{name}, averaged")
    return "weights", "averaged", "they are in the file, and the authors sample with them"


def _choices(model: Model, network: NCSNpp, plan: _Plan) -> list[Choice]:
    count = sum(p.numel() for p in network.parameters())
    range_ = f"from {-1 if network.centered else 0} to 1"
    return [
        ("structure", model.schema.structure, model.schema.reason),
        ("network", f"{type(network).__name__}, {count:,} parameters", plan.made),
        ("size", f"{network.size} x {network.size}", plan.size),
        ("process", repr(model.process), f"as in training, for images {range_}"),
    ]
