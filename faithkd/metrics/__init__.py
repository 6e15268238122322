"""Metrics: one file an idea, each a pure function of models and images."""

from faithkd.metrics.accuracy import accuracy, correct, decisions
from faithkd.metrics.agreement import empirical_agreement
from faithkd.metrics.robustness import Held, robust_accuracy

__all__ = ["Held", "accuracy", "correct", "decisions", "empirical_agreement", "robust_accuracy"]
