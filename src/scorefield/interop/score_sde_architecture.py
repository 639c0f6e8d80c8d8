"""The architecture of a Score SDE network, from the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["architecture", "groups_of_norms", "renumbered"]

_PREFIX = "all_modules."


def renumbered(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with consecutive module numbers: older code also counts modules without tensors."""
    split = {key: key.removeprefix(_PREFIX).partition(".") for key in state if key.startswith(_PREFIX)}
    place = {number: i for i, number in enumerate(sorted({number for number, _, _ in split.values()}, key=int))}
    return {
        f"{_PREFIX}{place[split[key][0]]}.{split[key][2]}" if key in split else key: value
        for key, value in state.items()
    }


def _kind(part: Mapping[str, Tensor]) -> str:
    """The kind of a module, by the tensors in it."""
    if "Conv_1.weight" in part:
        outs, ins = part["Conv_0.weight"].shape[:2]
        return "resizing block" if "Conv_2.weight" in part and ins == outs else "block"
    if "NIN_3.W" in part:
        return "attention"
    if "Conv2d_0.weight" in part:
        return "filtered resize"
    if "Conv_0.weight" in part:
        return "combine" if part["Conv_0.weight"].shape[2] == 1 else "resize"
    return "norm" if part["weight"].ndim == 1 else "conv"


def architecture(state: Mapping[str, Tensor], size: int | None = None) -> dict[str, Any]:
    """The arguments of `NCSNpp`, inferred from the tensors of a network.

    The number of modules of each kind gives the number of scales and of blocks at each. What the tensors do not show is
    assumed to be as in all published networks: attention at 16 x 16, which gives the size of the images; a filter where
    images enter or leave at every scale; sums of two paths divided by √2, except in the blocks of DDPM.

    Arguments:
        state: The tensors, with consecutive module numbers.
        size: The side of the images, if it is known; 0 in what is returned if it stays unknown.

    Raises:
        ValueError: If these are not the tensors of a Score SDE network.
    """
    try:
        return _architecture(state, size)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ValueError("the tensors are not those of a known Score SDE network: pass its preset") from error


def _architecture(state: Mapping[str, Tensor], size: int | None) -> dict[str, Any]:
    parts: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        if key.startswith(_PREFIX):
            number, _, name = key.removeprefix(_PREFIX).partition(".")
            parts.setdefault(int(number), {})[name] = value
    fourier = "W" in parts[0]
    width, channels = len(parts[1 + fourier]["weight"]) // 4, parts[2 + fourier]["weight"].shape[1]
    kinds = {number: _kind(part) for number, part in sorted(parts.items()) if number > 2 + fourier}
    found = list(kinds.values())
    biggan = "resizing block" in found
    resizes = found.count("resizing block") if biggan else found.count("resize") + found.count("filtered resize")
    scales = resizes // 2 + 1
    blocks = [number for number, kind in kinds.items() if kind == "block"]
    depth = (len(blocks) - scales - 2) // (2 * scales)
    first = [blocks[scale * depth] for scale in range(scales)]
    attended = [scale for scale, number in enumerate(first) if kinds[number + 1] == "attention"]
    size = size or (16 * 2 ** attended[0] if attended else 0)
    residual = biggan and ("resize" in found or "filtered resize" in found)
    return {
        "channels": channels,
        "size": size,
        "width": width,
        "multipliers": tuple(len(parts[number]["Conv_1.weight"]) // width for number in first),
        "depth": depth,
        "attention": tuple(size // 2**scale for scale in attended),
        "embedding": "level" if fourier else "time",
        "block": "biggan" if biggan else "ddpm",
        "taps": (1, 3, 3, 1) if "filtered resize" in found or "combine" in found else (),
        "rescale": biggan,
        "progressive": "output_skip" if found.count("norm") == scales > 1 else "none",
        "progressive_input": "input_skip" if "combine" in found else "residual" if residual else "none",
    }


def groups_of_norms(state: Mapping[str, Tensor], name: str | None = None) -> tuple[int, bool]:
    """The argument `groups` of an `NCSNpp` with blocks of DDPM, and whether it is certain.

    The authors' network `ddpm` has 32 groups in each norm, and NCSN++ with such blocks has groups of 4 features, but at most
    32 of them. With 128 features or more that is the same; with fewer, the tensors do not show it.

    Arguments:
        state: The tensors.
        name: The name of the network in a configuration, "ddpm" or "ncsnpp", if there is one.

    Example:
        >>> import torch
        >>> groups_of_norms({"all_modules.9.weight": torch.ones(64)}), groups_of_norms({"all_modules.9.weight": torch.ones(48)})
        ((32, False), (0, True))
    """
    features = [len(value) for key, value in state.items() if key.endswith(".weight") and value.ndim == 1]
    if name is not None:
        return (32, True) if name == "ddpm" else (0, True)
    if any(count % 32 for count in features):
        return 0, True
    return 32, min(features, default=128) >= 128
