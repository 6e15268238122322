"""The sections of the report of a study, in the order of the paper's tables and figures."""

from __future__ import annotations

from collections.abc import Callable

from faithkd.pages.content import Figure, Section
from faithkd.pages.studies.tables import bounds_tables, share_tables, steps_tables
from faithkd.study.plan import REGIONS
from faithkd.study.results import Row


def sections(found: Row, drawn: Callable[[str], Figure]) -> list[Section]:
    """What is proved, and those sections that have a table or a figure. drawn: a figure by its name."""
    solver = "; bounds marked solver hold within the solver's tolerance" if "solver" in found["proof"] else ""
    paper = (
        "'s second column is headed 5 steps; its text says 10"
        if found["steps"]["paper"]
        else " has no such table for MNIST"
    )
    regions = [region for region in REGIONS if any(row["region"] == region for row in found["bounds"])]
    made = [
        Section(
            "What is proved, and what is searched",
            (
                "Proved: FAITHUB and both ends of every interval in square brackets. They hold for every input of the region in real "
                f"arithmetic, for the stored weights and images, the rounding error of each bound included{solver}. An EMPLB is "
                "attained by an input, and a refuted decision by one that refutes it.",
                "Only searched: that nothing larger than EMPLB exists, robust accuracy, and empirical agreement: another search may "
                "find more. What float32 inference does to a deployed network is not covered. The paper's numbers are as printed.",
            ),
            anchor="proof",
        ),
        Section(
            "Table 1: robust accuracy",
            ("Share of the images, in percent, that are right and stay right at every iterate of 50 steps of the attack from one "
             "uniform start. Beside it what the paper prints; in square brackets the accuracy that is proved, from the certified share "
             "to what no input refutes.",),
            tuple(share_tables(found, "accuracy")),
            "accuracy",
        ),
        Section(
            "Table 1: agreement with the teacher",
            ("Share of the images, in percent, on which student and teacher decide alike, at the image and at every iterate of the "
             "attack on the student (empirical agreement). Beside it what the paper prints; in square brackets the proved interval "
             "from the certified share, on whose regions no input divides them, to one less the refuted share.",),
            tuple(share_tables(found, "agreement")),
            "agreement",
        ),
        Section(
            "Table 2: how far the confidences can differ",
            ("The largest difference of the two networks' confidences on the region, mean ± standard deviation over the images: EMPLB "
             "as the paper's search finds it (5 starts of 50 steps), FAITHUB as it is proved. Their ratio says how much the proof "
             "leaves open. Beside them what the paper prints. Best EMPLB: the largest found by any search, which the intervals of "
             f"certify start from. Closed: images whose interval is at most {found['plan']['gap']:g} wide.",),
            (*bounds_tables(found), *([drawn("intervals")] if found["bounds"] else [])),
            "bounds",
        ),
        Section(
            "Figures 2 and 3: how the images are spread",
            ("Histograms over the images of the largest difference of confidences, student by student: EMPLB, as found, and FAITHUB, "
             "as proved. Images are counted on a logarithmic scale, since most lie near 0.",),
            tuple(drawn(f"{bound}-{region}") for region in regions for bound in ("emplb", "faithub")),
            "histograms",
        ),
        Section(
            "Table 3: how EMPLB depends on the number of steps",
            ("EMPLB by the paper's search of so many steps, each of 2.5 times the radius over their number, 5 starts. The images are "
             f"those at three quantiles of the students' mean EMPLB. The paper{paper}.",),
            (*steps_tables(found), *([drawn("steps")] if found["steps"]["means"] else [])),
            "steps",
        ),
        Section(
            "Figure 1: the difference of confidences on a plane",
            ("The largest difference of confidences over the classes on the plane through a test image, its witness (the input that "
             "attains EMPLB) and a second corner, the input that the search finds for the same class with the opposite sign. Each "
             "student has its own witness and corner; the students share one colour scale. The line is where the plane leaves the "
             "region.",),
            (drawn("plane-cut"), drawn("plane-whole")) if found["plane"] else (),
            "plane",
        ),
    ]  # fmt: skip
    return [section for section in made if section.blocks or section.anchor == "proof"]
