"""verify: bounds for one network, or for two on a shared input, over a region. It knows nothing of data, training or files."""

from verify.decisions import Decisions, agreement, robustness
from verify.errors import Unsound, Unsupported
from verify.faithfulness import Faithfulness, bounds, faithfulness, imitation, logit_differences
from verify.joint.problem import Options, Progress
from verify.methods import METHODS
from verify.network import Network, ReluNetwork
from verify.region import Region
from verify.single.layers import LayerBounds

__all__ = [
    "METHODS",
    "Decisions",
    "Faithfulness",
    "LayerBounds",
    "Network",
    "Options",
    "Progress",
    "Region",
    "ReluNetwork",
    "Unsound",
    "Unsupported",
    "agreement",
    "bounds",
    "faithfulness",
    "imitation",
    "logit_differences",
    "robustness",
]
