"""``make canary``: the tests with the newest releases of all libraries, without our upper bounds.

In an environment of its own. torch is held at the version of ``.venv``, for its newest build may
be one of several GB; ``CANARY_TORCH=1`` takes the newest. Of Hydra and OmegaConf pre-releases are
taken as well: what breaks in one can be mended before it is final.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree  # of pytest's own reports

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".canary"
EXTRA = "dev"
PRE_RELEASES = ("hydra-core", "omegaconf")
SHOWN = (
    *("torch", "lightning", "torchmetrics", "hydra-core", "omegaconf", "tensorboard"),
    *("numpy", "pydantic"),
)
UPPER_BOUNDS = ("<", "<=", "==", "~=", "===")
# Found, and written down in docs/canary.md: silenced, or nothing behind it would be seen. The test
# of each in the contract tests fails all the same.
KNOWN = (
    "ignore:The version_base parameter is deprecated",
    "ignore:register_new_resolver",
    "ignore:hydra.utils.instantiate() resolved _target_",
)
MOST_SHOWN = 160  # characters of a failure


class Suite(NamedTuple):
    """Some of the tests.

    Attributes:
        name: In the table.
        arguments: Of pytest.
    """

    name: str
    arguments: tuple[str, ...]


SUITES = (
    Suite("contract tests", ("tests/lightning",)),
    Suite("quick tests", ("-m", "not slow", "-n", "2", "--ignore", "tests/lightning")),
)


class Failure(NamedTuple):
    """A test that failed, and the first line of why."""

    test: str
    why: str


class Report(NamedTuple):
    """What a suite came to."""

    name: str
    num_tests: int
    failures: list[Failure]


def unbounded(requirements: Iterable[str], extra: str) -> dict[str, Requirement]:
    """Return requirements without their upper bounds; what is excluded by name stays so.

    Args:
        requirements: As a distribution's metadata lists them.
        extra: Its own requirements are among them, and those of the extras that it names.
    """
    found: dict[str, Requirement] = {}
    every = [Requirement(text) for text in requirements]
    names, waiting = set[str](), [extra]
    while waiting:
        name = waiting.pop()
        names.add(name)
        own = [r for r in every if r.marker is None or r.marker.evaluate({"extra": name})]
        inner = set().union(*(r.extras for r in own if r.name == "fourbeat"))
        waiting += sorted(inner - names)
        found |= {r.name: r for r in own if r.name != "fourbeat"}
    for requirement in found.values():
        kept = (str(s) for s in requirement.specifier if s.operator not in UPPER_BOUNDS)
        requirement.specifier = type(requirement.specifier)(",".join(kept))
        requirement.marker = None
    return found


def build(held: str | None) -> None:
    """Build the environment from nothing.

    Args:
        held: The version of torch; None: the newest.
    """
    command = [sys.executable, "-m", "venv", "--clear", str(FOLDER)]
    subprocess.run(command, check=True)
    needed = unbounded(importlib.metadata.requires("fourbeat") or [], EXTRA)
    with tempfile.TemporaryDirectory() as folder:
        held_file = Path(folder) / "held.txt"
        held_file.write_text(f"torch=={held}\n" if held else "", encoding="utf-8")
        _pip("install", "--constraint", str(held_file), *map(str, needed.values()))
        newest = [str(needed[name]) for name in PRE_RELEASES]
        _pip("install", "--constraint", str(held_file), "--pre", "--upgrade", *newest)
    # Without dependencies, for pip would refuse what our upper bounds forbid.
    _pip("install", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def run(suite: Suite) -> Report:
    """Run tests there."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "--tb=short", "--show-capture=no", f"--junitxml={report}"]
        options += [f"-W{known}" for known in KNOWN]
        command = [str(_python()), "-m", "pytest", *options, *suite.arguments]
        subprocess.run(command, cwd=ROOT, check=False)
        if not report.is_file():
            return Report(suite.name, 0, [Failure("pytest itself", "ended without a report")])
        return read_report(suite.name, report.read_text(encoding="utf-8"))


def read_report(name: str, xml: str) -> Report:
    """Read a report in JUnit's format.

    Args:
        name: Of the suite.
        xml: The report.
    """
    cases = list(ElementTree.fromstring(xml).iter("testcase"))
    failures = []
    for case in cases:
        found = [case.find("failure"), case.find("error")]
        for bad in (each for each in found if each is not None):
            test = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
            failures.append(Failure(test, _why(bad)))
    return Report(name, len(cases), failures)


def lines(versions: Sequence[tuple[str, str, str]], reports: Sequence[Report]) -> Iterator[str]:
    """Write what ran and what broke, one failure for all tests that fail for the same reason.

    Args:
        versions: Name of a library, version that is pinned, version that ran.
        reports: Of the suites.
    """
    yield "| library | pinned | ran |"
    yield "|---|---|---|"
    yield from (f"| {name} | {pinned} | {ran} |" for name, pinned, ran in versions)
    for report in reports:
        yield ""
        bad = len(report.failures)
        yield f"{report.name}: {report.num_tests - bad} passed or skipped, {bad} failed"
        if bad:
            yield ""
            yield "| tests | why | the first of them |"
            yield "|---|---|---|"
        reasons = Counter(failure.why for failure in report.failures)
        for why, count in reasons.most_common():
            first = next(f.test for f in report.failures if f.why == why)
            yield f"| {count} | {why.replace('|', '/')} | `{first}` |"


def main() -> int:
    """Build, test, print; 1 where anything broke."""
    held = None if os.environ.get("CANARY_TORCH") == "1" else _plain("torch")
    build(held)
    versions = [(name, _plain(name), _version_there(name)) for name in SHOWN]
    reports = [run(suite) for suite in SUITES]
    print(f"\nCanary, Python {sys.version.split()[0]}, torch {'held' if held else 'newest'}\n")
    print("\n".join(lines(versions, reports)), flush=True)
    return int(any(report.failures for report in reports))


def _why(bad: ElementTree.Element) -> str:
    """The line that says it: a contract's sentence, or the error at the end of a trace."""
    said = (bad.get("message") or "").strip().splitlines()
    errors = re.findall(r"^E\s+([\w.]*(?:Error|Warning|Exception)\b.*)$", bad.text or "", re.M)
    first = next((line for line in said if line.startswith("The seam stands on")), "")
    why = first or (errors[-1] if errors else next(iter(said), "without a message"))
    return why if first else re.sub(r"0x[0-9a-f]+", "0x", why)[:MOST_SHOWN]


def _plain(name: str) -> str:
    """The version in the environment that is asked from, without the mark of a local build."""
    return importlib.metadata.version(name).partition("+")[0]


def _version_there(name: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    command = [str(_python()), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _pip(*arguments: str) -> None:
    command = [str(_python()), "-m", "pip", "--disable-pip-version-check", *arguments, "-qq"]
    subprocess.run(command, check=True)


def _python() -> Path:
    return FOLDER / "bin" / "python"


if __name__ == "__main__":
    sys.exit(main())
