"""Score-based generative modelling: learns the distribution of your data from samples and draws new ones.

    import scorefield
    model = scorefield.fit(x)            # x: (N, *D), an array, a table, fields, images
    new = model.sample(1000, seed=0)     # in the units and the form of x

Verbs: `read` a file, `fit` data, `load` a model; `evaluate`, `compare`, `diagnose` and `report` a run. Everything else is in
the modules, which are imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _old_names

__version__ = "0.2.0"

_old_names.install()

if TYPE_CHECKING:
    from . import (
        bars as bars,
        blockwise as blockwise,
        calls as calls,
        checkpoint as checkpoint,
        classifier_guidance as classifier_guidance,
        cli as cli,
        comparison as comparison,
        complete_rows as complete_rows,
        condition_migrations as condition_migrations,
        conditionable as conditionable,
        conditions as conditions,
        constraints as constraints,
        context as context,
        data as data,
        denoisers as denoisers,
        deprecation as deprecation,
        derivatives as derivatives,
        destinations as destinations,
        diagnostics as diagnostics,
        diffusion as diffusion,
        display as display,
        distributed as distributed,
        evaluation as evaluation,
        fitting as fitting,
        gaussian_frame as gaussian_frame,
        generative as generative,
        given_text as given_text,
        interop as interop,
        inverse as inverse,
        known_readings as known_readings,
        likelihood as likelihood,
        limits as limits,
        mcmc as mcmc,
        measured_columns as measured_columns,
        measurement as measurement,
        metrics as metrics,
        migrations as migrations,
        model as model,
        nn as nn,
        noise_levels as noise_levels,
        objectives as objectives,
        ode as ode,
        overwriting as overwriting,
        plotting as plotting,
        posterior as posterior,
        presets as presets,
        processes as processes,
        progress as progress,
        reading as reading,
        renames as renames,
        replacing as replacing,
        reporting as reporting,
        rng as rng,
        runs as runs,
        samplers as samplers,
        schedules as schedules,
        settings as settings,
        sharding as sharding,
        show as show,
        spec as spec,
        tensors as tensors,
        toys as toys,
        training as training,
        units as units,
        warned as warned,
    )
    from .comparison import compare as compare
    from .data import missing as missing, read as read
    from .diagnostics import diagnose_run as diagnose
    from .evaluation import evaluate_run as evaluate
    from .measurement import Measurement as Measurement
    from .model import Model as Model, load as load
    from .reporting.run import report as report
    from .runs import Run as Run, fit as fit
    from .samplers import Sampling as Sampling
    from .settings import Data as Data, Network as Network, Training as Training

_INTERNAL = {
    "bars",
    "blockwise",
    "calls",
    "condition_migrations",
    "deprecation",
    "destinations",
    "display",
    "known_readings",
    "limits",
    "migrations",
    "overwriting",
    "reading",
    "renames",
    "replacing",
    "spec",
    "warned",
}
_HOMES = {
    "Data": ("settings", "Data"),
    "Measurement": ("measurement", "Measurement"),
    "Model": ("model", "Model"),
    "Network": ("settings", "Network"),
    "Run": ("runs", "Run"),
    "Sampling": ("samplers", "Sampling"),
    "Training": ("settings", "Training"),
    "compare": ("comparison", "compare"),
    "diagnose": ("diagnostics", "diagnose_run"),
    "evaluate": ("evaluation", "evaluate_run"),
    "fit": ("runs", "fit"),
    "load": ("model", "load"),
    "missing": ("data", "missing"),
    "read": ("data", "read"),
    "report": ("reporting.run", "report"),
}

__all__ = [
    "Data",
    "Measurement",
    "Model",
    "Network",
    "Run",
    "Sampling",
    "Training",
    "__version__",
    "compare",
    "diagnose",
    "evaluate",
    "fit",
    "load",
    "missing",
    "read",
    "report",
]


def __getattr__(name: str) -> Any:
    """Imports what is asked for, when it is: `import scorefield` alone is quick, and does not import torch."""
    from importlib import import_module

    if name in _HOMES:
        module, own = _HOMES[name]
        return getattr(import_module(f".{module}", __name__), own)
    try:
        return import_module(f".{name}", __name__)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error


def __dir__() -> list[str]:
    from pkgutil import iter_modules

    modules = {module.name for module in iter_modules(__path__) if not module.name.startswith("_")}
    return sorted({*__all__, *(modules - _INTERNAL)})
