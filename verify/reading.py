"""What a torch module computes, read operation by operation from its trace (torch.export), and turned into affine layers and ReLUs.

A trace shows hooks, subclasses with another `forward`, blocks placed twice, functional calls and parametrisations as the operations that
they are; what is not in OPERATIONS is refused by name and place. The operations are interpreted twice: as affine forms, which become
the layers, and at points with an error bound, which the module itself must give there.
"""

from __future__ import annotations

import copy
import logging
import operator
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from verify.errors import Unsupported
from verify.forms import Form, Layer, Numbers, Sampled

aten = torch.ops.aten
N = TypeVar("N", bound=Numbers)
# Points of the region at which the module must give what was read.
POINTS = 64
# Beyond it float32 arithmetic may overflow, and what a module gives says nothing.
LARGEST_SAMPLED = 1e37
SUPPORTED = "flatten, reshape and permute, linear, ReLU, dropout in evaluation, and scaling and shifting by constants"


def layers_of(module: nn.Module, image_shape: tuple[int, ...], points: Tensor | None = None) -> tuple[Layer, ...]:
    """The affine layers of a module in evaluation, with a ReLU between each two; the last gives the logits.

    image_shape: of one image. points: `(POINTS, inputs)`, where the module is compared with what was read; uniform ones in [0, 1]
    unless given. The module is left as it is. Raises `Unsupported` for an operation that is not known, by name and place, and for a
    module that does something else when it is run.
    """
    if points is None:
        points = torch.rand(
            (POINTS, *image_shape), generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu"
        )
    with _in_evaluation(module):
        points = points.reshape(POINTS, *image_shape).to(_example(module))
        if any(values.is_inference() for values in (*module.parameters(), *module.buffers())):
            module = copy.deepcopy(module)  # A trace cannot be made of tensors that were made in inference mode.
        program = _traced(module, points)
        trace = Trace(program.graph_module.graph, _constants(program))
        form = trace.run(Form.identity((), POINTS, points.shape[1:], points.device))
        layers = (*form.layers, form.layer())
        _check(form, layers)
        _compare(module, points, trace.run(Sampled.at(points.double(), points.dtype)))
    return layers


@dataclass(frozen=True)
class Trace:
    """The graph of a traced module, and the values of its parameters, buffers and constants by the names of their placeholders."""

    graph: fx.Graph
    constants: Mapping[str, Tensor]

    def run(self, inputs: N) -> N:
        """What the module gives for these inputs."""
        values: dict[fx.Node, Any] = {}
        for node in self.graph.nodes:
            if node.op == "placeholder":
                values[node] = self.constants.get(node.name, inputs)
            elif node.op == "output":
                results: Any = fx.map_arg(node.args[0], values.__getitem__)
                if len(results) != 1 or not isinstance(results[0], type(inputs)):
                    raise Unsupported("the network must give one tensor, its logits, which depends on its input")
                return results[0]
            else:
                values[node] = _step(node, values)
        raise AssertionError("a graph has no output")


@dataclass(frozen=True)
class Call:
    """An operation of a trace on numbers: its node, for messages and types."""

    node: fx.Node

    def constant(self, value: Any) -> Tensor:
        """A constant operand in float64: a tensor as it is, a Python number as torch rounds it for this operation."""
        if isinstance(value, Numbers):
            raise Unsupported("it combines two results of the network")
        if not isinstance(value, Tensor):
            kind = self.node.meta["val"].dtype
            value = torch.tensor(value, dtype=kind if kind == torch.float64 else torch.float32, device="cpu")
        return _finite(value.detach().to(torch.float64))

    def weight(self, value: Any) -> Tensor:
        """A weight or bias in float64, a copy. Raises `Unsupported` unless its numbers are float32 numbers."""
        if isinstance(value, Numbers):
            raise Unsupported("its weights depend on the network's input")
        values = _finite(value.detach().to(torch.float64, copy=True))
        if not torch.equal(values.to(torch.float32).to(torch.float64), values):
            raise Unsupported("its weights are not float32 numbers; store the network in float32 first")
        return values

    def aligned(self, numbers: N, value: Any) -> tuple[N, Tensor]:
        """Numbers and a constant operand `(*image)`, both spread to their common shape."""
        constant = self.constant(value)
        shape = torch.broadcast_shapes(numbers.shape, constant.shape)  # type: ignore[no-untyped-call]
        if shape != numbers.shape:
            numbers = numbers.moved(lambda t: t.broadcast_to(shape))
        constant = constant.to(numbers.device).broadcast_to(shape)
        if not torch.equal(constant, constant[:1].broadcast_to(shape)):
            raise Unsupported("its constant is not the same for every image of a batch")
        return numbers, constant[0].contiguous()


def _move(call: Call, numbers: N, *args: Any, **kwargs: Any) -> N:
    return numbers.moved(lambda t: call.node.target(t, *args, **kwargs))  # type: ignore[operator]


def _same(call: Call, numbers: N, *args: Any, **kwargs: Any) -> N:
    return numbers


def _nothing(call: Call, numbers: N, *args: Any, **kwargs: Any) -> None:
    """A check of the numbers' type, which the trace has passed."""


def _add(call: Call, one: Any, other: Any, *, alpha: float = 1) -> Any:
    _plain(alpha)
    numbers, constant = call.aligned(*((one, other) if isinstance(one, Numbers) else (other, one)))
    return numbers.shifted(constant)


def _subtract(call: Call, one: Any, other: Any, *, alpha: float = 1) -> Any:
    _plain(alpha)
    if isinstance(one, Numbers):
        numbers, constant = call.aligned(one, other)
        return numbers.shifted(-constant)
    numbers, constant = call.aligned(other, one)
    return numbers.scaled(torch.full_like(constant, -1.0)).shifted(constant)


def _subtract_from(call: Call, one: Any, other: Any, alpha: float = 1) -> Any:
    return _subtract(call, other, one, alpha=alpha)


def _negate(call: Call, numbers: N) -> N:
    numbers, minus = call.aligned(numbers, -1.0)
    return numbers.scaled(minus)


def _multiply(call: Call, one: Any, other: Any) -> Any:
    numbers, constant = call.aligned(*((one, other) if isinstance(one, Numbers) else (other, one)))
    return numbers.scaled(constant)


def _divide(call: Call, one: Any, other: Any) -> Any:
    if not isinstance(one, Numbers):
        raise Unsupported("it divides by a result of the network")
    numbers, constant = call.aligned(one, other)
    if not bool((constant != 0).all()):
        raise Unsupported("it divides by zero")
    return numbers.scaled(constant, divide=True)


def _linear(call: Call, numbers: Any, weight: Any, bias: Any = None) -> Any:
    if not isinstance(numbers, Numbers):
        raise Unsupported("its weights depend on the network's input")
    matrix = call.weight(weight)
    offset = matrix.new_zeros(len(matrix)) if bias is None else call.weight(bias)
    return numbers.through(matrix, offset.expand(len(matrix)))


def _product(call: Call, numbers: Any, matrix: Any) -> Any:
    if isinstance(matrix, Tensor) and matrix.ndim != 2:
        raise Unsupported(f"its constant has {matrix.ndim} axes, not 2")
    return _linear(call, numbers, matrix.T if isinstance(matrix, Tensor) else matrix)


def _product_plus(call: Call, bias: Any, numbers: Any, matrix: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    _plain(alpha, beta)
    return _linear(call, numbers, matrix.T if isinstance(matrix, Tensor) else matrix, bias)


def _relu(call: Call, numbers: N) -> N:
    return numbers.rectified()


def _clamp(call: Call, numbers: N, min: float | None = None, max: float | None = None) -> N:
    if min != 0 or max is not None:
        raise Unsupported(f"it clamps to [{min}, {max}], which is no ReLU")
    return numbers.rectified()


def _dropout(call: Call, numbers: N, p: float, train: bool) -> N:
    if train and p > 0:
        raise Unsupported("it drops numbers at random in evaluation, too")
    return numbers


def _logits(call: Call, *args: Any, **kwargs: Any) -> Any:
    raise Unsupported("the network must end with its logits, so remove it")


MOVES = (
    aten.view.default, aten.reshape.default, aten.flatten.using_ints, aten.unflatten.int, aten.squeeze.default, aten.squeeze.dim,
    aten.squeeze.dims, aten.unsqueeze.default, aten.permute.default, aten.transpose.int, aten.t.default, aten.expand.default,
    aten.slice.Tensor, aten.select.int, aten.flip.default, aten.movedim.int, aten.movedim.intlist, aten._unsafe_view.default,
    aten.ravel.default, aten.mT.default,
)  # fmt: skip
COPIES = (
    aten.clone.default, aten.contiguous.default, aten.alias.default, aten.detach.default, aten.to.device, aten.to.dtype,
    aten.to.dtype_layout, aten.to.other, aten._to_copy.default, aten.type_as.default, aten.lift_fresh_copy.default,
)  # fmt: skip
DROPOUTS = (aten.dropout.default, aten.feature_dropout.default)
OPERATIONS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(MOVES, _move),
    **dict.fromkeys(COPIES, _same),
    **dict.fromkeys(DROPOUTS, _dropout),
    **dict.fromkeys((aten.softmax.int, aten.log_softmax.int), _logits),
    aten._assert_tensor_metadata.default: _nothing,
    aten.add.Tensor: _add,
    aten.sub.Tensor: _subtract,
    aten.rsub.Scalar: _subtract_from,
    aten.neg.default: _negate,
    aten.mul.Tensor: _multiply,
    aten.div.Tensor: _divide,
    aten.linear.default: _linear,
    aten.mm.default: _product,
    aten.matmul.default: _product,
    aten.addmm.default: _product_plus,
    aten.relu.default: _relu,
    aten.clamp_min.default: _clamp,
    aten.clamp.default: _clamp,
}


def _step(node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    """The result of one operation: a tensor where all its operands are constants, else numbers."""
    operands: Any = fx.map_arg((node.args, dict(node.kwargs)), values.__getitem__)
    args, kwargs = operands
    computed = [source for source in node.all_input_nodes if isinstance(values[source], Numbers)]
    if node.target is operator.getitem and not computed:
        return args[0][args[1]]
    if not isinstance(node.target, torch._ops.OpOverload):
        raise Unsupported(f"{_described(node)} is not supported; supported are {SUPPORTED}")
    if torch.Tag.nondeterministic_seeded in node.target.tags and node.target not in DROPOUTS:
        raise Unsupported(f"{_described(node)} is random; a network must give one answer for one input")
    if not computed:
        return node.target(*args, **kwargs)
    operation = OPERATIONS.get(node.target)
    if operation is None:
        raise Unsupported(f"{_described(node)} is not supported; supported are {SUPPORTED}")
    try:
        for source in computed:
            _check_precision(node, source)
        return operation(Call(node), *args, **kwargs)
    except Unsupported as reason:
        raise Unsupported(f"{_described(node)} is not supported: {reason}") from reason


def _check_precision(node: fx.Node, source: fx.Node) -> None:
    """Raise `Unsupported` when an operation rounds its result to a type with fewer digits, or to integers."""
    before, after = source.meta["val"].dtype, getattr(node.meta.get("val"), "dtype", None)
    if after is None or after == before:
        return
    if not after.is_floating_point or torch.finfo(after).eps > torch.finfo(before).eps:
        raise Unsupported(f"it rounds numbers of type {before} to {after}")


def _traced(module: nn.Module, points: Tensor) -> ExportedProgram:
    """The trace, its operations free of side effects. Raises `Unsupported` when there is none."""
    if isinstance(module, torch.jit.ScriptModule):
        raise Unsupported(
            "the network is a TorchScript module, which cannot be traced; give the module it was made from"
        )
    try:
        with redirect_stderr(StringIO()):
            program = torch.export.export(module, (points,), strict=False)
            if any(_has_effects(node) for node in program.graph.nodes):
                program = program.run_decompositions({})
    except Exception as error:  # A trace runs the module's own code, which may raise anything.
        reason = str(error).strip().partition("\n")[0][:200].rstrip(". ") or type(error).__name__
        if "data-dependent" in reason:
            reason = "what it computes depends on the values of its input"
        frames = [(frame.filename, str(frame.lineno)) for frame in traceback.extract_tb(error.__traceback__)[1:]]
        raise Unsupported(
            f"the network cannot be traced on images of shape {tuple(points.shape[1:])}: {reason}{_own_place(frames)}"
        ) from error
    if any(spec.kind != OutputKind.USER_OUTPUT for spec in program.graph_signature.output_specs):
        raise Unsupported(
            "the network changes its own buffers or its input; only networks that leave both are supported"
        )
    return program


def _has_effects(node: fx.Node) -> bool:
    """Does a node write into its operands, or hold a graph of its own."""
    if node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
        return bool(node.target._schema.is_mutable)
    return node.op == "get_attr" or isinstance(node.target, torch._ops.HigherOrderOperator)


def _constants(program: ExportedProgram) -> dict[str, Tensor]:
    """The parameters, buffers and constants of a trace by the names of their placeholders."""
    found = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            continue
        values = program.state_dict | program.constants
        if spec.target not in values or not isinstance(values[spec.target], Tensor):
            raise Unsupported(f"the network holds {spec.target}, which is no tensor")
        found[spec.arg.name] = values[spec.target]
    return found


def _check(form: Form, layers: tuple[Layer, ...]) -> None:
    """Raise `Unsupported` unless a network gives at least two logits, of finite layers."""
    if len(form.image_shape) != 1:
        raise Unsupported(f"the network gives {tuple(form.image_shape)} numbers an image; one row of logits is needed")
    if form.image_shape[0] < 2:
        raise Unsupported(f"the network has {form.image_shape[0]} output; at least two classes are needed")
    for layer in layers:
        for values in (layer.weight, layer.bias, layer.bias_error):
            _finite(values)


def _compare(module: nn.Module, points: Tensor, read: Sampled) -> None:
    """Raise `Unsupported` unless the module gives, at these points, the differences of logits that were read, rounding allowed for."""
    try:
        given = module(points)
    except Exception as error:
        raise Unsupported(f"the network was traced but does not run: {error}") from error
    if not isinstance(given, Tensor) or given.shape != read.shape:
        raise Unsupported("the network must give one tensor, its logits, whenever it is run")
    given, first = given.double(), slice(0, 1)
    off = ((given - given[:, first]) - (read.value - read.value[:, first])).abs()
    allowed = read.error + read.error[:, first] + read.unit * (read.value.abs() + read.value[:, first].abs())
    meaningful = (read.largest < LARGEST_SAMPLED)[:, None]
    if bool((meaningful & ~(off <= allowed)).any()):
        worst = float(torch.where(meaningful, off - allowed, 0.0).nan_to_num(torch.inf).max())
        raise Unsupported(
            f"the network computes something else when it is run than when it is traced (a difference of logits is off by {worst:.2g}); "
            "only networks whose computation does not depend on how they are called are supported"
        )


@contextmanager
def _in_evaluation(module: nn.Module) -> Iterator[None]:
    """Every part of a module in evaluation mode, without gradients, autocast, compilation, warnings and logs; all as it was afterwards."""
    flags = [(part, part.training) for part in module.modules()]
    silenced = logging.root.manager.disable
    with (
        torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False),
        torch.compiler.set_stance("force_eager"), warnings.catch_warnings(action="ignore"),
    ):  # fmt: skip
        try:
            logging.disable(logging.CRITICAL)
            for part, _ in flags:
                part.training = False
            yield
        finally:
            logging.disable(silenced)
            for part, training in flags:
                part.training = training


def _example(module: nn.Module) -> Tensor:
    """A tensor of the type and on the device that a module's parameters have."""
    numbers = (*module.parameters(), *module.buffers())
    if any(nn.parameter.is_lazy(values) for values in numbers):
        raise Unsupported("the network has parameters that are not there yet; run it on a batch of images first")
    return next((values.detach() for values in numbers if values.is_floating_point()), torch.zeros((), device="cpu"))


def _described(node: fx.Node) -> str:
    """An operation by its name, its layer and its place in a program that is not torch's."""
    target = node.target
    name = target._schema.name.rpartition("::")[2] if isinstance(target, torch._ops.OpOverload) else getattr(
        target, "__name__", str(target)
    )  # fmt: skip
    words = [f"operation {name}"]
    layers = [entry for entry in (node.meta.get("nn_module_stack") or {}).values() if entry[0]]
    if layers:
        words.append(f"in layer {layers[-1][0]} ({str(layers[-1][1]).rpartition('.')[2]})")
    frames = re.findall(r'File "(.+?)", line (\d+)', node.meta.get("stack_trace") or "")
    return " ".join(words) + _own_place(frames)


def _own_place(frames: list[tuple[str, str]]) -> str:
    """The last of some (file, line) that is not torch's, in words."""
    own = [
        (path, line)
        for path, line in frames
        if path[:1] != "<" and not Path(path).is_relative_to(Path(torch.__file__).parent)
    ]
    return f" at line {own[-1][1]} of {Path(own[-1][0]).name}" if own else ""


def _finite(values: Tensor) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise Unsupported("the network holds numbers that are NaN or infinite")
    return values


def _plain(*factors: float) -> None:
    if any(factor != 1 for factor in factors):
        raise Unsupported("it has a factor of its own; multiply apart")
