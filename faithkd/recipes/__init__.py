"""Recipes: everything that decides how one network is trained, as a record read from TOML."""

from faithkd.recipes.reading import BASE, for_method, load, names, toml
from faithkd.recipes.record import InnerAttack, Recipe

__all__ = ["BASE", "InnerAttack", "Recipe", "for_method", "load", "names", "toml"]
