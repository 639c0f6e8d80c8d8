"""Runs: folders that a fit leaves, and can be resumed from."""

from .distilling import distill, teacher_of
from .draws import drawn
from .fitting import fit
from .folder import Run
from .record import fingerprint
from .session import Session
from .split import read_split

__all__ = ["Run", "Session", "distill", "drawn", "fingerprint", "fit", "read_split", "teacher_of"]
