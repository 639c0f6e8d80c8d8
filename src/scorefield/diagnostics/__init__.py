"""How good a learned score is: as a function, compared with an exact one; not by its samples (`evaluate`)."""

from .base import Diagnosis as Diagnosis, ScoreCheck as ScoreCheck
from .measure import diagnose as diagnose
from .runs import diagnose_run as diagnose_run

__all__ = ["Diagnosis", "ScoreCheck", "diagnose", "diagnose_run"]
