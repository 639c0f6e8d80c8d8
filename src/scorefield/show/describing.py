"""What the page must know of a model: its form, its names and units, what it can be conditioned on."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from .. import processes, samplers, schedules
from ..data import Schema
from ..model import Model
from .limits import Limits

__all__ = ["about", "unit_of"]

_COORDINATES = 4096  # of an axis, which are sent
_LEVELS = 200  # of a category, which are listed


def about(model: Model, name: str, limits: Limits) -> dict[str, Any]:
    """A description of a model as plain values, for JSON.

    Arguments:
        model: The model.
        name: What it is called: the name of its run.
        limits: How much the page may ask for.
    """
    schema, size = model.schema, int(np.prod(model.schema.inner_shape))
    return {
        "name": name,
        "kind": _kind(schema),
        "shape": list(schema.shape),
        "inner": list(schema.inner_shape),
        "dtype": schema.dtype,
        "bytes": schema.dtype == "uint8" and schema.structure == "grid",
        "columns": _columns(schema),
        "axes": _axes(schema),
        "label": _label(schema),
        "context": _context(model),
        "sampling": str(model.sampling.replace(process=None)),
        "process": type(model.process).__name__,
        "names": {
            "sampler": _offered(samplers, samplers.Sampler),
            "schedule": _offered(schedules, schedules.Schedule),
            "process": _offered(processes, processes.Process),
        },
        "limits": {
            "samples": max(1, min(limits.samples, limits.numbers // size)),
            "frames": limits.frame_count(size),
            "steps": limits.steps,
            "rows": limits.rows,
            "upload": limits.upload,
        },
    }


def _kind(schema: Schema) -> str:
    if schema.structure == "vector":
        return "table"
    return ("signals", "images", "volumes")[len(schema.inner_shape) - 2]


def _columns(schema: Schema) -> list[dict[str, Any]]:
    """The columns of a table or a vector: name, kind, and the levels of categories."""
    if schema.structure != "vector":
        return []
    names = [str(name) for name in schema.columns or range(schema.inner_shape[0])]
    if not schema.table:
        return [{"name": name, "kind": "number", "levels": []} for name in names]
    return [{"name": str(c.name), "kind": c.kind, "levels": _levels(c), "missing": c.missing} for c in schema.table]


def _levels(column: Any) -> list[str]:
    return (
        [str(v) for v in column.decode(np.arange(column.size, dtype=float)).tolist()][:_LEVELS] if column.size else []
    )


def _axes(schema: Schema) -> list[dict[str, Any]]:
    """The axes of a grid in space: name, unit, and the coordinates if they are numbers."""
    if schema.structure != "grid":
        return []
    names, variables = list((schema.dims or ())[1:]), schema.coordinate_variables() if schema.dims else {}
    if schema.channel_axis is not None and names:
        names.pop(schema.channel_axis)
    found = []
    for place, length in enumerate(schema.inner_shape[1:]):
        name = names[place] if names else ("sample point" if len(schema.inner_shape) == 2 else "pixel")
        _, values, attrs = variables.get(name, ((), np.arange(0), {}))
        plain = values.ndim == 1 and len(values) == length <= _COORDINATES and values.dtype.kind in "fiu"
        found.append({"name": name, "unit": unit_of(attrs), "values": values.tolist() if plain else None})
    return found


def _label(schema: Schema) -> dict[str, str]:
    """What the values of a grid are: name and unit."""
    attrs = dict(schema.attrs)
    return {"name": str(attrs.get("long_name") or schema.name or "value"), "unit": unit_of(attrs)}


def unit_of(attrs: dict[str, Any]) -> str:
    """The unit among the attributes of an array, by the conventions of netCDF; "" if there is none.

    Example:
        >>> unit_of({"units": "K"})
        'K'
    """
    return str(attrs.get("units", attrs.get("unit", "")))


def _context(model: Model) -> dict[str, Any] | None:
    """What a conditional model takes: its columns, whether it can do without, and why the page cannot give it."""
    if model.context is None:
        return None
    whole = bool(model.context.shape) or model.context.sets > 1
    columns = [] if whole else model.context.columns
    return {
        "columns": [{"name": c.name, "levels": [str(v) for v in c.categories or ()]} for c in columns],
        "optional": bool(model.denoiser.unconditional),
        "guided": bool(model.denoiser.unconditional),
        "refused": "its context is a field or a set, given as a file: scorefield sample --given FILE" if whole else "",
    }


def _offered(module: Any, base: type) -> list[str]:
    """The names that the command line knows without arguments."""
    kinds = (kind for kind in vars(module).values() if inspect.isclass(kind) and issubclass(kind, base))
    plain = (kind for kind in kinds if not inspect.isabstract(kind) and _needs_nothing(kind))
    return sorted({kind.__name__.lower() for kind in plain})


def _needs_nothing(kind: type) -> bool:
    return all(p.default is not p.empty for p in inspect.signature(kind).parameters.values())
