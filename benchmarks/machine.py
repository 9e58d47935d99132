"""On what a table was measured, and with which versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("torch", "lightning", "hydra-core", "numpy", "tensorboard")
THEIRS = ("keras", "jax", "tensorflow-cpu", "tensorflow", "scikit-learn", "skorch", "torch")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ASK = f"import json, sys; sys.path.insert(0, {str(ROOT)!r}); import benchmarks.machine as m; "

NO_RIVALS = "not installed"


def describe(theirs: Path, arguments: list[str]) -> dict[str, str]:
    """Describe the machine and what runs on it, in words.

    Args:
        theirs: Python of the rivals' environment; it may be missing.
        arguments: What was typed after ``python -m benchmarks``.
    """
    return {
        "date": date.today().isoformat(),
        "machine": f"{cpu()}, {os.cpu_count()} cores, {ram_gib():.0f} GiB",
        "load": f"{os.getloadavg()[0]:.1f}",
        "commit": commit(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": text(versions(OURS)),
        "rivals": text(versions_in(theirs)),
        "command": " ".join([*threads(), "python -m benchmarks", *arguments]),
    }


def threads() -> list[str]:
    """Return the variables that keep a framework from taking all cores, as they are typed."""
    return [f"{name}={value}" for name, value in os.environ.items() if name in THREADS]


def cpu() -> str:
    """Return the processor's name."""
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def ram_gib() -> float:
    """Return the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def commit() -> str:
    """Return fourbeat's commit, with a ``+`` when files have been changed since."""
    named = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(named, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those packages that this environment has."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def versions_in(python: Path) -> dict[str, str]:
    """Return the versions that the rivals' environment has; none if it is missing."""
    if not python.exists():
        return {}
    code = f"{ASK} print(json.dumps(m.versions(m.THEIRS)))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def text(found: dict[str, str]) -> str:
    """Return names and versions as a list in words."""
    return ", ".join(f"{name} {version}" for name, version in found.items()) or NO_RIVALS
