"""What the page asks for, as values: read from JSON, checked, and in the words of the command line."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..given_text import from_text
from ..model import Model
from ..samplers import Sampling
from .limits import Limits

__all__ = ["Request", "conditioned"]

_SEEDS = 2**53  # beyond, numbers of JavaScript lose digits


@dataclass(frozen=True)
class Request:
    """One request of the page.

    Arguments:
        seed: The seed.
        count: How many samples.
        sampler, steps, schedule, process: As the command line takes them; None leaves them to the model.
        given: Values of columns or of the context, as text by their names.
        guidance: The weight of guidance; 1 for none.
        other: The seed of the other sample of an interpolation.
        frames: The number of pictures of an interpolation.
        through: What an interpolation goes through: "latents" or "noise".
        values: A painted example in the layout of networks, flat, with None where it is unknown.
        noise: The standard deviation of the noise of painted values, in the units of the data.
        method: How the posterior is sampled, as the command line takes it.
        rows: How many rows of a file.
        probes, tolerance: How log-densities are computed, as `model.log_prob` takes it.
        name: The name of this file.
        key: The array in this file.
    """

    seed: int = 0
    count: int = 16
    sampler: str | None = None
    steps: int | None = None
    schedule: str | None = None
    process: str | None = None
    given: dict[str, str] = field(default_factory=dict)
    guidance: float = 1.0
    other: int = 1
    frames: int = 9
    through: str = "latents"
    values: list[float | None] = field(default_factory=list)
    noise: float = 0.0
    method: str | None = None
    rows: int = 32
    probes: int | None = None
    tolerance: float | None = None
    name: str = ""
    key: str | None = None

    @classmethod
    def of(cls, content: Any, limits: Limits) -> Request:
        """The request in the content of a message.

        Raises:
            ValueError: If it has an unknown part, or one of another type or size.

        Example:
            >>> Request.of({"seed": 3, "sampler": "heun"}, Limits()).sampler
            'heun'
        """
        if not isinstance(content, dict):
            raise ValueError(f"a request is an object of JSON, got {type(content).__name__}")
        unknown = [name for name in content if name not in _READERS]
        if unknown:
            raise ValueError(f"a request has no {str(unknown[0])[:40]!r}: it takes {', '.join(_READERS)}")
        found = {n: _READERS[n](n, value, limits) for n, value in content.items() if value is not None}
        return cls(**{name: value for name, value in found.items() if value is not None})

    def sampling(self) -> Sampling:
        """How samples are drawn; what was left out is the model's own.

        Raises:
            ValueError: If a text cannot be read.
        """
        return Sampling.of(self.sampler, self.steps, self.schedule, self.process)

    def sample_command(self, run: str, output: str) -> str:
        """The command line that draws the same samples.

        Example:
            >>> Request(seed=2, sampler="ddim(eta=1)", given={"label": "3"}).sample_command("run", "new.npy")
            "scorefield sample run -n 16 --seed 2 --sampler 'ddim(eta=1)' --given label=3 -o new.npy"
        """
        words = [
            "sample",
            run,
            "-n",
            self.count,
            "--seed",
            self.seed,
            *self._options("sampler", "steps", "schedule", "process"),
        ]
        return _command([*words, *self._given(), "-o", output])

    def density_command(self, run: str) -> str:
        """The command line that computes the same log-densities."""
        words = ["logprob", run, self.name, "-n", self.rows, "--seed", self.seed]
        return _command([*words, *self._options("probes", "tolerance", "key"), *self._given()])

    def _options(self, *names: str) -> list[Any]:
        given = [(name, getattr(self, name)) for name in names if getattr(self, name) is not None]
        return [
            word for name, value in given for word in (f"--{name}", f"{value:g}" if isinstance(value, float) else value)
        ]

    def _given(self) -> list[Any]:
        given = ["--given", *(f"{name}={text}" for name, text in self.given.items())] if self.given else []
        return given + (["--guidance", f"{self.guidance:g}"] if self.guidance != 1 else [])


def _command(words: Iterable[Any]) -> str:
    return shlex.join(["scorefield", *map(str, words)])


def conditioned(model: Model, request: Request) -> Model:
    """The model, conditioned on what the request gives.

    Raises:
        ValueError: If a context is missing, or the model does not know a column or a value.
    """
    if not request.given:
        if request.guidance != 1:
            raise ValueError(f"guidance {request.guidance:g} sharpens a context: give one")
        _ = model.diffusion  # which says what is missing
        return model
    return model.condition(from_text(model, request.given), guidance=request.guidance)


def _whole(name: str, value: Any, limits: Limits) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _SEEDS:
        raise ValueError(f"{name} is a whole number from 0 to {_SEEDS - 1:,}, got {str(value)[:40]}")
    return value


def _number(name: str, value: Any, limits: Limits) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is a number, got {str(value)[:40]}")
    return float(value)


def _text(name: str, value: Any, limits: Limits) -> str | None:
    if not isinstance(value, str) or len(value) > limits.text:
        got = f"{len(value):,} characters" if isinstance(value, str) else type(value).__name__
        raise ValueError(f"{name} is a text of up to {limits.text} characters, got {got}")
    return value.strip() or None


def _texts(name: str, value: Any, limits: Limits) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > limits.text:
        raise ValueError(f"{name} holds up to {limits.text} texts by their names, got {type(value).__name__}")
    texts = {str(key): _text(str(key)[:40], each, limits) for key, each in value.items()}
    return {key: each for key, each in texts.items() if each is not None}


def _numbers(name: str, value: Any, limits: Limits) -> list[float | None]:
    if not isinstance(value, list) or len(value) > limits.numbers:
        raise ValueError(f"{name} is a list of up to {limits.numbers:,} numbers, got {type(value).__name__}")
    return [None if each is None else _number(name, each, limits) for each in value]


_READERS: dict[str, Any] = {
    **dict.fromkeys(("seed", "count", "steps", "other", "frames", "rows", "probes"), _whole),
    **dict.fromkeys(("guidance", "noise", "tolerance"), _number),
    **dict.fromkeys(("sampler", "schedule", "process", "through", "method", "name", "key"), _text),
    "given": _texts,
    "values": _numbers,
}
"""How each part of a request is read."""
