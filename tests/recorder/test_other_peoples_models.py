"""The recorder on models that nobody here wrote.

From Lightning's own demos: the Transformer and the LSTM language models (after PyTorch's example
word_language_model), and the convolutional ``Net`` of PyTorch's example mnist, in manual
optimization and in that example's own plain loop. Their data sets are downloads, which random words
and scikit-learn's digits stand in for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.demos.boring_classes import BoringModel, Net
from lightning.pytorch.demos.lstm import LightningLSTM, SequenceSampler, SimpleLSTM
from lightning.pytorch.demos.transformer import LightningTransformer
from lightning.pytorch.plugins import MixedPrecision
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

import fourbeat
from fourbeat.recorder import RecorderCallback, Records, read_records

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")

VOCABULARY = 40
NUM_BATCHES = 7


def words(num: int) -> TensorDataset:
    """Sentences of 9 words, and each one's next word."""
    text = torch.randint(VOCABULARY, (num, 10), generator=torch.Generator().manual_seed(1))
    return TensorDataset(text[:, :-1], text[:, 1:])


def digits(num: int) -> TensorDataset:
    """Scikit-learn's 8x8 digits, enlarged to MNIST's 28x28."""
    images, targets = load_digits(return_X_y=True)
    small = torch.tensor(images[:num], dtype=torch.float32).view(-1, 1, 8, 8) / 16
    return TensorDataset(F.interpolate(small, size=28), torch.tensor(targets[:num]))


class Transformer(LightningTransformer):
    """Lightning's, with other words; and it stores its losses."""

    def __init__(self) -> None:
        super().__init__(vocab_size=VOCABULARY)
        self.losses: list[Tensor] = []
        self.val_losses: list[Tensor] = []

    def prepare_data(self) -> None:
        pass

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.losses.append(loss.detach().clone())
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.val_losses.append(super().training_step(batch, batch_idx))

    def train_dataloader(self) -> DataLoader:
        return DataLoader(words(4 * NUM_BATCHES), batch_size=4, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(words(8), batch_size=4)


class LSTM(LightningLSTM):
    """Lightning's, smaller, with other words; and it stores its losses."""

    def __init__(self) -> None:
        super().__init__(vocab_size=VOCABULARY)
        self.model = SimpleLSTM(vocab_size=VOCABULARY, ninp=16, nhid=16, nlayers=2)
        self.losses: list[Tensor] = []
        self.val_losses: list[Tensor] = []

    def prepare_data(self) -> None:
        pass

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.losses.append(loss.detach().clone())
        return loss

    def train_dataloader(self) -> DataLoader:
        dataset = words(4 * NUM_BATCHES)
        return DataLoader(dataset, batch_sampler=SequenceSampler(dataset, batch_size=4))


class ManualNet(LightningModule):
    """PyTorch's Net in manual optimization, as Lightning's documentation shows it."""

    def __init__(self, num_accumulated: int = 3) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.num_accumulated = Net(), num_accumulated
        self.losses: list[Tensor] = []
        self.val_losses: list[Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> None:
        inputs, targets = batch
        optimizer = self.optimizers()
        loss = F.nll_loss(self.model(inputs), targets) / self.num_accumulated
        self.manual_backward(loss)
        self.losses.append(loss.detach().clone() * self.num_accumulated)
        if (batch_idx + 1) % self.num_accumulated == 0 or self.trainer.is_last_batch:
            self.clip_gradients(optimizer, gradient_clip_val=0.5)
            optimizer.step()
            optimizer.zero_grad()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        inputs, targets = batch
        self.val_losses.append(F.nll_loss(self.model(inputs), targets))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adadelta(self.parameters(), lr=1.0)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(digits(4 * NUM_BATCHES), batch_size=4, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(digits(8), batch_size=4)


@dataclass
class Trained:
    module: LightningModule
    trainer: Trainer
    records: Records
    random: Tensor


def trainer_in(folder: Path, **options: Any) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **options,
    )


def fit(
    make: Callable[[], LightningModule], folder: Path, *, recorded: bool, **options: Any
) -> Trained:
    seed_everything(3, verbose=False)
    module = make()
    callbacks = [RecorderCallback(layers_every_n_steps=2)] if recorded else []
    trainer = trainer_in(folder, callbacks=callbacks, max_epochs=2, **options)
    trainer.fit(module)
    return Trained(module, trainer, read_records(folder), torch.get_rng_state())


ACCUMULATED = {"accumulate_grad_batches": 3, "gradient_clip_val": 0.5}
CASES = {
    "transformer": (Transformer, 1, {}),
    "transformer, accumulated": (Transformer, 3, ACCUMULATED),
    "transformer, bf16": (Transformer, 1, {"precision": "bf16-mixed"}),
    "lstm": (LSTM, 1, {"gradient_clip_val": 0.25}),
    "lstm, accumulated": (LSTM, 3, ACCUMULATED),
    "convnet, manual": (ManualNet, 3, {}),
}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trained, Trained, int]:
    """A training with the recorder, one without, and the micro-batches of a step."""
    make, num_accumulated, options = request.param
    on, off = tmp_path_factory.mktemp("on"), tmp_path_factory.mktemp("off")
    return (
        fit(make, on, recorded=True, **options),
        fit(make, off, recorded=False, **options),
        num_accumulated,
    )


@pytest.mark.slow
def test_on_or_off_weights_and_random_numbers_are_the_same(
    pair: tuple[Trained, Trained, int],
) -> None:
    on, off, _ = pair
    assert all(map(torch.equal, on.module.state_dict().values(), off.module.state_dict().values()))
    assert torch.equal(on.random, off.random)
    assert on.module.val_losses == off.module.val_losses
    assert not len(off.records.steps)


@pytest.mark.slow
def test_each_optimizer_step_is_recorded_once(pair: tuple[Trained, Trained, int]) -> None:
    on, off, num_accumulated = pair
    num_steps = 2 * math.ceil(NUM_BATCHES / num_accumulated)
    assert off.trainer.global_step == num_steps
    steps = on.records.steps
    assert steps.steps.tolist() == list(range(num_steps))
    assert on.records.layers.steps.tolist() == list(range(0, num_steps, 2))
    last = [*range(num_accumulated - 1, NUM_BATCHES - 1, num_accumulated), NUM_BATCHES - 1]
    assert steps.columns["batch_idx"].tolist() == last * 2
    assert steps.columns["epoch"].tolist() == [0] * len(last) + [1] * len(last)
    assert (on.records.grad_norm > 0).all()


@pytest.mark.slow
def test_the_losses_are_those_of_the_module(pair: tuple[Trained, Trained, int]) -> None:
    on, _, num_accumulated = pair
    scaled = torch.stack(on.module.losses) / num_accumulated
    epochs = scaled.view(2, NUM_BATCHES)
    groups = [group.double() for epoch in epochs for group in epoch.split(num_accumulated)]
    expected = torch.stack([group.sum() for group in groups]).float()
    assert np.array_equal(on.records.steps.columns["loss"], expected.numpy())


@pytest.mark.slow
def test_no_hook_stays_behind(pair: tuple[Trained, Trained, int]) -> None:
    on, off, _ = pair
    assert not any(module._forward_hooks for module in on.module.modules())
    assert not torch.nn.modules.module._global_forward_hooks
    (optimizer,) = on.trainer.optimizers
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert len(on.trainer.callbacks) == len(off.trainer.callbacks) + 1


def mnist_example(train: Callable[[nn.Module, Any, Any, int], None]) -> nn.Module:
    """https://github.com/pytorch/examples/blob/main/mnist/main.py: its main()."""
    torch.manual_seed(1)
    loader = DataLoader(digits(4 * NUM_BATCHES), batch_size=4, shuffle=True)
    model = Net()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(2):
        train(model, loader, optimizer, epoch)
        scheduler.step()
    return model


def train_epoch(model: nn.Module, loader: Any, optimizer: Any, losses: list[float]) -> None:
    """Its train()."""
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        output = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())


def test_the_loop_of_pytorchs_mnist_example_is_recorded(tmp_path: Path) -> None:
    losses: list[float] = []

    def watched(model: nn.Module, loader: Any, optimizer: Any, epoch: int) -> None:
        with fourbeat.watch(model, optimizer, folder=tmp_path, layers_every_n_steps=3) as recorder:
            recorder.epoch = epoch
            train_epoch(model, loader, optimizer, losses)

    def unwatched(model: nn.Module, loader: Any, optimizer: Any, epoch: int) -> None:
        train_epoch(model, loader, optimizer, [])

    on = [*mnist_example(watched).state_dict().values(), torch.get_rng_state()]
    off = [*mnist_example(unwatched).state_dict().values(), torch.get_rng_state()]
    assert all(map(torch.equal, on, off))
    records = read_records(tmp_path)
    assert records.steps.steps.tolist() == list(range(2 * NUM_BATCHES))
    assert records.steps.columns["loss"].tolist() == losses
    assert records.steps.columns["epoch"].tolist() == [0] * NUM_BATCHES + [1] * NUM_BATCHES
    rates = np.float32([1.0] * NUM_BATCHES + [0.7] * NUM_BATCHES)
    assert np.array_equal(records.steps.columns["lr/0"], rates)
    assert list(records.steps.by_owner("grad_norm")) == ["conv1", "conv2", "fc1", "fc2"]
    assert records.layers.by_owner("activation_std")["fc2"].min() > 0


class Twice(torch.optim.SGD):
    """Torch announces each of its steps twice."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


class Boring(BoringModel):
    """Lightning's, with an optimizer to choose; and it stores its losses."""

    def __init__(self, make_optimizer: Callable[..., torch.optim.Optimizer]) -> None:
        super().__init__()
        self.make_optimizer, self.losses = make_optimizer, []
        self.batches: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.step(batch)
        self.losses.append(loss.detach().clone())
        self.batches.append(batch_idx)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(self.parameters(), lr=0.01)


class PastLightning(Boring):
    """Differentiates and steps without Lightning's knowledge."""

    def __init__(self, make_optimizer: Callable[..., torch.optim.Optimizer]) -> None:
        super().__init__(make_optimizer)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad()
        loss = super().training_step(batch, batch_idx)
        self.step(batch).backward()
        assert loss.isfinite()
        optimizer.step()


def fit_boring(module: LightningModule, folder: Path, **options: Any) -> Records:
    callbacks = [RecorderCallback(layers_every_n_steps=1)]
    limits = {"limit_train_batches": 4, "limit_val_batches": 0, "max_epochs": 1}
    trainer_in(folder, callbacks=callbacks, **limits, **options).fit(module)
    return read_records(folder)


@pytest.mark.parametrize("make_optimizer", [Twice, torch.optim.LBFGS])
def test_an_optimizer_of_a_kind_of_its_own_makes_one_step_a_batch(
    tmp_path: Path, make_optimizer: Callable[..., torch.optim.Optimizer]
) -> None:
    torch.optim.SGD([nn.Parameter(torch.ones(1))])  # torch marks a class when it is first used
    module = Boring(make_optimizer)
    records = fit_boring(module, tmp_path)
    assert records.steps.steps.tolist() == [0, 1, 2, 3]
    first = [module.batches.index(batch_idx) for batch_idx in range(4)]
    expected = [module.losses[index].item() for index in first]
    assert records.steps.columns["loss"].tolist() == expected
    assert np.isfinite(records.grad_norm).all()


def test_a_step_past_lightning_has_gradients_and_no_loss(tmp_path: Path) -> None:
    records = fit_boring(PastLightning(torch.optim.SGD), tmp_path)
    assert records.steps.steps.tolist() == [0, 1, 2, 3]
    assert np.isnan(records.steps.columns["loss"]).all()
    moved = records.layers.by_owner("update_norm")["layer"]
    np.testing.assert_allclose(records.grad_norm * 0.01, moved, rtol=1e-4)


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_a_step_that_the_scaler_skips_was_not_applied(tmp_path: Path, fused: bool) -> None:
    module = Boring(lambda weights, lr: torch.optim.Adam(weights, lr=lr, fused=fused))
    module.layer.weight.register_hook(
        lambda gradient: gradient * (math.inf if len(module.losses) == 2 else 1)
    )
    # Lightning's own choice on a CPU would be bfloat16, without a scaler.
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**10))
    records = fit_boring(module, tmp_path, plugins=plugin)
    assert records.steps.columns["applied"].tolist() == [1, 0, 1, 1]
    moved = records.layers.by_owner("update_norm")["layer"]
    assert (moved > 0).tolist() == [True, False, True, True]


def test_a_transformer_is_validated_as_without_the_recorder(tmp_path: Path) -> None:
    """Torch computes one whose modules have hooks on another path, and rounds differently."""
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(128, 8, 512, batch_first=True, norm_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    inputs, padding = torch.randn(4, 35, 128), torch.zeros(4, 35, dtype=torch.bool)
    padding[1, 20:] = True
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def validate() -> Tensor:
        with torch.no_grad():
            return model.eval()(inputs, src_key_padding_mask=padding)

    expected = validate()
    with fourbeat.watch(model, optimizer, folder=tmp_path, layers_every_n_steps=1):
        found = validate()
        model.train()(inputs).sum().backward()
        optimizer.step()
    assert torch.equal(found, expected)
    records = read_records(tmp_path)
    assert records.layers.by_owner("activation_std")["layers.1.linear1"][0] > 0


def test_what_vmap_passes_to_a_layer_is_not_measured(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fourbeat.watch(model, optimizer, folder=tmp_path, layers_every_n_steps=1):
        torch.func.vmap(model)(torch.randn(5, 4)).sum().backward()
        optimizer.step()
    records = read_records(tmp_path)
    assert records.grad_norm[0] > 0
    assert np.isnan(records.layers.by_owner("activation_std")["0"]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using `torch.compile.module.` when there are global hooks")
@pytest.mark.parametrize("inner", [False, True], ids=["wrapper", "inner"])
def test_a_compiled_model_is_compiled_as_without_the_recorder(tmp_path: Path, inner: bool) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Callable:
        graphs.append(graph)
        return graph.forward

    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    compiled = torch.compile(model, backend=backend)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched = model if inner else compiled
    with fourbeat.watch(watched, optimizer, folder=tmp_path, layers_every_n_steps=2):
        for _ in range(4):
            compiled(torch.randn(5, 4)).sum().backward()
            optimizer.step()
    operations = [node.op for node in graphs[0].graph.nodes if node.op.startswith("call")]
    assert len(operations) == 2
    assert len(graphs) == (2 if inner else 1)
    assert len(read_records(tmp_path).steps) == 4
