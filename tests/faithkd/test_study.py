"""The paper's study end to end on three images: its twins, its numbers by another way, interruptions, missing parts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import faithkd
import verify
from faithkd import UserError, data, recipes
from faithkd.card import read_card
from faithkd.certification import Job
from faithkd.embedded import find
from faithkd.pages import write_study
from faithkd.pages.markdown import markdown
from faithkd.pages.studies.document import study_document
from faithkd.runs import read_run
from faithkd.study import StudyFolder, networks, running
from faithkd.study.certified import certified
from faithkd.study.paper import steps_table
from faithkd.study.plan import STEPS, plan
from faithkd.study.results import results
from tests.faithkd.running import certificates, run
from tests.faithkd.shown import Page, markdown_rows

TINY = ("--student", "fd", "--student", "sd", "--eps", 0.1, "--images", 3, "--timeout", 0.2)
REGIONS = {"cut": (0.0, 1.0), "whole": None}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study; to be read only."""
    folder = tmp_path_factory.mktemp("studies") / "tiny"
    result = run("benchmark", "mnist", *TINY, "--out", folder)
    assert result.exit_code == 0, result.output
    assert str(folder / "report.html") in result.stdout and "FAITHUB / EMPLB" in result.stdout
    return folder


@pytest.fixture
def found(tiny: Path) -> dict:
    return json.loads((tiny / "report.json").read_text())


def found_in(folder: Path) -> dict:
    study = StudyFolder.open(folder)
    return results(study, certified(study))


@pytest.mark.slow
def test_page_and_markdown_say_what_the_json_says(tiny, found):
    page = Page(tiny / "report.html")
    told = [[cell.replace(" paper ", " ").split() for cell in row] for row in page.rows]
    text = (tiny / "report.md").read_text()
    written = [[cell.replace("(", "").replace(")", "").split() for cell in row] for row in markdown_rows(text)]
    tables = [row for row in written if len(row) > 2]
    assert len(tables) > 30 and told == tables
    for row in found["bounds"]:
        mean, std, paper = row["faithub"]["mean"], row["faithub"]["std"], row["paper"]["faithub"]
        shown = f"{mean:.3f} ± {std:.3f} ({paper['mean']:.3f} ± {paper['std']:.3f})"
        assert f"| {row['network']} | 0.1 |" in text and shown in text and f"{row['ratio']:.2f} (" in text
    for row in found["agreement"]:
        if row["eps"] != "0":
            low, high = row["certified"]
            shown = f"{100 * row['every']:.1f} ({100 * row['paper']:.1f}) [{100 * low:.1f}, {100 * high:.1f}]"
            assert shown in text


def test_the_page_stands_alone_and_says_how_it_was_made(tiny, found):
    page = Page(tiny / "report.html")
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} >= {"proof", "bounds", "run", "plane"}
    assert "<script" not in (tiny / "report.html").read_text()
    for words in (
        "Proved:",
        "Only searched:",
        "normalised",
        "seed 0",
        found["environment"]["hardware"],
        "0.03081 in pixels",
    ):
        assert words in page.text
    for network in found["networks"].values():
        assert network["sha256"][:16] in page.text and network["recipe"] == "as packaged"
    drawn = {path.stem for path in (tiny / "figures").glob("*.png")}
    assert drawn == {path.stem for path in (tiny / "figures").glob("*.svg")}
    assert {f"figures/{name}.png" for name in drawn} == set(_pictures((tiny / "report.md").read_text()))
    for name in drawn:
        with Image.open(tiny / "figures" / f"{name}.png") as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_the_numbers_are_those_of_the_certificates_and_of_the_papers_search(tiny, found):
    images = data.load("mnist-sample", "test").sample(3, 0)
    teacher = faithkd.load("mnist-teacher")
    for row in found["bounds"]:
        lines = certificates(tiny / "certify" / f"{row['network']}-{row['region']}")
        assert len(lines) == 3
        assert row["faithub"]["mean"] == pytest.approx(np.mean([line["faithub"] for line in lines]))
        searched = verify.faithfulness(
            teacher, faithkd.load(f"mnist-{row['network']}"), images.images, 0.03081, valid_range=REGIONS[row["region"]],
            method="interval",
        ).paper_emplb  # fmt: skip
        assert row["emplb"]["mean"] == pytest.approx(float(searched.mean()))
        assert row["emplb"]["std"] == pytest.approx(float(searched.std(correction=0)))
        assert row["ratio"] == pytest.approx(row["faithub"]["mean"] / float(searched.mean()))
        assert row["emplb_best"]["mean"] >= row["emplb"]["mean"]
    for row in found["agreement"] + found["accuracy"]:
        low, high = row["certified"]
        assert low <= min(row["every"], high + 1e-12) and row["every"] <= row["last"]
    steps = found["steps"]["means"]
    at_50 = {(row["network"], row["region"]): row["emplb"] for row in steps if row["steps"] == 50}
    assert at_50 == pytest.approx({(r["network"], r["region"]): r["emplb"]["mean"] for r in found["bounds"]}, abs=1e-6)
    assert {row["steps"] for row in steps} == set(STEPS)


def test_table_3_has_the_papers_images_where_it_has_some(found):
    assert steps_table("mnist") == []
    found["steps"]["paper"] = steps_table("fashion-mnist")
    rows = markdown_rows(markdown(study_document(found)))
    assert ["fd", "x3", "0.1879", "0.1879", "-", "0.1879", "0.1879", "-"] in rows
    assert ["rslad", "x1", "0.0468", "0.0683", "-", "0.0718", "0.0718", "-"] in rows
    assert sum(row[1] in ("x1", "x2", "x3") for row in rows if len(row) == 8) == 6


def test_the_plane_goes_through_image_witness_and_corner(tiny):
    record = json.loads((tiny / "searches" / "plane.json").read_text())
    nodes = np.linspace(-record["margin"], 1 + record["margin"], 61)
    zero, one = int(np.abs(nodes).argmin()), int(np.abs(nodes - 1).argmin())
    for name, plane in record["planes"].items():
        (line,) = [c for c in certificates(tiny / "certify" / name) if c["index"] == record["index"]]
        values, inside = np.array(plane["values"]), np.array(plane["slack"]) >= -1e-3
        assert plane["at"]["witness"] == pytest.approx(line["emplb"], abs=1e-5)
        for where, place in (("image", (zero, zero)), ("witness", (zero, one)), ("corner", (one, zero))):
            assert values[place] == pytest.approx(plane["at"][where], abs=2e-4)
        # A region is convex, and its largest difference is proved.
        assert all(inside[row, column] for row in range(zero, one) for column in range(zero, zero + one - row))
        assert values[inside].max() <= line["faithub"] + 1e-4


@pytest.mark.slow
def test_an_interrupted_study_is_reported_and_continued_where_it_was(tiny, tmp_path, monkeypatch):
    calls: list[str] = []
    certify = running.certify

    def twice(job, folder, **how):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(folder.path.name)
        return certify(job, folder, **how)

    monkeypatch.setattr(running, "certify", twice)
    folder = tmp_path / "study"
    result = run("benchmark", "mnist", *TINY, "--out", folder)
    assert result.exit_code == 130 and f"faithkd benchmark mnist --resume --out {folder}" in result.output
    assert run("report", folder).exit_code == 0
    page = Page(folder / "report.html")
    assert "This study is interrupted" in page.text and "3 of 3 certificates of fd, regions cut" in page.text
    before = {path: path.read_bytes() for path in folder.rglob("*.json*") if path.parent.name in ("searches", *calls)}
    assert len(before) > 6
    monkeypatch.setattr(running, "certify", certify)
    monkeypatch.setattr(running, "measure", None)
    result = run("benchmark", "mnist", "--resume", "--out", folder)
    assert result.exit_code == 0, result.output
    assert all(path.read_bytes() == content for path, content in before.items())
    one, other = (json.loads((path / "report.json").read_text()) for path in (tiny, folder))
    assert other["missing"] == [] and other["accuracy"] == one["accuracy"] and other["steps"] == one["steps"]
    assert [(r["network"], r["region"], r["eps"]) for r in other["bounds"]] == [
        (r["network"], r["region"], r["eps"]) for r in one["bounds"]
    ]


@pytest.mark.slow
def test_missing_parts_are_named_and_the_rest_is_shown(tiny, tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(tiny, folder)
    shutil.rmtree(folder / "certify" / "sd-whole")
    (folder / "searches" / "fd-cut.json").unlink()
    found = found_in(folder)
    assert found["missing"] == ["the searches of fd, regions cut", "3 of 3 certificates of sd, regions not cut"]
    page = Page(write_study(folder))
    assert all(what in page.text for what in found["missing"])
    assert {(row["network"], row["region"]) for row in found["bounds"]} == {("sd", "cut"), ("fd", "whole")}
    assert {(r["network"], r["region"]) for r in found["agreement"] if r["certified"] is None} == {("sd", "whole")}
    shutil.rmtree(folder / "certify")
    assert "Table 2" not in Page(write_study(folder)).text
    shutil.rmtree(folder / "searches")
    with pytest.raises(UserError, match="found nothing yet"):
        write_study(folder)


@pytest.mark.slow
def test_a_run_that_stopped_in_the_middle_counts_its_images(tmp_path, monkeypatch):
    arguments = ("--student", "fd", "--eps", 0.1, "--images", 30, "--timeout", 0.05)
    prove, parts = Job.prove, []

    def once(job, part, progress=None):
        parts.append(part)
        if len(parts) > 1:
            raise KeyboardInterrupt
        return prove(job, part, progress)

    monkeypatch.setattr(Job, "prove", once)
    folder = tmp_path / "study"
    assert run("benchmark", "mnist", *arguments, "--out", folder).exit_code == 130
    found = found_in(folder)
    assert found["missing"] == [
        "30 of 30 certificates of fd, regions cut",
        "5 of 30 certificates of fd, regions not cut",
    ]
    (row,) = found["bounds"]
    assert row["images"] == 25 and row["region"] == "whole"
    certified_shares = [row["certified"] for row in found["agreement"] if row["eps"] == "0.1"]
    assert certified_shares == [None, None]


@pytest.mark.slow
def test_studies_side_by_side(tiny, found, finished, tmp_path):
    other = tmp_path / "other"
    assert (
        run("benchmark", "mnist", *TINY[:2], "--eps", 0.1, "--images", 2, "--timeout", 0.1, "--out", other).exit_code
        == 0
    )
    result = run("report", tiny, tiny, other, "--out", tmp_path / "all.html")
    assert result.exit_code == 0, result.output
    page = Page(tmp_path / "all.html")
    assert ["images", "3", "3", "2"] in page.rows and ["timeout", "0.2", "0.2", "0.1"] in page.rows
    for row in found["bounds"]:
        value = f"{row['faithub']['mean']:.3f} paper {row['paper']['faithub']['mean']:.3f}"
        assert any(r[:2] == [row["network"], "0.1"] and value in r for r in page.rows)
    assert run("report", tiny, finished).exit_code == 1


def test_studies_of_two_data_sets_are_not_compared(tiny, tmp_path):
    other = running.begin(plan("fashion-mnist", images=1, eps=(0.1,), students=("fd",)), tmp_path / "other")
    result = run("report", tiny, other.path)
    assert result.exit_code == 1 and "fashion-mnist and mnist" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cifar10",), "mnist and fashion-mnist"),
        (("mnist", "--student", "akd"), "sd, ard, rslad, fd"),
        (("mnist", "--student", "fd", "--student", "fd"), "repeated"),
        (("mnist", "--timeout", 1, "--timeout", 2), "5 radii"),
        (("mnist", "--eps", 0), "above 0"),
        (("mnist", "--images", 0), "at least 1"),
        (("mnist", "--images", 1, "--networks", "nowhere"), "nowhere/mnist-teacher.safetensors"),
    ],
)
def test_what_no_study_can_be_is_one_sentence(arguments, words, tmp_path):
    result = run("benchmark", *arguments, "--out", tmp_path / "study")
    assert result.exit_code == 1 and words in result.stderr and "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1


def test_another_question_is_not_a_continuation(tiny):
    for option, value in (("--images", 4), ("--eps", 0.2), ("--student", "ard"), ("--timeout", 1), ("--seed", 1)):
        result = run("benchmark", "mnist", "--resume", option, value, "--out", tiny)
        assert result.exit_code == 1 and option in result.stderr and str(value) in result.stderr
    assert run("benchmark", "fashion-mnist", "--resume", "--out", tiny).exit_code == 1


@pytest.mark.slow
def test_networks_of_a_folder_are_those_that_the_study_began_with(tmp_path):
    place, out = tmp_path / "networks", tmp_path / "study"
    place.mkdir()
    for name in ("teacher", "fd"):
        shutil.copy(find(f"mnist-{name}"), place / f"mnist-{name}.safetensors")
    folder = running.begin(plan("mnist", images=1, eps=(0.025,), students=("fd",), networks=str(place)), out)
    running.run(folder)
    assert found_in(out)["networks"]["fd"]["source"] == str(place / "mnist-fd.safetensors")
    shutil.copy(find("mnist-ard"), place / "mnist-fd.safetensors")
    with pytest.raises(UserError, match=r"the fd .* changed since"):
        running.run(StudyFolder.open(out))


def test_trained_networks_are_taken_up_when_recipe_and_seed_match(tmp_path, monkeypatch):
    short = {
        name: recipes.load(f"mnist-{name}").to_dict() | {"epochs": 4, "held_out": 100, "adversary": attack}
        for name, attack in (("teacher", {"radius": 0.02, "step": 0.02, "steps": 1}), ("sd", None))
    }
    small = data.load("mnist-sample", "train")
    monkeypatch.setattr(recipes, "load", lambda name: recipes.Recipe.from_dict(short[name.removeprefix("mnist-")]))
    monkeypatch.setattr(data, "load", lambda *which, **how: small)
    study = plan("mnist", students=("sd",), networks="trained")
    first = networks.resolve(study, tmp_path, 1, lambda message: None)
    cards = {name: read_card(path) for name, path in first.items()}
    described = networks.describe(first, 0.3081)
    assert cards["sd"].teacher == described["teacher"].sha256 and described["sd"].recipe == "as packaged"
    before = {name: Path(path).stat().st_mtime_ns for name, path in first.items()}
    assert networks.resolve(study, tmp_path, 1, lambda message: None) == first
    assert {name: Path(path).stat().st_mtime_ns for name, path in first.items()} == before
    short["sd"] |= {"seed": 7}
    assert networks.describe(first, 0.3081)["sd"].recipe == "mnist-sd, changed"
    with pytest.raises(UserError, match="another recipe"):
        networks.resolve(study, tmp_path, 1, lambda message: None)


def test_the_images_are_those_of_certify(tiny):
    run_images = read_run(tiny / "certify" / "fd-cut").certificates
    sample = data.load("mnist-sample", "test").sample(3, 0)
    assert [line.index for line in run_images] == sorted(sample.positions.tolist())


def _pictures(text: str) -> list[str]:
    return [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
