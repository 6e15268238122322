"""A request made ready: the pair and the images loaded and checked, the work cut into parts, and one part's certificates."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import verify
from faithkd import checkpoint, data, embedded, imports, metrics
from faithkd.card import Card, check_data, compatible
from faithkd.checkpoint import Said
from faithkd.data import Dataset
from faithkd.errors import UserError
from faithkd.files import sha256
from faithkd.models import Network
from faithkd.runs.arrays import LARGEST_IMAGE, MOST_CLASSES, Arrays
from faithkd.runs.parts import Part, cut
from faithkd.runs.records import Certificate, Checksums
from faithkd.runs.request import Request
from verify import Network as Read
from verify import ReluNetwork, programs
from verify.joint.problem import Options, Progress
from verify.methods import METHODS, chain_of
from verify.network.reading import POINTS


@dataclass(frozen=True)
class Job:
    """A certification that can start. read: the pair as the verifier has read it, once for all processes. The images are in the order of
    their positions; `scale` turns a radius into pixels.
    """

    request: Request
    teacher: Network
    student: Network
    read: tuple[Read, Read]
    dataset: Dataset
    scale: float
    classes: int
    checksums: Checksums

    def parts(self) -> list[Part]:
        """The parts of this shard."""
        return cut(self.request)

    def keys(self, part: Part) -> list[tuple[float, int]]:
        """The (eps, index) of the part's certificates."""
        return [(part.eps, int(self.dataset.positions[row])) for row in part.rows]

    def prove(self, part: Part, progress: Callable[[Progress], None] | None = None) -> tuple[list[Certificate], Arrays]:
        """The certificates of a part and the witnesses behind them; slow methods report their progress."""
        request, device = self.request, torch.device(self.request.device)
        some = self.dataset.take(slice(part.rows.start, part.rows.stop))
        images = some.images.to(device)
        eps = part.eps * self.scale
        valid_range = some.valid_range if request.clip else None
        timeout = request.timeout_at(part.eps)
        options = Options(
            gap=request.gap,
            timeout=METHODS[request.method].timeout if timeout is None else timeout,
            max_nodes=request.max_nodes,
            delta=request.delta,
            solver=request.solver,
            progress=progress,
        )
        result = verify.faithfulness(
            *self.read, images, eps, valid_range=valid_range, method=request.method, options=options,
            search=request.search, seed=request.seed,
        )  # fmt: skip
        if result.interrupted:
            # The method kept what it had proved, but a part is recorded whole or not at all: the run ends here and resumes with it.
            raise KeyboardInterrupt
        agreement = verify.agreement(
            *self.read, images, eps, valid_range=valid_range, search=request.search, seed=request.seed
        )
        searched = metrics.empirical_agreement(
            self.teacher, self.student, images, eps, valid_range=valid_range, seed=request.seed
        )
        certificates = [
            msgspec.convert(
                {
                    "index": int(some.positions[k]),
                    "label": int(some.labels[k]),
                    "eps": part.eps,
                    "unit": request.unit,
                    "eps_pixel": eps,
                    "teacher_class": int(result.teacher_class[k]),
                    "student_class": int(result.student_class[k]),
                    "emplb": float(result.emplb[k]),
                    "faithub": float(result.faithub[k]),
                    "root": float(result.root[k]),
                    "class": int(result.worst_class[k]),
                    "sign": int(result.worst_sign[k]),
                    "agreement": agreement.status[k],
                    "method": request.method,
                    "proof": result.proof[k],
                    "status": result.status[k],
                    "nodes": int(result.nodes[k]),
                    "seconds": float(result.seconds[k]),
                },
                Certificate,
            )
            for k in range(len(some))
        ]
        witness = result.witness.cpu()
        arrays = {
            "index": some.positions.numpy(),
            "eps": np.full(len(some), part.eps),
            "image": some.images.numpy(),
            "witness": witness.numpy(),
            **self.confidences(some.images, witness),
            "empirical_agreement": searched.every.cpu().numpy(),
        }
        return certificates, arrays

    def confidences(self, images: Tensor, witnesses: Tensor) -> Arrays:
        """Of `teacher` and `student`, `(n, 2, classes)` at the images and at the witnesses: the float32 numbers next to float64 ones."""
        pair = torch.stack((images, witnesses), dim=1).to(self.request.device)
        return {
            name: _confidences(model, pair) for name, model in (("teacher", self.teacher), ("student", self.student))
        }


def prepare(request: Request) -> Job:
    """Load and check everything that the request names. Raises `UserError` or `verify.Unsupported` for what cannot be certified."""
    request.check()
    chain_of(request.method)
    _check_solver(request)
    imports.check(request.imports)
    # What an architecture for any data is built for.
    dataset = None if request.data is None else _data(request)
    said = Said(request.architecture, request.mean, request.std, dataset)
    teacher, student = checkpoint.load_all((request.teacher, request.student), said)
    cards: list[Card] = [model.card for model in (teacher, student)]
    compatible(*cards)
    request = request.with_defaults(cards[0].dataset)
    dataset = _select(request, dataset or _data(request), cards[0])
    _check_size(dataset, cards[0])
    checksums = Checksums(
        teacher=sha256(embedded.find(request.teacher)),
        student=sha256(embedded.find(request.student)),
        images=hashlib.sha256(dataset.images.numpy().tobytes()).hexdigest(),
    )
    scale = _scale(cards) if request.unit == "normalised" else 1.0
    read = _read(request, (teacher, student), dataset, scale)
    for model in (teacher, student):
        model.to(request.device)
    return Job(request, teacher, student, read, dataset, scale, cards[0].classes, checksums)


def _read(request: Request, pair: tuple[Network, Network], dataset: Dataset, scale: float) -> tuple[Read, Read]:
    """What the verifier reads of both, held against the networks themselves in the largest of the regions."""
    assert request.eps is not None
    region = verify.Region.ball(
        dataset.images, max(request.eps) * scale, valid_range=dataset.valid_range if request.clip else None
    )
    points = region.sample(POINTS)
    teacher, student = (ReluNetwork.from_module(model, dataset.image_shape, points) for model in pair)
    return teacher, student


def _check_solver(request: Request) -> None:
    """Ask for the solver now, so that a missing one, a broken one or a licence that has run out is said before the work begins."""
    programs.check_name(request.solver)
    method = METHODS[request.method]
    if method.solver not in (None, "any") and request.solver not in ("auto", method.solver):
        own = method.solver.upper()
        raise UserError(
            f"--method {method.name} is solved by {own} alone, but --solver is {request.solver}; leave --solver out"
        )
    if method.solver is not None:
        programs.try_out(request.solver if method.solver == "any" else method.solver, binaries=method.binaries)


def _data(request: Request) -> Dataset:
    assert request.data is not None
    return data.load(request.data, "test", request.data_dir, valid_range=request.valid_range)


def _select(request: Request, dataset: Dataset, card: Card) -> Dataset:
    assert request.data is not None
    check_data(card, dataset)
    if request.index is None:
        if request.images > len(dataset):
            raise UserError(
                f"--images is {request.images}, but {request.data} has only {len(dataset)} images{_fuller(request.data)}"
            )
        dataset = dataset.sample(request.images, request.seed)
    else:
        rows = {int(position): row for row, position in enumerate(dataset.positions)}
        for index in request.index:
            if not 0 <= index < dataset.full_size:
                raise UserError(f"--index must be between 0 and {dataset.full_size - 1}, but is {index}")
            if index not in rows:
                raise UserError(f"image {index} is not in {request.data}{_fuller(request.data)}")
        dataset = dataset.take(torch.tensor([rows[index] for index in sorted(set(request.index))]))
    return dataset.take(torch.argsort(dataset.positions))


def _check_size(dataset: Dataset, card: Card) -> None:
    """What cannot be kept is refused before it is proved."""
    numbers = math.prod(dataset.image_shape)
    if numbers > LARGEST_IMAGE or card.classes > MOST_CLASSES:
        raise UserError(
            f"images of at most {LARGEST_IMAGE:,} numbers and {MOST_CLASSES:,} classes can be certified, but these have {numbers:,} "
            f"and {card.classes:,}; make the images smaller"
        )


def _fuller(name: str) -> str:
    return f"; the full data set is --data {name.removesuffix('-sample')}" if name.endswith("-sample") else ""


def _scale(cards: list[Card]) -> float:
    """What one normalised unit is in pixels, the same for both networks."""
    one, other = (card.normalisation["std"] for card in cards)
    if one != other or isinstance(one, list):
        raise UserError(
            f"a normalised radius needs one std for both networks, but teacher and student have {one} and {other}; use --unit pixel"
        )
    return float(one)


def _confidences(model: nn.Module, images: Tensor) -> NDArray[np.float32]:
    """`(n, 2, classes)` softmax outputs for images `(n, 2, *shape)`."""
    with torch.no_grad():
        logits = copy.deepcopy(model).double()(images.flatten(0, 1).double())
    return torch.softmax(logits, dim=1).float().reshape(*images.shape[:2], -1).cpu().numpy()
