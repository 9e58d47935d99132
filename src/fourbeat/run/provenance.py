"""Where a run comes from: the code's version, the installed packages, the machine."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from fourbeat.base.files import write_whole
from fourbeat.run.git import GitOutput, ask, call
from fourbeat.run.manifest import Environment, Git

PATCH_FILE = "uncommitted.patch"
"""In the run folder: what ``git apply`` needs to restore the code that was run."""

PATCH_LIMIT_MIB = 10
"""A longer difference is cut there: a run folder is no place for a data set under git."""

_UNTRACKED_LIMIT = 100
_LISTING_LIMIT_BYTES = 1 << 20
# The user's own settings (a pager, colours, other prefixes) must not make a patch that git refuses.
_DIFF = (
    *("diff", "--binary", "--full-index", "--unified=3", "--no-color", "--submodule=short"),
    *("--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/"),
)


def read_git(code_dir: Path, run_dir: Path) -> Git | None:
    """Return the version of the code, and write what is not committed into the run folder.

    The patch applies with ``git apply``. Untracked files are named in its head, and their contents
    omitted: among them may be secrets and data sets. Takes some 30 ms; a git that does not answer
    is given up after `fourbeat.run.git.TIMEOUT_S` per question.

    Args:
        code_dir: A folder in the repository whose code is run.
        run_dir: The run folder, which gets `PATCH_FILE` if anything is not committed.

    Returns:
        None outside a repository, or where git is not installed or does not answer.

    Raises:
        RunError: The patch cannot be written.
    """
    top = ask(code_dir, "rev-parse", "--show-toplevel")
    if not top:
        return None
    root = Path(top)
    commit = ask(root, "rev-parse", "--verify", "--quiet", "HEAD") or ""
    branch = ask(root, "symbolic-ref", "--short", "--quiet", "HEAD") or ""
    patch = _read_patch(root, commit)
    if patch:
        write_whole(run_dir / PATCH_FILE, patch)
    return Git(commit, branch, dirty=bool(patch), patch=PATCH_FILE if patch else None)


def _read_patch(root: Path, commit: str) -> bytes:
    # Before the first commit, all that is staged is new: the difference from an empty tree.
    base = commit or ask(root, "hash-object", "-t", "tree", "--stdin") or ""
    diff = call(root, *_DIFF, base, "--", limit=PATCH_LIMIT_MIB << 20)
    listing = ("ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory")
    untracked = call(root, *listing, limit=_LISTING_LIMIT_BYTES)
    names = untracked.data.decode(errors="surrogateescape").splitlines() if untracked else []
    if diff is not None and diff.whole and not diff.data and not names:
        return b""
    return _head(root, commit, diff, names) + (diff.data if diff else b"")


def _head(root: Path, commit: str, diff: GitOutput | None, untracked: list[str]) -> bytes:
    lines = [f"What was not committed in {root} when the run started."]
    checkout = f"git checkout {commit} && " if commit else ""
    lines += [f"Restore it with: {checkout}git apply THIS_FILE"]
    if diff is None or not diff.whole:
        limit = f"larger than {PATCH_LIMIT_MIB} MiB, or git took too long"
        lines += [f"CUT, does not apply: the difference was {limit}; below is its beginning."]
    if untracked:
        lines += ["Untracked files, whose contents are not stored here:"]
        lines += [f"  {name}" for name in untracked[:_UNTRACKED_LIMIT]]
    if len(untracked) > _UNTRACKED_LIMIT:
        lines += [f"  and {len(untracked) - _UNTRACKED_LIMIT} more"]
    text = "".join(f"# {line}\n" for line in lines)
    return text.encode(errors="surrogateescape")


def read_environment() -> Environment:
    """Return the interpreter, packages and hardware of this process.

    Accelerators and threads are known only once torch is imported, which this does not do by
    itself. Naming a CUDA device initialises CUDA: call it after the Trainer is built.
    """
    torch = sys.modules.get("torch")
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        hostname=platform.node(),
        packages=_packages(),
        hardware={
            "cpu": _cpu_model(Path("/proc/cpuinfo")),
            "num_cores": _num_cores(),
            "memory_mib": _memory_mib(),
            "accelerators": _accelerators(torch) if torch else [],
        },
        num_threads=count_threads(),
    )


def count_threads() -> int:
    """Return how many threads torch uses within one operation; how it rounds depends on them."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else _num_cores()


def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        about = distribution.metadata  # parsed again at each access: 0.2 ms
        if "Name" in about and "Version" in about:  # a broken installation leaves an empty one
            found.setdefault(about["Name"], about["Version"])  # the first on sys.path is imported
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _cpu_model(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def _num_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))  # a cluster's scheduler may have given us a few only
    return os.cpu_count() or 1


def _memory_mib() -> int:
    if sys.platform == "win32":
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def _accelerators(torch: Any) -> list[str]:
    cuda = torch.cuda
    names = [cuda.get_device_name(i) for i in range(cuda.device_count())]
    return [*names, "mps"] if torch.backends.mps.is_available() else names
