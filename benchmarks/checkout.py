"""Puts the repository's root on the path: the oracle and the cases of the soundness campaign lie beside the tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
