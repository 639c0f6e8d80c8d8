"""Other libraries: their interfaces and their checkpoints, each imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoints import import_ncsnv2 as import_ncsnv2
    from .diffusers import import_diffusers as import_diffusers
    from .nle import NLE as NLE
    from .npse import NPSE as NPSE
    from .score_sde import import_score_sde as import_score_sde
    from .sklearn import ScoreDensity as ScoreDensity

_MODULES = {
    "NLE": "nle",
    "NPSE": "npse",
    "ScoreDensity": "sklearn",
    "import_diffusers": "diffusers",
    "import_ncsnv2": "checkpoints",
    "import_score_sde": "score_sde",
}

__all__ = ["NLE", "NPSE", "ScoreDensity", "import_diffusers", "import_ncsnv2", "import_score_sde"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
