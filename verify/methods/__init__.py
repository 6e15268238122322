"""The bounding methods, one file each; each registers itself with what the rest must know of it."""

import importlib

from verify.methods.registry import METHODS, Method, chain_of

__all__ = ["METHODS", "Method", "chain_of"]

# From the cheapest to the tightest, and those that rest on a solver among them.
for _name in ("interval", "crown_boxes", "crown", "alpha_crown", "lp", "milp", "joint", "complete", "minlp"):
    importlib.import_module(f"verify.methods.{_name}")
