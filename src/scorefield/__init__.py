"""Score-based generative modelling: from realizations of anything to its law, and to new ones.

import scorefield
model = scorefield.fit(x)            # x: (N, *D), an array, a table, fields, images
new = model.sample(1000, seed=0)     # in the units and the form of x
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _old_names

__version__ = "0.2.0.dev0"

_old_names.install()

if TYPE_CHECKING:
    from .measurement import Measurement as Measurement
    from .model import Model as Model, load as load
    from .runs import Run as Run, fit as fit
    from .settings import Data as Data, Network as Network, Training as Training

_HOMES = {
    "Measurement": "measurement",
    "Model": "model",
    "load": "model",
    "Run": "runs",
    "fit": "runs",
    "Data": "settings",
    "Network": "settings",
    "Training": "settings",
}

__all__ = ["Data", "Measurement", "Model", "Network", "Run", "Training", "__version__", "fit", "load"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, when it is: `import scorefield` alone is quick, and does not import torch."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    try:
        return import_module(f".{name}", __name__)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error


def __dir__() -> list[str]:
    return sorted(__all__)
