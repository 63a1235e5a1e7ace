"""Floating-point operations of a compiled program, counted in its text.

XLA's own cost analysis takes the body of a loop once; here it counts as often as it runs. Matrix
products and convolutions are what is counted: the rest is bound by memory. The text is that of the
program after optimisation, so what XLA removed, or does once in place of twice, counts likewise.
"""

from __future__ import annotations

import math
import re

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_NAME = re.compile(r"%([\w.\-]+)")


def count_flops(program: str) -> float:
    """Operations of matrix products and convolutions in a compiled program's text (HLO).

    An addition and a multiplication are two. Products that have become calls of a library (on a
    GPU) are not seen: count the program compiled for a CPU.

    Raises:
      ValueError: for a loop with products in it whose trips are not known.
    """
    computations = _parse(program)
    totals: dict[str, float] = {}

    def total(name: str) -> float:
        if name not in totals:
            shapes, instructions = computations[name]
            totals[name] = sum(
                _own_flops(*instruction, shapes) + inside(instruction)
                for instruction in instructions
            )
        return totals[name]

    def inside(instruction: tuple[str, str, str]) -> float:
        _, operation, rest = instruction
        flops = sum(total(name) for name in _CALLED.findall(rest) if name in computations)
        if operation != "while" or not flops:
            return flops
        trips = _TRIPS.search(rest)
        if trips is None:
            raise ValueError("a loop does products an unknown number of times")
        return int(trips.group(1)) * flops

    return total(next(name for name in computations if name.startswith("ENTRY ")))


def _parse(program: str) -> dict[str, tuple[dict[str, str], list[tuple[str, str, str]]]]:
    """name -> shapes by instruction, and instructions as (shape, operation, rest of the line)."""
    computations: dict[str, tuple[dict, list]] = {}
    for line in program.splitlines():
        if header := _COMPUTATION.match(line):
            prefix = "ENTRY " if line.startswith("ENTRY") else ""
            shapes: dict[str, str] = {}
            instructions: list[tuple[str, str, str]] = []
            computations[prefix + header.group(1)] = shapes, instructions
        elif found := _INSTRUCTION.match(line):
            name, shape, operation, rest = found.groups()
            shapes[name] = shape
            instructions.append((shape, operation, rest))
    return computations


def _own_flops(shape: str, operation: str, rest: str, shapes: dict[str, str]) -> float:
    if operation not in ("dot", "convolution"):
        return 0.0
    lhs, rhs = (_sizes(shapes[name]) for name in _NAME.findall(rest)[:2])
    if operation == "dot":
        contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", rest).group(1)
        terms = math.prod(lhs[int(axis)] for axis in contracted.split(",") if axis)
    else:
        # Every output element is a sum over the kernel, but for its axis of outputs.
        kernel = re.search(r"dim_labels=\w+_(\w+)->", rest).group(1)
        terms = math.prod(rhs) / rhs[kernel.index("o")]
        # A dilated input is mostly zeros, which are not multiplied.
        for dilation in re.findall(r"lhs_dilate=([\dx]+)", rest):
            terms /= math.prod(int(factor) for factor in dilation.split("x"))
    return 2.0 * math.prod(_sizes(shape)) * terms


def _sizes(shape: str) -> list[int]:
    inside = re.match(r"\w+\[([\d,]*)\]", shape).group(1)
    return [int(size) for size in inside.split(",") if size]
