"""Distillation methods by name: one file a method, its loss a pure function of logits, its adversary as data."""

from faithkd.distillation import ard, fd, rslad, sd
from faithkd.distillation.method import Adversary, Method, adversarial_objective, kl

METHODS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in (sd, ard, rslad, fd)}

__all__ = ["METHODS", "Adversary", "Method", "adversarial_objective", "kl"]
