"""How samples are drawn, on the command line: one group of options for every verb that draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..samplers import Sampling

__all__ = ["NAMES", "Drawing"]

NAMES = """Samplers are those of scorefield.samplers (ddim, heun, dpm, unipc, churn, …),
schedules those of scorefield.schedules (karras, loglevel, …),
processes those of scorefield.processes (vp, ve, edm, flow, …).
A wrong name lists them all."""


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn. What is left out is the model's own.

    Arguments:
        sampler: The sampler, as name or name(key=value, …): heun, "ddim(eta=1)", "heun(steps=20, schedule=karras)".
        steps: The number of steps, if the call of the sampler does not say it.
        schedule: The times to step through, such as karras or "karras(rho=5)".
        process: The noise process, such as vp or flow; it takes the levels that the model has learned.
    """

    sampler: str | None = None
    steps: int | None = None
    schedule: str | None = None
    process: str | None = None

    def sampling(self) -> Sampling:
        """The value that Python takes."""
        from ..samplers import Sampling

        return Sampling.of(self.sampler, self.steps, self.schedule, self.process)
