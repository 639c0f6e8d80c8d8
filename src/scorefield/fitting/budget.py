"""How to train: what the user left open follows from the data and the device."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..distributed import decided, launched, size
from ..objectives import LevelObjective
from ..settings import Network, Training
from ..training.feed import are_kept
from .hardware import Hardware
from .options import Choice
from .prepared import Prepared
from .sizing import batch_for_grids, compiles, growth, muon_every, muon_reason, muon_share

__all__ = ["Resolved", "check_reference", "resolve_training", "with_muon_every"]

_MANY_ROWS = 2_000
_PARTS = (4, 8)  # of a step that processes share; for other numbers of processes, as many as these
_FEW_STEPS = 10_000  # of small tables: more cost minutes, fewer leave thin dependences unlearned
_ENOUGH = 1_000  # held-out rows: on fewer, what still falls is lost in noise
_COLUMNS, _ROWS = 64, 18_000  # more columns, and at least so many rows: Muon trains a network of half the width
_MUON_STEPS = 5_000
_FILLED = 1024  # rows of a batch of vectors on a GPU, to which a step takes no longer


class Resolved(NamedTuple):
    """Training settings with nothing left open, the reasons, and how many times as wide as that of reference a network is."""

    training: Training
    choices: tuple[Choice, ...]
    growth: float


@dataclass
class _Resolving:
    """Training settings that are being completed, for so many examples.

    `sized`: whether the size of the network follows; `width_factor`: that of many columns.
    """

    training: Training
    hardware: Hardware
    count: int
    grid: bool
    sized: bool
    width_factor: float = 1.0
    choices: list[Choice] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """How many times as wide as that of reference the network is. It takes a budget, and for grids a batch."""
        usual = growth(self.training, self.hardware, self.count, self.grid) if self.sized else 1.0
        return self.width_factor * usual

    @property
    def fills(self) -> bool:
        """Whether batches are as large as keeps a GPU busy, and not as small as a CPU needs."""
        return self.hardware.gpu and (self.grid or self.count >= 16 * _FILLED)

    def take_rate(self, rate: float, reason: str) -> None:
        """Takes a learning rate of AdamW, which is smaller for wider networks."""
        factor = self.growth
        wide = f"; less for a network {factor:.2g} times as wide" if factor > 1 else ""
        self.take("learning_rate", rate / factor, f"{reason}{wide}")

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
    training: Training,
    prepared: Prepared,
    objective: LevelObjective,
    device: torch.device,
    network: nn.Module | Network | None = None,
    hardware: Hardware | None = None,
) -> Resolved:
    """Completes training settings.

    Processes that share the work have a batch in parts; what is measured by a clock is measured once.

    Arguments:
        training: What the user gave.
        prepared: The data.
        objective: The loss.
        device: Where to train.
        network: The network that the user gave, or asks for.
        hardware: What the network and the batch are sized for; None: that device.
    """
    start = training if prepared.context is None else replace(training, reference_batch=0)
    wish = Network() if network is None else network
    ours, open_width = isinstance(wish, Network), isinstance(wish, Network) and wish.widths is None
    known = (hardware or Hardware.of(device), len(prepared.split.train), not prepared.vectors)
    found = _Resolving(start, *known, open_width and prepared.layouts is None)
    if found.unbounded and len(prepared.split.held_out) >= _ENOUGH:
        found.take("end_early", True, "the default budget; measured on enough held-out rows")
    if prepared.layouts is not None:
        _take_for_readings(found, prepared.layouts)
    elif prepared.units.variables is not None:
        _take_for_tables(found)
    elif found.sized and objective.denoising and _gains_from_muon(prepared):
        _take_for_many_columns(found)
    factor = _take_sizes(found, math.prod(prepared.shape))
    _take_method(found, prepared, objective, device, ours)
    if launched() and found.training.accumulate == 1:
        _share(found, training.batch is not None, size())
    return Resolved(found.training, tuple(found.choices), factor)


def with_muon_every(training: Training, network: nn.Module, prepared: Prepared) -> tuple[Training, tuple[Choice, ...]]:
    """Settings that say in how many steps Muon moves its matrices once, and the reason; as they are where the user said it."""
    if training.muon_every is not None:
        return training, ()
    if not training.muon_learning_rate:
        return replace(training, muon_every=1), ()
    every, why = 1, "Muon in each step, as was measured for vectors"
    if not prepared.vectors:
        share = muon_share(network, prepared.shape, training)
        every, why = muon_every(share), muon_reason(share)
    return replace(training, muon_every=every), (Choice("muon_every", str(every), why),)


def check_reference(size: int | None, prepared: Prepared, objective: LevelObjective, device: torch.device) -> None:
    """Raises a ValueError if targets are to be averaged over `size` other examples, and cannot be."""
    if size and (why := _without_reference(prepared, objective, device)):
        what = f"reference_batch={size} averages the targets of denoising score matching"
        raise ValueError(f"{what}, and {why}: leave it out")


def _without_reference(prepared: Prepared, objective: LevelObjective, device: torch.device) -> str:
    """Why the targets of a fit cannot be averaged over other examples; "" if they can."""
    if not objective.denoising:
        return f"{type(objective).__name__} has no targets"
    if prepared.units.variables is not None:
        return "a denoiser of numbers and categories has others"
    kept = are_kept(prepared.split.train, prepared.units, device)
    return "" if kept else "these data are too large to be kept ready in memory"


def _take_sizes(found: _Resolving, numbers: int) -> float:
    """The budget, the batch and the learning rates, for states of so many numbers; returns the growth of the network."""
    grid, count = found.grid, found.count
    if found.unbounded:
        if grid:
            found.take("minutes", 10.0, "the default budget for grids; more time gives better samples")
        else:
            steps = int(min(30_000, max(200, min(count**1.5 / 2, 200 * count**0.5))))
            reason = f"the default for vectors: with more steps, a network memorizes {count:,} examples"
            found.take("steps", steps, reason)
    rows = _FILLED if found.fills else 256
    batch = batch_for_grids(numbers, count, found.hardware) if grid else rows
    small = "small: many small steps train better than few large ones"
    found.take("batch", batch, "as keeps a GPU busy" if found.fills else small)
    found.take_rate(3e-3 if grid else 2e-3, "that of AdamW for biases, norms and the outermost layers")
    muon = "that of Muon for the matrices inside" if grid else "AdamW alone is faster for small networks"
    found.take("muon_learning_rate", 0.015 if grid else 0.0, muon)
    return found.growth


def _take_method(
    found: _Resolving, prepared: Prepared, objective: LevelObjective, device: torch.device, ours: bool
) -> None:
    """How a step is computed: targets and precision; and, of a network that is ours, the compiler and the memory format."""
    grid, axes = found.grid, len(prepared.shape) - 1
    stable = grid and objective.denoising
    averaged = "targets are averaged over other examples; the training loss then lies below the held-out one"
    without = "not for vectors" if not grid else _without_reference(prepared, objective, device)
    found.take("reference_batch", 0 if without else 4096, without or averaged)
    if found.training.precision == "auto":
        # PyTorch 2.13 on a CPU: wrong gradients of volumes with a side of 2
        volume = grid and axes == 3 and device.type == "cpu"
        fast = stable and not volume and decided(lambda: _bfloat16_is_faster(device))
        reason = "bfloat16 is faster here" if fast else "bfloat16 would not be faster here"
        reason = reason if stable or not grid else "derivatives need it"
        found.take("precision", "bfloat16" if fast else "float32", reason)
    if not (ours and grid and found.hardware.gpu) or found.training.shard:
        return
    if objective.denoising:
        worth = compiles(found.training, found.hardware, grid, found.count)
        pays = "takes a minute at first, which pays" if worth else "Triton and a budget of 5 minutes would be needed"
        found.take("compile", worth, pays)
    if axes > 1:
        found.take("channels_last", True, "as the tensor cores of a GPU take images and volumes")


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


def _take_for_tables(found: _Resolving) -> None:
    """The budget, the batch and the learning rate for mixed states."""
    count = found.count
    if found.unbounded:
        usual = max(120 * count**0.5, min(240 * count**0.5, _FEW_STEPS))
        steps = int(min(20_000, max(200, min(count**1.5 / 2, usual))))
        found.take("steps", steps, f"the default for tables of {count:,} rows: seconds for hundreds, minutes for more")
    if count >= _MANY_ROWS:
        many = "for tables of many rows: as good as smaller ones for the same number of rows, and faster"
        found.take("batch", _FILLED, "as keeps a GPU busy") if found.fills else found.take("batch", 512, many)
        found.take_rate(4e-3, "that of AdamW, for a residual network in large batches")


def _gains_from_muon(prepared: Prepared) -> bool:
    """Whether data are vectors of many numbers, and many of them."""
    many = prepared.vectors and prepared.shape[0] > _COLUMNS and len(prepared.split.train) >= _ROWS
    return many and prepared.context is None


def _take_for_many_columns(found: _Resolving) -> None:
    """The budget, the batch and the learning rates for vectors of many numbers."""
    found.width_factor = 0.5
    if found.unbounded:
        found.take("steps", _MUON_STEPS, "the default for many columns, by Muon, which needs fewer steps than AdamW")
    found.take("batch", _FILLED, "large: what Muon adds to a step is the same for any batch")
    found.take_rate(1.5e-3, "that of AdamW for biases and the outermost layers")
    found.take("muon_learning_rate", 0.01, "that of Muon for the matrices inside, which pays for many columns")


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
