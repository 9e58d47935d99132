"""What editors know of conf/: every file of it is right, and what would be refused is marked."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from benchmarks.editor_schemas import editor_schemas
from benchmarks.meanings import read_comments, read_docstrings
from jsonschema import Draft7Validator
from omegaconf import OmegaConf

from project import PROJECT

ROOT = PROJECT.conf_dir.parent
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "docs/schemas").glob("*")}
MAPPING: dict[str, Any] = json.loads((ROOT / ".vscode/settings.json").read_text())["yaml.schemas"]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in PROJECT.conf_dir.rglob("*.yaml")
    if path.parent.name not in ("hydra", "local")
)


def schemas_of(file: str) -> list[str]:
    """The schemas that the editor's settings give a file; a * of theirs matches no slash."""
    return [
        Path(schema).stem
        for schema, patterns in MAPPING.items()
        for pattern in ([patterns] if isinstance(patterns, str) else patterns)
        if fnmatchcase(file, pattern) and file.count("/") == pattern.count("/")
    ]


def errors(schema: str, content: Any) -> list[str]:
    return [error.json_path for error in Draft7Validator(SCHEMAS[schema]).iter_errors(content)]


def content_of(text: str) -> Any:
    """As OmegaConf reads it: 1e-3 is a number to it."""
    return OmegaConf.to_container(OmegaConf.create(text), resolve=False)


def test_the_schemas_are_those_of_the_config() -> None:
    """`make schema` writes them, after a change of conf/ or of a class that it names."""
    assert editor_schemas(PROJECT.conf_dir) == SCHEMAS


def test_each_schema_is_one() -> None:
    for schema in SCHEMAS.values():
        Draft7Validator.check_schema(schema)


def test_an_editor_finds_nothing_wrong_in_the_files_of_the_config() -> None:
    assert {file: len(schemas_of(file)) for file in FILES} == dict.fromkeys(FILES, 1)
    found = {
        file: errors(*schemas_of(file), content_of((ROOT / file).read_text())) for file in FILES
    }
    assert {file: wrong for file, wrong in found.items() if wrong} == {}


SGD, ONE_CYCLE = "_target_: torch.optim.SGD", "_target_: torch.optim.lr_scheduler.OneCycleLR"


REFUSED = [
    ("optim", f"{SGD}\nlrr: 0.1"),
    ("optim", f"{SGD}\nbetas: [0.9, 0.99]"),
    ("optim", f"{SGD}\nlr: fast"),
    ("optim", f"{SGD}\nlr: -0.1"),
    ("optim", f"{SGD}\nlr: null"),
    ("optim", f"{SGD}\nnesterov: maybe"),
    ("optim", f"{SGD}\ndampening: 2"),
    ("optim", f"{SGD}\nparams: []"),
    ("optim", f"{SGD}\nexclude_from_weight_decay: [weights]"),
    ("optim", "_target_: mine.Optimizer\nlr: -0.1"),
    ("optim", "_target_: 3"),
    ("optim", f"{SGD}\ngroups: [{{lr: -1, params: a}}]"),
    ("optim", "d:\n  _target_: torch.optim.SGD\n  lrr: 0.1"),
    ("optim", "d:\n  _target_: torch.optim.SGD\nlrr: 0.1"),
    ("scheduler", f"{ONE_CYCLE}\nmax_lr: -1"),
    ("scheduler", f"{ONE_CYCLE}\nanneal_strategy: cosine"),
    ("scheduler", f"{ONE_CYCLE}\ninterval: week"),
    ("data", "_target_: project.data.Circles\nimage_size: 28"),
    ("data", "batch_size: 0"),
    ("data", "batch: 32"),
    ("model", "_target_: project.models.MLP\nactivation: step"),
    ("model", "_target_: project.models.MLP\nhidden_features: [wide]"),
    ("loss", "_target_: torch.nn.CrossEntropyLoss\nlabel_smoothing: -0.1"),
    ("loop", "gradient_clip: 1.0"),
    ("loop", "compile: fast"),
    ("callbacks", "early_stopping:\n  patience: 0"),
    ("callbacks", "early_stopping:\n  patent: 3"),
    ("logger", "csv:\n  _target_: fourbeat.callbacks.CSVLogger\n  file: x"),
    ("trainer", "max_epochs: 0"),
    ("train", "optim:\n  lr: -1"),
    ("train", "optim:\n  lrr: 1"),
    ("train", "data:\n  batch_sise: 1"),
    ("train", "optimizer: {}"),
    ("train", "defaults: here"),
]


def test_what_a_run_would_refuse_is_marked() -> None:
    assert [case for case in REFUSED if not errors(case[0], content_of(case[1]))] == []


TAKEN = [
    ("optim", f"{SGD}\nlr: ${{oc.env:RATE}}\nmomentum: ???"),
    ("optim", f"{SGD}\nmaximize: true"),
    ("optim", "_target_: torch.optim.Adam\nbetas: [0.9, '${beta}']"),
    ("optim", "_target_: mine.Optimizer\nanything: 3"),
    ("optim", f"{SGD}\ngroups: [{{params: [a.*, b], lr: 0.1, momentum: 0.5}}]"),
    ("optim", "d:\n  _target_: torch.optim.SGD\n  params: d.*\ng:\n  lr: 0.1"),
    ("train", "optim:\n  d:\n    lr: 0.1\nfreeze: [a.*]\ninit_from: a.ckpt"),
    ("scheduler", f"{ONE_CYCLE}\nmax_lr: null\npeak: max_lr"),
    ("scheduler", f"{ONE_CYCLE}\nmax_lr: [0.1, 0.2]"),
    ("data", "defaults: [/data_base@_here_]\n_target_: project.data.Moons\nnum_moons: 2"),
    ("model", "_target_: project.models.MLP\nin_features: ${from_data:num_features}"),
    ("loss", "_target_: ${from_data:loss}"),
    ("callbacks", "extra:\n  mine:\n    _target_: project.Mine\n    every: 3"),
    ("logger", "mine:\n  _target_: project.Logger\n  anything: 3"),
    ("trainer", "devices: ${oc.env:DEVICES}"),
    ("train", "defaults:\n  - override /optim: sgd\noptim:\n  momentum: 0.9\nseed: 3"),
    ("train", "hydra:\n  sweeper:\n    params:\n      seed: 1,2"),
]


def test_what_a_run_would_take_is_not_marked() -> None:
    assert [case for case in TAKEN if errors(case[0], content_of(case[1]))] == []


def keys(schema: str, target: str) -> dict[str, Any]:
    """What an editor offers in a leaf with this target."""
    (case,) = (
        case["then"]["properties"]
        for case in SCHEMAS[schema]["allOf"]
        if case["if"].get("properties") == {"_target_": {"const": target}}
    )
    return case


def test_a_key_is_explained_by_the_comment_beside_it_or_by_its_class() -> None:
    adam = keys("optim", "torch.optim.Adam")
    assert adam["eps"]["description"].startswith("added to the divisor: keeps the step finite")
    assert adam["maximize"]["description"].startswith("maximize the objective with respect to the")
    digits = keys("data", "project.data.Digits")
    assert digits["image_size"]["description"].startswith("height and width after bilinear")
    assert "Samples per batch" in digits["batch_size"]["description"]
    loop = SCHEMAS["loop"]["properties"]
    assert loop["accumulate_grad_batches"]["description"] == "micro-batches per optimizer step"


def test_every_key_of_ours_is_explained() -> None:
    sections = {name: SCHEMAS[name]["properties"] for name in ("loop", "trainer", "sweep")}
    bare = [n for keys in sections.values() for n, key in keys.items() if not key["description"]]
    assert bare == []


def test_comments_are_read_beside_a_key_or_above_it(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "# @package _global_\n# All.\na: 1  # one\n# Two\n# lines.\nb:\n  c: '#'\nd: 2\n"
    )
    assert yaml.safe_load(file.read_text()) == {"a": 1, "b": {"c": "#"}, "d": 2}
    assert read_comments(file) == {("a",): "one", ("b",): "Two lines."}


def test_docstrings_are_read_argument_by_argument_base_classes_included() -> None:
    class Base:
        """A base.

        Args:
            one: The first,
                on two lines.
            two: Of the base.

        Raises:
            ValueError: Never.
        """

    class Mine(Base):
        """Mine.

        Args:
            two (int, optional): Mine.
        """

    assert read_docstrings(Mine) == {"one": "The first, on two lines.", "two": "Mine."}
