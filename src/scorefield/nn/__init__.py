"""Networks F(x, c) of a state and a noise label. They are independent of the diffusion process."""

from .choose import choose, choose_for_tables
from .classifier import ClassifierNetwork
from .embed import FourierEmbedding
from .fourier_features import FourierFeatures
from .gaussian import ConditionalGaussian
from .mlp import MLP
from .ncsnpp import NCSNpp
from .potential import Potential
from .refinenet import RefineNet
from .residual_mlp import ResidualMLP
from .tutorial import SigmaUNet, TutorialUNet
from .unet import UNet

__all__ = ["ClassifierNetwork", "ConditionalGaussian", "FourierEmbedding", "FourierFeatures", "MLP", "NCSNpp"]
__all__ += ["Potential", "RefineNet", "ResidualMLP", "SigmaUNet", "TutorialUNet", "UNet", "choose"]
__all__ += ["choose_for_tables"]
