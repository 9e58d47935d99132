"""What the decision when to validate stands on."""

from __future__ import annotations

import inspect

from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop


def test_the_epoch_loop_asks_one_method_whether_to_validate() -> None:
    for method in ("advance", "on_advance_end"):
        source = inspect.getsource(getattr(_TrainingEpochLoop, method))
        asks = "self._should_check_val_fx(data_fetcher)" in source
        assert asks, f"{method} decides elsewhere whether to validate: see decide_validations"
    parameters = [*inspect.signature(_TrainingEpochLoop._should_check_val_fx).parameters]
    assert parameters == ["self", "data_fetcher"], "decide_validations replaces this method"


def test_the_loops_say_whether_an_epoch_validates_and_whether_to_stop_early() -> None:
    asked = inspect.signature(_TrainingEpochLoop._should_check_val_epoch).parameters
    assert [*asked] == ["self"], "decide_validations calls this method"
    assert isinstance(_FitLoop._can_stop_early, property), "decide_validations reads this property"
