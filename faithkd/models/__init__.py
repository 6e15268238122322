"""Networks with their normalisation inside, so that their input is pixels."""

from faithkd.models.mlp import Mlp, mlp
from faithkd.models.normalise import Normalise
from faithkd.models.registry import ARCHITECTURES, NAMED, Architecture, NamedArchitecture, build, named

__all__ = ["ARCHITECTURES", "NAMED", "Architecture", "Mlp", "NamedArchitecture", "Normalise", "build", "mlp", "named"]
