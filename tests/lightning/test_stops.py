"""Who ends a training."""

from __future__ import annotations

from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from support.contracts import Seam, contract
from support.stock_trainers import stock_trainer

stops = Seam("stops")


class Stopping(Callback):
    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = True


class Function(Callback):
    """Has a function in the place of a hook, as LambdaCallback, and one that torch calls."""

    def __init__(self, name: str) -> None:
        self.name = name

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        def hook(*_: Any) -> None:
            trainer.should_stop = True

        if self.name == "forward":
            pl_module.layer.register_forward_hook(hook)
        else:
            setattr(pl_module if self.name == "on_after_backward" else self, self.name, hook)


class Skipping(BoringModel):
    def on_train_batch_start(self, *_: Any) -> int:
        return -1


class Raising(Callback):
    def on_train_batch_end(self, *_: Any) -> None:
        raise StopIteration


@contract("lightning", "should_stop is an attribute that callbacks set", see="Trainer.should_stop")
def test_a_trainer_notes_who_sets_should_stop() -> None:
    trainer = stock_trainer(callbacks=[Stopping()], max_epochs=2)
    stops.note_stops(trainer)
    assert isinstance(trainer, stops.StopNotingTrainer)
    assert not trainer.should_stop
    trainer.fit(BoringModel())
    assert trainer.global_step == 1
    assert stops.stopped_by(trainer) == "Stopping"
    trainer.should_stop = False
    assert stops.stopped_by(trainer) == ""


@pytest.mark.parametrize(
    ("where", "who"),
    [
        ("on_train_batch_end", "hook (Function)"),
        ("on_after_backward", "hook (BoringModel)"),
        ("forward", "hook"),
    ],
)
@contract("lightning", "trainer.call calls all hooks", see="lightning.pytorch.trainer.call")
def test_a_function_is_named_with_whose_hook_it_is(where: str, who: str) -> None:
    trainer = stock_trainer(callbacks=[Function(where)], max_epochs=1)
    stops.note_stops(trainer)
    trainer.fit(BoringModel())
    assert stops.stopped_by(trainer) == who


@pytest.mark.parametrize(
    ("model", "callbacks", "is_end"),
    [(Skipping, [], True), (BoringModel, [Raising()], False)],
    ids=["-1", "a hook raises it"],
)
@pytest.mark.filterwarnings("ignore:Detected call of")
@contract("lightning", "StopIteration ends an epoch", see="_TrainingEpochLoop.advance")
def test_the_end_of_the_data_differs_from_a_hook_that_raises(
    model: type[BoringModel], callbacks: list[Callback], is_end: bool
) -> None:
    trainer, found = stock_trainer(callbacks=callbacks, max_epochs=1), []
    batches: Any = trainer.fit_loop.epoch_loop
    advance = batches.advance

    def watched(fetcher: Any) -> None:
        try:
            advance(fetcher)
        except StopIteration as error:
            found.append(stops.is_end_of_data(error))
            raise

    batches.advance = watched
    trainer.fit(model())
    assert found == [is_end]
