"""The state of training in the folder of a run: a file; and a folder of files where processes divide a network."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path
from typing import Any

from .. import checkpoint
from ..distributed import decided
from ..reading import one_line, reading
from ..sharding import read_pieces, write_pieces
from ..training import Resumable
from .folder import Run
from .log import Log

__all__ = ["State"]

_FILE = "training.safetensors"
_PIECES = re.compile(r"training-\d+")


class State:
    """The state that a run goes on from. What was saved stays until what follows it is on the disk.

    Where a network is divided, the folder `training-STEP` holds what is as large as its parameters, and `training.safetensors`,
    which process 0 writes when all others are done, names that folder.

    Arguments:
        folder: The run.
    """

    def __init__(self, folder: Run) -> None:
        self.folder = folder
        self.path = folder.file(_FILE)
        self._pieces = ""

    def load(self, trainer: Resumable) -> dict[str, Any]:
        """Puts a trainer where its state was saved; returns where the log stood, nothing where none was saved.

        Raises:
            ValueError: If the state is damaged, or of another network.
        """
        if not self.path.exists():
            return {}
        try:
            with reading(self.path):
                tensors, about = checkpoint.read_tensors(self.path)
                self._read_pieces(trainer, about.get("pieces"))
                trainer.load(tensors, about)
                log = Log.known(about["log"])
        except ValueError as error:
            why = one_line(error.__cause__ or error).split(":")[0]
            what = f"the run cannot go on from {self.path} ({why})"
            raise ValueError(f"{what}: restore that file, or remove it to train from the beginning") from error
        return log

    def _read_pieces(self, trainer: Resumable, name: Any) -> None:
        if not trainer.training.shard:
            return
        if not isinstance(name, str) or not _PIECES.fullmatch(name):
            raise ValueError("it does not say which folder holds the weights")
        read_pieces(self.folder.file(name), trainer.pieces())
        self._pieces = name

    def save(self, trainer: Resumable, log: Log | None) -> None:
        """Writes the state: process 0 does, which has the log, or all processes where the network is divided.

        Raises:
            OSError: If it cannot be written; what was saved stays.
        """
        name = f"training-{trainer.step}" if trainer.training.shard else ""
        if name != self._pieces:
            place = self.folder.file(name)
            decided(lambda: _emptied(place))
            write_pieces(place, trainer.pieces())
        if log is not None:
            tensors, about = trainer.state()
            named = {"pieces": name} if name else {}
            checkpoint.write_tensors(self.path, tensors, {**about, **named, "log": log.state()})
        if name != self._pieces:
            self._pieces = name
            decided(self._remove_others)

    def _remove_others(self) -> None:
        for place in self.folder.path.glob("training-*"):
            if _PIECES.fullmatch(place.name) and place.name != self._pieces:
                with contextlib.suppress(OSError):
                    shutil.rmtree(place)


def _emptied(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    place.mkdir()
