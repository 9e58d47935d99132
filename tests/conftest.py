"""Shapes and types are checked at run time here and nowhere else: users pay nothing for them."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

PACKAGES = ["data", "models", "modules", "optim"]

install_import_hook([f"fourbeat.{name}" for name in PACKAGES], "typechecker.check")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of a size, e.g. ``64k``."""
    places: list[Path] = []

    def call(size: str) -> Path:
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root may mount a disk")
        places.append(place)
        return place

    yield call
    for place in places:
        subprocess.run(["umount", str(place)], check=True)
