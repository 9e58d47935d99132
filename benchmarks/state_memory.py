"""How much memory the saving and loading of a state take: ``python -m benchmarks.state_memory``.

Besides the tensors that are there before a save, and after a load: the training's own. Each is
measured in a process of its own, as the largest size it ever had.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WEIGHTS_PER_LAYER = 2**22  # 16 MiB; with Adam's two numbers 48
MIB = 2**20


def a_state(mebibytes: int) -> dict[str, Any]:
    """Return a state as Lightning's checkpoint of a network under Adam holds it.

    Args:
        mebibytes: About its size.
    """
    import torch

    num_layers = max(1, round(mebibytes * MIB / (12 * WEIGHTS_PER_LAYER)))
    weights = {f"layers.{i}.weight": torch.rand(WEIGHTS_PER_LAYER) for i in range(num_layers)}
    moments = {
        i: {name: torch.rand(WEIGHTS_PER_LAYER) for name in ("exp_avg", "exp_avg_sq")}
        for i in range(num_layers)
    }
    return {"state_dict": weights, "optimizer_states": [{"state": moments, "param_groups": []}]}


def peak_mib() -> float:
    """Return the largest resident size that this process ever had.

    Of Linux's own count: the one of ``getrusage`` begins with that of the process it was forked
    from.
    """
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(found[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 1024)


def resident_mib() -> float:
    """Return the resident size of this process now; where nothing tells, the largest so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_mib()
    return pages * resource.getpagesize() / MIB


def measure(what: str, path: Path, mebibytes: int) -> dict[str, float]:
    """Save or load a state in this process.

    Args:
        what: ``save`` or ``load``.
        path: Its file.
        mebibytes: Its size, for ``save``.

    Returns:
        The growth of the peak in MiB, the file's size in MiB, and the seconds that it took.
    """
    from fourbeat.state.file import read_state, write_state

    state = a_state(mebibytes) if what == "save" else {}
    before, began = resident_mib(), time.perf_counter()
    if what == "save":
        write_state(path, state)
    else:
        state = read_state(path)
    seconds = time.perf_counter() - began
    return {"grown_mib": peak_mib() - before, "mib": path.stat().st_size / MIB, "s": seconds}


def measured(what: str, path: Path, mebibytes: int) -> dict[str, float]:
    """Do the same in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--what", what, "--path", str(path)]
    done = subprocess.run(
        [*command, "--mib", str(mebibytes)], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the state")
    parser.add_argument("--what", choices=("save", "load"), help="measure in this process")
    parser.add_argument("--path", type=Path)
    options = parser.parse_args()
    if options.what:
        print(json.dumps(measure(options.what, options.path, options.mib)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for what in ("save", "load"):
            result = measured(what, Path(folder) / "a.ckpt", options.mib)
            times = result["grown_mib"] / result["mib"]
            print(
                f"{what}: {result['grown_mib']:.0f} MiB for a state of {result['mib']:.0f} MiB "
                f"({times:.2f} times), in {result['s']:.1f} s"
            )


if __name__ == "__main__":
    main()
