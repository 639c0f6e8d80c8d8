"""How good a fit is: samples compared with held-out data, by tests that suit the data, and what to do next."""

from .base import (
    Conditionals as Conditionals,
    ConditionCheck as ConditionCheck,
    Drift as Drift,
    Evaluation as Evaluation,
    TableEvaluation as TableEvaluation,
    Verdict as Verdict,
)
from .by_condition import check_condition as check_condition
from .conditionals import check_conditionals as check_conditionals
from .hold_out import HoldOut as HoldOut
from .measure import DISTANCES as DISTANCES, evaluate as evaluate, standard as standard
from .runs import RunData as RunData, evaluate_run as evaluate_run, run_of as run_of, split_of as split_of
from .tables import evaluate_table as evaluate_table
from .testing import RealData as RealData, Tested as Tested
from .verdict import LossHistory as LossHistory, still_falling as still_falling

__all__ = [
    "DISTANCES", "ConditionCheck", "Conditionals", "Drift", "Evaluation", "HoldOut", "LossHistory", "RealData", "RunData",
    "TableEvaluation", "Tested", "Verdict", "check_condition", "check_conditionals", "evaluate", "evaluate_run",
    "evaluate_table", "run_of", "split_of", "standard", "still_falling",
]  # fmt: skip
