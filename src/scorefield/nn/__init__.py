"""Networks F(x, c) of a state and a noise label. They are independent of the diffusion process."""

from .choose import choose as choose
from .classifier import ClassifierNetwork as ClassifierNetwork
from .embed import FourierEmbedding as FourierEmbedding
from .fourier_features import FourierFeatures as FourierFeatures
from .gaussian import ConditionalGaussian as ConditionalGaussian
from .mlp import MLP as MLP
from .ncsnpp import NCSNpp as NCSNpp
from .potential import Potential as Potential
from .refinenet import RefineNet as RefineNet
from .tutorial import SigmaUNet as SigmaUNet, TutorialUNet as TutorialUNet
from .unet import UNet as UNet

__all__ = [
    "ClassifierNetwork",
    "ConditionalGaussian",
    "FourierEmbedding",
    "FourierFeatures",
    "MLP",
    "NCSNpp",
    "Potential",
    "RefineNet",
    "SigmaUNet",
    "TutorialUNet",
    "UNet",
    "choose",
]
