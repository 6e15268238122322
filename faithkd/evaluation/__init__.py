"""What is measured of networks: accuracy that attacks leave, calibration, the teacher beside the student, and warnings."""

from faithkd.evaluation.doubts import doubts
from faithkd.evaluation.networks import Evaluation, Robustness, evaluate
from faithkd.evaluation.pairs import Beside, Nearby, beside
from faithkd.evaluation.records import records
from faithkd.evaluation.setting import Setting

__all__ = [
    "Beside",
    "Evaluation",
    "Nearby",
    "Robustness",
    "Setting",
    "beside",
    "doubts",
    "evaluate",
    "records",
]
