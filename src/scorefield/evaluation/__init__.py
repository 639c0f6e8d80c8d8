"""How good a fit is: samples compared with held-out data, by tests that suit the data, and what to do next."""

from .base import Drift as Drift, Evaluation as Evaluation, TableEvaluation as TableEvaluation
from .hold_out import HoldOut as HoldOut
from .measure import DISTANCES as DISTANCES, evaluate as evaluate, standard as standard
from .runs import RunData as RunData, evaluate_run as evaluate_run, run_of as run_of, split_of as split_of
from .tables import evaluate_table as evaluate_table
from .verdict import LossHistory as LossHistory, still_falling as still_falling

__all__ = [
    "DISTANCES", "Drift", "Evaluation", "HoldOut", "LossHistory", "RunData", "TableEvaluation", "evaluate", "evaluate_run",
    "evaluate_table", "run_of", "split_of", "standard", "still_falling",
]  # fmt: skip
