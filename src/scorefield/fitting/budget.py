"""How to train: what the user left open follows from the data and the device."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..distributed import decided, launched, size
from ..objectives import LevelObjective
from ..settings import Training
from .options import Choice
from .prepared import Prepared

__all__ = ["resolve_training"]

_MANY_ROWS = 2_000
_PARTS = (4, 8)  # of a step that processes share; for other numbers of processes, as many as these
_FEW_STEPS = 10_000  # of small tables: more cost minutes, fewer leave thin dependences unlearned


@dataclass
class _Resolving:
    """Training settings that are being completed."""

    training: Training
    choices: list[Choice]

    @property
    def unbounded(self) -> bool:
        """Whether there is no budget yet."""
        return self.training.minutes is self.training.steps is self.training.epochs is None

    def take(self, name: str, value: Any, reason: str) -> None:
        """Takes a value unless the user gave one."""
        if getattr(self.training, name) in (None, "auto"):
            self.training = replace(self.training, **{name: value})
            self.choices.append(Choice(name, f"{value:g}" if isinstance(value, float) else str(value), reason))


def resolve_training(
    training: Training, prepared: Prepared, objective: LevelObjective, device: torch.device
) -> tuple[Training, tuple[Choice, ...]]:
    """Completes training settings, with the reasons; a ValueError if targets are to be averaged and there are none.

    Processes that share the work have a batch in parts; what is measured by a clock is measured once.
    """
    grid, numbers, count = not prepared.vectors, math.prod(prepared.shape), len(prepared.split.train)
    if not objective.denoising and training.reference_batch:
        what = f"reference_batch={training.reference_batch} averages the targets of denoising score matching"
        raise ValueError(f"{what}, and {type(objective).__name__} has no targets: leave it out")
    found = _Resolving(training if prepared.context is None else replace(training, reference_batch=0), [])
    if prepared.layouts is not None:
        _take_for_readings(found, prepared.layouts)
    elif prepared.units.variables is not None:
        _take_for_tables(found, count)
    if found.unbounded:
        if grid:
            found.take("minutes", 10.0, "the default budget for grids; more time gives better samples")
        else:
            steps = int(min(30_000, max(200, min(count**1.5 / 2, 200 * count**0.5))))
            reason = f"the default for vectors: with more steps, a network memorizes {count:,} examples"
            found.take("steps", steps, reason)
    batch = max(4, min(64, 100_000 // numbers)) if grid else 256
    found.take("batch", batch, "small: many small steps train better than few large ones")
    found.take("learning_rate", 3e-3 if grid else 2e-3, "that of AdamW for biases, norms and the outermost layers")
    muon = "that of Muon for the matrices inside" if grid else "AdamW alone is faster for small networks"
    found.take("muon_learning_rate", 0.015 if grid else 0.0, muon)
    stable = grid and objective.denoising
    averaged = "targets are averaged over other examples; the training loss then lies below the held-out one"
    without = "not for vectors" if not grid else f"{type(objective).__name__} has no targets to average"
    found.take("reference_batch", 4096 if stable else 0, averaged if stable else without)
    if found.training.precision == "auto":
        # PyTorch 2.13 on a CPU: wrong gradients of volumes with a side of 2
        volume = grid and len(prepared.shape) == 4 and device.type == "cpu"
        fast = stable and not volume and decided(lambda: _bfloat16_is_faster(device))
        reason = "bfloat16 is faster here" if fast else "bfloat16 would not be faster here"
        reason = reason if stable or not grid else "derivatives need it"
        found.take("precision", "bfloat16" if fast else "float32", reason)
    if launched() and found.training.accumulate == 1:
        _share(found, training.batch is not None, size())
    return found.training, tuple(found.choices)


def _share(found: _Resolving, given: bool, processes: int) -> None:
    """Divides the batch of a step into parts that processes share, the same for 1, 2 and 4 of them."""
    rows = found.training.batch or 1
    parts = next((count for count in _PARTS if count % processes == 0), processes)
    if given and rows % parts:
        what = f"batches of {rows} rows cannot be divided into {parts} parts for {processes} processes"
        raise ValueError(f"{what}: set a batch that is a multiple of {parts}, or accumulate={processes}")
    batch = -(-rows // parts)
    found.training = replace(found.training, accumulate=parts, batch=batch)
    fine = " or ".join(str(n) for n in range(1, parts + 1) if parts % n == 0)
    words = f"a step of {rows} rows in parts of {batch}, to be shared by {fine} processes, with the same bits for any of these"
    found.choices = [Choice("batch", str(batch), c.reason) if c.name == "batch" else c for c in found.choices]
    found.choices.append(Choice("accumulate", str(parts), words))


def _take_for_tables(found: _Resolving, count: int) -> None:
    """The budget, the batch and the learning rate for mixed states of `count` rows."""
    if found.unbounded:
        usual = max(120 * count**0.5, min(240 * count**0.5, _FEW_STEPS))
        steps = int(min(20_000, max(200, min(count**1.5 / 2, usual))))
        found.take("steps", steps, f"the default for tables of {count:,} rows: seconds for hundreds, minutes for more")
    if count >= _MANY_ROWS:
        found.take(
            "batch", 512, "for tables of many rows: as good as smaller ones for the same number of rows, and faster"
        )
        found.take("learning_rate", 4e-3, "that of AdamW, for a residual network in large batches")


def _take_for_readings(found: _Resolving, layouts: Tensor) -> None:
    """The budget, the batch and the learning rate for rows of readings, some of which have these times and channels."""
    if found.unbounded:
        found.take("steps", 4000, "the default for rows of readings: minutes")
    length = max(1.0, float((~layouts.isnan()).sum(1).double().mean()) / 2)
    found.take(
        "batch", max(16, min(256, int(4096 / length))), f"about 4,096 readings, for rows of {length:.0f} on average"
    )
    found.take("learning_rate", 1.5e-3, "that of AdamW, for a transformer")


def _bfloat16_is_faster(device: torch.device) -> bool:
    """Whether a matrix product in bfloat16 takes less than two thirds of the time of float32, by measurement."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu":
        return False
    times = []
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(512, 512, dtype=dtype)
        best = math.inf
        for _ in range(4):
            start = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - start)
        times.append(best)
    return times[1] < times[0] * 2 / 3
