"""What other programs call what a command here does: pointed to where there is no such command."""

from __future__ import annotations

__all__ = ["pointed_to"]

_DRAW = "scorefield sample RUN -n 1000 -o new.csv"
_FILL = "scorefield impute RUN table.csv -o filled.csv fills the gaps of rows"
_GIVEN = f"{_DRAW} --given age=40 draws samples given values, {_FILL}"
_DENSITY = "scorefield logprob RUN data.csv -o densities.csv gives log-densities"
_FIT = "scorefield fit data.csv -o RUN trains a model"
_EVALUATE = "scorefield evaluate RUN compares samples with held-out data"
_INFO = "scorefield info RUN shows what was chosen and how training went"
_REPORT = "scorefield report RUN writes a page of figures"

_POINTERS: dict[str, tuple[str, ...]] = {
    _GIVEN: ("condition", "conditional", "given", "predict", "forecast", "fill", "inpaint"),
    f"{_DRAW} draws samples": ("generate", "draw", "synthesize", "simulate"),
    _FIT: ("train", "learn"),
    f"{_FIT}, and the same command goes on with a run that was interrupted": ("resume", "continue"),
    _DENSITY: ("density", "densities", "likelihood", "log-prob", "log-likelihood", "log-density", "nll"),
    f"{_EVALUATE}, {_DENSITY}": ("score",),
    f"{_EVALUATE}, {_REPORT}": ("validate", "test", "metrics", "quality", "eval", "benchmark"),
    f"{_REPORT}, scorefield show RUN opens one to play with": ("plot", "visualize", "figures", "view", "open"),
    f"{_INFO}, {_REPORT}": ("describe", "summary", "summarize", "inspect", "status"),
}
_BY_WORD = {word: pointer for pointer, words in _POINTERS.items() for word in words}


def pointed_to(word: str) -> str | None:
    """What does what a word asks for; None if the word is not known.

    Example:
        >>> pointed_to("Train"), pointed_to("fti")
        ('scorefield fit data.csv -o RUN trains a model', None)
    """
    return _BY_WORD.get(word.lower().replace("_", "-"))
