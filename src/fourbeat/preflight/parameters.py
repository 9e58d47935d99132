"""What the config says of single parameters of the network, before anything is loaded."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from fourbeat.base.errors import Fault, RunError
from fourbeat.config.leaves import Leaf, instantiate
from fourbeat.config.schema import TrainConfig
from fourbeat.config.sections import key_of
from fourbeat.config.signatures import class_of
from fourbeat.lightning.torch_optim import requires_closure
from fourbeat.optim.named import ownership_faults
from fourbeat.optim.optimizer import has_sparse_gradients, network_faults
from fourbeat.optim.patterns import freeze, freeze_faults, list_names
from fourbeat.run.folder import find_run, weights_path
from fourbeat.state.weights import fit_weights, read_weights


def parameter_faults(cfg: TrainConfig, net: nn.Module | None = None) -> list[Fault]:
    """Compare patterns, and the file of the first weights, with the network's parameters.

    Args:
        cfg: The config; its optimizers must be right by themselves.
        net: As of :func:`bare_network`, if it is built already; is frozen as the config says.
    """
    leaves, root = cfg.optimizers, Path(cfg.paths.output_dir)
    net = bare_network(cfg) if net is None else net
    if net is None:  # which the check of the model itself reports
        return []
    faults = freeze_faults(net, cfg.freeze)
    if not faults:
        freeze(net, cfg.freeze)
        faults = ownership_faults(leaves, net)
        keys = {key_of("optim", name): leaf.leaf() for name, leaf in leaves.items()}
        faults = faults or [f for key, leaf in keys.items() for f in network_faults(leaf, net, key)]
        faults = faults or closure_faults(cfg) + clipping_faults(cfg, net)
    return [*faults, *(_file_faults(cfg.init_from, net, root) if cfg.init_from else [])]


def closure_faults(cfg: TrainConfig) -> list[Fault]:
    """Find what cannot be with an optimizer that calls its closure again, as LBFGS does."""
    faults = []
    for name, leaf in cfg.optimizers.items():
        if (kind := class_of(leaf.target)) and requires_closure(kind):
            why, hint = "computes its batch several times, from the start", "Choose another one."
            others = {
                "loop.accumulate_grad_batches": cfg.loop.accumulate_grad_batches > 1,
                "trainer.precision": cfg.trainer.precision == "16-mixed",
                "task": bool(name),
            }
            key, value = key_of("optim", name) + "._target_", leaf.target
            faults += [
                Fault("impossible-together", key, value, f"{why}, not with {other}", hint)
                for other, is_there in others.items()
                if is_there
            ]
    return faults


def clipping_faults(cfg: TrainConfig, net: nn.Module) -> list[Fault]:
    """Torch cannot clip sparse gradients."""
    if cfg.loop.gradient_clip_val is None or not has_sparse_gradients(net):
        return []
    key, value = "loop.gradient_clip_val", str(cfg.loop.gradient_clip_val)
    why, hint = "cannot clip the sparse gradients of an embedding", f"Use {key}=null."
    return [Fault("impossible-together", key, value, why, hint)]


def bare_network(cfg: TrainConfig) -> nn.Module | None:
    """Build the network without its numbers, or on the CPU where it needs some.

    Returns:
        The network; None: there is none, or it cannot be built.
    """
    if cfg.model is None:
        return None
    net = _built_on("meta", cfg.model.leaf())
    # Not "or": a network may be empty, or say so.
    return _built_on("cpu", cfg.model.leaf()) if net is None else net


def _built_on(device: str, leaf: Leaf) -> nn.Module | None:
    # A network that loads weights of its own makes torch warn of "copying to a meta parameter".
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), torch.device(device):
        warnings.simplefilter("ignore", UserWarning)
        try:
            net: nn.Module = instantiate(leaf)
        except Exception:  # the user's own class may raise anything
            return None
    return net


def _no_file(file: str, path: Path, root: Path) -> Fault:
    """Say what to name instead: of a run, the file of its best weights."""
    why = "is a folder" if path.is_dir() else "is not there"
    hint = "Give a checkpoint, or a state dict that torch.save has written."
    with suppress(RunError):
        best = weights_path(find_run(file, root), "best")
        why, hint = "is a run, not a file", f"Its best weights are init_from={best}."
    return Fault("no-such-file", "init_from", file, why, hint)


def _file_faults(file: str, net: nn.Module, root: Path) -> list[Fault]:
    path, key = Path(file).expanduser(), "init_from"
    if not path.is_file():
        return [_no_file(file, path, root)]
    try:
        held = read_weights(path)
    except RunError as error:
        why = str(error).removeprefix(f"{path}: ")
        hint = "Save the state dict alone: torch.save(model.state_dict(), FILE)."
        return [Fault("not-readable", key, file, why, hint)]
    if any(isinstance(each, UninitializedParameter) for each in net.parameters()):
        return []  # of no shape yet
    fitted = fit_weights(held, net)
    if fitted.values:
        return []
    why = f"holds nothing that fits the network: it has {list_names(held)}"
    hint = f"The network has {list_names(net.state_dict())}."
    if fitted.mismatched:
        hint = f"Of another shape: {list_names(fitted.mismatched)}."
    return [Fault("wrong-weights", key, file, why, hint)]
