"""The numbers of constants.h, which the compiled loops share with the tensor code."""

from __future__ import annotations

import re
from pathlib import Path

_FOUND = dict(re.findall(r"#define (\w+) (\S+)", Path(__file__).with_name("constants.h").read_text()))

MOST_CLASSES, VERTEX_CLASSES = int(_FOUND["MOST_CLASSES"]), int(_FOUND["VERTEX_CLASSES"])
FIRST_DECAY, SECOND_DECAY = float(_FOUND["FIRST_DECAY"]), float(_FOUND["SECOND_DECAY"])
SMALLEST_SPREAD = float(_FOUND["SMALLEST_SPREAD"])
EVALUATIONS, SAMPLE = int(_FOUND["EVALUATIONS"]), int(_FOUND["SAMPLE"])
