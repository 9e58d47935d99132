"""The weights that a run begins with, where they are another file's: ``init_from``."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from fourbeat.base.errors import RunError
from fourbeat.config.schema import TrainConfig
from fourbeat.optim.patterns import list_names
from fourbeat.run import MANIFEST_FILE
from fourbeat.state.checkpoint_files import CHECKPOINT_DIR
from fourbeat.state.file import read_state, write_state
from fourbeat.state.weights import file_sha256, fit_weights, read_weights

INITIAL = "initial.ckpt"


def load_initial(net: nn.Module, file: str) -> str:
    """Load a file's weights into the network of a new run; what does not fit is left as it is.

    Args:
        net: The network.
        file: The value of ``init_from``.

    Returns:
        What did not fit, in one line.

    Raises:
        RunError: The file cannot be read, or holds nothing that fits.
    """
    path = Path(file).expanduser()
    fitted = fit_weights(read_weights(path), net)
    if not fitted.values:
        raise RunError(f"init_from={file}: holds nothing that fits the network.")
    net.load_state_dict(fitted.values, strict=False)
    left = {
        "of another shape": fitted.mismatched,
        "not in the file": fitted.missing,
        "not in the network": fitted.unused,
    }
    held, wanted = len(fitted.values), len(net.state_dict())
    told = [f"{why}: {list_names(names)}" for why, names in left.items() if names]
    loaded = f"init_from: {held} of the network's {wanted} tensors loaded from {file}"
    return "; ".join([loaded, *told])


def keep_initial(net: nn.Module, file: str, folder: Path) -> str:
    """Save the weights that a new run begins with: it can be replayed without the file.

    Args:
        net: The network, after :func:`load_initial`.
        file: The value of ``init_from``.
        folder: The run folder, before it has a manifest: a run that has one has these, too.

    Returns:
        The SHA-256 of the file, for the manifest.
    """
    if not (folder / MANIFEST_FILE).exists():  # else it is refused
        write_state(folder / CHECKPOINT_DIR / INITIAL, {"state_dict": net.state_dict()})
    return file_sha256(Path(file).expanduser())


def restore_initial(net: nn.Module, cfg: TrainConfig, run_dir: Path) -> None:
    """Let a network have the weights that its run began with, without the file they came from.

    Args:
        net: Built from the run's config.
        cfg: That config.
        run_dir: The run folder.

    Raises:
        RunError: The run has no copy of them.
    """
    if cfg.init_from:
        saved = read_state(run_dir / CHECKPOINT_DIR / INITIAL)["state_dict"]
        net.load_state_dict(saved, strict=getattr(net, "strict_loading", True))
