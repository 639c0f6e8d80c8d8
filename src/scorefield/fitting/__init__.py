"""A fit as a pipeline of values: data are prepared, everything is planned, each choice with its reason, then trained.

prepared = prepare(x, options)      # form, units, moments, split
planned = plan(prepared, options)   # process, noise levels, parametrization, objective, network, training, sampling
fitted = train(planned)             # the model, and what was measured of it
"""

from .fitted import Fitted as Fitted, finish as finish
from .learning import threads as threads, train as train, trainer_of as trainer_of
from .options import Choice, Options
from .planning import Plan as Plan, plan as plan, training_levels as training_levels
from .prepared import Prepared as Prepared, PreparedContext as PreparedContext, prepare as prepare
from .splitting import Split as Split, split as split

__all__ = [
    "Choice",
    "Fitted",
    "Options",
    "Plan",
    "Prepared",
    "PreparedContext",
    "Split",
    "finish",
    "plan",
    "prepare",
    "split",
    "threads",
    "train",
    "trainer_of",
    "training_levels",
]
