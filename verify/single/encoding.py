"""The programs of ReLU networks over one box: the triangle relaxation, and the exact program with a binary a unstable neuron.

A neuron `l < 0 < u` is written `z = y - s` with `0 <= y <= u` its output and `0 <= s <= -l` its negative part:

    relaxed  y / u + s / (-l) <= 1           (the triangle: y >= 0, y >= z, y <= u (z - l) / (u - l))
    exact    y <= u a,  s <= -l (1 - a),  a in {0, 1}

so every neuron has one dense row, `W y_prev + b = y - s`, and one or two short ones. A neuron with `l >= 0` has `y = z`; one with
`u <= 0` has no variable at all.

Solvers keep rows within absolute tolerances, so every variable stands in units of its own box: an input from -1 to 1, a neuron in units of
`max(u, -l)`. A ReLU is the same in any unit, and the program the same for weights of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from verify.errors import Unsupported
from verify.network.graph import Network
from verify.programs import Floats, Integers, Program
from verify.region import Region
from verify.single.layers import LayerBounds


@dataclass(frozen=True)
class Encoded:
    """Where one network stands in a program.

    columns: of the last hidden layer's outputs that are not always zero (of the inputs, where there is no hidden layer).
    weight, bias: the last affine layer of these variables. dense_rows: for every hidden layer, the place of each neuron's dense row, -1
    for a neuron without one. units: for every hidden layer, what a neuron's row and variables stand in.
    """

    columns: Integers
    weight: Floats
    bias: Floats
    dense_rows: tuple[Integers, ...]
    units: tuple[Floats, ...]

    def objective(self, row: Floats) -> tuple[Integers, Floats, float]:
        """Columns, values and constant of `row . logits`."""
        return self.columns, row @ self.weight, float(row @ self.bias)

    def multipliers(self, rows: Floats) -> list[Floats]:
        """From a solver's multipliers of all rows, `lambda` of verify/single/lagrangian.py for each hidden layer; 0 where there is no row.

        A solver takes `multipliers . (A v - b)` off the objective, the Lagrangian adds it: hence the sign.
        """
        given = np.append(-rows, 0.0)
        return [given[places] / units for places, units in zip(self.dense_rows, self.units, strict=True)]


@dataclass(frozen=True)
class Inputs:
    """The inputs of one box as variables from -1 to 1: `x = center + half v[columns]`, `(d,)` each."""

    columns: Integers
    center: Floats
    half: Floats

    def point(self, solution: Floats) -> Floats:
        """The input `(d,)` that a solution means."""
        return self.center + self.half * solution[self.columns]


def add_inputs(program: Program, region: Region) -> Inputs:
    """Add the inputs of the first image of a region."""
    lower, upper = _numpy(region.lower[0]), _numpy(region.upper[0])
    columns = np.array([program.add_variable(-1.0, 1.0) for _ in lower], np.int64)
    return Inputs(columns, (lower + upper) / 2, (upper - lower) / 2)


def add_network(program: Program, network: Network, bounds: LayerBounds, inputs: Inputs, *, exact: bool) -> Encoded:
    """Add the hidden layers of a network that reads the inputs, with the bounds of the first image of `bounds`."""
    columns, kept = inputs.columns, np.arange(len(inputs.columns))
    scale, offset = inputs.half, inputs.center
    dense_rows, units = [], []
    for k in range(network.depth - 1):
        weight, bias = _of_variables(network, k, kept, scale, offset)
        lower, upper = _numpy(bounds.lower[k][0]), _numpy(bounds.upper[k][0])
        outputs = np.full(len(bias), -1, np.int64)
        places = np.full(len(bias), -1, np.int64)
        unit = np.where(upper > 0, np.maximum(upper, -lower), 1.0)
        for j in np.flatnonzero(upper > 0):
            row = weight[j] / unit[j], bias[j] / unit[j]
            box = lower[j] / unit[j], upper[j] / unit[j]
            outputs[j], places[j] = _add_neuron(program, columns, row, box, exact=exact)
        kept = np.flatnonzero(outputs >= 0)
        columns, scale, offset = outputs[kept], unit[kept], np.zeros(len(kept))
        dense_rows.append(places)
        units.append(unit)
    last = _of_variables(network, network.depth - 1, kept, scale, offset)
    return Encoded(columns, *last, tuple(dense_rows), tuple(units))


def _of_variables(network: Network, k: int, kept: Integers, scale: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Weight and bias of a layer whose inputs `kept` are `offset + scale v` for variables v."""
    matrix = network.layers[k].matrix()
    if matrix is None:
        raise Unsupported(f"layer {k + 1} of the network has no matrix; choose a method that solves no program")
    weight = _numpy(matrix)[:, kept]
    return weight * scale, _numpy(network.layers[k].bias) + weight @ offset


def _add_neuron(
    program: Program, columns: Integers, row: tuple[Floats, float], box: tuple[float, float], *, exact: bool
) -> tuple[int, int]:
    """Add `y = relu(weight . columns + bias)` over its box; returns the column of `y` and the place of the dense row."""
    (weight, bias), (lower, upper) = row, box
    output = program.add_variable(max(lower, 0.0), upper)
    if lower >= 0:
        return output, program.add_row(np.append(columns, output), np.append(weight, -1.0), -bias, -bias)
    slack = program.add_variable(0.0, -lower)
    place = program.add_row(np.append(columns, [output, slack]), np.append(weight, [-1.0, 1.0]), -bias, -bias)
    if exact:
        active = program.add_variable(0.0, 1.0, binary=True)
        program.add_row(np.array([output, active]), np.array([1.0, -upper]), -np.inf, 0.0)
        program.add_row(np.array([slack, active]), np.array([1.0, -lower]), -np.inf, -lower)
    else:
        # -l y + u s <= -l u, divided by the larger of the two coefficients.
        scale = max(upper, -lower)
        program.add_row(np.array([output, slack]), np.array([-lower, upper]) / scale, -np.inf, -lower * (upper / scale))
    return output, place


def _numpy(tensor: Tensor) -> Floats:
    return np.asarray(tensor.cpu().numpy(), np.float64)
