from __future__ import annotations

from torch import nn

from fourbeat.config.leaves import instantiate, is_deferred


def test_a_leaf_is_built_with_what_the_program_adds() -> None:
    leaf = {"_target_": "torch.nn.Linear", "in_features": 2, "bias": False}
    layer = instantiate(leaf, out_features=3)
    assert isinstance(layer, nn.Linear)
    assert (tuple(layer.weight.shape), layer.bias) == ((3, 2), None)


def test_lists_and_mappings_arrive_as_plain_ones() -> None:
    built = instantiate({"_target_": "builtins.dict", "widths": [1, 2], "inner": {"a": [3]}})
    assert built == {"widths": [1, 2], "inner": {"a": [3]}}
    assert (type(built["widths"]), type(built["inner"])) == (list, dict)


def test_only_a_reference_to_the_data_set_is_deferred() -> None:
    values = ["${from_data:loss}", "${seed}", "from_data", 3, None]
    assert [value for value in values if is_deferred(value)] == ["${from_data:loss}"]
