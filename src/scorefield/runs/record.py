"""What is written down of a run: what was asked for, and what was chosen; and whether two runs are the same."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import spec
from ..data import ArrayRows, Rows
from ..distributed import decided
from ..fitting import Options, Plan
from ..noise_levels import NoiseLevels
from ..reading import reading
from ..settings import Data, Network, Training
from .folder import Run

__all__ = ["asked", "check_form", "check_same", "chosen", "fingerprint", "packages", "resumed"]

_CHOSEN = ("compile", "channels_last", "end_early")  # off by default before networks grew with the budget
_PARTS = ("process", "objective", "parametrization", "sampling")  # of a plan, recorded where the user gave them


def asked(options: Options, plan: Plan, x: Any, source: Mapping[str, Any] | None, groups: Any = None) -> dict[str, Any]:
    """What was asked for, as plain data."""
    network, levels = options.network, None if options.noise_levels is None else asdict(plan.noise_levels)
    content: dict[str, Any] = {
        "source": dict(source) if source is not None else None,
        "data": asdict(options.data),
        "network": type(network).__qualname__ if isinstance(network, nn.Module) else asdict(network),
        "training": asdict(options.training),
        "noise_levels": levels,
        "seed": options.seed,
    }
    if isinstance(network, nn.Module):
        content["own_network"] = _form(network)
    content |= {name: _described(getattr(plan, name)) for name in _PARTS if getattr(options, name) is not None}
    if options.units is not None and (units := plan.prepared.affine) is not None:
        content["units"] = {"mean": units.mean.tolist(), "std": units.std.tolist()}
    content["fingerprint"] = fingerprint(plan.prepared.schema.rows(x))
    if (context := plan.prepared.context) is not None:
        content["context"] = fingerprint(ArrayRows(torch.cat((context.train, context.held_out))))
    if groups is not None and (codes := plan.prepared.split.groups) is not None:
        content["groups"] = hashlib.blake2b(codes.tobytes(), digest_size=8).hexdigest()
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


def chosen(plan: Plan) -> dict[str, Any]:
    """What was chosen for a fit, and why, as plain data."""
    return {
        "choices": [list(choice) for choice in plan.choices],
        "noise_levels": [list(row) for row in plan.noise_levels.table()],
        "shape": [plan.prepared.summary.count, *plan.prepared.schema.inner_shape],
        "training": asdict(plan.training),
        "growth": plan.growth,
        "overlapping": plan.overlapping,
        "whitening": True,  # thin directions were looked for
        "windows": True,  # and overlapping windows
        "form": _form_of(plan),
        "created": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _form_of(plan: Plan) -> str:
    """A short word for the structure of the units and for what is held out, which a run that goes on must have again."""
    tensors = list[Tensor]()
    described = spec.describe(plan.prepared.units, tensors)
    shapes = [tuple(tensor.shape) for tensor in tensors]
    content = repr((_structure(described), shapes)).encode()
    places = b"".join(np.ascontiguousarray(part, np.int64).tobytes() for part in plan.prepared.split.places)
    return hashlib.blake2b(content + places, digest_size=8).hexdigest()


def _structure(described: Any) -> Any:
    """Plain data without floating-point numbers, which may differ between machines by rounding."""
    if isinstance(described, dict):
        return {name: _structure(value) for name, value in described.items()}
    if isinstance(described, list):
        return [_structure(value) for value in described]
    return "a number" if isinstance(described, float) else described


def check_form(folder: Run, now: Mapping[str, Any]) -> None:
    """Raises a ValueError if a run cannot go on, as its data have other units today, or other rows are held out.

    Arguments:
        folder: The run.
        now: What is chosen now.
    """
    record = folder.read("run.json")
    if None not in (there := record.get("form"), now.get("form")) and there != now["form"]:
        what = f"was begun by version {record.get('version')}, which chose other units for these data, or other held-out rows"
        raise ValueError(f"{folder.path} {what}: go on with that version, or name a new folder")


def fingerprint(rows: Rows) -> str:
    """A short word that other data would almost never have: from their shape and 64 of them."""
    places = np.unique(np.linspace(0, len(rows) - 1, 64).astype(int))
    content = repr(rows.shape).encode() + rows.take(places).numpy().tobytes()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def check_same(folder: Run, request: Mapping[str, Any]) -> None:
    """Raises a ValueError that names what differs, unless a folder holds the run that is asked for."""
    record = folder.read("run.json")
    kept = dict(record["asked"])
    usual: dict[str, Any] = json.loads(json.dumps({"data": asdict(Data()), "training": asdict(Training())}))
    if isinstance(kept.get("training"), dict):
        kept["training"] = _with_todays_defaults(record, kept["training"], request["training"])
    if isinstance(kept.get("network"), dict) and isinstance(request.get("network"), dict):
        kept["network"] = {"baseline": request["network"].get("baseline")} | kept["network"]
    if isinstance(request.get("own_network"), dict):
        kept["own_network"] = request["own_network"] | (kept.get("own_network") or {})
    if kept.get("noise_levels"):
        usual["noise_levels"] = {"tail": 0.0}
    there, now = _flat(usual) | _flat(kept), _flat(request)  # an older version knew fewer settings
    differ = [name for name in sorted(there | now) if there.get(name) != now.get(name)]
    if differ:
        said = {n: f"{n}: {_in_words(there.get(n))} there, {_in_words(now.get(n))} asked" for n in differ}
        which = ", ".join("other data" if name == "fingerprint" else text for name, text in said.items())
        advice = "ask for the same to resume it, or name a new folder"
        raise ValueError(f"{folder.path} holds another run ({which}): {advice}")


def _with_todays_defaults(
    record: Mapping[str, Any], there: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings that a run was asked for; those that were off by default in earlier versions, and are, as they are asked for."""
    off = {
        name: now.get(name) for name in _CHOSEN if "growth" not in record and not there.get(name) and not now.get(name)
    }
    return {**there, **off}


def resumed(options: Options, folder: Run) -> Options:
    """The options with what was chosen when a run began, if it has: what is measured, as the precision is, may differ today."""
    record = decided(lambda: folder.read("run.json") if folder.file("run.json").exists() else None)
    if record is None:
        return options
    with reading(folder.file("run.json"), "restore it, or start a new run"):
        return _resumed(options, record)


def _resumed(options: Options, record: Mapping[str, Any]) -> Options:
    """The options with what a record says."""
    before = record["asked"] if isinstance(record.get("asked"), dict) else {}
    usual, now = json.loads(json.dumps([asdict(Training()), asdict(options.training)]))
    there = before.get("training")
    if "training" in record and isinstance(there, dict):
        there = _with_todays_defaults(record, there, now)
        if usual | there == now:  # an older version knew fewer settings
            settings: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in record["training"].items()
            }
            settings.setdefault("muon_every", 1)  # earlier versions had Muon in each step
            if "growth" in record:  # whether the network can be compiled is found out again
                settings["compile"] = options.training.compile
            options = replace(options, training=Training(**settings))
    later = ("overlapping", "whitening", "windows")  # than the version that began the run, perhaps
    overlapping, whitening, windows = (bool(record.get(name, False)) for name in later)
    growth = float(record.get("growth", 1.0))
    options = replace(options, growth=growth, overlapping=overlapping, whitening=whitening, windows=windows)
    network = options.network
    if isinstance(before.get("network"), dict) and "baseline" not in before["network"] and isinstance(network, Network):
        options = replace(options, network=replace(network, baseline=False))
    if isinstance(before.get("data"), dict) and "maps" not in before["data"]:  # mean and standard deviation, then
        options = replace(options, data=replace(options.data, maps="affine"))
    if isinstance(before.get("data"), dict) and "split" not in before["data"]:  # copies were divided then
        options = replace(options, data=replace(options.data, split="rows"))
    if isinstance(before.get("data"), dict) and "dequantize" not in before["data"]:  # whole numbers were points then
        options = replace(options, data=replace(options.data, dequantize=False))
        rows = record.get("noise_levels", [])
        if options.noise_levels is None and len(rows) == 4:
            low, high, mean, std = (value for _, value, _ in rows)
            levels = NoiseLevels(low, high, mean, std, tuple(why for *_, why in rows))
            options = replace(options, noise_levels=levels)
    return options


def packages(plan: Plan) -> tuple[str, ...]:
    """The packages of all that a model file would name, which are trusted since the user has passed it."""
    parts = (plan.process, plan.parametrization, plan.sampling)
    described = [_classes(spec.describe(part, [])) for part in parts]
    modules = [plan.network.__class__.__module__, *(name for names in described for name in names)]
    return tuple(dict.fromkeys(("scorefield", *(module.split(".")[0] for module in modules))))


def _classes(description: Any) -> Iterator[str]:
    """The names of the classes in a description."""
    if isinstance(description, dict):
        if isinstance(description.get("class"), str):
            yield description["class"]
        for value in description.values():
            yield from _classes(value)
    elif isinstance(description, list):
        for value in description:
            yield from _classes(value)


def _form(network: nn.Module) -> dict[str, str]:
    """How a network of the user's is built: the arguments that it keeps, and how many numbers of which shapes it has."""
    form = [[name, str(each.dtype), *each.shape] for name, each in network.state_dict().items()]
    digest = hashlib.blake2b(json.dumps(form).encode(), digest_size=4).hexdigest()
    count = sum(p.numel() for p in network.parameters())
    described = _described(network)
    arguments = described["arguments"] if isinstance(described, dict) else {}
    kept = {f"arguments.{name}": _in_words(value) for name, value in arguments.items()}
    return {**kept, "parameters": f"{count:,} ({digest})"}


def _described(value: Any) -> Any:
    """An object as plain data; one that cannot be described by the name of its class."""
    tensors: list[Tensor] = []
    try:
        description = spec.describe(value, tensors)
    except TypeError:
        return f"{type(value).__module__}.{type(value).__qualname__}"
    if tensors:
        content = b"".join(t.cpu().contiguous().numpy().tobytes() for t in tensors)
        description["tensors"] = hashlib.blake2b(content, digest_size=8).hexdigest()
    return description


def _flat(request: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, by dotted names; where the data lie does not matter, their fingerprint does."""
    flat: dict[str, Any] = {}
    for name, value in request.items():
        if isinstance(value, dict) and "class" not in value and name != "source":
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        elif name != "source":
            flat[name] = value
    return flat


def _in_words(value: Any) -> str:
    """A description as a call."""
    if not isinstance(value, dict) or "class" not in value:
        return str(value)
    arguments = ", ".join(f"{name}={_in_words(inner)}" for name, inner in value["arguments"].items())
    return f"{value['class'].rpartition('.')[2]}({arguments})"
