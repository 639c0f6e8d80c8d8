"""Runs: folders that a fit leaves, and can be resumed from."""

from .fitting import fit
from .folder import Run
from .record import fingerprint
from .session import Session
from .split import read_split

__all__ = ["Run", "Session", "fingerprint", "fit", "read_split"]
