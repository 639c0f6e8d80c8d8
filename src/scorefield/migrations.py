"""The structure of models in files of version 0.1.0, brought into the present one: plain data in, plain data out."""

from __future__ import annotations

from typing import Any

__all__ = ["migrate_sampling"]

_MODEL = "scorefield.model.Model"
_SAMPLING = "scorefield.samplers.Sampling"
# Samplers and schedules that went by steps of their own, whatever the model said.
_WITH_STEPS = {"scorefield.samplers.AdaptiveSDE", "scorefield.samplers.DormandPrince"}
_WITH_STEPS |= {"scorefield.schedules.ExplicitLevels"}
_CLOCK = "scorefield.schedules.UniformTime"
_PARTS = {"sampler": "sampler", "steps": "steps", "grid": "schedule", "process": "process"}


def migrate_sampling(spec: Any) -> Any:
    """Gathers process, sampler, steps and grid of the models in a structure of 0.1.0, with present names, in a `Sampling`."""
    if isinstance(spec, list):
        return [migrate_sampling(part) for part in spec]
    if not isinstance(spec, dict):
        return spec
    spec = {name: migrate_sampling(part) for name, part in spec.items()}
    parts = spec.get("arguments")
    if spec.get("class") != _MODEL or not isinstance(parts, dict):
        return spec
    sampling = {new: parts[old] for old, new in _PARTS.items() if old in parts}
    if any(isinstance(part, dict) and part.get("class") in _WITH_STEPS for part in sampling.values()):
        sampling.pop("steps", None)
    if sampling.get("schedule") is None:
        sampling["schedule"] = {"class": _CLOCK, "arguments": {}}  # what no grid meant then
    kept = {name: part for name, part in parts.items() if name not in _PARTS}
    return {**spec, "arguments": {**kept, "sampling": {"class": _SAMPLING, "arguments": sampling}}}
