from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from fourbeat.base.errors import ConfigError, DataError
from fourbeat.data import DataModule
from project.data import Digits


class Blobs(DataModule):
    """Three classes of two features, whose first feature is the sample's number."""

    task = "multiclass"
    input_shape = (2,)
    num_classes = 3
    num_samples = 200

    def __init__(self, *, spread: float = 1.0, **common: Any) -> None:
        super().__init__(**common)
        self.spread = spread
        self.num_loads = 0

    def load(self) -> tuple[Tensor, Tensor]:
        self.num_loads += 1
        numbers = torch.arange(200.0, dtype=torch.float64)
        return torch.stack([numbers, self.spread * numbers], 1), torch.arange(200) % 3


class Line(DataModule):
    task = "regression"
    input_shape = (1,)
    num_samples = 100

    def load(self) -> tuple[Tensor, Tensor]:
        numbers = torch.arange(100.0)
        return numbers.unsqueeze(1), 3 * numbers + 7


class Coins(DataModule):
    task = "binary"
    input_shape = (1,)
    num_classes = 2
    num_samples = 40

    def load(self) -> tuple[Tensor, Tensor]:
        return torch.ones(40, 1), torch.arange(40) % 2 == 0


class BringsItsTest(Blobs):
    @property
    def split_sizes(self) -> Any:
        return super().split_sizes._replace(test=4)

    def load_test(self) -> tuple[Tensor, Tensor]:
        return torch.full((4, 2), 1000.0), torch.tensor([0, 1, 2, 0])


def numbers(data: DataModule, split: str) -> list[float]:
    return getattr(data.splits, split).inputs[:, 0].tolist()


@pytest.mark.parametrize(
    ("data_set", "num_outputs", "loss", "class_names"),
    [
        pytest.param(Blobs, 3, "torch.nn.CrossEntropyLoss", ("0", "1", "2"), id="multiclass"),
        pytest.param(Coins, 1, "torch.nn.BCEWithLogitsLoss", ("0", "1"), id="binary"),
        pytest.param(Line, 1, "torch.nn.MSELoss", (), id="regression"),
    ],
)
def test_what_a_model_needs_follows_from_the_task(
    data_set: type[DataModule], num_outputs: int, loss: str, class_names: tuple[str, ...]
) -> None:
    data = data_set()

    assert (data.num_outputs, data.loss, data.class_names) == (num_outputs, loss, class_names)


def test_the_features_are_counted_over_all_dimensions() -> None:
    assert Digits(image_size=28).num_features == 784


def test_classes_must_be_counted_by_the_data_set() -> None:
    class Forgetful(Blobs):
        num_classes = None  # type: ignore[assignment]

    with pytest.raises(NotImplementedError, match="Forgetful has classes: set its num_classes"):
        _ = Forgetful().num_outputs


def test_the_sizes_announced_before_loading_are_those_of_the_splits() -> None:
    data = Blobs(val_fraction=0.123, test_fraction=0.2)
    announced = data.split_sizes
    loaded_for_it = data.num_loads

    assert loaded_for_it == 0
    assert tuple(len(split.inputs) for split in data.splits) == announced == (135, 25, 40)


def test_setup_loads_once() -> None:
    data = Blobs()
    data.setup("fit")
    data.setup("test")
    data.train_dataloader()

    assert data.num_loads == 1


def test_another_seed_keeps_the_splits() -> None:
    assert numbers(Blobs(seed=0), "test") == numbers(Blobs(seed=1), "test")


def test_another_split_seed_changes_the_splits() -> None:
    one, other = (Blobs(split_seed=seed, normalize=False) for seed in (0, 1))

    assert numbers(one, "test") != numbers(other, "test")


def test_another_seed_changes_the_order() -> None:
    one, other = (next(iter(Blobs(seed=seed).train_dataloader()))[0] for seed in (0, 1))

    assert not torch.equal(one, other)


def test_the_training_split_gets_mean_0_and_deviation_1() -> None:
    inputs = Blobs(spread=100.0).splits.train.inputs

    torch.testing.assert_close(inputs.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_other_splits_get_the_statistics_of_the_training_split(split: str) -> None:
    raw, scaled = Blobs(normalize=False), Blobs()
    train = torch.tensor(numbers(raw, "train"))
    expected = (torch.tensor(numbers(raw, split)) - train.mean()) / train.std(correction=0)

    torch.testing.assert_close(torch.tensor(numbers(scaled, split)), expected)
    assert abs(expected.mean().item()) > 1e-3


def test_normalisation_can_be_switched_off() -> None:
    assert set(numbers(Blobs(normalize=False), "train")) <= set(range(200))


def test_targets_of_a_regression_are_standardised_and_can_be_taken_back() -> None:
    data, raw = Line(), Line(normalize=False)
    train = data.splits.train.targets
    back = data.splits.test.targets * data.target_std + data.target_mean

    assert train.mean().item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(back, raw.splits.test.targets)


@pytest.mark.parametrize(
    ("data_set", "inputs", "targets"),
    [
        pytest.param(Blobs, ((32, 2), torch.float32), ((32,), torch.int64), id="classes"),
        pytest.param(Coins, ((28, 1), torch.float32), ((28,), torch.int64), id="two_classes"),
        pytest.param(Line, ((32, 1), torch.float32), ((32, 1), torch.float32), id="regression"),
    ],
)
def test_batches_have_the_announced_types_and_shapes(
    data_set: type[DataModule], inputs: object, targets: object
) -> None:
    batch = next(iter(data_set().train_dataloader()))

    assert [(tuple(part.shape), part.dtype) for part in batch] == [inputs, targets]


def test_unshuffled_training_sees_the_data_as_it_is_stored() -> None:
    data = Blobs(shuffle=False, normalize=False)
    seen = torch.cat([inputs[:, 0] for inputs, _ in data.train_dataloader()])

    assert torch.equal(seen, seen.sort().values)


def test_drop_last_shortens_the_training_only() -> None:
    data = Blobs(drop_last=True)

    assert (len(data.train_dataloader()), len(data.val_dataloader())) == (4, 1)


@pytest.mark.parametrize("stage", ["val", "test", "predict"])
def test_evaluation_sees_each_sample_once_and_in_order(stage: str) -> None:
    data = Blobs(normalize=False, batch_size=7)
    seen = torch.cat([inputs[:, 0] for inputs, _ in getattr(data, f"{stage}_dataloader")()])

    assert seen.tolist() == numbers(data, "val" if stage == "val" else "test")


def test_a_split_of_no_samples_has_no_loader() -> None:
    data = Blobs(val_fraction=0.0, test_fraction=0.0)

    assert (data.val_dataloader(), data.test_dataloader()) == ([], [])


def test_a_data_set_may_bring_its_own_test_split() -> None:
    data = BringsItsTest(test_fraction=0.0, val_fraction=0.1, normalize=False)

    assert tuple(len(split.inputs) for split in data.splits) == (180, 20, 4)
    assert numbers(data, "test") == [1000.0] * 4


def test_common_arguments_are_in_the_signature_of_every_data_set() -> None:
    common = inspect.signature(DataModule).parameters

    assert [*inspect.signature(Blobs).parameters] == ["spread", *common]


def test_the_signature_has_types_not_their_names() -> None:
    parameters = inspect.signature(Blobs).parameters

    assert (parameters["spread"].annotation, parameters["batch_size"].annotation) == (float, int)


def test_a_data_set_of_a_data_set_shows_the_arguments_of_both() -> None:
    assert inspect.signature(BringsItsTest) == inspect.signature(Blobs)


def test_faults_stop_the_loading() -> None:
    data = Blobs(batch_size=500, drop_last=True)

    with pytest.raises(ConfigError, match=r"data\.batch_size=500"):
        data.setup("fit")
    assert data.num_loads == 0


def broken(inputs: Tensor, targets: Tensor) -> DataModule:
    class Broken(Blobs):
        def load(self) -> tuple[Tensor, Tensor]:
            return inputs, targets

    return Broken()


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        pytest.param(
            torch.ones(200, 3), torch.zeros(200), r"shape \(200, 3\).*\(200, 2\)", id="shape"
        ),
        pytest.param(
            torch.ones(199, 2), torch.zeros(199), r"shape \(199, 2\).*\(200, 2\)", id="count"
        ),
        pytest.param(torch.ones(200, 2), torch.zeros(9), "200 inputs but 9 targets", id="targets"),
        pytest.param(
            torch.ones(200, 2), torch.zeros(200), "float32.*must be integers", id="floats"
        ),
        pytest.param(torch.ones(200, 2), torch.tensor(1), "200 inputs but 0 targets", id="one"),
        pytest.param(
            torch.ones(200, 2), torch.full((200,), 3), "labels from 3 to 3.*0 and 2", id="high"
        ),
        pytest.param(
            torch.ones(200, 2), torch.full((200,), -1), "labels from -1 to -1", id="negative"
        ),
    ],
)
def test_loaded_data_must_be_what_was_announced(
    inputs: Tensor, targets: Tensor, message: str
) -> None:
    with pytest.raises(DataError, match=r"(?s)Broken\.load\(\) returned.*" + message):
        broken(inputs, targets).setup("fit")


@pytest.mark.parametrize(
    ("loaded", "came"),
    [
        pytest.param(None, "a NoneType;", id="nothing"),
        pytest.param(torch.ones(200, 2), "a Tensor;", id="inputs alone"),
        pytest.param(
            (torch.ones(200, 2), [0] * 200), r"a tuple of 2 \(Tensor, list\)", id="a list"
        ),
        pytest.param(
            (torch.ones(200, 2).numpy(), None), r"a tuple of 2 \(ndarray, NoneType\)", id="an array"
        ),
        pytest.param((torch.ones(200, 2),) * 3, "a tuple of 3", id="three"),
        pytest.param({"x": 1}, "a dict;", id="a dict"),
    ],
)
def test_what_is_not_two_tensors_is_refused_in_one_line(loaded: Any, came: str) -> None:
    class Wrong(Blobs):
        def load(self) -> Any:
            return loaded

    with pytest.raises(DataError, match=rf"Wrong\.load\(\) returned {came}.*two tensors") as raised:
        Wrong().setup("fit")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "classes", "targets", "announced"),
    [
        pytest.param("regression", None, torch.ones(200, 2), (), id="two-numbers"),
        pytest.param("regression", None, torch.ones(200), (3,), id="one-of-three"),
        pytest.param("binary", 2, torch.ones(200, 1).long(), (), id="a-column-of-labels"),
        pytest.param("multiclass", 3, torch.ones(200, 4).long(), (5,), id="four-tokens-of-five"),
    ],
)
def test_targets_of_another_shape_than_announced_are_named(
    kind: Any, classes: int | None, targets: torch.Tensor, announced: tuple[int, ...]
) -> None:
    class Odd(Blobs):
        task, num_classes, target_shape = kind, classes, announced

        def load(self) -> Any:
            return torch.ones(200, 2), targets

    own = re.escape(str(tuple(targets.shape[1:])))
    with pytest.raises(
        DataError, match=rf"Odd\.load\(\) returned a target of shape {own} for each"
    ):
        Odd().setup("fit")


@pytest.mark.parametrize("shape", [(200,), (200, 1)], ids=["n", "n-1"])
def test_one_number_a_sample_may_come_in_a_column(shape: tuple[int, ...]) -> None:
    class Column(Blobs):
        task, num_classes = "regression", None

        def load(self) -> Any:
            return torch.ones(200, 2), torch.arange(200.0).reshape(shape)

    assert Column().splits.train.targets.shape[1:] == (1,)


class Texts(DataModule):
    """A class for each of four tokens; the last one is padding, which has none."""

    task = "multiclass"
    input_shape = (4,)
    num_classes = 50
    num_samples = 100
    target_shape = (4,)
    input_dtype = torch.int64

    def load(self) -> tuple[Tensor, Tensor]:
        tokens = torch.arange(400).reshape(100, 4)
        targets = tokens % 50
        targets[:, -1] = -100
        return tokens, targets


def test_integer_inputs_stay_what_they_are() -> None:
    data = Texts(shuffle=False, val_fraction=0.1)
    inputs, targets = next(iter(data.train_dataloader()))
    assert (inputs.dtype, targets.dtype) == (torch.int64, torch.int64)
    assert torch.equal(inputs[:, 1:] % 50, targets.where(targets >= 0, (inputs % 50))[:, 1:])
    assert targets.shape == (32, 4)
    assert (data.splits.train.inputs[:, 0] % 4 == 0).all()


@pytest.mark.parametrize(
    ("announced", "loaded", "said"),
    [
        (torch.float32, torch.int64, r"of type torch.int64; .* Set input_dtype = torch.int64"),
        (torch.int64, torch.float64, r"of type torch.float64; input_dtype announces torch.int64"),
    ],
)
def test_integers_must_be_announced(announced: Any, loaded: Any, said: str) -> None:
    class Wrong(Texts):
        input_dtype = announced

        def load(self) -> tuple[Tensor, Tensor]:
            tokens, targets = super().load()
            return tokens.to(loaded), targets

    with pytest.raises(DataError, match=rf"Wrong\.load\(\) returned inputs {said}"):
        Wrong().setup("fit")


def test_a_split_needs_no_sample_of_each_class_where_tokens_have_classes() -> None:
    data = Texts(val_fraction=0.1, test_fraction=0.1)
    assert data.faults() == []
    assert tuple(len(split.inputs) for split in data.splits) == (80, 10, 10)


def test_a_class_of_a_token_must_be_one_that_was_announced() -> None:
    class Wrong(Texts):
        num_classes = 49

    with pytest.raises(DataError, match="labels from 0 to 49"):
        Wrong().setup("fit")


def test_a_sample_may_have_several_numbers_as_its_target() -> None:
    class Points(Line):
        target_shape = (3,)

        def load(self) -> tuple[Tensor, Tensor]:
            numbers = torch.arange(300.0).reshape(100, 3)
            return numbers[:, :1], numbers

    data = Points()
    targets = data.splits.train.targets
    assert data.num_outputs == 3
    torch.testing.assert_close(targets.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert targets.shape == (70, 3)


@pytest.mark.parametrize(
    ("data", "inputs", "targets"),
    [
        pytest.param(Blobs(), ((2, 2), torch.float32), ((2,), torch.int64), id="classes"),
        pytest.param(Line(), ((2, 1), torch.float32), ((2, 1), torch.float32), id="numbers"),
        pytest.param(Texts(), ((2, 4), torch.int64), ((2, 4), torch.int64), id="tokens"),
    ],
)
def test_an_example_is_what_is_announced(data: DataModule, inputs: Any, targets: Any) -> None:
    example = data.example()
    assert [(tuple(part.shape), part.dtype) for part in example] == [inputs, targets]


class Shaken(Blobs):
    """Augments the samples that a DataModule has loaded."""

    def dataset(self, split: Any) -> Any:
        samples = super().dataset(split)
        return [(x + torch.rand(2), y) for x, y in samples] if split == "train" else samples


def test_the_samples_of_a_data_module_can_be_wrapped() -> None:
    plain, shaken = (cls(shuffle=False, normalize=False) for cls in (Blobs, Shaken))
    one, other = (next(iter(data.train_dataloader())) for data in (plain, shaken))
    assert torch.equal(one[1], other[1])
    assert ((other[0] - one[0]) > 0).all()
    assert (plain.is_in_memory, shaken.is_in_memory) == (True, False)
    assert (
        plain.num_batches("train") == shaken.num_batches("train") == len(plain.train_dataloader())
    )
