"""What a model is conditioned on, on the command line: one group of options for every verb that loads a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evaluation import RunData
    from ..model import Model

__all__ = ["Conditions"]


@dataclass(frozen=True)
class Conditions:
    """What a model that was fitted with a context is conditioned on.

    Arguments:
        given: The context: name=value for each, or values in their order, or a file with a row for each sample.
        guidance: The weight of guidance, which sharpens the context; 1 for none.
        guidance_interval: The noise levels between which it guides, in standard deviations of the data; by default all.
    """

    given: tuple[str, ...] | None = None
    guidance: float = 1.0
    guidance_interval: tuple[float, float] | None = None

    def applied(self, model: Model) -> Model:
        """The model, conditioned on the context.

        Raises:
            ValueError: If the model needs a context and none is given, or has none, or does not know what is given.
        """
        if self.given is None:
            if self._guides:
                raise ValueError(f"--guidance {self.guidance:g} sharpens a context: give one with --given")
            self._check(model)
            return model
        return model.condition(self._context(), **self._options)

    def applied_to(self, data: RunData, needs: bool = False) -> RunData:
        """A run with its data, conditioned on the context, or on those of the held-out rows if none is given.

        Arguments:
            data: The run with its data.
            needs: Whether the contexts of held-out rows are no substitute for one that is given.

        Raises:
            ValueError: As `applied` does.
        """
        if needs and self.given is None:
            self.applied(data.model)
            return data
        options = self._options
        return data.conditioned(
            None if self.given is None else self._context(), options["guidance"], options.get("interval")
        )

    @property
    def _guides(self) -> bool:
        return self.guidance != 1 or self.guidance_interval is not None

    @property
    def _options(self) -> dict[str, Any]:
        interval = {} if self.guidance_interval is None else {"interval": self.guidance_interval}
        return {"guidance": self.guidance, **interval}

    def _check(self, model: Model) -> None:
        """Raises if the model cannot answer without a context."""
        if model.context is None:
            return
        try:
            _ = model.diffusion
        except ValueError:
            names = " ".join(f"{name}=…" for name in model.context.names)
            raise ValueError(f"this model needs a context: say which with --given {names}") from None

    def _context(self) -> Any:
        """The context as `Model.condition` takes it."""
        words = self.given or ()
        pairs = [word.partition("=") for word in words]
        named = [bool(sign) for _, sign, _ in pairs]
        if all(named):
            return {name: _value(text) for name, _, text in pairs}
        if any(named):
            raise ValueError(f"--given takes name=value for each, or values alone; got {' '.join(words)}")
        if len(words) == 1 and Path(words[0]).is_file():
            from ..data import read

            return read(words[0])
        values = [_value(text) for text in words]
        return values[0] if len(values) == 1 else values


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
