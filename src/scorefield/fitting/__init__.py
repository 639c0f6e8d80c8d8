"""A fit as a pipeline of values: data are prepared, everything is planned, each choice with its reason, then trained.

prepared = prepare(x, options)      # form, units, moments, split
planned = plan(prepared, options)   # process, noise levels, parametrization, objective, network, training, sampling
fitted = train(planned)             # the model, and what was measured of it
"""

from .distilling import Distillation, plan_distillation
from .fitted import Fitted, finish
from .learning import threads, train, trainer_of
from .options import Choice, Options
from .planning import Plan, plan, training_levels
from .prepared import Prepared, PreparedContext
from .preparing import prepare
from .splitting import Split, split

__all__ = [
    "Choice",
    "Distillation",
    "Fitted",
    "Options",
    "Plan",
    "Prepared",
    "PreparedContext",
    "Split",
    "finish",
    "plan",
]
__all__ += ["plan_distillation"]
__all__ += ["prepare", "split", "threads", "train", "trainer_of", "training_levels"]
