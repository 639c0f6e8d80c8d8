"""Runs: folders that a fit leaves, and can be resumed from."""

from .fitting import fit
from .folder import Run
from .record import fingerprint
from .session import Session

__all__ = ["Run", "Session", "fingerprint", "fit"]
