"""How samples are drawn, as one value: the sampler, its steps, the schedule of times and the noise process."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from torch import Tensor

from ..calls import parse_call, parse_call_with, write_call
from ..processes import Process
from ..schedules import DEFAULT_SCHEDULE, Schedule
from .base import Sampler

__all__ = ["Sampling", "SamplingLike"]

_FURTHER: dict[str, type] = {"steps": int, "schedule": Schedule, "process": Process}


@dataclass(frozen=True)
class Sampling:
    """How samples are drawn. What is None is left to a default: that of the model, say.

    Arguments:
        sampler: The sampler.
        steps: The number of steps; None also where the schedule or the sampler knows it.
        schedule: The times to step through.
        process: The noise process.

    Raises:
        TypeError: If a part has another type.

    Example:
        >>> from scorefield.samplers import DDIM
        >>> from scorefield.schedules import Karras
        >>> print(Sampling(DDIM(eta=1.0), 20, Karras()))
        DDIM(eta=1, steps=20, schedule=Karras)
    """

    sampler: Sampler | None = None
    steps: int | None = None
    schedule: Schedule | None = None
    process: Process | None = None

    def __post_init__(self) -> None:
        for name, base in (("sampler", Sampler), ("schedule", Schedule), ("process", Process)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, base):
                got = (
                    f"the class {value.__name__}: write {value.__name__}()" if isinstance(value, type) else repr(value)
                )
                raise TypeError(f"{name} must be a {base.__name__} object, got {got}")
        if self.steps is not None:
            if isinstance(self.steps, bool) or not hasattr(self.steps, "__index__"):
                raise TypeError(f"steps must be a whole number, got {self.steps!r}")
            object.__setattr__(self, "steps", int(self.steps))

    @classmethod
    def of(
        cls,
        value: SamplingLike = None,
        steps: int | None = None,
        schedule: Schedule | str | None = None,
        process: Process | str | None = None,
    ) -> Sampling:
        """A `Sampling` from any of the forms in which one is asked for.

        Arguments:
            value: A `Sampling`, a sampler, or a call as on the command line, `"heun(steps=20, schedule=karras(rho=5))"`.
            steps: The number of steps where `value` does not say it.
            schedule: The schedule where `value` does not say it, or its call.
            process: The process where `value` does not say it, or its call.

        Raises:
            TypeError: If `value` is none of these.
            ValueError: If a string cannot be read.

        Example:
            >>> Sampling.of("heun(steps=20)", process="vp")
            Sampling(sampler=Heun(), steps=20, schedule=None, process=VP(beta_min=0.1, beta_max=20.0, start=1e-05))
        """
        if isinstance(value, str):
            sampler, further = parse_call_with(value, Sampler, _FURTHER, {"grid": "schedule"})
            value = cls(sampler, **further)
        elif value is None or isinstance(value, Sampler):
            value = cls(value)
        elif not isinstance(value, cls):
            need = 'a Sampler object, a Sampling or a call such as "heun(steps=20)"'
            name = value.__name__ if isinstance(value, type) else ""
            got = f"the class {name}: write {name}()" if name else repr(value)
            raise TypeError(f"samples are drawn by {need}, got {got}")
        schedule = parse_call(schedule, Schedule) if isinstance(schedule, str) else schedule
        process = parse_call(process, Process) if isinstance(process, str) else process
        return value.merged(cls(None, steps, schedule, process))

    @classmethod
    def asked(
        cls,
        value: SamplingLike = None,
        steps: int | None = None,
        schedule: Schedule | str | None = None,
        process: Process | str | None = None,
    ) -> Sampling:
        """The same as `of`, where `steps` may not differ from what `value` says.

        Raises:
            ValueError: If two numbers of steps are given, of a sampler that does not choose its own.

        Example:
            >>> Sampling.asked("heun", steps=7).steps
            7
        """
        found = cls.of(value, steps, schedule, process)
        chooses = found.sampler is not None and found.sampler.adaptive  # such a sampler stops at that many times
        if steps is not None and found.steps != steps and not chooses:
            raise ValueError(f"steps={steps} and {value} disagree: give steps once")
        return found

    def merged(self, default: Sampling) -> Sampling:
        """This one, with the parts of another where it has none.

        A number of steps is not taken over by a sampler that chooses its own steps, nor next to a schedule that knows it. A
        schedule for one sampler is not taken over by another: that takes `DEFAULT_SCHEDULE`, and its `others` steps. Another
        schedule takes as many, too.
        In place of a sampler that corrects errors of the score one that does not makes as many steps as that makes evaluations.
        """
        if self.sampler is not None and self.sampler != default.sampler:
            others = None if default.schedule is None else default.schedule.others
            if others is not None:
                default = replace(default, steps=others, schedule=None)
            elif default.process and default.sampler and default.sampler.corrects and not self.sampler.corrects:
                default = replace(default, steps=default.evaluations or default.steps)
        schedule, steps = self.schedule or default.schedule, self.steps
        if steps is None and not (self.sampler is not None and self.sampler.adaptive):
            if self.schedule is None:
                steps = default.steps
            elif self.schedule.steps is None:
                known = default.schedule
                others = None if known is None or known == self.schedule else known.others
                steps = others or default._known_steps
        return Sampling(self.sampler or default.sampler, steps, schedule, self.process or default.process)

    @property
    def to_be_learned(self) -> bool:
        """Whether its schedule waits for a model, for which it is to be learned."""
        return self.schedule is not None and self.schedule.to_be_learned

    @property
    def evaluations(self) -> int | None:
        """How often the denoiser is evaluated for a sample, without the last denoising; None where that is not fixed.

        Raises:
            ValueError: If a part is missing.
        """
        sampler, process, times = self.parts()
        return None if sampler.adaptive else sampler.evaluations_through(process.level(times).tolist())

    @property
    def step_count(self) -> int:
        """The number of steps, whether it is given, known to the schedule, or 1 for a sampler that chooses its own.

        Raises:
            ValueError: If nothing says it.
        """
        count = self._known_steps
        if count is None and self.sampler is not None and self.sampler.adaptive:
            return 1
        if count is None:
            raise ValueError("the number of steps is missing: give steps=, or a schedule that knows it")
        return count

    @property
    def _known_steps(self) -> int | None:
        return self.steps if self.schedule is None or self.steps is not None else self.schedule.steps

    def parts(self) -> tuple[Sampler, Process, Tensor]:
        """What drawing takes: the sampler, the process, which is checked, and the times.

        Raises:
            TypeError: If the process or the schedule returns what it must not.
            ValueError: If one is missing, or the process cannot be used.
        """
        if self.sampler is None:
            raise ValueError("no sampler is chosen: give sampler=")
        if self.process is None:
            raise ValueError("no noise process is chosen: give process=")
        process = self.process.checked()
        return self.sampler, process, replace(self, process=process).times()

    def times(self) -> Tensor:
        """The times to step through, `(steps + 1,)`, in float64, decreasing; those of `DEFAULT_SCHEDULE` where none is given.

        Raises:
            TypeError: If the schedule does not return a tensor.
            ValueError: If the process or the number of steps is missing, or the schedule does not give decreasing times.
        """
        if self.process is None:
            raise ValueError("the times depend on the process: give process=")
        schedule = self.schedule or DEFAULT_SCHEDULE
        times, name = schedule.times(self.process, self.step_count), type(schedule).__name__
        if not isinstance(times, Tensor):
            raise TypeError(f"{name}.times must return a tensor, got {type(times).__name__}")
        falling = bool((times.diff() < 0).all() & (times >= 0).all() & (times <= 1).all()) if times.ndim == 1 else False
        if not falling or len(times) < 2:
            need = "at least two times between 0 and 1 that decrease, one-dimensional"
            raise ValueError(f"{name}.times must return {need}, got {times.flatten()[:8].tolist()}")
        if self.steps is not None and len(times) != self.steps + 1:
            raise ValueError(
                f"{name}.times must return {self.steps + 1} times for {self.steps} steps, got {len(times)}"
            )
        return times

    def check_start(self, largest: float) -> None:
        """Whether sampling starts at a level that drowns standardized data, whose standard deviation is 1.

        Sampling starts from a normal distribution, which the data with noise of the first level must resemble.

        Arguments:
            largest: The largest level that the denoiser has learned.

        Raises:
            ValueError: If the first level is below 3 standard deviations, where the denoiser knows a larger one.
        """
        _, process, times = self.parts()
        first = float(process.level(times[0]))
        if first > min(5.0, largest / 2):
            return
        what = f"sampling starts at the level {first:.3g}, the data's standard deviation is 1 (standardized)"
        advice = f"the model has learned levels up to {largest:.3g}: choose a process and a schedule that start near it"
        if first < 3:
            raise ValueError(f"{what}, and must start at 3 or above; {advice}")
        share = 1 / (1 + first**2)
        warnings.warn(f"{what}: {share:.0%} of the first state's variance is data; {advice}", UserWarning, stacklevel=4)

    def replace(self, **changes: Any) -> Sampling:
        """A copy with other parts."""
        return replace(self, **changes)

    def __str__(self) -> str:
        """As it is written on the command line."""
        further = {name: getattr(self, name) for name in _FURTHER}
        if self.sampler is not None:
            return write_call(self.sampler, **further)
        return ", ".join(f"{name}={write_call(value)}" for name, value in further.items() if value is not None)


SamplingLike: TypeAlias = Sampling | Sampler | str | None
"""What `Sampling.of` takes."""
