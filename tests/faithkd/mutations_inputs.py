"""Random damage to what a user gives to the program: networks, images, recipes, training states, options, surroundings.

Each of `MUTATORS` puts changed copies of good files into a folder and returns the command line that reads them there.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.faithkd.mutations_common import Case
from tests.faithkd.mutations_images import arrays_of_others, headers_of_arrays, published_files
from tests.faithkd.mutations_networks import (
    bytes_of_a_checkpoint,
    card_of_a_checkpoint,
    header_of_a_checkpoint,
    pickle_of_anything,
    state_dict_of_another,
)
from tests.faithkd.mutations_options import names_of_nothing, options, surroundings
from tests.faithkd.mutations_seeds import make_seeds
from tests.faithkd.mutations_training import recipes_of_others, states_of_others

__all__ = ["MUTATORS", "case", "make_seeds"]

Mutator = Callable[[Path, Path, Random], Case]
MUTATORS: dict[Mutator, int] = {
    bytes_of_a_checkpoint: 9, card_of_a_checkpoint: 12, header_of_a_checkpoint: 6, state_dict_of_another: 12, pickle_of_anything: 6,
    arrays_of_others: 11, headers_of_arrays: 7, published_files: 5, recipes_of_others: 12, states_of_others: 7, options: 24,
    names_of_nothing: 7, surroundings: 7,
}  # fmt: skip
"""Each with how often it is drawn."""


def case(seeds: Path, folder: Path, rng: Random) -> tuple[str, Case]:
    """A case in an empty folder, by a mutator that is drawn; its name comes first."""
    (mutator,) = rng.choices(list(MUTATORS), list(MUTATORS.values()))
    return mutator.__name__, mutator(seeds, folder, rng)
