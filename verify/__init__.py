"""verify: bounds for one ReLU network, or for two on a shared input, over a region. It knows nothing of data, training or files."""

from verify.decisions import Decisions, agreement, robustness
from verify.errors import Unsupported
from verify.interval import LayerBounds
from verify.methods import METHODS, Faithfulness, bounds, faithfulness, imitation, logit_differences
from verify.network import ReluNetwork
from verify.problem import Options, Progress
from verify.region import Region

__all__ = [
    "METHODS",
    "Decisions",
    "Faithfulness",
    "LayerBounds",
    "Options",
    "Progress",
    "Region",
    "ReluNetwork",
    "Unsupported",
    "agreement",
    "bounds",
    "faithfulness",
    "imitation",
    "logit_differences",
    "robustness",
]
