"""Contract tests of the seam: when one fails, a sentence says what a release has changed."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest


class Seam:
    """A module of ``fourbeat.lightning``, imported when it is first asked.

    What a release has moved then fails in the tests that use it, and not while all are collected.
    """

    def __init__(self, name: str) -> None:
        self._name = f"fourbeat.lightning.{name}"

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


def contract(distribution: str, stands_on: str, *, see: str) -> Callable[[Any], Any]:
    """Let a test's failure be one sentence.

    Args:
        distribution: Whose private part it is, e.g. ``torch``.
        stands_on: What has to hold there.
        see: Where to find what has come in its place.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def checked(*args: Any, **kwargs: Any) -> None:
            try:
                test(*args, **kwargs)
            except Exception as error:
                said = (str(error).strip() or "an assertion of the test").splitlines()[0]
                pytest.fail(
                    f"The seam stands on this: {stands_on}. With {distribution} "
                    f"{version(distribution)} it no longer holds ({type(error).__name__}: {said}). "
                    f"See {see}, and what {test.__name__} checks.",
                    pytrace=False,
                )

        return checked

    return decorate
