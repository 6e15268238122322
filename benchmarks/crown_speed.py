"""How long 1,000 images at one radius take by `crown`, with the paper's search and the targeted one.

python benchmarks/crown_speed.py
"""

from __future__ import annotations

import torch
from record import Record

import faithkd
import faithkd.data
import verify


def main() -> None:
    torch.set_num_threads(1)
    images, _ = sample = faithkd.data.load("mnist-sample", split="test").sample(1000, seed=0)
    teacher, student = faithkd.load("mnist-teacher"), faithkd.load("mnist-fd")

    def measure() -> dict[str, object]:
        result = verify.faithfulness(teacher, student, images, 0.1 * sample.std, method="crown")
        return {"emplb": float(result.emplb.mean()), "faithub": float(result.faithub.mean())}

    Record("crown-speed").measure(
        {"dataset": "mnist", "student": "fd", "eps": "0.1 (normalised)", "images": 1000, "method": "crown"}, measure
    )


if __name__ == "__main__":
    main()
