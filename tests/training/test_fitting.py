"""`fourbeat.fit`: a model and two loaders."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from support.user_hooks import ScheduleFree
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import ExponentialLR, StepLR
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

import fourbeat
from fourbeat.base.errors import ConfigError, RunError
from project import PROJECT


def loader(num_samples: int = 64, regression: bool = False, flat: bool = False) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(num_samples, 4, generator=generator)
    numbers = inputs.sum(dim=1, keepdim=not flat)
    targets = numbers if regression else (inputs.sum(dim=1) > 0).long()
    return DataLoader(TensorDataset(inputs, targets), batch_size=16)


def net(num_outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, num_outputs))


def fit(model: Any, train: Any, *args: Any, tmp_path: Path, **settings: Any) -> fourbeat.Run:
    # TensorBoard's pictures take longer than the training.
    quiet = {"progress": "none", "logger": False, "device": "cpu"}
    options = {"epochs": 3, **quiet, **settings}
    return fourbeat.fit(model, train, *args, run_dir=tmp_path / "run", **options)


class Lengthless(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(64):
            inputs = torch.randn(4, generator=generator)
            yield inputs, (inputs.sum() > 0).long()


class Broken(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        raise RuntimeError("no way")


class NamedInputs(Dataset):
    """Samples are nested dicts, of lengths of their own."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input": {"x": torch.ones(2 + index % 3, 4)}, "name": str(index)}

    @staticmethod
    def padded(samples: list[dict[str, Any]]) -> dict[str, Any]:
        xs = [sample["input"]["x"] for sample in samples]
        mask = pad_sequence([torch.ones(len(x)) for x in xs], batch_first=True)
        return {"input": {"x": pad_sequence(xs, batch_first=True), "mask": mask}}


class Masked(fourbeat.Task):
    """Two losses of padded batches in dicts."""

    def losses(self, batch: Any) -> dict[str, Any]:
        outputs, mask = self.net(batch["input"]["x"]).sum(-1), batch["input"]["mask"]
        total = ((outputs - 1).square() * mask).sum()
        return {"fit": fourbeat.Mean(total, mask.sum()), "size": outputs.square().mean()}


class Duel(fourbeat.Task):
    def steps(self, batch: Any) -> Iterator[tuple[str, Tensor]]:
        inputs, _ = batch
        yield "a", self.net.a(inputs).square().mean()
        yield "b", self.net.b(inputs).square().mean()


class Lightnings(LightningModule):
    pass


def dicts() -> DataLoader:
    return DataLoader(NamedInputs(), batch_size=8, collate_fn=NamedInputs.padded)


def pictures(dtype: torch.dtype = torch.long) -> DataLoader:
    inputs = torch.randn(8, 3, 5, 6)
    return DataLoader(TensorDataset(inputs, torch.ones(8, 5, 6, dtype=dtype)), batch_size=4)


def of_pictures() -> DataLoader:
    return of(*[torch.ones(8, 3, 5, 6)] * 2)


class Flat(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).squeeze(-1)


def frozen() -> nn.Module:
    return net().requires_grad_(False)


def of(inputs: Any, *others: Tensor) -> DataLoader:
    return DataLoader(TensorDataset(inputs, *others), batch_size=16)


INPUTS, LABELS = loader().dataset.tensors
NUMBERS = INPUTS.sum(dim=1, keepdim=True)
POSITIVE, BCE = LABELS.float(), nn.BCEWithLogitsLoss()
SGD = partial(torch.optim.SGD, lr=0.1)


def test_it_returns_the_run_with_the_best_weights_in_the_model(tmp_path: Path) -> None:
    model = net()
    run = fit(*(model, loader(), loader(48)), tmp_path=tmp_path, test=loader(32), logger=None)
    assert [*(run.dir / "tensorboard").iterdir()]
    best = torch.load(run.checkpoint("best"), weights_only=True)["state_dict"]
    assert run.model is model
    assert all(torch.equal(best[f"net.{n}"], v) for n, v in model.state_dict().items())
    assert {"val/loss", "val/accuracy", "test/loss", "test/f1"} <= run.metrics.keys()
    assert run.outcome.status == "finished"


def test_the_validation_loss_is_the_mean_over_samples(tmp_path: Path) -> None:
    """Not over batches, as the tutorial's template has it: the last batch of 20 is short."""
    val = loader(20)
    run = fit(net(), loader(), val, tmp_path=tmp_path)
    inputs, targets = val.dataset.tensors
    expected = nn.functional.cross_entropy(run.model.eval()(inputs), targets)
    assert run.metrics["val/loss"] == pytest.approx(expected.item(), rel=1e-6)


def test_it_works_without_validation(tmp_path: Path) -> None:
    run = fit(net(), loader(), tmp_path=tmp_path)
    assert run.checkpoint("best").is_file()
    assert run.metrics["train/loss_epoch"] > 0


def test_numbers_are_learned_by_mean_squared_error(tmp_path: Path) -> None:
    train = loader(regression=True)
    run = fit(net(1), train, train, tmp_path=tmp_path)
    assert run.config["loss"]["_target_"].endswith("MSELoss")
    assert {"val/mae", "val/r2"} <= run.metrics.keys()


ACCURACY, ERRORS = {"val/loss", "val/accuracy", "val/f1"}, {"val/loss", "val/mae", "val/r2"}


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("model", "train", "loss", "names"),
    [
        pytest.param(net(), of(INPUTS, LABELS), None, ACCURACY, id="labels"),
        pytest.param(net(), of(INPUTS, LABELS.int()), None, ACCURACY, id="int32"),
        pytest.param(
            net(), of(INPUTS, LABELS[:, None]), nn.CrossEntropyLoss(), ACCURACY, id="labels-n-1"
        ),
        pytest.param(
            *(net(), of(INPUTS, LABELS), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))),
            *(ACCURACY,),
            id="weights",
        ),
        pytest.param(
            net(4), of(INPUTS, INPUTS.softmax(1)), nn.CrossEntropyLoss(), ACCURACY, id="soft-labels"
        ),
        pytest.param(nn.Conv2d(3, 6, 1), pictures(), None, ACCURACY, id="pixels"),
        pytest.param(
            nn.Conv2d(3, 6, 1),
            pictures(torch.int32),
            nn.CrossEntropyLoss(),
            ACCURACY,
            id="int-32-px",
        ),
        pytest.param(nn.Conv2d(3, 3, 1), of_pictures(), None, {"val/loss"}, id="pictures"),
        pytest.param(net(1), of(INPUTS, POSITIVE[:, None]), BCE, ACCURACY, id="bce-n-1"),
        pytest.param(net(1), of(INPUTS, POSITIVE), BCE, ACCURACY, id="bce-n"),
        pytest.param(Flat(4, 1), of(INPUTS, POSITIVE), BCE, ACCURACY, id="bce-flat"),
        pytest.param(Flat(4, 1), of(INPUTS, POSITIVE[:, None]), BCE, ACCURACY, id="bce-flat-n-1"),
        pytest.param(net(1), of(INPUTS, LABELS), BCE, ACCURACY, id="bce-integers"),
        pytest.param(net(1), of(INPUTS, LABELS > 0), BCE, ACCURACY, id="bce-booleans"),
        pytest.param(net(4), of(INPUTS, (INPUTS > 0).float()), BCE, ACCURACY, id="many-labels"),
        pytest.param(net(1), of(INPUTS, POSITIVE * 0.9), BCE, {"val/loss"}, id="bce-smoothed"),
        pytest.param(
            nn.Sequential(net(1), nn.Sigmoid()),
            of(INPUTS, POSITIVE),
            nn.BCELoss(),
            ACCURACY,
            id="bce",
        ),
        pytest.param(net(3), of(INPUTS, NUMBERS.expand(64, 3)), None, ERRORS, id="numbers"),
        pytest.param(net(1), of(INPUTS, NUMBERS[:, 0]), None, ERRORS, id="numbers-n"),
        pytest.param(Flat(4, 1), of(INPUTS, NUMBERS), None, ERRORS, id="numbers-n-1"),
        pytest.param(net(1), of(INPUTS, NUMBERS.double()), None, ERRORS, id="double-targets"),
        pytest.param(net(1), of(INPUTS, LABELS), nn.MSELoss(), ERRORS, id="counts"),
        pytest.param(
            net(1), of(INPUTS[:1], NUMBERS[:1]), None, {"val/loss", "val/mae"}, id="one-number"
        ),
    ],
)
def test_the_loss_says_what_the_targets_are(
    tmp_path: Path, model: nn.Module, train: DataLoader, loss: nn.Module | None, names: set[str]
) -> None:
    run = fit(model, train, train, tmp_path=tmp_path, loss=loss, epochs=1)
    assert run.metrics.keys() == names


def test_numbers_in_n_and_n_1_are_compared_one_by_one(tmp_path: Path) -> None:
    """And not each with all others, as torch's broadcasting does."""
    val = of(INPUTS, NUMBERS[:, 0])
    run = fit(net(1), val, val, tmp_path=tmp_path)
    expected = (run.model.eval()(INPUTS) - NUMBERS).square().mean()
    assert run.metrics["val/loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_of_a_split_with_class_weights_does_not_depend_on_the_batches(
    tmp_path: Path,
) -> None:
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 9.0]))
    for size in (7, 64):
        val = DataLoader(TensorDataset(INPUTS, LABELS), batch_size=size)
        model = net()
        run = fit(model, loader(), val, tmp_path=tmp_path / str(size), loss=weighted, epochs=1)
        expected = weighted(model.eval()(INPUTS), LABELS).item()
        assert run.metrics["val/loss"] == pytest.approx(expected, rel=1e-6)


def test_inputs_in_double_precision_train_a_double_network(tmp_path: Path) -> None:
    train = (INPUTS.double(), NUMBERS.double())
    run = fit(net(1), train, train, tmp_path=tmp_path, precision="64-true", epochs=1)
    assert "val/mae" in run.metrics


class Batches:
    """No DataLoader: yields batches again whenever it is iterated."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[Any]:
        yield INPUTS[:32], LABELS[:32]
        yield INPUTS[32:], LABELS[32:]


def test_whatever_yields_batches_again_and_again_is_trained_on(tmp_path: Path) -> None:
    run = fit(net(), Batches(), Batches(), tmp_path=tmp_path, epochs=2)
    assert run.manifest.num_steps == 4


def test_accuracy_of_two_classes_counts_logits_above_zero(tmp_path: Path) -> None:
    val = of(INPUTS, POSITIVE)
    run = fit(net(1), val, val, tmp_path=tmp_path, loss=BCE)
    right = (run.model.eval()(INPUTS)[:, 0] > 0) == (POSITIVE > 0)
    assert run.metrics["val/accuracy"] == pytest.approx(right.float().mean().item())


class Rows(Dataset):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        return INPUTS[index], LABELS[index]


class Sum(nn.Module):
    """Of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.layer(left + right)


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("model", "train"),
    [
        pytest.param(net(), (INPUTS, LABELS), id="tensors"),
        pytest.param(net(), (INPUTS.double().numpy(), LABELS.numpy()), id="arrays"),
        pytest.param(net(), (INPUTS.tolist(), LABELS.tolist()), id="lists-of-numbers"),
        pytest.param(net(), Rows(), id="data-set"),
        pytest.param(net(), [*zip(INPUTS, LABELS, strict=True)], id="list-of-samples"),
        pytest.param(Sum(), ((INPUTS, INPUTS), LABELS), id="two-inputs"),
        pytest.param(Sum(), ({"left": INPUTS, "right": INPUTS}, LABELS), id="inputs-by-name"),
    ],
)
def test_tensors_arrays_and_data_sets_are_loaded(
    tmp_path: Path, model: nn.Module, train: Any
) -> None:
    run = fit(model, train, train, tmp_path=tmp_path, batch_size=16, epochs=1)
    assert run.manifest.num_steps == 4
    assert "val/accuracy" in run.metrics


def test_what_is_loaded_is_shuffled_for_training_alone(tmp_path: Path) -> None:
    seen: dict[bool, list[float]] = {True: [], False: []}

    class Spy(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            if len(seen[True]) == 0 or not self.training:
                seen[self.training] = inputs[:, 0].tolist()
            return super().forward(inputs)

    column = torch.arange(32.0)[:, None]
    both = (column, torch.zeros(32, dtype=torch.long))
    fit(Spy(1, 2), both, both, tmp_path=tmp_path, epochs=1)
    assert seen[False] == [*range(32)]
    assert sorted(seen[True]) == seen[False] != seen[True]


def test_a_task_takes_any_batches(tmp_path: Path) -> None:
    task = Masked(net(1))
    run = fit(task, dicts(), dicts(), tmp_path=tmp_path, epochs=2)
    assert run.metrics.keys() == {"val/loss", "val/fit", "val/size"}
    assert run.model is task.net


def test_optimizers_take_turns_as_leaves_by_name(tmp_path: Path) -> None:
    adam = {"_target_": "torch.optim.Adam", "lr": 0.01}
    optimizer = {name: {**adam, "params": f"{name}.*"} for name in "ab"}
    model = nn.ModuleDict({"a": net(), "b": net()})
    run = fit(Duel(model), loader(), loader(), tmp_path=tmp_path, optimizer=optimizer)
    assert {"val/a", "val/b"} < run.metrics.keys()


def test_a_loader_without_a_length_is_trained_on_for_so_many_steps(tmp_path: Path) -> None:
    train = DataLoader(Lengthless(), batch_size=16)
    run = fit(net(), train, train, tmp_path=tmp_path, max_steps=6)
    assert run.manifest.num_steps == 6
    assert str(run.outcome.reason) == "max_steps=6 reached"


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


class Rates(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (optimizer,) = trainer.optimizers
        self.seen += rates(optimizer)


@pytest.mark.slow
def test_optimizer_and_scheduler_are_built_or_given(tmp_path: Path) -> None:
    models = [net() for _ in range(3)]
    instance = SGD(models[1].parameters())
    halving = {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.5}
    given = [
        (SGD, partial(ExponentialLR, gamma=0.5)),
        (instance, ExponentialLR(instance, gamma=0.5)),
        ({"_target_": "torch.optim.SGD", "lr": 0.1}, halving),
    ]
    for index, (model, (optimizer, scheduler)) in enumerate(zip(models, given, strict=True)):
        seen = Rates()
        options = {"optimizer": optimizer, "scheduler": scheduler, "callbacks": [seen]}
        fit(model, loader(), loader(), tmp_path=tmp_path / str(index), **options)
        assert seen.seen == [0.1, 0.05, 0.025]
    first, *others = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], other[name]) for other in others for name in first)


def test_metrics_and_loggers_are_lightnings(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path / "csv", name="", version="")
    metrics = {"top2": MulticlassAccuracy(3, top_k=2)}
    options = {"metrics": metrics, "logger": [logger], "epochs": 1}
    run = fit(net(3), loader(), loader(), tmp_path=tmp_path, **options)
    assert run.metrics.keys() == {"val/loss", "val/top2"}
    assert "val/top2" in (tmp_path / "csv" / "metrics.csv").read_text()
    assert not (run.dir / "tensorboard").exists()


def test_a_nan_ends_the_run_with_the_best_weights_until_then(tmp_path: Path) -> None:
    class Exploding(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            outputs = super().forward(inputs)
            return outputs / 0 if self.training and len(seen.seen) > 2 else outputs

    seen, model = Rates(), Exploding(4, 2)
    run = fit(model, loader(), loader(), tmp_path=tmp_path, epochs=5, callbacks=[seen])
    assert (run.outcome.status, run.model) == ("failed", model)
    assert "resume" not in run.outcome.reason
    best = torch.load(run.dir / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(best["net.weight"], model.weight)


def test_trying_the_first_batch_changes_nothing(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
            self.layers[0].eval()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layers(inputs)

    shuffling = torch.Generator().manual_seed(3)
    data = DataLoader(TensorDataset(INPUTS, LABELS), 16, shuffle=True, generator=shuffling)
    model, before = Counting(), shuffling.get_state()
    with pytest.raises(ConfigError):
        fit(model, data, tmp_path=tmp_path, metrics={"top": MulticlassAccuracy(7)})
    assert torch.equal(shuffling.get_state(), before)
    assert not model.layers[0].training
    assert int(model.layers[0].num_batches_tracked) == 0


def test_two_classes_can_have_one_logit(tmp_path: Path) -> None:
    run = fit(net(1), loader(), loader(), tmp_path=tmp_path, loss=nn.BCEWithLogitsLoss())
    assert "val/accuracy" in run.metrics


@pytest.mark.one_in(3)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(tmp_path: Path, precision: str) -> None:
    runs = [
        fit(net(), loader(), loader(), tmp_path=tmp_path / name, precision=precision)
        for name in ("one", "two")
    ]
    one, two = (run.model.state_dict() for run in runs)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("model", "train", "settings", "message"),
    [
        pytest.param(net(), loader(), {"epochs": 0}, "^epochs=0", id="epochs"),
        pytest.param(net(), loader(), {"epochs": -1}, "^epochs=-1: .*ends", id="endless"),
        pytest.param(net(), loader(), {"seed": -1}, "^seed=-1: must be a whole", id="seed"),
        pytest.param(
            net(), (INPUTS.double(), LABELS), {}, "float64.*inputs.float", id="double-inputs"
        ),
        pytest.param(net(), loader(), {"lr": -1.0}, "^lr=-1.0: must be .*Try lr=", id="lr"),
        pytest.param(net(), loader(), {"precision": "8"}, "^precision=8", id="precision"),
        pytest.param(net(), loader(), {"device": "mps"}, "has no Apple GPU", id="device"),
        pytest.param(net(), loader(), {"patience": 0}, "^patience=0", id="patience"),
        pytest.param(net(), loader(), {"loss": nn.MSELoss()}, "pass loss=nn.Cross", id="loss"),
        pytest.param(
            net(),
            loader(),
            {"loss": nn.CrossEntropyLoss(reduction="sum")},
            "^loss.reduction=sum: must be mean",
            id="sum",
        ),
        pytest.param(
            net(),
            loader(),
            {"loss": nn.functional.mse_loss},
            "^loss=function: .*module",
            id="loss-function",
        ),
        pytest.param(
            net(), loader(regression=True), {}, r"shape, not outputs \[16, 2\]", id="width"
        ),
        pytest.param(
            net(1), of(INPUTS, LABELS * 3), {"loss": BCE}, "between 0 and 1, .* 0 to 3", id="bce-3"
        ),
        pytest.param(
            *(nn.Conv1d(4, 4, 1), of(torch.ones(8, 4, 4), torch.ones(8, 4).long()), {}),
            *("^loss: must be given",),
            id="doubtful-tokens",
        ),
        pytest.param(
            *(nn.Linear(4, 5), of(torch.ones(8, 3, 4), torch.ones(8, 3).long())),
            *({"loss": nn.CrossEntropyLoss()}, "outputs.movedim"),
            id="classes-last",
        ),
        pytest.param(net(1), loader(), {}, "^loss: must be given", id="one-logit"),
        pytest.param(net(5), of(INPUTS, LABELS * 9), {}, "from 0 to 9; with 5", id="classes"),
        pytest.param(
            net(), of(INPUTS, torch.arange(64) // 21), {}, "from 0 to 3; with 2", id="sorted"
        ),
        pytest.param(nn.Linear(5, 2), loader(), {}, "Linear: cannot run on inputs", id="shape"),
        pytest.param(Broken(4, 2), loader(), {}, "no way", id="broken"),
        pytest.param(frozen(), loader(), {}, "^model=Sequential: has no param", id="frozen"),
        pytest.param(net, loader(), {}, "^model=function: must be a network", id="function"),
        pytest.param(
            Lightnings(), loader(), {}, "^model=Lightnings: has no training_step", id="lightning"
        ),
        pytest.param(
            Masked(net()), dicts(), {"loss": nn.MSELoss()}, "computes its losses", id="two-losses"
        ),
        pytest.param(Masked(net()), loader(), {}, "^model=.*Masked: fails on a batch", id="task"),
        pytest.param(net(), of(INPUTS, INPUTS, LABELS), {}, "of 3. Write a .*Task", id="inputs"),
        pytest.param(net(), dicts(), {}, "not a dict", id="dicts"),
        pytest.param(net(), of(INPUTS), {}, "must yield pairs", id="not-pairs"),
        pytest.param(net(), INPUTS, {}, "^train: must yield pairs", id="tensor"),
        pytest.param(net(), [INPUTS, LABELS], {}, r"^train=list: .*tuple, \(x, y\)", id="list"),
        pytest.param(net(), "x", {}, "^train=str: must be a DataLoader", id="text"),
        pytest.param(
            net(), (INPUTS, LABELS[:9]), {}, "^train=tuple: .*of .9, 64. sam", id="lengths"
        ),
        pytest.param(net(), (INPUTS, ["a"] * 64), {}, "^train=tuple: .*no tensor", id="words"),
        pytest.param(net(), [], {}, "^train=list: has no samples", id="empty"),
        pytest.param(net(), None, {}, "^train: must be given", id="no-data"),
        pytest.param(net(), loader(), {"batch_size": 3}, "^batch_size=3: has no", id="batch-size"),
        pytest.param(net(), loader(), {"data": "a:b"}, "^data=a:b: returns all", id="data-twice"),
        pytest.param(
            net(), loader(), {"init_args": {}}, "^init_args: are for a cl", id="init-args"
        ),
        pytest.param(
            net(), None, {"data": "no.such:f"}, "^data: no.such:f: .*import", id="no-data-f"
        ),
        pytest.param(net(), loader(), {"device": "cuda:7"}, "^device=.*no CUDA|than", id="cuda"),
        pytest.param(net(), loader(), {"device": "abacus"}, "^device=abacus: must be", id="abacus"),
        pytest.param(nn.Linear, loader(), {}, "^model=Linear: cannot be built: .*miss", id="args"),
        pytest.param(net(), iter(loader()), {}, "yield batches again", id="iterator"),
        pytest.param(net(), DataLoader(Lengthless()), {}, "has no length.*max_steps", id="length"),
        pytest.param(
            *(net(), DataLoader(Lengthless(), 16)),
            {"max_steps": 3, "scheduler": partial(StepLR, step_size=1)},
            "StepLR: counts epochs",
            id="length-epochs",
        ),
        pytest.param(net(), loader(), {"optimizer": SGD, "lr": 0.1}, "^lr=0.1: is", id="two-rates"),
        pytest.param(
            net(), loader(), {"optimizer": SGD(net().parameters())}, "not train 0.w", id="foreign"
        ),
        pytest.param(
            *(net(), loader(), {"optimizer": {"_target_": "torch.optim.SGD", "lrr": 1}}),
            "^optimizer.lrr=1: .*optimizer.lr",
            id="leaf",
        ),
        pytest.param(
            net(),
            loader(),
            {"scheduler": StepLR},
            "^scheduler.step_size: is needed",
            id="scheduler",
        ),
        pytest.param(
            net(),
            loader(),
            {"metrics": {"top": MulticlassAccuracy(7)}},
            "metrics: top=",
            id="metric",
        ),
        pytest.param(net(), loader(), {"metrics": 3}, "^metrics: ", id="no-metric"),
        pytest.param(
            *(nn.Sequential(nn.BatchNorm1d(4), net()), loader(33), {}),
            "^train: .*BatchNorm.*drop_last",
            id="batch-norm",
        ),
        pytest.param(net(), loader(), {"callbacks": [3]}, "^callbacks=list: must", id="callback"),
        pytest.param(net(), loader(), {"logger": True}, "^logger=bool: must", id="logger"),
        pytest.param(
            Duel(nn.ModuleDict({"a": net(), "b": net()})), loader(), {}, "^optimizer=", id="turns"
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, model: nn.Module, train: DataLoader, settings: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(model, train, tmp_path=tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_the_order_of_a_shuffled_loader_comes_from_the_seed(tmp_path: Path) -> None:
    data = TensorDataset(torch.arange(32.0).unsqueeze(1), torch.zeros(32, dtype=torch.long))

    def first(seed: int, own: int) -> list[float]:
        seen: list[list[float]] = []

        class Spy(nn.Linear):
            def forward(self, inputs: Tensor) -> Tensor:
                seen.extend([inputs[:, 0].tolist()] if self.training else [])
                return super().forward(inputs)

        generator = torch.Generator().manual_seed(own)
        train = DataLoader(data, batch_size=32, shuffle=True, generator=generator)
        folder = tmp_path / f"{seed}-{own}"
        fit(Spy(1, 2), train, tmp_path=folder, epochs=1, seed=seed)
        assert torch.equal(generator.get_state(), torch.Generator().manual_seed(own).get_state())
        return seen[-1]

    assert first(1, own=1) == first(1, own=2) != first(2, own=1)


def test_a_run_on_given_loaders_cannot_be_rebuilt_and_says_so(tmp_path: Path) -> None:
    run = fit(net(), loader(), tmp_path=tmp_path, epochs=1)
    with pytest.raises(RunError, match="no folder can hold"):
        fourbeat.evaluate(PROJECT, run.dir)


class Mine(LightningModule):
    """Four numbers to one, as its author wrote it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("model", [partial(net, 1), Mine], ids=["network", "module"])
@pytest.mark.parametrize(
    ("part", "where"),
    [(0, "batch.0 at [5, 2], of sample 5, is nan"), (1, "batch.1 at [5, 0], of sample 5, is nan")],
    ids=["inputs", "targets"],
)
def test_a_nan_in_the_data_is_named_and_no_learning_rate_is_blamed(
    tmp_path: Path, part: int, where: str, model: Any
) -> None:
    tensors = torch.randn(64, 4), torch.randn(64, 1)
    tensors[part][21, 2 * (1 - part)] = torch.nan  # the sixth of the second batch
    samples = DataLoader(TensorDataset(*tensors), batch_size=16)
    run = fit(model(), samples, tmp_path=tmp_path, epochs=1)
    assert where in run.outcome.reason
    assert "earning rate" not in run.outcome.reason


@pytest.mark.parametrize("given", ["class", "function", "object"])
def test_an_optimizer_with_modes_gets_no_cosine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    model = net()
    build = {
        "class": partial(ScheduleFree, lr=0.1),
        "function": lambda parameters: ScheduleFree(parameters, lr=0.1),
        "object": ScheduleFree(model.parameters(), lr=0.1),
    }[given]
    calls = Modes()
    run = fit(
        model, loader(), loader(), tmp_path=tmp_path, optimizer=build, epochs=2, callbacks=[calls]
    )
    assert calls.rates == {0.1}
    assert calls.modes == {False}
    assert run.outcome.status == "finished"
    # Nobody can resume it: what a resume would not restore is not said.
    assert "resume will not restore" not in "".join(capsys.readouterr())


class Modes(Callback):
    """Keeps the rates, and whether the optimizer trains in a validation."""

    def __init__(self) -> None:
        self.rates, self.modes = set[float](), set[bool]()

    def on_validation_epoch_start(self, trainer: Any, module: Any) -> None:
        group = trainer.optimizers[0].param_groups[0]
        self.rates.add(group["lr"])
        self.modes.add(group["train_mode"])


def test_targets_that_lack_the_channel_are_refused_with_the_remedy(tmp_path: Path) -> None:
    images, masks = torch.randn(8, 3, 6, 6), torch.ones(8, 6, 6)
    options = {"loss": nn.BCEWithLogitsLoss(), "tmp_path": tmp_path}
    with pytest.raises(ConfigError, match=r"the channel, too: targets\.unsqueeze\(1\)"):
        fit(nn.Conv2d(3, 1, 1), (images, masks), **options)
    with pytest.raises(ConfigError, match=r"the channel, too: outputs\.unsqueeze\(1\)"):
        fit(
            nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(1, 2)), (images, masks[:, None]), **options
        )
