"""What the page computes: each function takes a model, a request and the job, and returns plain values."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..calls import parse_call
from ..data import FORMATS, read
from ..inverse import misfit
from ..measurement import Mask, Measurement
from ..model import Model
from ..posterior import PosteriorMethod
from ..samplers import Sampler, Sampling
from .limits import Limits
from .requests import Request, conditioned
from .sending import densities, packed, samples
from .working import Job

__all__ = ["Compute", "complete", "density", "draw", "interpolate"]

Compute = Callable[[Model, Request, Limits, Job], dict[str, Any]]

_SAMPLERS = ("daps", "repaint", "twistedparticles")  # methods that are samplers of posteriors


def draw(model: Model, request: Request, limits: Limits, job: Job) -> dict[str, Any]:
    """Samples, and their states on the path from noise to data."""
    drawn, sampling = _drawn(conditioned(model, request), request, limits, job)
    return {**samples(drawn, model.schema), "sampling": sampling}


def complete(model: Model, request: Request, limits: Limits, job: Job) -> dict[str, Any]:
    """Samples of the posterior given the painted values of a grid, which are measured with noise."""
    schema = model.schema
    if schema.structure != "grid":
        raise ValueError(f"a mask is painted on grids, and these data are {schema.reason}: give values of columns")
    shape, size = schema.inner_shape, math.prod(schema.inner_shape)
    if len(request.values) != size:
        raise ValueError(f"a painted example has {size:,} values, got {len(request.values):,}")
    flat = torch.tensor([math.nan if v is None else v for v in request.values], dtype=torch.float64)
    y = schema.layout.outward(flat.reshape(1, *shape))[0]
    keep = ~y.isnan()
    observed = conditioned(model, request).observe(
        Measurement(Mask(keep), y[keep], request.noise), _method(request.method)
    )
    drawn, sampling = _drawn(observed, request, limits, job)
    found = samples(drawn, schema) | {"sampling": sampling}
    return found | {"misfit": float(misfit(observed, drawn).mean())}


def _method(text: str | None) -> Any:
    """A method as the command line takes it."""
    if text is None:
        return None
    return parse_call(text, Sampler if text.lower().split("(")[0].strip() in _SAMPLERS else PosteriorMethod)


def _drawn(model: Model, request: Request, limits: Limits, job: Job) -> tuple[Any, str]:
    """Samples of a conditioned model, whose states are emitted while they are drawn; and how they were drawn."""
    size = math.prod(model.schema.inner_shape)
    limits.check_count(request.count, size)
    sampling = _within(request.sampling(), model, limits)

    last = sampling.step_count or 1
    shown = np.rint(np.linspace(0, last, min(limits.frame_count(request.count * size), last + 1))).astype(int)
    for i, (level, x) in enumerate(model.trajectory(request.count, request.seed, sampling)):
        job.check()
        if i in shown:
            job.emit({"frame": packed(x.float(), "f4"), "level": level, "step": i, "steps": last})
        if i == last:
            break
    drawn = model.sample(request.count, request.seed, sampling, batch=request.count)
    return drawn, str(sampling.replace(process=None))


def _within(sampling: Sampling, model: Model, limits: Limits) -> Sampling:
    """How samples are drawn, complete, and with no more steps than the page takes."""
    found = sampling.merged(model.sampling)
    limits.check_steps(found.step_count)
    limits.check_evaluations(found.evaluations)
    return found


def interpolate(model: Model, request: Request, limits: Limits, job: Job) -> dict[str, Any]:
    """Two samples and those between them."""
    if request.through not in ("latents", "noise"):
        raise ValueError(f"an interpolation goes through latents or noise, got {request.through!r}")
    size = math.prod(model.schema.inner_shape)
    most = limits.frame_count(size)
    if not 2 <= request.frames <= most:
        raise ValueError(f"this page shows 2 to {most} steps between two samples, got {request.frames}")
    given, sampling = conditioned(model, request), request.sampling()
    _within(sampling, given, limits)
    seeds = (request.seed, request.other)
    if request.through == "noise":
        found = given.interpolate_seeds(1, seeds, request.frames, sampling)
    else:
        first, last = (given.sample(1, seed, sampling) for seed in seeds)
        found = given.interpolate(first, last, request.frames, sampling if sampling.sampler is not None else None)
    each = [samples(x, model.schema) for x in found]
    values = torch.cat([model.schema.unpack(x, torch.float64) for x in found])
    joined: dict[str, Any] = {"values": packed(values)}
    if "rows" in each[0]:
        joined |= {"rows": [row for one in each for row in one["rows"]], "ticks": each[0]["ticks"]}
    return joined


def density(model: Model, request: Request, limits: Limits, job: Job, content: bytes = b"") -> dict[str, Any]:
    """The log-densities of the rows of a file, and their errors.

    Raises:
        ValueError: If the file is damaged, of an unknown format, or its data are not like those of the model.
    """
    given = conditioned(model, request)
    if not 1 <= request.rows <= limits.rows:
        raise ValueError(
            f"this page takes 1 to {limits.rows:,} rows, got {request.rows:,}: scorefield logprob takes more"
        )
    name = request.name.replace("\\", "/").rpartition("/")[2] or "file"
    suffix = _suffix(name)
    with tempfile.TemporaryDirectory(prefix="scorefield-") as folder:
        path = Path(folder) / f"data{suffix}"
        path.write_bytes(content)
        try:
            x = read(path, key=request.key, cache=folder, limit=limits.held)
            count = len(x)
            found = given.log_prob(x[: request.rows], request.probes, request.tolerance, request.seed)
        except (ValueError, TypeError, ImportError) as error:
            if str(path) not in str(error):
                raise
            raise type(error)(str(error).replace(str(path), name)) from error  # the user knows it by its name
    return {**densities(found), "rows_of_file": count, "size": math.prod(model.schema.inner_shape)}


def _suffix(name: str) -> str:
    """The end of a file's name, if it is that of a format that is one file."""
    known = [suffix for form in FORMATS if not form.folder for suffix in form.suffixes]
    found = max((suffix for suffix in known if name.lower().endswith(suffix)), key=len, default=None)
    if found is None:
        raise ValueError(f"{name} is of an unknown kind: known are {' '.join(known)}")
    return found
