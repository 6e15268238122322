"""How rate and radius move during training, as functions of the time that has passed: they have no state to save."""

import math


def cosine(time: float, first: float, last: float) -> float:
    """One run of cosine annealing from `first` at time 0 to `last` at time 1 (Loshchilov and Hutter 2017, Eq. 5)."""
    return last + (first - last) * (1 + math.cos(math.pi * time)) / 2


def growth(time: float, share: float) -> float:
    """The fraction of the full attack radius: linear from 0 at time 0 to 1 at time `share`, 1 from there on."""
    return 1.0 if time >= share else time / share
