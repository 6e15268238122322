"""The run folders of a study, each the answer to what the study asks of its student and kind of region."""

from __future__ import annotations

from faithkd.errors import UserError
from faithkd.runs.layout import SUMMARY
from faithkd.runs.reading import Run, read_run
from faithkd.study.folder import StudyFolder
from faithkd.study.plan import REGIONS, Plan
from faithkd.study.records import Network

Runs = dict[tuple[str, str], Run]


def certified(folder: StudyFolder) -> Runs:
    """What there is so far, by student and kind of region. Raises `UserError` when one of them cannot be of this study."""
    return {
        (student, region): run
        for region in REGIONS
        for student in folder.plan.students
        if (run := certified_run(folder, student, region)) is not None
    }


def certified_run(folder: StudyFolder, student: str, region: str) -> Run | None:
    """One of them, or None where it has not begun."""
    path = folder.run_path(student, region)
    if not (path / SUMMARY).exists():
        return None
    run, networks = read_run(path), folder.record.networks
    renewed = folder.record.format == 1 or folder.record.state != "complete" or run.summary.format > 1
    if not (networks and renewed and _answers(run, folder.plan, (networks["teacher"], networks[student]), region)):
        raise UserError(
            f"the run in {path} does not answer what the study asks of {student}, regions {region}; remove it and continue "
            "with faithkd benchmark --resume"
        )
    return run


def _answers(run: Run, plan: Plan, pair: tuple[Network, Network], region: str) -> bool:
    """Was the run asked for by the plan, of these networks."""
    teacher, student = pair
    found = run.summary.checksums.teacher, run.summary.checksums.student
    asked = plan.request(teacher.source, student.source, region)
    return run.summary.request == asked and found == (teacher.sha256, student.sha256)
