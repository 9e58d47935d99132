"""Nothing but the seam touches what the libraries keep private or do not document."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.contracts import contract
from support.touches import find_touches, inherited_touches, known_names

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "src" / "fourbeat"
SEAM = ENGINE / "lightning"

OUTSIDE = [
    path
    for folder in ("src", "scripts")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if SEAM not in path.parents
]
# Each needs an optional package, and is imported late by those who have asked for it.
LATE = {ENGINE / "callbacks/matrix_picture.py", ENGINE / "inspector/prompt.py"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_modules_outside_the_seam_touch_nothing_hidden() -> None:
    found = {name_of(path): find_touches(path.read_text(encoding="utf-8")) for path in OUTSIDE}
    assert {name: touches for name, touches in found.items() if touches} == {}, (
        "write a documented function with a contract test in fourbeat.lightning"
    )


def inherited(paths: Iterable[Path]) -> dict[str, object]:
    """What the classes of these modules touch of their bases, by the module's name."""
    found = {}
    for path in paths:
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = inherited_touches(name)
    return {name: touches for name, touches in found.items() if touches}


def test_the_classes_outside_the_seam_touch_nothing_hidden_of_their_bases() -> None:
    assert inherited(p for p in OUTSIDE if ENGINE in p.parents and p not in LATE) == {}


def test_nor_do_those_that_need_an_optional_package() -> None:
    pytest.importorskip("PIL")
    pytest.importorskip("prompt_toolkit")
    assert inherited(LATE) == {}


SNIPPETS = {
    "a private module": "import torch._dynamo",
    "a name in a private module": "from hydra._internal.utils import get_args_parser",
    "a private name of a public module": "from torch.nn.modules.batchnorm import _NormBase",
    "an undocumented module": "from lightning.pytorch.loops.progress import Anything",
    "an undocumented module of Hydra": "import hydra.core.utils",
    "a late import": "def f():\n    from torch.utils._pytree import tree_map",
    "an import by name": "importlib.import_module('torch._inductor.compile_fx')",
    "an attribute": "scaler._scale",
    "an attribute of an attribute": "self.trainer._checkpoint_connector.dump()",
    "a module's attribute": "torch._foreach_norm(tensors)",
    "an attribute that our own classes have, too": "class A:\n    _scale = 1\nb._scale",
    "an assignment": "optimizer._opt_called = True",
    "a deletion": "del module._compiled_call_impl",
    "a call on super()": "class A(B):\n    def f(self):\n        super()._after_closure()",
    "getattr": "getattr(scheduler, '_last_lr', None)",
    "setattr": "setattr(module, '_compiled_call_impl', None)",
    "hasattr": "hasattr(step, '_wrapped_by_lr_sched')",
    "an attrgetter": "operator.attrgetter('_version')(tensor)",
    "vars": "vars(module)['_parameters']",
    "a tuple of names": "HOOKS = ('_forward_hooks', '_backward_hooks')",
    "an undocumented name": "trainer.fit_loop.run()",
    "a local variable of the same name": "fit_loop = trainer.fit_loop",
    "an undocumented name of a loop": "loop.on_advance_end = f",
    "an undocumented name in a string": "getattr(optimizer, 'found_inf', None)",
}
INNOCENT = {
    "self": "self._anything = 1",
    "cls": "cls._made",
    "a module's own class": "class A:\n    def _f(self): ...\nA()._f()",
    "another of the same class": "class A:\n    def f(self, o):\n        self._n = o._n",
    "a named tuple": "row._replace(a=1)",
    "a key of a config": "leaf['_target_']",
    "dunder": "value.__name__",
    "Python's own": "os._exit(1)",
    "documented": "trainer.callback_metrics, trainer.global_step, module.automatic_optimization",
    "a private module of others": "from numpy._core import multiarray",
    "prose": "'see torch._dynamo for more'",
}


@pytest.mark.parametrize("kind", SNIPPETS)
def test_each_kind_of_touch_is_found(kind: str) -> None:
    assert find_touches(SNIPPETS[kind]) != []


@pytest.mark.parametrize("kind", INNOCENT)
def test_what_is_documented_or_ones_own_is_left_alone(kind: str) -> None:
    assert find_touches(INNOCENT[kind]) == []


def test_what_a_class_takes_from_its_base_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "touching.py").write_text(
        "from lightning.pytorch.loggers import CSVLogger\n"
        "class Mine(CSVLogger):\n"
        "    def read(self):\n"
        "        return self._experiment, self._own\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [touch.what for touch in inherited_touches("touching")] == ["_experiment"]


def test_the_private_names_of_the_libraries_are_known() -> None:
    assert {"_forward_hooks", "_scale", "_version", "_return_value"} <= known_names()
    assert not {"_target_", "_replace", "__init__"} & known_names()


def public_functions(path: Path) -> list[str]:
    """The names that a module of the seam defines or passes on."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            found += [alias.asname for alias in node.names if alias.asname]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(node.target.id)
    return [name for name in found if not name.startswith("_")]


def test_each_name_of_the_seam_stands_in_its_contract_tests() -> None:
    missing = []
    for path in sorted(SEAM.glob("*.py")):
        if path.stem != "__init__":
            tests = (Path(__file__).parent / f"test_{path.stem}.py").read_text(encoding="utf-8")
            missing += [f"{path.stem}.{n}" for n in public_functions(path) if n not in tests]
    assert missing == []


def test_a_broken_contract_says_what_it_stands_on_what_changed_and_where_to_look() -> None:
    @contract("torch", "steps are counted", see="torch.optim")
    def test_that_fails() -> None:
        raise AttributeError("no _steps")

    with pytest.raises(pytest.fail.Exception) as failed:
        test_that_fails()
    said = str(failed.value)
    for words in ("steps are counted", "torch 2", "AttributeError: no _steps", "torch.optim"):
        assert words in said
