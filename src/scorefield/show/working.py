"""One computation at a time, in a thread of its own, which can be stopped."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.modules.module import register_module_forward_pre_hook

from ..reading import CompleteError, deliberate, one_line, out_of_memory

__all__ = ["Job", "JobStoppedError", "Worker", "explained"]

_PATIENCE = 10.0  # seconds until a computation that was stopped has noticed it

Emit = Callable[[dict[str, Any]], None]


class JobStoppedError(CompleteError):
    """A computation was stopped: by the user, or since it took too long."""


class Job:
    """A computation that runs: what it says, and whether it shall stop.

    Arguments:
        emit: Takes what the page is to see, a plain value.
        seconds: How long it may take.
    """

    def __init__(self, emit: Emit, seconds: float) -> None:
        self.emit = emit
        self.seconds = seconds
        self.stopped = threading.Event()
        self.begun = time.monotonic()
        self.evaluations = 0

    def check(self) -> None:
        """Raises if it shall go no further.

        Raises:
            JobStoppedError: Then.
        """
        if self.stopped.is_set():
            raise JobStoppedError("stopped")
        if time.monotonic() - self.begun > self.seconds:
            what = f"this page computes for up to {self.seconds:g} seconds"
            raise JobStoppedError(f"{what}: ask for fewer samples or steps, or use the command line")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, any network that this thread evaluates stops if the computation shall; evaluations are counted."""
        thread = threading.get_ident()
        outermost: list[type] = []  # the kind of module that is called first contains the others

        def before(module: Any, inputs: Any) -> None:
            if threading.get_ident() == thread:
                self.check()
                outermost[:] = outermost or [type(module)]
                self.evaluations += type(module) is outermost[0]

        handle = register_module_forward_pre_hook(before)
        try:
            yield
        finally:
            handle.remove()


class Worker:
    """Runs computations, one at a time.

    Arguments:
        seconds: How long one may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._free = threading.Lock()
        self._job: Job | None = None

    def begin(self, work: Callable[[Job], dict[str, Any]], emit: Emit) -> Job:
        """Begins a computation; what it returns is emitted as `result`, what goes wrong as `error`, and None at its end.

        Raises:
            ValueError: If another one runs.
        """
        running = self._job
        patience = _PATIENCE if running is not None and running.stopped.is_set() else 0.0
        if not self._free.acquire(timeout=patience):
            raise ValueError("another computation runs: wait until it ends, or stop it")
        job = self._job = Job(emit, self.seconds)
        threading.Thread(target=self._run, args=(work, job)).start()
        return job

    def stop(self) -> None:
        """Stops the computation that runs, if one does."""
        if self._job is not None:
            self._job.stopped.set()

    def _run(self, work: Callable[[Job], dict[str, Any]], job: Job) -> None:
        event: dict[str, Any]
        try:
            with job.watched(), warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("always", UserWarning)
                event = {"result": work(job)}
            event["notes"] = sorted({one_line(note.message, 500) for note in notes if _for_users(note)})  # type: ignore[arg-type]
        except Exception as error:
            event = {"error": explained(error)}
        finally:
            self._free.release()
        job.emit(event)


def _for_users(note: warnings.WarningMessage) -> bool:
    return issubclass(note.category, UserWarning)


def explained(error: BaseException) -> str:
    """An error in one line, as the command line says it: what the package did not raise on purpose is a defect of it.

    Example:
        >>> explained(KeyError("x"))
        "this is a defect of scorefield: KeyError: 'x' is missing"
    """
    if deliberate(error):
        return " ".join(str(error).split())
    if out_of_memory(error):
        what = f"memory does not suffice ({one_line(error)})"
        return f"{what}: use smaller batches, fewer samples or a smaller network"
    if isinstance(error, OSError) and error.errno is not None:
        return one_line(error, 500)
    return f"this is a defect of scorefield: {type(error).__name__}: {one_line(error)}"
