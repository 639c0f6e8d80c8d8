"""The log of a run: about 200 rows, as `log.jsonl` and `log.csv`, and for TensorBoard if asked for."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import checkpoint
from ..destinations import advice
from ..reading import text_of
from ..training import Progress

__all__ = ["Log", "read_log", "tensorboard_writer"]

_FRACTION = 0.005  # of the budget, between two rows
_PENDING = 256  # losses that wait on the device until they are summed
_COLUMNS = ("step", "seconds", "loss", "rate", "held_out")


class _RunningMean:
    """The mean of losses, which are read from the device many at a time, as reading waits for it."""

    def __init__(self, total: float = 0.0, count: int = 0) -> None:
        self.total, self.count = total, count
        self._pending: list[Tensor | float] = []

    def add(self, loss: Tensor | float) -> None:
        self._pending.append(loss)
        if len(self._pending) >= _PENDING:
            self._sum()

    def _sum(self) -> None:
        for loss in self._pending:
            self.total += float(loss)
        self.count += len(self._pending)
        self._pending = []

    def state(self) -> dict[str, Any]:
        self._sum()
        return {"total": self.total, "count": self.count}

    def mean(self) -> float:
        self._sum()
        return self.total / self.count


class Log:
    """Writes the rows of a run: the step, the seconds, the mean loss since the row before, the factor of the learning rates
    and the held-out loss if it was measured.

    Arguments:
        folder: The folder of the run.
        rows: The rows that were written before the run was interrupted.
        state: What `state` gave then.
        tensorboard: Whether a log for TensorBoard is written, too.
    """

    def __init__(
        self,
        folder: Path,
        rows: Sequence[dict[str, Any]] = (),
        state: Mapping[str, Any] | None = None,
        tensorboard: bool = False,
    ) -> None:
        state = state or {}
        self.folder = folder
        self.fraction: float = state.get("fraction", -1.0)
        self._loss = _RunningMean(state.get("total", 0.0), state.get("count", 0))
        for loss in state.get("losses", ()):  # as 0.1.0 kept them
            self._loss.add(loss)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        writer.writerows(row.values() for row in rows)
        checkpoint.write_atomically(folder / "log.csv", text.getvalue().encode())
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        checkpoint.write_atomically(folder / "log.jsonl", lines.encode())
        self.writer = tensorboard_writer(folder / "tensorboard") if tensorboard else None

    @staticmethod
    def known(state: Any) -> dict[str, Any]:
        """What `state` gave, once it was read from a file.

        Raises:
            ValueError: If it is something else.
        """
        numbers = [state.get(name, 0) for name in ("fraction", "total", "count")] if isinstance(state, dict) else [None]
        numbers += state.get("losses", ()) if isinstance(state, dict) else ()
        if not all(isinstance(number, int | float) for number in numbers):
            raise ValueError(f"where the log stood is not numbers but {str(state)[:80]}")
        return dict(state)

    def add(self, progress: Progress) -> None:
        """Counts a step; writes a row if it is time."""
        self._loss.add(progress.loss)
        if progress.held_out is None and progress.fraction < self.fraction + _FRACTION and progress.step > 1:
            return
        values = (progress.step, round(progress.seconds, 3), self._loss.mean(), progress.rate, progress.held_out)
        row = dict(zip(_COLUMNS, values))
        text = io.StringIO()
        csv.writer(text).writerow(row.values())
        self._append("log.jsonl", json.dumps(row) + "\n")
        self._append("log.csv", text.getvalue())
        if self.writer is not None:
            for name in ("loss", "rate", "held_out"):
                if row[name] is not None:
                    self.writer.add_scalar(name, row[name], progress.step)
        self.fraction, self._loss = progress.fraction, _RunningMean()

    def _append(self, name: str, text: str) -> None:
        path = self.folder / name
        try:
            with open(path, "a", newline="") as file:
                file.write(text)
        except OSError as error:
            what = f"{path} could not be written ({error.strerror or error})"
            kept = "training up to the last checkpoint is kept: " * self.folder.is_dir()
            raise OSError(error.errno, f"{what}; {kept}{advice(error, self.folder)}") from error

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to write the same rows."""
        return {"fraction": self.fraction, **self._loss.state()}

    def close(self) -> None:
        """Ends the log for TensorBoard."""
        if self.writer is not None:
            self.writer.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The rows of the log in a folder; a row that was cut off is left out."""
    path = folder / "log.jsonl"
    rows = []
    for line in text_of(path).splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError, RecursionError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict) and _is_row(row)]


def _is_row(row: dict[str, Any]) -> bool:
    """Whether a row has the columns of a log, with numbers in them."""
    return all(
        isinstance(row.get(name), int | float) and not isinstance(row[name], bool) for name in _COLUMNS[:-1]
    ) and isinstance(row.get("held_out", 0), int | float | None)


def tensorboard_writer(path: Path | None) -> Any:
    """A writer of TensorBoard's, which must be installed; None only tries whether it is."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError('a log for TensorBoard needs it: pip install "scorefield[tensorboard]"') from error
    return None if path is None else SummaryWriter(str(path))
