"""Where a model comes from: data, rows, version, seed, dates, and the command that fits it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ..evaluation import RunData
from ..settings import Data, Network, Training
from .words import duration

__all__ = ["command_of", "provenance"]


def provenance(data: RunData, version: str, seed: int, count: int) -> list[tuple[str, str]]:
    """Names and values of what a report is about.

    Arguments:
        data: The run with its data.
        version: The version that writes the report.
        seed, count: The seed of the samples of the report, and how many there are.
    """
    kept, about = data.run.read("run.json"), data.run.read("fit.json")
    asked, shape = kept["asked"], data.model.schema.shape
    source = asked.get("source")
    rows = f"{kept['shape'][0]:,} rows of shape {tuple(shape)}" if shape else f"{kept['shape'][0]:,} rows"
    held = "none held out" if data.train is data.held_out else f"{len(data.held_out):,} held out"
    return [
        ("Data", str(source["path"]) if source else "given in memory"),
        ("Rows", f"{rows}, {data.model.schema.dtype}: {len(data.train):,} for training, {held}"),
        ("Fitted", f"{kept.get('created', 'at an unknown time')}, version {kept['version']}, seed {asked['seed']}"),
        ("Training", f"{about['steps']:,} step{'s' * (about['steps'] != 1)} in {duration(about['seconds'])}"),
        ("Ended", str(about.get("stopped", "–"))),
        ("Command", command_of(asked, str(data.run.path)) if source else "fit(…) in Python"),
        ("Report", f"{datetime.now():%Y-%m-%d %H:%M}, version {version}, {count:,} samples with seed {seed}"),
    ]


def command_of(asked: Mapping[str, Any], folder: str) -> str:
    """The command that fits the same, from what was asked for: options that are not the defaults.

    Example:
        >>> asked = {"source": {"path": "x.npy", "key": None}, "seed": 1, "training": {"steps": 24, "clip": 1.0}}
        >>> command_of(asked, "run")
        'scorefield fit x.npy -o run --steps 24 --seed 1'
    """
    parts = ["scorefield", "fit", str(asked["source"]["path"]), "-o", folder]
    usual = {"data": asdict(Data()), "network": asdict(Network()), "training": asdict(Training())}
    usual["source"] = {"key": None, "columns": None, "resize": None, "missing_words": None}
    for group in ("source", "data", "network", "training"):
        for name, value in (asked.get(group) or {}).items():
            if name not in usual[group] or _plain(value) == _plain(usual[group][name]):
                continue
            parts += _option("kinds" if (group, name) == ("data", "columns") else name, value)
    parts += ["--context", "CONTEXT"] if asked.get("context") else []
    return shlex.join(parts + (["--seed", str(asked["seed"])] if asked.get("seed") else []))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def _option(name: str, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option if value else f"--no-{option[2:]}"]
    if isinstance(value, Mapping):
        return [option, *(f"{key}={_pair(item)}" for key, item in value.items())]
    return [option, *(map(str, value) if isinstance(value, list | tuple) else [str(value)])]


def _pair(value: Any) -> str:
    """A value of a column: bounds as low:high."""
    if not isinstance(value, list | tuple):
        return str(value)
    return ":".join("" if end is None else f"{end:g}" for end in value)
