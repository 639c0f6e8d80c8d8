"""Other libraries: their interfaces and their checkpoints, each imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoints import import_ncsnv2 as import_ncsnv2
    from .diffusers import import_diffusers as import_diffusers
    from .importing import import_checkpoint as import_checkpoint
    from .joint import JointInference as JointInference
    from .nle import NLE as NLE
    from .npe import NPE as NPE
    from .npse import NPSE as NPSE
    from .sbi import SBI as SBI, InferenceCheck as InferenceCheck
    from .score_sde import import_score_sde as import_score_sde
    from .sklearn import ScoreDensity as ScoreDensity
    from .sklearn_conditional import ConditionalScoreDensity as ConditionalScoreDensity
    from .smoke import ImportCheck as ImportCheck, check_import as check_import
    from .tutorial import import_tutorial as import_tutorial

_MODULES = {
    "ConditionalScoreDensity": "sklearn_conditional",
    "ImportCheck": "smoke",
    "InferenceCheck": "sbi",
    "JointInference": "joint",
    "NLE": "nle",
    "NPE": "npe",
    "NPSE": "npse",
    "SBI": "sbi",
    "ScoreDensity": "sklearn",
    "check_import": "smoke",
    "import_checkpoint": "importing",
    "import_diffusers": "diffusers",
    "import_ncsnv2": "checkpoints",
    "import_score_sde": "score_sde",
    "import_tutorial": "tutorial",
}

__all__ = ["NLE", "NPE", "NPSE", "SBI", "ConditionalScoreDensity", "ImportCheck", "InferenceCheck", "JointInference"]
__all__ += ["ScoreDensity", "check_import", "import_checkpoint", "import_diffusers", "import_ncsnv2"]
__all__ += ["import_score_sde", "import_tutorial"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
