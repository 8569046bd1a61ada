"""Read the text of a compiled program: its loops, what it launches, the bytes that it moves, where it waits.

Invariant: counts come from the text alone. A loop of unknown length counts as one turn; bytes are those that kernels
read and write outside the chip's fast memory, as if there were no caches.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

FREE = {  # operations that launch nothing
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all",
    "async-update", "opt-barrier", "partition-id", "replica-id",
}  # fmt: skip
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
CALLED = re.compile(r"(?:body|condition|calls|to_apply|true_computation|false_computation)=%([\w.\-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
ARRAY = re.compile(r"(pred|[a-z]+\d+\w*)\[([\d,]*)\](\{[^}]*\})?")


class Instruction(NamedTuple):
    """One line: its name, the shape of its result, its operation, the operands, and the rest of the line."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    rest: str

    @property
    def calls(self) -> list[str]:
        """The names of the computations that it runs."""
        named = CALLED.findall(self.rest)
        return named + [each.strip(" %") for group in BRANCHES.findall(self.rest) for each in group.split(",")]

    @property
    def turns(self) -> int | None:
        """The number of turns of a loop; None if it is not known."""
        known = re.search(r'"known_trip_count":\{"n":"(\d+)"', self.rest)
        return int(known[1]) if known else None

    @property
    def collective(self) -> bool:
        """Whether devices wait for each other at this instruction."""
        return self.opcode.removesuffix("-start") in COLLECTIVES


Computation = dict[str, Instruction]
Count = Callable[[Computation, Instruction], float]


class Module:
    """The computations of a program, by name; `entry` is where it begins."""

    def __init__(self, text: str) -> None:
        self.computations: dict[str, Computation] = {}
        self.entry, current = "", Computation()
        for line in text.splitlines():
            if line.endswith("{") and (head := re.match(r"(ENTRY )?%([\w.\-]+) ", line)):
                current = self.computations.setdefault(head[2], {})
                self.entry = head[2] if head[1] else self.entry
            elif (found := _instruction(line)) is not None:
                current[found.name] = found

    def inside(self, name: str) -> Iterator[Instruction]:
        """Yield the instructions of a computation and of all that it runs, but not the insides of kernels."""
        for each in self.computations[name].values():
            yield each
            if each.opcode in ("while", "conditional", "call"):
                for called in each.calls:
                    yield from self.inside(called)

    def loops(self) -> list[Instruction]:
        """Return all loops, outer ones first."""
        return [each for each in self.inside(self.entry) if each.opcode == "while"]

    def body(self, loop: Instruction) -> str:
        """Return the name of the computation that is one turn of a loop."""
        return re.search(r"body=%([\w.\-]+)", loop.rest)[1]  # pyright: ignore[reportOptionalSubscript]

    def mentions(self, name: str, words: str) -> bool:
        """Tell whether an instruction of a computation, or of its kernels, comes from a traced operation `words`."""
        for each in self.inside(name):
            if words in each.rest or any(words in inner.rest for inner in self._kernel(each).values()):
                return True
        return False

    def total(self, name: str, of: Count) -> float:
        """Add up `of` over a computation and all it runs: loops times their turns, choices by their dearest branch."""
        own = self.computations[name]
        return sum(of(own, each) + self.within(each, of) for each in own.values())

    def within(self, each: Instruction, of: Count) -> float:
        """Add up `of` over what a loop, a choice or a call runs; 0 for any other instruction."""
        if each.opcode not in ("while", "conditional", "call"):
            return 0.0
        called = [self.total(inner, of) for inner in each.calls]
        return max(called) if each.opcode == "conditional" else (each.turns or 1) * sum(called)

    def moved(self, own: Computation, each: Instruction) -> float:
        """Return the bytes that an instruction reads and writes outside fast memory."""
        if _free(each):
            return 0
        kernel = self._kernel(each)
        if not kernel:
            return _moved_alone(own, each)
        parameters = {inner.operands[0]: inner for inner in kernel.values() if inner.opcode == "parameter"}
        read = sum(
            _read(kernel, parameters[str(number)], slow(own[operand].shape))
            for number, operand in enumerate(each.operands)
            if str(number) in parameters and operand in own
        )
        root = list(kernel.values())[-1]
        written = [kernel[name] for name in root.operands] if root.opcode == "tuple" else [root]
        return read + (sum(_written(kernel, one) for one in written) if slow(each.shape) else 0)

    def _kernel(self, each: Instruction) -> Computation:
        return self.computations[each.calls[0]] if each.opcode == "fusion" and each.calls else {}


def launched(_: Computation, each: Instruction) -> float:
    """Return 1 for an instruction that is a kernel or a copy, else 0."""
    return float(not _free(each))


def waits(_: Computation, each: Instruction) -> float:
    """Return 1 if the host of a GPU waits for the device: to read the condition of a loop or a choice; else 0."""
    return float(each.opcode == "conditional" or (each.opcode == "while" and each.turns is None))


def cycles(_: Computation, each: Instruction) -> float:
    """Return the cycles that a TPU's compiler expects an instruction to take."""
    found = re.search(r'"estimated_cycles":"(\d+)"', each.rest)
    return float(found[1]) if found and not _free(each) else 0.0


def size(shape: str) -> int:
    """Return the bytes of all arrays of a shape."""
    return sum(_bytes(*array[:2]) for array in ARRAY.findall(shape))


def slow(shape: str) -> int:
    """Return the bytes of the arrays of a shape that do not lie in fast memory."""
    return sum(_bytes(kind, ends) for kind, ends, layout in ARRAY.findall(shape) if "S(" not in layout)


def _free(each: Instruction) -> bool:
    return each.opcode in FREE or each.opcode.endswith("-done")


def _bytes(kind: str, ends: str) -> int:
    bits = 8 if kind == "pred" else int(re.search(r"\d+", kind)[0])  # pyright: ignore[reportOptionalSubscript]
    return math.ceil(bits * math.prod(int(end) for end in ends.split(",") if end) / 8)


def _instruction(line: str) -> Instruction | None:
    head = re.match(r"\s+(?:ROOT )?%([\w.\-]+) = ", line)
    if head is None:
        return None
    begin = head.end()
    end = _closing(line, begin) if line[begin] == "(" else line.index(" ", begin)
    opcode = re.match(r" ?([\w\-]+)\(", line[end:])
    if opcode is None:
        return None
    opens = end + opcode.end() - 1
    closes = _closing(line, opens)
    inner, shape = line[opens + 1 : closes - 1], line[begin:end]
    operands = (inner,) if opcode[1] == "parameter" else tuple(re.findall(r"%([\w.\-]+)", inner))
    return Instruction(head[1], shape, opcode[1], operands, line[closes:])


def _closing(line: str, opens: int) -> int:
    """Return the position after the parenthesis that closes the one at `opens`."""
    depth = 0
    for place in range(opens, len(line)):
        depth += {"(": 1, ")": -1}.get(line[place], 0)
        if depth == 0:
            return place + 1
    return len(line)


def _moved_alone(own: Computation, each: Instruction) -> float:
    """Return the bytes of an instruction that is a kernel by itself."""
    operands = [own[name] for name in each.operands if name in own]
    if each.opcode in ("dynamic-slice", "gather"):
        return 2 * slow(each.shape)
    if each.opcode == "dynamic-update-slice":
        return 2 * slow(operands[1].shape)
    if each.opcode in ("copy-start", "slice-start", "dynamic-slice-start"):  # the result contains the source too
        first, second = ARRAY.findall(each.shape)[:2]
        outside = sum("S(" not in layout for _, _, layout in (first, second))
        return outside * min(_bytes(*first[:2]), _bytes(*second[:2]))
    return slow(each.shape) + sum(slow(operand.shape) for operand in operands)


def _read(kernel: Computation, parameter: Instruction, whole: int) -> int:
    """Return the bytes that a kernel reads of a parameter that has `whole` bytes."""
    if not whole:
        return 0
    read = 0
    for user in (each for each in kernel.values() if parameter.name in each.operands):
        first = user.operands[0] == parameter.name
        if first and user.opcode in ("dynamic-slice", "gather"):
            read += size(user.shape)
        elif first and user.opcode == "bitcast":
            read += _read(kernel, user, whole)
        elif not (first and user.opcode == "dynamic-update-slice"):
            return whole
    return min(read, whole)


def _written(kernel: Computation, result: Instruction) -> int:
    if result.opcode == "bitcast" and result.operands[0] in kernel:
        return _written(kernel, kernel[result.operands[0]])
    if result.opcode == "dynamic-update-slice":
        return size(kernel[result.operands[1]].shape)
    return slow(result.shape)
