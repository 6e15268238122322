"""Whether a network can be stored is known before it is trained, and what is stored comes back as the same function."""

from pathlib import Path

import pytest
import torch
from torch import nn

import faithkd
from faithkd import UserError, models
from faithkd.checkpoint import card_for, check_storable, save
from faithkd.models import registry
from faithkd.recipes import Recipe
from faithkd.training import train
from tests.faithkd.running import run, run_process

DATA = faithkd.data.load("mnist-sample", "train")
IMAGES = torch.rand((3, 1, 28, 28), generator=torch.Generator().manual_seed(0))


class Layers(nn.Module):
    """Two equal layers and a last one; what is odd about them is told by the subclasses."""

    def __init__(self, classes: int, input_shape: list[int]) -> None:
        super().__init__()
        self.first, self.middle, self.other, self.last = (
            nn.Linear(*sizes) for sizes in ((784, 16), (16, 16), (16, 16), (16, classes))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.flatten(1)).relu()
        return self.last(self.other(self.middle(x).relu()).relu())


class TiedParameters(Layers):
    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.other.weight = self.middle.weight


class TiedModules(Layers):
    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.other = self.middle


class OneBuffer(Layers):
    """Parameters that are views of one stretch of memory, one of them transposed."""

    def __init__(self, **how) -> None:
        super().__init__(**how)
        flat = torch.randn(512)
        self.middle.weight = nn.Parameter(flat[:256].view(16, 16).T)
        self.other.weight = nn.Parameter(flat[256:].view(16, 16))
        self.register_buffer("odd", torch.arange(6)[::2])


class OddBuffers(Layers):
    def __init__(self, **how) -> None:
        super().__init__(**how)
        odd = {
            "truth": torch.tensor([True, False]), "count": torch.tensor(2**40), "small": torch.ones(2, dtype=torch.int8),
            "phase": torch.tensor([1 + 2j]), "nothing": torch.zeros(0, 3), "halves": torch.ones(2, dtype=torch.float16),
        }  # fmt: skip
        for name, value in odd.items():
            self.register_buffer(name, value)
        self.register_buffer("forgotten", torch.full((16,), 0.5), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.forgotten.sum() * self.small.sum()


class Metadata(nn.Module):
    def __init__(self, **how) -> None:
        super().__init__()
        self.register_parameter("__metadata__", nn.Parameter(torch.zeros(10)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10] * self.__dict__["_parameters"]["__metadata__"]


def in_a_row(classes: int, input_shape: list[int]) -> nn.Sequential:
    shared = nn.Linear(16, 16)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(16, classes)
    )


GOOD = {
    "tied-parameters": TiedParameters,
    "tied-modules": TiedModules,
    "one-buffer": OneBuffer,
    "odd-buffers": OddBuffers,
    "row": in_a_row,
    "metadata": Metadata,
}


class Lazy(Layers):
    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.middle = nn.LazyLinear(16)


class Without(nn.Module):
    """A network without parameters."""

    def __init__(self, **how) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10]


class Precise(Layers):
    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.register_buffer("pi", torch.tensor(3.14159265358979, dtype=torch.float64))


class Secret(Layers):
    """Depends on what is no buffer."""

    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.secret = torch.randn(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.secret


class Extra(Layers):
    def get_extra_state(self) -> dict:
        return {"a": 1}

    def set_extra_state(self, state: dict) -> None:
        """Nothing is kept."""


class Named(Layers):
    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.register_parameter("\ud800", nn.Parameter(torch.zeros(1)))


class Sparse(Layers):
    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.register_buffer("sparse", torch.eye(3).to_sparse())


class Elsewhere(Layers):
    """A parameter without values."""

    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.middle.weight = nn.Parameter(torch.empty(16, 16, device="meta"))


class Narrow(Layers):
    """Logits for one class too few."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, 1:]


class Several(Layers):
    def forward(self, x: torch.Tensor) -> tuple:
        return super().forward(x), x


class Wrong(Layers):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x.flatten(1))


class Fails(Layers):
    def __init__(self, **how) -> None:
        raise ZeroDivisionError("by design")


class Untied(Layers):
    """Another network each time that it is built."""

    count = 0

    def __init__(self, **how) -> None:
        super().__init__(**how)
        Untied.count += 1
        self.last = nn.Linear(16, 10, bias=Untied.count % 2 == 0)


BAD = {
    "lazy": (Lazy, "lazy layers"), "without": (Without, "no parameters that can be trained"), "precise": (Precise, "not float32 numbers"),
    "secret": (Secret, "register_buffer"), "extra": (Extra, "cannot be stored"), "named": (Named, "cannot be stored"),
    "sparse": (Sparse, ""), "elsewhere": (Elsewhere, "cannot be stored"),
    "narrow": (Narrow, "logits of shape (2, 10), but gives (2, 9)"), "several": (Several, "gives a tuple"),
    "wrong": (Wrong, "images of shape (1, 28, 28)"), "fails": (Fails, "by design"), "untied": (Untied, ""),
    "function": (lambda classes, input_shape: 3, "cannot be built"), "arguments": (lambda classes: 3, "cannot be built"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The networks of this page, for one test."""
    monkeypatch.setattr(registry, "ARCHITECTURES", dict(registry.ARCHITECTURES))
    for name, body in [*GOOD.items(), *((name, body) for name, (body, _) in BAD.items())]:
        registry.ARCHITECTURES[f"{name}-of-the-test"] = body


def trained(name: str, out: Path, **changes):
    settings = {
        "dataset": "mnist",
        "method": "st",
        "epochs": 1,
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "batch_size": 50,
        **changes,
    }
    epochs: list[int] = []
    recipe = Recipe(name, architecture=f"{name}-of-the-test", **settings)
    return train(recipe, DATA, out, device="cpu", progress=lambda epoch, *more: epochs.append(epoch)), epochs


@pytest.mark.parametrize("name", GOOD)
def test_odd_networks_are_stored_and_come_back_as_they_are(tmp_path, name):
    model = models.named(f"{name}-of-the-test", "mnist")
    check_storable(model, card_for(model), IMAGES)
    save(tmp_path / "a.safetensors", model, card_for(model))
    read = faithkd.load(tmp_path / "a.safetensors")
    assert torch.equal(read(IMAGES), model.eval()(IMAGES))
    for key, value in model.state_dict().items():
        assert torch.equal(value, read.state_dict()[key]) and value.dtype == read.state_dict()[key].dtype
    # What is one stays one: a step of training moves both names together.
    assert len(list(read.parameters())) == len(list(model.parameters()))


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"metadata"}))
def test_odd_networks_are_trained_and_saved(tmp_path, name):
    result, epochs = trained(name, tmp_path / "a.safetensors")
    assert epochs and result.best.exists() and faithkd.load(result.best)(IMAGES).shape == (3, 10)


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_stored_is_refused_before_the_first_epoch(tmp_path, name):
    epochs: list[int] = []
    recipe = Recipe(
        name,
        dataset="mnist",
        architecture=f"{name}-of-the-test",
        method="st",
        epochs=3,
        learning_rate=0.1,
        weight_decay=0.0,
    )
    with pytest.raises(UserError) as caught:
        train(
            recipe, DATA, tmp_path / "a.safetensors", device="cpu", progress=lambda epoch, *more: epochs.append(epoch)
        )
    assert not epochs and not list(tmp_path.iterdir())
    assert BAD[name][1] in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_file_in_which_tied_tensors_differ_is_refused(tmp_path):
    model = models.named("tied-modules-of-the-test", "mnist")
    save(tmp_path / "a.safetensors", model, card_for(model))
    content = (tmp_path / "a.safetensors").read_bytes()
    # The tensors stand in the order of their names: 1.other comes after 1.middle, both of the same bytes.
    weight = model[1].middle.weight.detach().numpy().tobytes()
    place = content.rindex(weight)
    assert content.index(weight) != place
    (tmp_path / "a.safetensors").write_bytes(content[:place] + bytes(len(weight)) + content[place + len(weight) :])
    with pytest.raises(UserError, match="shares its memory with another one"):
        faithkd.load(tmp_path / "a.safetensors")


OWN = """
from torch import nn
from faithkd import models

def net(classes, input_shape):
    shared = nn.Linear(16, 16)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), shared, nn.ReLU(), nn.Linear(16, classes))

models.register("my-net-of-the-test", net)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A folder with a module of one's own, and a network and a data set for it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(OWN)
    (folder / "recipe.toml").write_text(
        'dataset = "mnist"\narchitecture = "my-net-of-the-test"\nmethod = "st"\nepochs = 1\nlearning_rate = 0.1\nweight_decay = 0.0\n'
    )
    done = run_process(
        "train", "recipe.toml", "--import", "mine.py", "--data", "mnist-sample", "--out", "a.safetensors", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder


CERTIFY = (
    "certify",
    "a.safetensors",
    "a.safetensors",
    "--data",
    "mnist-sample",
    "--eps",
    0.01,
    "--images",
    60,
    "--method",
    "crown",
    "--no-report",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("info", "a.safetensors"),
        ("evaluate", "a.safetensors", "--data", "mnist-sample", "--images", 20),
        (*CERTIFY, "--workers", 2, "--out", "run"),
    ],
)
def test_a_network_of_one_s_own_is_used_where_its_module_is_imported(own, command):
    without = run_process(*command, cwd=own)
    if command[0] != "info":  # The card is read without building anything.
        assert without.returncode == 1 and "my-net-of-the-test" in without.stderr and "--import" in without.stderr
        assert not (own / "run").exists()
    done = run_process(*command, "--import", "mine.py", cwd=own)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_on_resume_the_module_is_asked_for_again_and_never_run_from_the_folder(own, tmp_path):
    for name in ("mine.py", "a.safetensors"):
        (tmp_path / name).write_bytes((own / name).read_bytes())
    assert run_process(*CERTIFY, "--import", "mine.py", "--out", "run", cwd=tmp_path).returncode == 0
    (tmp_path / "mine.py").write_text(OWN + "open('harmed', 'w')\n")
    resume = ("certify", "--resume", "--out", "run", "--no-report")
    done = run_process(*resume, cwd=tmp_path)
    assert done.returncode == 1 and "--import" in done.stderr and "in another folder" in done.stderr
    assert not (tmp_path / "harmed").exists()
    done = run_process(*resume, "--import", "mine.py", cwd=tmp_path)
    assert done.returncode == 1 and "have changed" in done.stderr
    (tmp_path / "mine.py").write_text(OWN)
    assert run_process(*resume, "--import", "mine.py", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_thing", "no_such_thing"),
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
        ("from faithkd import models\nmodels.register('resnet-18', print)", "known already"),
        ("\x00", "broken.py cannot be imported"),
        ("assert False", "AssertionError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_sentence(tmp_path, text, words):
    (tmp_path / "broken.py").write_text(text)
    for _ in range(2):
        result = run("info", "mnist-fd", "--import", tmp_path / "broken.py")
        assert result.exit_code == 1 and words in result.output and "unexpected" not in result.output


def test_a_teacher_must_be_a_checkpoint_of_faithkd(tmp_path):
    torch.save(models.named("mnist-teacher").state_dict(), tmp_path / "t.pt")
    for option in ("--teacher", "--student-from"):
        more = ["--teacher", "mnist-teacher"] if option == "--student-from" else []
        result = run(
            "distill",
            "sd",
            *more,
            option,
            tmp_path / "t.pt",
            "--recipe",
            "mnist-sd",
            "--data",
            "mnist-sample",
            "--out",
            tmp_path / "s.safetensors",
        )
        assert (
            result.exit_code == 1
            and "a file of torch.save" in result.output
            and "faithkd.checkpoint.save" in result.output
        )
    network = faithkd.load(tmp_path / "t.pt", "mnist-teacher")
    save(tmp_path / "t.safetensors", network, network.card)
    assert torch.equal(faithkd.load(tmp_path / "t.safetensors")(IMAGES), network(IMAGES))
