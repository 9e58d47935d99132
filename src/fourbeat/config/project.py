"""What the engine has to know of a project: its config folder, its code, what builds its runs."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from fourbeat.base.errors import RunError


@dataclass(frozen=True)
class Project:
    """A project as the engine sees it; the engine finds none by itself.

    Attributes:
        conf_dir: Folder of the YAML files: ``train.yaml`` and the config groups. A relative one is
            taken from where the process stands when the project is made, as ``code_dir`` is.
        code_dir: A folder in the repository whose version goes into the manifests.
        entry: What builds a run's components, ``module:function``. It is called with the checked
            config and the run folder, and returns a :class:`fourbeat.training.Components`.
        moved: Former dotted path of a target to its present one, for configs of older runs.
    """

    conf_dir: Path
    code_dir: Path
    entry: str
    moved: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Hydra wants an absolute folder, and the process may change its own by hydra.job.chdir.
        object.__setattr__(self, "conf_dir", Path(self.conf_dir).resolve())
        object.__setattr__(self, "code_dir", Path(self.code_dir).resolve())

    def builder(self, entry: str = "") -> Callable[..., Any]:
        """Import what builds a run's components.

        Args:
            entry: The entry point that a run's manifest names; empty: the project's own.

        Raises:
            RunError: It is not of this project, or the project has no such function.
        """
        self.refuse_foreign(entry)
        module = (entry or self.entry).partition(":")[0]
        try:
            function = pkgutil.resolve_name(entry or self.entry)
        except (ModuleNotFoundError, AttributeError, ValueError) as error:
            absent = f"{getattr(error, 'name', '')}."
            if isinstance(error, ModuleNotFoundError) and not f"{module}.".startswith(absent):
                raise  # a module that the project's own code imports
            function = None
        if not callable(function):
            raise RunError(
                f"entry={entry or self.entry}: the project has no such function. Use the code that "
                "the run was trained with."
            )
        return cast("Callable[..., Any]", function)

    def refuse_foreign(self, entry: str) -> None:
        """Refuse what another project has trained.

        Args:
            entry: The entry point that a run's manifest names; empty in old ones.

        Raises:
            RunError: It is not of this project.
        """
        package = self.entry.partition(":")[0].partition(".")[0]
        # What fit() has built, from importable classes and functions alone, is of no project.
        if entry and entry.partition(":")[0].partition(".")[0] not in (package, "fourbeat"):
            raise RunError(
                f"entry={entry}: builds the runs of another project; this one is {package}. Type "
                "the command in the project that trained the run."
            )

    def with_current_targets(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a stored config with the present dotted paths of targets that have moved.

        Args:
            config: Plain values; left as it was.
        """
        return {key: self._current(key, value) for key, value in config.items()}

    def _current(self, key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self.with_current_targets(value)
        if isinstance(value, list):
            return [self._current("", each) for each in value]
        return self.moved.get(value, value) if key == "_target_" else value
