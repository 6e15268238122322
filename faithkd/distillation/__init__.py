"""Training methods by name: one file a method or family, its loss a pure function of logits, its adversary as data; see `register`."""

from faithkd.distillation.method import Adversary, Critic, Method, adversarial_objective, kl, mixed
from faithkd.distillation.registry import METHODS, TEACHERS, find_method, register

__all__ = [
    "METHODS",
    "TEACHERS",
    "Adversary",
    "Critic",
    "Method",
    "adversarial_objective",
    "find_method",
    "kl",
    "mixed",
    "register",
]
