"""What a user asks of a fit, as one value; and what was chosen, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import nn

from ..denoisers.precondition import Parametrization
from ..noise_levels import NoiseLevels
from ..objectives import LevelDistribution, LevelObjective
from ..processes import Process
from ..samplers import Sampler, Sampling
from ..settings import Data, Network, Training
from ..units import Standardize

__all__ = ["GIVEN", "Choice", "Options"]

GIVEN = "given"


class Choice(NamedTuple):
    """What was chosen for a fit, and why.

    Arguments:
        name: What was chosen: "network", "batch", …
        value: The choice, in words.
        reason: Why; "given" where the user made the choice.

    Example:
        >>> name, value, reason = Choice("batch", "256", "small: many small steps train better than few large ones")
        >>> name, value
        ('batch', '256')
    """

    name: str
    value: str
    reason: str

    @property
    def given(self) -> bool:
        """Whether the user made the choice."""
        return self.reason == GIVEN


@dataclass(frozen=True)
class Options:
    """The options of a fit; None: chosen from the data.

    Process, objective, parametrization, sampling and noise levels are objects, or calls as on the command line: "vp",
    "slicedscorematching(count=2)". What a call leaves out follows from the data: the levels that a process spans or an
    objective trains at, the scale of a parametrization.

    Arguments:
        data: How to read the data.
        network: A network F(x, c) of your own, or what to build.
        training: How to train, and the budget.
        noise_levels: The noise levels.
        process: The noise process to sample by.
        objective: The loss; or its class, or any function, of a `LevelDistribution`.
        parametrization: What the network predicts; or its class, of the scale of the data.
        sampling: How samples are drawn by default: a `Sampling`, a sampler, or a call.
        units: The units of the data: what to subtract and what to divide by; or a `Standardize`.
        seed: The seed of everything that is random.
        device: Where to train: "auto" takes a GPU if there is one.
        growth: How many times as wide as that of reference the network is, of a run that goes on; None: from device, data and
            budget.
        overlapping: Whether targets are also averaged over rows of the batches where these leave no others; False for a run
            that goes on, and was begun by a version that did not.
        whitening: Whether thin directions of vectors have coefficients of their own; False for a run that goes on, and was
            begun by a version that had none.
        windows: Whether overlapping windows of a series are looked for before rows are held out; False for a run that goes on,
            and was begun by a version that did not.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If a call cannot be read.

    Example:
        >>> options = Options(process="vp", training=Training(minutes=2))
        >>> options.training.minutes
        2
    """

    data: Data = field(default_factory=Data)
    network: nn.Module | Network = field(default_factory=Network)
    training: Training = field(default_factory=Training)
    noise_levels: NoiseLevels | str | None = None
    process: Process | str | None = None
    objective: LevelObjective | Callable[[LevelDistribution], LevelObjective] | str | None = None
    parametrization: Parametrization | type[Parametrization] | str | None = None
    sampling: Sampling | Sampler | str | None = None
    units: Standardize | tuple[float, float] | None = None
    seed: int = 0
    device: str = "auto"
    growth: float | None = None
    overlapping: bool = True
    whitening: bool = True
    windows: bool = True

    def __post_init__(self) -> None:
        for name, kinds, example in _KINDS:
            value = getattr(self, name)
            if value is not None and not isinstance(value, kinds) and not _makes(value, kinds[0]):
                name, need = _ARGUMENTS.get(name, name), f"a {kinds[0].__name__} object or a call such as {example!r}"
                made = isinstance(value, type) and issubclass(value, kinds)
                got = f"the class {value.__name__}: write {value.__name__}(…)" if made else repr(value)
                raise TypeError(f"{name} must be {need}, got {got}")
        for name, kind in (("data", Data), ("network", Network), ("training", Training)):
            value = getattr(self, name)
            if not isinstance(value, (kind, nn.Module) if name == "network" else kind):
                own = " or a module of yours" if name == "network" else ""
                raise TypeError(f"{name} must be {kind.__name__}(…){own}, got {value!r}: the defaults are {kind()}")


_KINDS: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("noise_levels", (NoiseLevels, str), "noiselevels(sigma_min=0.001)"),
    ("process", (Process, str), "vp"),
    ("objective", (LevelObjective, str), "slicedscorematching"),
    ("parametrization", (Parametrization, str), "noise"),
    ("sampling", (Sampling, Sampler, str), "heun(steps=20)"),
)
_ARGUMENTS = {"sampling": "sampler"}
"""The arguments of `fit` by the fields that they become."""


def _makes(value: Any, kind: type) -> bool:
    """Whether a value makes objects of a kind once it is given what it depends on."""
    if isinstance(value, type):
        return issubclass(value, kind) and kind in (LevelObjective, Parametrization)
    return callable(value) and kind is LevelObjective
