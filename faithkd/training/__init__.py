"""Training: teachers, plain and adversarial, and students by a distillation method; see `train`."""

from faithkd.recipes import Recipe
from faithkd.training.loop import find_method, train
from faithkd.training.outcome import Trained

__all__ = ["Recipe", "Trained", "find_method", "train"]
