"""Runs: folders that a fit leaves, and can be resumed from."""

from .draws import drawn
from .fitting import fit
from .folder import Run
from .record import fingerprint
from .session import Session
from .split import read_split

__all__ = ["Run", "Session", "drawn", "fingerprint", "fit", "read_split"]
