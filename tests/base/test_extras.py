"""Optional packages: present, or named with the extra that brings them."""

from __future__ import annotations

import pytest

from fourbeat.base.errors import FourbeatError
from fourbeat.base.extras import is_installed, require_extra


def test_a_package_that_is_installed_is_not_imported_to_find_out() -> None:
    import sys

    before = set(sys.modules)
    assert is_installed("tabnanny")
    assert "tabnanny" not in set(sys.modules) - before


def test_a_missing_package_is_an_error_that_names_its_extra() -> None:
    with pytest.raises(FourbeatError, match=r"^The board needs no_such_package, .*'fourbeat\[x\]'"):
        require_extra("no_such_package", "x", "The board")


def test_a_package_that_is_there_passes() -> None:
    require_extra("json", "x", "Anything")
