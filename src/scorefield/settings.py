"""What a user may set, as frozen dataclasses. Nothing heavy is imported here: the command line reads it for its help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .deprecation import renamed_fields
from .renames import ARGUMENTS

__all__ = ["RENAMED", "Data", "Network", "Training", "with_new_names"]

RENAMED = {old: new for (owner, old), new in ARGUMENTS.items() if owner == "settings.Training"}
"""New names of settings of `Training` by old ones."""


def with_new_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `Training` by name, old names among them, by their new names.

    Example:
        >>> with_new_names({"steps": 100, "rate": 1e-3})
        {'steps': 100, 'learning_rate': 0.001}
    """
    return {RENAMED.get(name, name): value for name, value in settings.items()}


@dataclass(frozen=True)
class Data:
    """How data are read.

    Arguments:
        structure: "vector" (a table), "grid" (signals, fields, images, volumes), or "auto": from the shape.
        channels: Where the channels of a grid are: "first" or "last" after the sample axis, "none", or "auto".
        held_out: The fraction of the data held out of training, to measure the loss on; 0 for none.
        dequantize: Whether whole numbers, and others on a fine lattice, are learned as the cells they stand for, x - 1/2 to
            x + 1/2, with new uniform noise each time: densities need it. Without it they are points.
        constraints: What every row satisfies and every sample shall satisfy: "start <= end", "a + b == total",
            "unique(id)", "if mode == 'sea' then parcels > 0" (see `scorefield.constraints`).
    """

    structure: Literal["auto", "vector", "grid"] = "auto"
    channels: Literal["auto", "first", "last", "none"] = "auto"
    held_out: float = 0.1
    dequantize: bool = True
    constraints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is a part of the data, from 0 to below 1, got {self.held_out:g}")


@dataclass(frozen=True)
class Network:
    """The network. `None`: chosen from the data.

    Arguments:
        widths: The width of a network for vectors; for grids one width for each scale, from fine to coarse.
        depth: The number of inner layers for vectors, of blocks at each scale for grids.
        patch: The side of the patches that a network for grids treats as pixels.
        attention: Whether positions of a grid attend to each other at the coarsest scale.
        periodic: Whether grids wrap around at their edges.
    """

    widths: tuple[int, ...] | None = None
    depth: int | None = None
    patch: int | None = None
    attention: bool = False
    periodic: bool = False


@renamed_fields(**RENAMED)
@dataclass(frozen=True)
class Training:
    """How a network is trained. `None`: chosen from the data; what was chosen, and why, is in the record of the run.

    Arguments:
        minutes: The budget in minutes of training. One budget at most: minutes, steps or epochs.
        steps: The budget in optimizer steps.
        epochs: The budget in passes through the data.
        batch: The batch size.
        learning_rate: The learning rate of AdamW.
        muon_learning_rate: The learning rate of Muon, which trains the matrices and convolutions inside the network; 0
            leaves them to AdamW.
        warmup: The number of steps over which learning rates rise from 0.
        clip: Maximum gradient norm.
        accumulate: The number of batches whose gradients are added up for a step.
        reference_batch: The number of other examples over which targets are averaged (stable targets); 0 for none.
        unconditional: The fraction of the examples whose context is dropped, so that the model also learns the unconditional
            distribution, as guidance needs; 0 for none.
        precision: "float32", "bfloat16" (automatic mixed precision), or "auto": the latter where it is fast.
        averages: The relative widths of the power-function averages of the weights.
        evaluations: How often the held-out loss is measured during training.
        patience: Training stops when this many consecutive measurements are significantly above the best one.
    """

    minutes: float | None = None
    steps: int | None = None
    epochs: float | None = None
    batch: int | None = None
    learning_rate: float | None = None
    muon_learning_rate: float | None = None
    warmup: int = 50
    clip: float = 1.0
    accumulate: int = 1
    reference_batch: int | None = None
    unconditional: float = 0.1
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    averages: tuple[float, ...] = (0.05, 0.15)
    evaluations: int = 40
    patience: int = 12

    def __post_init__(self) -> None:
        budgets = {n: getattr(self, n) for n in ("minutes", "steps", "epochs") if getattr(self, n) is not None}
        if len(budgets) > 1:
            raise ValueError(f"choose one budget: minutes, steps or epochs; got {budgets}")
        for name in ("batch", "learning_rate", "clip", "accumulate", "evaluations", "patience", *budgets):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"training needs {name} > 0, got {name}={value:g}")
        for name in ("warmup", "muon_learning_rate", "reference_batch"):
            if (value := getattr(self, name)) is not None and value < 0:
                raise ValueError(f"training needs {name} >= 0, got {name}={value:g}")
        if not 0 <= self.unconditional < 1:
            raise ValueError(f"unconditional is a part of the data, from 0 to below 1, got {self.unconditional:g}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision must be 'auto', 'float32' or 'bfloat16', got {self.precision!r}")
        if any(not 0 < width < 0.28 for width in self.averages):
            raise ValueError(f"averages are relative widths between 0 and 0.28, got {self.averages}")
