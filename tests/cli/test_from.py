"""``from=``: a stored run's config as the base of a new run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.config_store import ConfigStore
from support.settings import SMALL

import fourbeat
from fourbeat.base.errors import ConfigError, RunError
from fourbeat.config.schema import TrainConfig
from fourbeat.run import Manifest, Run, find_run
from project import PROJECT

Command = Callable[..., Any]

GOLDEN = Path(__file__).parents[1] / "golden"
# One step, and nothing beside it.
ONE = [
    *("data=circles", "model=circles", "data.num_samples=130", "trainer=cpu", "test=false"),
    *("trainer.max_steps=1", "logger=none", "callbacks.model_checkpoint=null"),
    *("callbacks.progress=none",),
]
# A key that refers to another one, whatever conf/ has.
REFERS = "scheduler.max_lr=${optim.lr}"


def compose(base: Path, *overrides: str) -> TrainConfig:
    return fourbeat.compose(PROJECT, *overrides, base=base)


def faults(base: Path, *overrides: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as raised:
        compose(base, *overrides)
    return [(fault.code, fault.key) for fault in raised.value.faults]


def composed_run(folder: Path, *overrides: str) -> Path:
    """A run folder as a training that has just started leaves it."""
    cfg = fourbeat.compose(PROJECT, *overrides)
    manifest = Manifest.read(GOLDEN / "run_v1")
    values = {
        **vars(manifest),
        "config": cfg.plain(),
        "composition": cfg.composition.stored(),
        "overrides": list(overrides),
        "entry": PROJECT.entry,
    }
    folder.mkdir(parents=True)
    Manifest(**values).write(folder)
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "one"
    changes = ["experiment=onecycle", "seed=7", "data.batch_size=8", REFERS]
    return composed_run(folder, *ONE, *changes)


def differing(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key in one.keys() | other.keys():
        mine, theirs = one.get(key), other.get(key)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            yield from differing(mine, theirs, f"{prefix}{key}.")
        elif mine != theirs:
            yield prefix + key


def changes(base: Path, *overrides: str) -> set[str]:
    """The keys in which the config on top of a run differs from the run's own."""
    return {*differing(Run.load(base).config, compose(base, *overrides).plain())} - {"from"}


def test_without_a_change_the_config_is_that_of_the_run(one: Path) -> None:
    cfg = compose(one)
    assert cfg.from_ == str(one)
    assert cfg.plain() == {**Run.load(one).config, "from": str(one)}


def test_a_key_moves_what_refers_to_it_and_nothing_else(one: Path) -> None:
    typed = ["optim.lr=0.01", "seed=8", "trainer.max_epochs=3", "+optim.foreach=null", "~logger"]
    follow = {"scheduler.max_lr", "data.seed"}
    # An argument that was null by default and now is: no difference.
    assert changes(one, *typed) == {"optim.lr", "seed", "trainer.max_epochs"} | follow


def test_a_group_is_chosen_again_and_what_refers_to_it_follows(one: Path) -> None:
    cfg = compose(one, "data=digits", "model=mlp")
    assert cfg.data.target == "project.data.Digits"
    assert cfg.data.batch_size == 32  # as its file has it: data.batch_size=8 was of the old one
    assert cfg.model.leaf()["in_features"] == 784
    assert cfg.model.leaf()["out_features"] == 10
    assert cfg.loss.target == "torch.nn.CrossEntropyLoss"
    assert cfg.data.leaf()["seed"] == cfg.seed == 7
    assert cfg.optim.leaf() == compose(one).optim.leaf()


@pytest.mark.slow
def test_a_preset_is_applied_on_top_and_chooses_its_groups_again(tmp_path: Path) -> None:
    plain = composed_run(tmp_path / "plain", *ONE, "optim=sgd", "optim.lr=3", "seed=7")
    cfg = compose(plain, "experiment=onecycle")
    assert (cfg.optim.target, cfg.optim.lr) == ("torch.optim.AdamW", 0.004)
    assert cfg.optim.leaf().keys() == fourbeat.compose(PROJECT, "optim=adamw").optim.leaf().keys()
    assert (cfg.seed, cfg.data.target) == (7, "project.data.Circles")
    assert cfg.composition.choices["experiment"] == "onecycle"
    assert cfg.composition.choices["data"] == "circles"


@pytest.mark.slow
def test_a_preset_whose_settings_are_in_the_run_is_not_chosen_again(one: Path) -> None:
    for override in ("experiment=circles", "experiment=onecycle", "~experiment"):
        assert faults(one, override) == [("not-from-a-run", override)]
    assert compose(one, "debug=limit").trainer.max_epochs == 2


@pytest.mark.slow
def test_defaults_that_have_changed_since_do_not_creep_in(one: Path, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(PROJECT.conf_dir, conf)
    for name in ("optim/adamw.yaml", "data/circles.yaml", "trainer/cpu.yaml", "train.yaml"):
        path = conf / name
        text = path.read_text().replace("project.data.", "project.gone.").replace("0.01", "0.7")
        path.write_text(text.replace("seed: 42", "seed: 1").replace("data: digits", "data: mnist"))
    project = fourbeat.Project(conf_dir=conf, code_dir=PROJECT.code_dir, entry=PROJECT.entry)
    cfg = fourbeat.compose(project, base=one)
    assert cfg.plain() == compose(one).plain()
    # A group that is chosen again is as its file is now.
    assert fourbeat.compose(project, "optim=adamw", base=one).optim.weight_decay == 0.7


@pytest.mark.slow
def test_a_preset_of_one_section_is_applied_once(one: Path, tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(PROJECT.conf_dir, conf)
    text = (conf / "train.yaml").read_text()
    lines = [line for line in text.splitlines() if "data/loading" not in line]
    lines.insert(lines.index(next(x for x in lines if "- model: " in x)), "  - data/loading: null")
    (conf / "train.yaml").write_text("\n".join(lines))
    (conf / "data" / "loading").mkdir(exist_ok=True)
    (conf / "data" / "loading" / "two.yaml").write_text("# @package data\nnum_workers: 2\n")
    project = fourbeat.Project(conf_dir=conf, code_dir=PROJECT.code_dir, entry=PROJECT.entry)
    cfg = fourbeat.compose(project, "data/loading=two", base=one)
    assert (cfg.data.num_workers, cfg.data.batch_size) == (2, 8)
    folder = _made(tmp_path / "second")
    stored = {"config": cfg.plain(), "composition": cfg.composition.stored()}
    Manifest(**{**vars(Manifest.read(one)), **stored}).write(folder)
    with pytest.raises(ConfigError, match="data/loading=two: that run was composed with data/loa"):
        fourbeat.compose(project, "data/loading=two", base=folder)
    cfg = fourbeat.compose(project, "data=digits", "model=mlp", base=folder)
    assert (cfg.data.num_workers, cfg.composition.choices.get("data/loading")) == (0, None)
    again = fourbeat.compose(project, "data=digits", "model=mlp", "data/loading=two", base=folder)
    assert again.data.num_workers == 2


@pytest.mark.slow
def test_the_base_of_a_base_is_read_like_any_other(one: Path, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    cfg = compose(one, "optim.lr=0.01")
    manifest = Manifest.read(one)
    stored = cfg.composition.stored()
    Manifest(**{**vars(manifest), "config": cfg.plain(), "composition": stored}).write(
        _made(folder)
    )
    assert changes(folder, "optim.lr=0.02") == {"optim.lr", "scheduler.max_lr"}
    assert Manifest.read(folder).composition["choices"]["optim"] == "adamw"
    assert Manifest.read(folder).composition["primary"] == "train"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_nothing_of_a_base_stays_with_hydra(one: Path) -> None:
    before = json.dumps(_names(ConfigStore.instance().repo))
    compose(one, "optim=sgd")
    assert json.dumps(_names(ConfigStore.instance().repo)) == before


def _names(repo: dict[str, Any]) -> dict[str, Any]:
    return {k: _names(v) if isinstance(v, dict) else None for k, v in sorted(repo.items())}


@pytest.mark.slow
def test_a_wrong_key_on_top_of_a_run_is_a_fault_as_everywhere(one: Path) -> None:
    assert faults(one, "optim.lrr=1", "trainer=foo", "optim.lr=abc") == [
        ("unknown-option", "trainer"),
        ("unknown-key", "optim.lrr"),
        ("wrong-type", "optim.lr"),
    ]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_of_an_old_run_independent_keys_are_changed(version: str) -> None:
    run = GOLDEN / f"run_{version}"
    stay = "callbacks.early_stopping=null"
    cfg = compose(run, "optim.lr=0.5", "data.batch_size=8", "trainer.max_epochs=7", stay)
    assert cfg.callbacks.early_stopping is None
    assert (cfg.optim.lr, cfg.data.batch_size, cfg.trainer.max_epochs) == (0.5, 8, 7)
    assert cfg.model.leaf()["in_features"] == 2
    assert cfg.composition.config["data"]["seed"] == 42


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_of_an_old_run_what_others_depended_on_is_refused(version: str) -> None:
    run = GOLDEN / f"run_{version}"
    for override in ("data=digits", "experiment=onecycle", "~scheduler", "+debug=limit"):
        assert faults(run, override) == [("not-from-a-run", override)]
    with pytest.raises(ConfigError) as raised:
        compose(run, "seed=3")
    (fault,) = raised.value.faults
    assert (fault.code, fault.key, fault.value) == ("not-from-a-run", "seed", "3")
    assert "data.seed depended on it" in fault.allowed
    assert fault.hint == "Give data.seed=VALUE too."
    assert compose(run, "seed=3", "data.seed=4").plain()["data"]["seed"] == 4


def test_runs_of_fit_and_of_other_projects_are_refused_by_name(one: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(one)
    given = {**manifest.config, "data": {"_target_": "fourbeat.data.LoaderDataModule"}}
    Manifest(**{**vars(manifest), "config": given}).write(_made(tmp_path / "fit"))
    Manifest(**{**vars(manifest), "entry": "moons.parts:build"}).write(_made(tmp_path / "other"))
    with pytest.raises(RunError, match=r"^from=.*fit: .*was trained by fourbeat\.fit\(\)"):
        compose(tmp_path / "fit")
    with pytest.raises(RunError, match=r"^from=.*other: entry=moons\.parts:build: .*another proj"):
        compose(tmp_path / "other")


@pytest.mark.slow
def test_a_config_changed_in_python_is_stored_with_its_change(one: Path) -> None:
    from fourbeat.training.running import composition_of

    cfg = compose(one)
    optim = cfg.optim.model_copy(update={"lr": 0.5})
    config = composition_of(cfg.model_copy(update={"optim": optim})).config
    assert config["optim"]["lr"] == 0.5
    # It did not follow in this run, so it does not refer to it.
    assert config["scheduler"]["max_lr"] == 0.004
    assert config["data"]["seed"] == "${seed}"


class TestCommands:
    @pytest.fixture(autouse=True)
    def _a_run(self, script: Command, one: Path, place: Path) -> None:
        shutil.copytree(one, place / "runs" / "one")

    @pytest.mark.slow
    def test_the_new_run_has_a_folder_of_its_own_and_says_where_it_came_from(
        self, script: Command, place: Path
    ) -> None:
        before = (place / "runs/one/manifest.json").read_bytes()
        words = ["from=last", "optim.lr=0.01", "hydra.run.dir=runs/two"]
        done = script("train.py", *words, "sweep=default")
        assert done.code == 0, done.err
        assert done.out.startswith(
            "new run on top of runs/one; chosen again, whatever it had set there: sweep=default\n"
        )
        run = Run.load(place / "runs" / "two")
        assert run.config["from"] == str(place / "runs" / "one")
        assert run.config["scheduler"]["max_lr"] == 0.01
        base = f"from={place / 'runs' / 'one'}"
        assert run.manifest.overrides == [base, "optim.lr=0.01", "sweep=default"]
        # What Hydra and a distributed training's other processes read again cannot be another run.
        assert "from=last" not in run.manifest.command
        assert find_run("last", place / "runs") == run.dir
        assert (place / "runs/one/manifest.json").read_bytes() == before

    @pytest.mark.slow
    def test_a_sweep_has_the_run_as_its_base(self, script: Command, place: Path) -> None:
        words = ["from=runs/one", "optim.lr=0.01", "data=circles,digits", "model=mlp"]
        done = script("train.py", *words, "hydra.sweep.dir=sweep", "-m")
        assert done.code == 0, done.err
        runs = [Run.load(place / "sweep" / str(job)) for job in range(2)]
        assert {run.config["from"] for run in runs} == {str(place / "runs" / "one")}
        found = [(r.config["scheduler"]["max_lr"], r.config["model"]["in_features"]) for r in runs]
        assert found == [(0.01, 2), (0.01, 784)]
        assert runs[0].manifest.composition["choices"]["optim"] == "adamw"

    def test_the_config_that_would_be_used_is_printed(self, script: Command) -> None:
        done = script("train.py", "--cfg", "job", "from=last", "optim.lr=0.01")
        printed = yaml.safe_load(done.out)
        assert (printed["seed"], printed["optim"]["lr"]) == (7, 0.01)
        assert printed["scheduler"]["max_lr"] == "${optim.lr}"

    @pytest.mark.parametrize(
        ("words", "code", "key"),
        [
            (["from=last", "resume=last"], "impossible-together", "from"),
            (["--config-name", "train", "from=last"], "impossible-together", "--config-name"),
            (["-m", "from=one,two"], "several-values", "from=one,two"),
            (["++from=last"], "command-line-only", "from"),
            (["from=last", "experiment=circles"], "not-from-a-run", "experiment=circles"),
        ],
        ids=["resume", "config_name", "several", "not_read", "preset"],
    )
    def test_what_means_nothing_with_it_is_refused(
        self,
        script: Command,
        monkeypatch: pytest.MonkeyPatch,
        words: list[str],
        code: str,
        key: str,
    ) -> None:
        raised: list[ConfigError] = []
        monkeypatch.setattr(
            "fourbeat.cli.exits.report", lambda error, **_: raised.append(error) or 2
        )
        assert script("train.py", *words).code == 2
        assert [(fault.code, fault.key) for fault in raised[0].faults] == [(code, key)]

    def test_a_run_that_is_not_there_is_named(self, script: Command) -> None:
        done = script("train.py", "from=nope")
        assert done.code == 2
        assert done.err.startswith("fourbeat: from=nope: there is no such folder")

    @pytest.mark.slow
    def test_a_run_called_last_is_named_by_its_path(self, script: Command, place: Path) -> None:
        shutil.copytree(place / "runs" / "one", place / "runs" / "last")
        named = yaml.safe_load(script("train.py", "--cfg", "job", "from=runs/last").out)
        assert named["from"] == str(place / "runs" / "last")


@pytest.mark.slow
def test_a_resume_that_changes_the_config_changes_what_later_runs_start_from(
    tmp_path: Path,
) -> None:
    cfg = fourbeat.compose(PROJECT, *SMALL, "scheduler=onecycle", REFERS, "logger=none")
    run = fourbeat.train(PROJECT, cfg, tmp_path / "run")
    path = run.dir / "manifest.json"
    path.write_text(path.read_text().replace('"status": "finished"', '"status": "running"'))
    (run.dir / "checkpoints" / "last.ckpt").unlink()
    rates = ["optim.lr=0.5", "scheduler.max_lr=0.25", "callbacks.early_stopping=null"]
    again = fourbeat.resume(PROJECT, run.dir, rates, force=True)
    assert compose(run.dir).plain() == {**again.config, "from": str(run.dir)}
    assert changes(run.dir, "seed=3") == {"seed", "data.seed"}
    assert changes(run.dir, "optim.lr=0.1") == {"optim.lr"}


@pytest.mark.slow
def test_a_manifest_of_the_first_version_that_stored_compositions_is_a_base_for_ever() -> None:
    run = GOLDEN / "run_composed"
    cfg = compose(run, "optim.lr=0.01")
    assert (cfg.seed, cfg.plain()["data"]["seed"], cfg.data.leaf()["num_samples"]) == (7, 7, 130)
    assert (cfg.optim.target, cfg.loop.gradient_clip_val) == ("torch.optim.AdamW", 1.0)
    assert cfg.scheduler.leaf()["max_lr"] == 0.01
    again = compose(run, "data=digits", "model=mlp", "seed=3")
    assert (again.model.leaf()["in_features"], again.data.leaf()["seed"]) == (784, 3)
    assert faults(run, "experiment=circles") == [("not-from-a-run", "experiment=circles")]
