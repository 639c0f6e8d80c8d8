"""What a user may set, as frozen dataclasses. Nothing heavy is imported here: the command line reads it for its help."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .deprecation import renamed_fields
from .renames import ARGUMENTS

__all__ = ["KINDS", "RENAMED", "Data", "Network", "Training", "with_new_names"]

RENAMED = {old: new for (owner, old), new in ARGUMENTS.items() if owner == "settings.Training"}
"""New names of settings of `Training` by old ones."""


def with_new_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `Training` by name, old names among them, by their new names.

    Example:
        >>> with_new_names({"steps": 100, "rate": 1e-3})
        {'steps': 100, 'learning_rate': 0.001}
    """
    return {RENAMED.get(name, name): value for name, value in settings.items()}


KINDS = ("number", "category", "date", "leave out")
"""What a user may say that a column of a table is."""


def _bounds(name: Any, pair: Any) -> tuple[float | None, float | None]:
    """The bounds of a column, checked."""
    try:
        low, high = (None if end is None else float(end) for end in pair)
    except (TypeError, ValueError):
        raise ValueError(
            f"the bounds of column {name!r} are a pair of numbers or None, (0, 1) say, got {pair!r}"
        ) from None
    if low is not None and high is not None and not low < high:
        raise ValueError(f"the bounds of column {name!r} are {low:g} and {high:g}: the first must be the smaller")
    return low, high


@dataclass(frozen=True)
class Data:
    """How data are read.

    Arguments:
        structure: "vector" (a table), "grid" (signals, fields, images, volumes), or "auto": from the shape.
        channels: Where the channels of a grid are: "first" or "last" after the sample axis, "none", or "auto".
        held_out: The fraction of the data held out of training, to measure the loss on; 0 for none.
        dequantize: Whether whole numbers, and others on a fine lattice, are learned as the cells they stand for, x - 1/2 to
            x + 1/2, with new uniform noise each time: densities need it. Without it they are points; those of tables with
            categories or missing values, or whose conditionals are learned, are cells in any case.
        maps: "auto": each column, or channel, is mapped to standard units as suits it (atoms, bounds, tails, logarithms), and
            exact relations are kept; "affine": mean and standard deviation alone, and no mixture that is averaged with
            the network of few rows, as in version 0.1.
        columns: What columns of a table hold, where it is not what it seems: by name "number", "category", "date",
            "leave out", or a `data.columns.Column`.
        categorical: Columns whose values are categories, such as codes in integers.
        numeric: Columns whose values are numbers.
        bounds: What numbers cannot lie below and above, by the name of the column; None for no bound.
        log: Columns of positive numbers that are learned on a logarithmic scale.
        missing: Whether missing values are drawn like the rest, where the data miss ("draw"), or samples are complete
            ("complete"): then what a row misses is drawn given the rest of it, as values missing at random are.
        conditionals: Whether the network learns the distribution of any columns given any others with the joint one: "auto",
            in tables with categories, atoms or missing values; "learn", in tables of smooth numbers too, whose conditional
            draws then cost no more than others; they are drawn by particles otherwise.
        targets: Columns that will be asked for given all the others, as the parameters of a simulator or what a forecast is
            of; or several groups of them, ("a", "b") and ("c",), each asked for given the rest, or a part of it. Conditionals
            are learned, and half of the training that they get is of these.
        keep: Columns that would be left out as identifiers, as free text, or for too many levels, but are not.
        constraints: What every row satisfies and every sample shall satisfy: "start <= end", "a + b == total",
            "unique(id)", "if mode == 'sea' then parcels > 0" (see `scorefield.constraints`).
        split: Which rows are held out: "distinct", a random part in which copies of a row stay together, or the last rows of
            overlapping windows; "rows", any rows; "time", the last ones; "time=COLUMN", the last ones by a column of dates or
            numbers. That column is left out of the model, unless `keep` names it.
        groups: The column whose equal values say that rows belong together, as those of one patient do: a group is held out
            as a whole. It is left out of the model, unless `keep` names it.
        rows: The column of a frame in long format that names the row which a reading belongs to: rows may then have any
            number of readings. All columns that are not named are values.
        time: The column of times of readings, numbers or dates; without it, rows are sets, whose order says nothing.
        channel: The column that says what was read, a sensor or a quantity; without it, each column of values is a channel.
        mirror: The spatial axes of a grid, counted from 0, along which mirrored examples are as probable as the examples:
            (1,) where images may be exchanged with their mirror images, left for right. Training then sees both. Channels
            that are components of vectors would have to change their signs, which is not done.

    Raises:
        ValueError: If a value is not among those that are possible.

    Example:
        >>> Data(categorical=("zone",), bounds={"share": (0, 1)}, missing="complete").bounds
        {'share': (0.0, 1.0)}
    """

    structure: Literal["auto", "vector", "grid"] = "auto"
    channels: Literal["auto", "first", "last", "none"] = "auto"
    held_out: float = 0.1
    dequantize: bool = True
    maps: Literal["auto", "affine"] = "auto"
    columns: Mapping[Any, Any] | None = None
    categorical: tuple[Any, ...] | None = None
    numeric: tuple[Any, ...] | None = None
    bounds: Mapping[Any, tuple[float | None, float | None]] | None = None
    log: tuple[Any, ...] | None = None
    missing: Literal["draw", "complete"] = "draw"
    conditionals: Literal["auto", "learn"] = "auto"
    targets: tuple[Any, ...] = ()
    keep: tuple[Any, ...] | None = None
    constraints: tuple[str, ...] = ()
    split: str = "distinct"
    groups: Any = None
    rows: Any = None
    time: Any = None
    channel: Any = None
    mirror: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is a part of the data, from 0 to below 1, got {self.held_out:g}")
        if self.maps not in ("auto", "affine"):
            raise ValueError(f'maps must be "auto" or "affine", got {self.maps!r}')
        if self.missing not in ("draw", "complete"):
            raise ValueError(f'missing must be "draw" or "complete", got {self.missing!r}')
        if self.conditionals not in ("auto", "learn"):
            raise ValueError(f'conditionals must be "auto" or "learn", got {self.conditionals!r}')
        if self.split not in ("distinct", "rows", "time") and not (
            isinstance(self.split, str) and self.split.startswith("time=") and self.time_column
        ):
            raise ValueError(f'split must be "distinct", "rows", "time" or "time=COLUMN", got {self.split!r}')
        if self.groups is not None and self.by_time:
            raise ValueError(f"rows are held out by groups or by time, got groups={self.groups!r} and {self.split!r}")
        axes = (self.mirror,) if isinstance(self.mirror, int) else tuple(self.mirror)
        if any(type(axis) is not int or axis not in range(3) for axis in axes) or len({*axes}) != len(axes):
            raise ValueError(f"mirror names spatial axes, each once: 0, 1 or 2; got {self.mirror!r}")
        object.__setattr__(self, "mirror", axes)
        object.__setattr__(self, "targets", _groups(self.targets))
        for name in ("categorical", "numeric", "log", "keep"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        for name, kind in (self.columns or {}).items():
            if isinstance(kind, str) and kind not in KINDS:
                raise ValueError(f"column {name!r} can be {', '.join(KINDS)}; got {kind!r}")
        if self.bounds is not None:
            object.__setattr__(self, "bounds", {name: _bounds(name, pair) for name, pair in self.bounds.items()})

    @property
    def learns_conditionals(self) -> bool:
        """Whether conditionals are learned in any table."""
        return self.conditionals == "learn" or bool(self.targets)

    @property
    def by_time(self) -> bool:
        """Whether the last rows are held out."""
        return self.split.partition("=")[0] == "time"

    @property
    def time_column(self) -> str | None:
        """The column by which rows are ordered in time; None for their own order."""
        return self.split.partition("=")[2] or None


@dataclass(frozen=True)
class Network:
    """The network. `None`: chosen from the data, the budget and the device.

    Arguments:
        widths: The width of a network for vectors, of a token with attention; for grids one width for each scale, from fine
            to coarse. A number stands for a tuple of one.
        depth: The number of inner layers for vectors, of blocks for tables, at each scale for grids.
        patch: The side of the patches that a network for grids treats as pixels.
        attention: Whether positions of a grid attend to each other at the coarsest scale; or, in tables with categories,
            missing values or `Data(conditionals="learn")`, whether each variable is a token that attends to the others.
        periodic: Whether grids wrap around at their edges.
        baseline: Whether a mixture of Gaussians is fitted first. A network for grids sees its answer, and learns to correct it;
            one for up to 5,000 rows of a few numbers is averaged with it.
    """

    widths: tuple[int, ...] | None = None
    depth: int | None = None
    patch: int | None = None
    attention: bool = False
    periodic: bool = False
    baseline: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.widths, int) and not isinstance(self.widths, bool):
            object.__setattr__(self, "widths", (self.widths,))


def _groups(targets: Any) -> tuple[tuple[Any, ...], ...]:
    """Groups of columns: several, or the names or numbers of one."""
    if targets is None:
        return ()
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        return ((targets,),)
    found = tuple(targets)
    if found and not any(_is_group(each) for each in found):
        found = (found,)
    groups = tuple(tuple(each) if _is_group(each) else (each,) for each in found)
    if not all(groups):
        raise ValueError(f"each group of targets names one column at least, got {targets!r}")
    return groups


def _is_group(names: Any) -> bool:
    """Whether these are several names, and not one."""
    return isinstance(names, Iterable) and not isinstance(names, str)


_LONGEST = 1e12
"""The largest budget: far more than any run, and no infinity."""


def _check_budget(name: str, value: Any) -> None:
    """Raises unless a budget is a number that a run can use up."""
    advice = f"give a number, such as {name}=10"
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}: {advice}")
    amount: Any = value
    if not 0 < amount <= _LONGEST:
        raise ValueError(f"training needs {name} above 0 and at most {_LONGEST:g}, got {name}={value}: {advice}")
    if name == "steps" and amount != int(amount):
        raise ValueError(f"steps are whole, got steps={value}: {advice}")


@renamed_fields(**RENAMED)
@dataclass(frozen=True)
class Training:
    """How a network is trained. `None`: chosen from data and device; what was chosen, and why, is in the record of the run.

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
        accumulate: The number of batches whose gradients are added up for a step. Where several processes share the steps, it
            is a multiple of their number; 1 then becomes 4, or as many as are needed, and the batch is divided by that.
        reference_batch: The number of other examples over which targets are averaged (stable targets); 0 for none. For data
            of numbers, without context, that are kept in memory.
        unconditional: The fraction of the examples whose context is dropped, so that the model also learns the unconditional
            distribution, as guidance needs; 0 for none.
        precision: "float32", "bfloat16" (automatic mixed precision), or "auto": the latter where it is fast.
        averages: The relative widths of the power-function averages of the weights.
        evaluations: How often the held-out loss is measured during training.
        patience: Training stops when this many consecutive measurements are significantly above the best one.
        threads: The number of threads that a process computes with on a CPU, on which the last bits depend. By default all,
            or one where more slow a small network down, or where several processes share the steps.
        gradient_sum: How several processes add up the gradients of a step: "ordered", in the order of its parts, to the same
            bits for any number of processes; or "any", by an all-reduce, which is faster where connections are slow: the bits
            then depend on the number of processes.
        shard: Whether several processes divide the weights, the averages and the state of the optimizer among them, for a
            network that one device cannot train; in denoising score matching.
        end_early: Whether training ends before its budget is used if the held-out loss no longer falls measurably: learning
            rates then fall to 0 first. By default where the budget is the default one and 1,000 rows are held out.
        compile: Whether PyTorch compiles the network for training, which takes a minute at first and needs a compiler (on
            a GPU: Triton). By default for grids on a GPU, where the budget is large enough to gain from it.
        channels_last: Whether images and volumes lie in memory with their channels last during training, as the tensor cores
            of a GPU take them. By default on a GPU.
        muon_every: Muon moves its matrices once in so many steps, by the average of the gradients of all steps, and the square
            root of that number times as far. By default 1, or 2 for grids where it would add more than an eighth to the work.
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
    threads: int | None = None
    gradient_sum: Literal["ordered", "any"] = "ordered"
    shard: bool = False
    end_early: bool | None = None
    compile: bool | None = None
    channels_last: bool | None = None
    muon_every: int | None = None

    def __post_init__(self) -> None:
        budgets = {n: getattr(self, n) for n in ("minutes", "steps", "epochs") if getattr(self, n) is not None}
        if len(budgets) > 1:
            raise ValueError(f"choose one budget: minutes, steps or epochs; got {budgets}")
        for name, value in budgets.items():
            _check_budget(name, value)
        for name in ("batch", "learning_rate", "clip", "accumulate", "evaluations", "patience", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"training needs {name} > 0, got {name}={value:g}")
        every = self.muon_every
        if every is not None and not (math.isfinite(every) and every > 0 and every == int(every)):
            raise ValueError(f"steps are whole, got muon_every={self.muon_every}: 1 is each step, 2 every other")
        for name in ("warmup", "muon_learning_rate", "reference_batch"):
            if (value := getattr(self, name)) is not None and not value >= 0:
                raise ValueError(f"training needs {name} >= 0, got {name}={value:g}")
        for name in ("learning_rate", "muon_learning_rate"):
            if (value := getattr(self, name)) is not None and math.isinf(value):
                raise ValueError(f"training needs a finite {name}, got {name}={value:g}")
        if not 0 <= self.unconditional < 1:
            raise ValueError(f"unconditional is a part of the data, from 0 to below 1, got {self.unconditional:g}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision must be 'auto', 'float32' or 'bfloat16', got {self.precision!r}")
        if self.gradient_sum not in ("ordered", "any"):
            raise ValueError(f"gradient_sum must be 'ordered' or 'any', got {self.gradient_sum!r}")
        if self.shard and self.gradient_sum == "any":
            raise ValueError("processes that divide a network add gradients in order: leave out gradient_sum or shard")
        if self.shard and (self.compile or self.channels_last):
            raise ValueError(
                "a network that processes divide is computed as it is: leave out compile and channels_last, or shard"
            )
        if any(not 0 < width < 0.28 for width in self.averages):
            raise ValueError(f"averages are relative widths between 0 and 0.28, got {self.averages}")
