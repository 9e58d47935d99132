"""Weights from a file of anybody's: with other prefixes before their names, or with other heads."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fourbeat.state.file import digest_of, read_state
from fourbeat.state.training_state import DamagedCheckpointError

# What a module of Lightning's, or torch's DistributedDataParallel, calls the network within it.
WRAPPERS = ("", "net", "model", "module")


@dataclass(frozen=True)
class FittedWeights:
    """What a file holds of a network.

    Attributes:
        values: By the network's own names.
        missing: Names in the network that the file lacks.
        unused: Names in the file that the network lacks.
        mismatched: Names in the network whose tensor has another shape in the file, with both.
    """

    values: dict[str, Tensor]
    missing: list[str]
    unused: list[str]
    mismatched: list[str]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights onto the CPU, without running code.

    Args:
        path: A checkpoint of ours or of Lightning's, a state dict, or a dict that holds one.

    Raises:
        DamagedCheckpointError: There are none in it, or it can be read only in part, or by code.
        RunError: It cannot be read.
    """
    whole = read_state(path)
    for each in (whole.get("state_dict"), whole, *whole.values()):
        if isinstance(each, Mapping) and (found := _tensors(each)):
            return found
    raise DamagedCheckpointError(f"{path}: holds no weights: it has {', '.join(map(str, whole))}.")


def fit_weights(held: Mapping[str, Tensor], net: nn.Module) -> FittedWeights:
    """Find which tensor of a file is which of a network, by names from which a prefix may differ.

    Args:
        held: What a file holds.
        net: The network; may lie on the meta device.
    """
    wanted = _tensors(net.state_dict())
    theirs, ours = _prefixes(held, wanted)
    names = {ours + n.removeprefix(theirs): n for n in held if n.startswith(theirs)}
    both = [name for name in wanted if name in names]
    shapes = {name: (held[names[name]].shape, wanted[name].shape) for name in both}
    fitting = [name for name, (has, wants) in shapes.items() if has == wants]
    return FittedWeights(
        values={name: held[names[name]] for name in fitting},
        missing=[name for name in wanted if name not in names],
        unused=[n for n in held if n not in {names[name] for name in both}],
        mismatched=[
            f"{name} ({list(has)} in the file, {list(wants)} in the network)"
            for name, (has, wants) in shapes.items()
            if has != wants
        ],
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return digest_of(file, path.stat().st_size).decode()


def _tensors(values: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value for name, value in values.items() if isinstance(value, Tensor)}


def _prefixes(held: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[str, str]:
    """What most names in the file, and those in the network, have before what they share."""
    ends: dict[Any, list[str]] = defaultdict(list)
    for name, tensor in held.items():
        ends[name.rpartition(".")[2], tensor.shape].append(name)
    votes = Counter(
        _before_common_end(other, name)
        for name, tensor in wanted.items()
        for other in ends[name.rpartition(".")[2], tensor.shape]
    )
    # Without one of them whole, any layer would fit any other one of its shape.
    likely = [p for p in votes if p[0] in WRAPPERS or not p[1]]
    best = max(likely, key=lambda p: (votes[p], -len("".join(p))), default=("", ""))
    theirs, ours = (f"{prefix}." if prefix else "" for prefix in best)
    return theirs, ours


def _before_common_end(name: str, other: str) -> tuple[str, str]:
    one, two = name.split("."), other.split(".")
    while one and two and one[-1] == two[-1]:
        one.pop()
        two.pop()
    return ".".join(one), ".".join(two)
