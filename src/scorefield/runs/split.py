"""Which rows a run has held out, kept in its folder where they do not follow from the seed alone."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import torch

from .. import checkpoint
from ..data import Rows
from ..fitting import Split, split
from .folder import Run

__all__ = ["read_split", "write_split"]

_FILE = "split.safetensors"


def write_split(folder: Run, parts: Split) -> None:
    """Keeps a split by groups, by distinct rows or by time; others follow from the seed.

    Arguments:
        folder: The run.
        parts: The split.
    """
    kept = {"groups": parts.groups, "order": parts.order}
    tensors = {name: torch.from_numpy(value.astype(np.int64)) for name, value in kept.items() if value is not None}
    if not tensors:
        with contextlib.suppress(FileNotFoundError):  # of a run that was killed before it began
            folder.file(_FILE).unlink()
        return
    tensors |= {name: torch.from_numpy(places) for name, places in zip(("train", "held_out"), parts.places)}
    checkpoint.write_tensors(folder.file(_FILE), tensors, {"named": parts.named, "said": parts.said})


def read_split(folder: Run, rows: Rows) -> Split:
    """The split of a run.

    Arguments:
        folder: The run.
        rows: All rows of its data.

    Raises:
        ValueError: If what is kept of it is damaged.
    """
    if not folder.file(_FILE).is_file():
        asked = folder.read("run.json")["asked"]
        return split(rows, asked["data"]["held_out"], asked["seed"])
    tensors, about = checkpoint.read_tensors(folder.file(_FILE))
    kept = {name: value.numpy() for name, value in tensors.items()}
    train, held_out = (kept.get(name, np.zeros(0, np.int64)) for name in ("train", "held_out"))
    apart = len(rows) - len(train) - len(held_out)  # rows between both sides, of overlapping windows
    if apart < 0 or (apart and "order" not in kept) or max(x.max(initial=-1) for x in (train, held_out)) >= len(rows):
        raise ValueError(
            f"{folder.file(_FILE)} does not divide the {len(rows)} rows of the data: restore it, or fit again"
        )
    found = Split(rows.subset(train), rows.subset(held_out), (train, held_out), kept.get("groups"), kept.get("order"))
    return replace(found, named=bool(about.get("named")), said=str(about.get("said", "")))
