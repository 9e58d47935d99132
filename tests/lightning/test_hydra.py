"""What the seam needs of Hydra."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from support.contracts import Seam, contract

from fourbeat.config.deferred import register
from fourbeat.config.leaves import instantiate

hydra = Seam("hydra")

# Of the other tests, each has something of its own to say; the first one fails for this.
pytestmark = pytest.mark.filterwarnings("ignore:The version_base parameter is deprecated")

CONFIG = "defaults: [_self_, {optim: sgd}]\nseed: 1\n"
OPTIONS = {"sgd": "lr: 0.1\n", "adam": "lr: 0.01\n"}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    folder = tmp_path / "conf"
    (folder / "optim").mkdir(parents=True)
    (folder / "nested" / "inner").mkdir(parents=True)
    (folder / "nested" / "inner" / "one.yaml").write_text("a: 1\n")
    (folder / "train.yaml").write_text(CONFIG)
    for name, text in OPTIONS.items():
        (folder / "optim" / f"{name}.yaml").write_text(text)
    return folder


@contract(
    "hydra-core",
    'version_base="1.3" is what hydra.main, compose and initialize_config_dir take without a word',
    see="hydra.version and Hydra's page on upgrades; every version_base in fourbeat",
)
def test_the_version_whose_behaviour_is_asked_for_is_taken_without_a_warning(conf: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with initialize_config_dir(str(conf), version_base="1.3"):
            assert compose("train").seed == 1


@contract(
    "omegaconf",
    "register_new_resolver, which fourbeat.config.deferred calls, says nothing",
    see="OmegaConf.register_resolver, which takes its place from 2.4 on",
)
def test_a_resolver_is_registered_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register()
    assert OmegaConf.has_resolver("from_data")


@contract(
    "hydra-core",
    "instantiate, which fourbeat.config.leaves calls, needs no whitelist of targets",
    see="hydra.utils.instantiate and its _execution_whitelist_",
)
def test_a_target_is_called_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert instantiate({"_target_": "collections.Counter", "a": 2}) == {"a": 2}


@contract(
    "hydra-core",
    "its argument parser keeps overrides apart from flags, and returns what it does not know",
    see="hydra._internal.utils.get_args_parser",
)
def test_a_command_line_is_parsed_as_hydra_parses_it() -> None:
    words = ["-m", "optim=adam", "--cfg", "job", "--config-name", "other", "--config-dir", "d"]
    flags, unknown = hydra.parse_command_line([*words, "seed=2", "--no-such-flag"])
    assert (flags.overrides, unknown) == (["optim=adam"], ["seed=2", "--no-such-flag"])
    assert (flags.multirun, flags.cfg) == (True, "job")
    assert (flags.config_name, flags.config_dir) == ("other", "d")
    assert not flags.help
    assert not flags.hydra_help
    assert not flags.info
    assert not flags.shell_completion
    assert flags.config_path is None
    assert flags.experimental_rerun is None


@contract(
    "hydra-core",
    "a parsed Override says its key, its value and what kind it is",
    see="hydra.core.override_parser.types.Override",
)
def test_an_override_is_parsed_into_key_value_and_kind() -> None:
    plain = hydra.parse_override("optim.lr=0.5")
    assert (plain.key_or_group, plain.value(), plain.input_line) == (
        "optim.lr",
        0.5,
        "optim.lr=0.5",
    )
    assert not plain.is_sweep_override()
    assert not plain.is_hydra_override()
    assert hydra.parse_override("+a=1").is_add()
    assert hydra.parse_override("~a").is_delete()
    assert hydra.parse_override("hydra.verbose=true").is_hydra_override()
    swept = hydra.parse_override("+a=1,2")
    assert swept.is_sweep_override()
    assert swept.get_key_element() == "+a"
    assert list(swept.sweep_string_iterator()) == ["1", "2"]
    interval = hydra.parse_override("a=interval(1,3)")
    assert interval.is_interval_sweep()
    assert isinstance(interval.value(), hydra.IntervalSweep)
    assert interval.value().start == 1
    with pytest.raises(HydraException):
        hydra.parse_override("no override")


@contract(
    "hydra-core",
    "GlobalHydra holds a ConfigLoader that lists groups and their options, also of a search path",
    see="hydra.core.config_loader.ConfigLoader",
)
def test_the_groups_and_their_options_are_listed(conf: Path, tmp_path: Path) -> None:
    for name in ("optim/mine.yaml", "own/one.yaml"):
        (path := tmp_path / "outside" / name).parent.mkdir(parents=True)
        path.write_text("a: 1\n")
    with initialize_config_dir(str(conf), version_base="1.3"):
        assert isinstance(hydra.loader_in_use(), hydra.ConfigLoader)
        groups = hydra.ConfigGroups("train", [])
        searched = hydra.ConfigGroups(
            "train", [f"hydra.searchpath=['file://{tmp_path / 'outside'}']"]
        )
        assert groups.options("optim") == ["adam", "sgd"]
        assert groups.options("no_such") == []
        assert [n for n in ("optim", "nested", "seed", "own") if n in groups] == ["optim", "nested"]
        assert searched.options("optim") == ["adam", "mine", "sgd"]
        assert "own" in searched


@contract(
    "hydra-core",
    "ConfigLoaderImpl.get_group_options makes a repository by "
    "_parse_overrides_and_create_caching_repo, and can be replaced",
    see="hydra._internal.config_loader_impl.ConfigLoaderImpl",
)
def test_within_the_block_the_folders_are_read_once_and_give_the_same_options(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    with initialize_config_dir(str(conf), version_base="1.3"):
        loader = hydra.loader_in_use()
        kind = type(loader)
        own, reads = kind.get_group_options, kind._parse_overrides_and_create_caching_repo

        def counted(self: object, *args: object) -> object:
            read.append(args)
            return reads(self, *args)

        monkeypatch.setattr(kind, "_parse_overrides_and_create_caching_repo", counted)
        groups = ["optim", "nested", "hydra/help"]
        known = hydra.ConfigGroups(None, [])
        plain = [known.options(group) for group in groups]
        assert len(read) == 3, "the folders are not read for each list any more"
        with hydra.folders_read_once():
            assert [known.options(group) for group in groups] == plain
        assert len(read) == 4
        assert kind.get_group_options is own
    assert plain[0] == ["adam", "sgd"]


def composed(conf: Path, tmp_path: Path) -> tuple[DictConfig, object]:
    overrides = [f"hydra.run.dir={tmp_path / 'run'}", "hydra/job_logging=none"]
    with initialize_config_dir(str(conf), "job", version_base="1.3"):
        config = compose("train", overrides, return_hydra_config=True)
        return config, hydra.loader_in_use()


@contract(
    "hydra-core",
    "run_job makes the run folder, calls the job within HydraConfig, and notifies Callbacks",
    see="hydra.core.utils.run_job and hydra.types.HydraContext",
)
def test_a_job_runs_in_its_folder_and_returns_what_it_returned(conf: Path, tmp_path: Path) -> None:
    config, loader = composed(conf, tmp_path)
    assert not hydra.asks_for_sweep(config)
    hydra.set_single_run(config)
    callbacks = hydra.make_callbacks(config)
    callbacks.on_run_start(config=config, config_name="train")
    run = hydra.job_runner(config, loader, callbacks)
    returned = run(lambda cfg: (cfg.seed, HydraConfig.get().runtime.output_dir, "hydra" in cfg))
    callbacks.on_run_end(config=config, config_name="train", job_return=returned)
    assert returned.return_value == (1, str(tmp_path / "run"), False)
    assert (tmp_path / "run" / ".hydra" / "config.yaml").is_file()
    assert hydra.error_of_job(returned) is None


@contract(
    "hydra-core",
    "a failed JobReturn keeps the exception in _return_value",
    see="hydra.core.utils.JobReturn",
)
def test_the_error_of_a_failed_job_is_the_one_that_it_raised(conf: Path, tmp_path: Path) -> None:
    config, loader = composed(conf, tmp_path)
    hydra.set_single_run(config)
    error = RuntimeError("of the job")

    def fail(_: DictConfig) -> None:
        raise error

    returned = hydra.job_runner(config, loader, hydra.make_callbacks(config))(fail)
    assert hydra.error_of_job(returned) is error


@contract(
    "hydra-core",
    "hydra.mode holds a RunMode",
    see="hydra.types.RunMode and hydra.conf.HydraConf",
)
def test_a_config_that_asks_for_a_sweep_is_known_by_its_mode(conf: Path, tmp_path: Path) -> None:
    config, _ = composed(conf, tmp_path)
    with initialize_config_dir(str(conf), version_base="1.3"):
        swept = compose("train", ["hydra.mode=MULTIRUN"], return_hydra_config=True)
    assert hydra.asks_for_sweep(swept)
    with open_dict(swept):
        hydra.set_single_run(swept)
    assert not hydra.asks_for_sweep(swept)
    hydra.set_single_run(config)
    assert config.hydra.mode.name == "RUN"


@contract(
    "hydra-core",
    "hydra.utils logs a target that cannot be located by its logger log",
    see="hydra.utils.get_object and hydra.utils.log",
)
def test_what_cannot_be_instantiated_is_not_logged_within_the_block(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra import utils

    monkeypatch.setattr(utils.log, "disabled", False)  # as a script in this process may leave it
    with caplog.at_level(logging.INFO):
        with hydra.silent_instantiate(), pytest.raises(Exception, match="no_such"):
            utils.get_object("no_such.target")
        assert caplog.records == []
        with pytest.raises(Exception, match="no_such"):
            utils.get_object("no_such.target")
    assert caplog.records != []


@contract(
    "hydra-core",
    "the names that rooms write into their signatures are there",
    see="the imports of fourbeat.lightning.hydra",
)
def test_the_classes_that_others_name_in_their_signatures_are_there() -> None:
    for name in ("Callbacks", "ConfigLoader", "IntervalSweep", "JobReturn", "Override"):
        assert isinstance(getattr(hydra, name), type)
