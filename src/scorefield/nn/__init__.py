"""Networks F(x, c) of a state and a noise label. They are independent of the diffusion process."""

from .binary import ConditionalBits
from .choose import choose, choose_for_readings, choose_for_tables
from .classifier import ClassifierNetwork
from .embed import FourierEmbedding
from .fourier_features import FourierFeatures
from .gaussian import ConditionalGaussian
from .mixture_density import ConditionalMixture
from .mlp import MLP
from .ncsnpp import NCSNpp
from .pieces import Pieces
from .potential import Potential
from .reading_transformer import ReadingTransformer
from .refinenet import RefineNet
from .regression import SmoothRegression
from .residual_mlp import ResidualMLP
from .tokens import TokenBlocks, TokenTransformer
from .tutorial import SigmaUNet, TutorialUNet
from .unet import UNet

__all__ = ["ClassifierNetwork", "ConditionalGaussian", "ConditionalMixture", "FourierEmbedding", "FourierFeatures"]
__all__ += ["MLP", "NCSNpp", "Pieces", "Potential", "ReadingTransformer", "RefineNet", "ResidualMLP", "SigmaUNet"]
__all__ += ["TokenBlocks", "TokenTransformer", "TutorialUNet", "UNet", "choose", "choose_for_readings"]
__all__ += ["ConditionalBits", "SmoothRegression", "choose_for_tables"]
