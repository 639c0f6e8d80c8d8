"""Runs: folders that a fit leaves, and can be resumed from."""

from .fitting import fit as fit
from .folder import Run as Run
from .record import fingerprint as fingerprint
from .session import Session as Session

__all__ = ["Run", "Session", "fingerprint", "fit"]
