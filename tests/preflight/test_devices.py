"""What a machine lacks. The machine is the only part that is set up by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from support.project import compose_config

from fourbeat.config.resolve import resolve_config
from fourbeat.config.schema import TrainConfig
from fourbeat.preflight.devices import accelerator, count_processes, device_faults


@cache
def values() -> dict[str, Any]:
    words = ["model.in_features=1", "model.out_features=1", "loss=mse"]
    return resolve_config(compose_config(words))[0]


def config(**trainer: Any) -> TrainConfig:
    return TrainConfig.model_validate({**values(), "trainer": trainer})


def machine(monkeypatch: pytest.MonkeyPatch, *, gpus: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla K80")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("name", "gpus", "mps", "kind"),
    [
        ("auto", 0, False, "cpu"),
        ("auto", 2, False, "cuda"),
        ("auto", 0, True, "mps"),
        ("gpu", 2, False, "cuda"),
        ("gpu", 0, True, "mps"),
        ("gpu", 0, False, "gpu"),
        ("cpu", 2, False, "cpu"),
        ("cuda", 0, False, "cuda"),
    ],
    ids=str,
)
def test_an_accelerator_stands_for_what_there_is(
    monkeypatch: pytest.MonkeyPatch, name: str, gpus: int, mps: bool, kind: str
) -> None:
    machine(monkeypatch, gpus=gpus, mps=mps)
    assert accelerator(name) == kind


@pytest.mark.parametrize(
    ("trainer", "gpus", "count"),
    [
        ({}, 0, 1),
        ({"devices": 3}, 0, 3),
        ({"devices": "auto"}, 0, 1),
        ({"devices": "auto"}, 4, 4),
        ({"devices": [0, 2]}, 4, 2),
        ({"devices": 2, "num_nodes": 3}, 4, 6),
        ({"devices": "auto", "accelerator": "cpu"}, 4, 1),
    ],
    ids=str,
)
def test_there_is_one_process_for_each_device(
    monkeypatch: pytest.MonkeyPatch, trainer: dict[str, Any], gpus: int, count: int
) -> None:
    machine(monkeypatch, gpus=gpus)
    assert count_processes(config(**trainer).trainer) == count


@pytest.mark.parametrize(
    ("trainer", "there", "code", "fact", "offered"),
    [
        ({"accelerator": "gpu"}, {}, "no-such-device", "no GPU that torch", "trainer=cpu"),
        ({"accelerator": "cuda"}, {}, "no-such-device", "no CUDA GPU", "trainer=cpu"),
        ({"accelerator": "mps"}, {}, "no-such-device", "no Apple GPU (MPS)", "trainer=cpu"),
        ({"strategy": "fsdp"}, {}, "no-such-device", "needs GPUs", "trainer=ddp_cpu"),
        ({"devices": 99}, {}, "no-such-device", "would start 99 processes", "trainer.devices="),
        ({"devices": [1, 1]}, {"gpus": 2}, "no-such-device", "twice", "trainer.devices=[1]"),
        ({"accelerator": "tpu"}, {}, "no-such-device", "no TPU", "trainer=cpu"),
        ({"strategy": "fsdp_cpu_offload"}, {}, "no-such-device", "needs GPUs", "trainer=ddp_cpu"),
        (
            {"strategy": "ddp_notebook"},
            {},
            "not-supported",
            "do not come back",
            "trainer.strategy=ddp",
        ),
        ({"devices": [0]}, {}, "no-such-device", "this is the CPU", "trainer.devices=1"),
        ({"devices": 3}, {"gpus": 2}, "no-such-device", "the 2 that", "trainer.devices=2"),
        ({"devices": [0, 2]}, {"gpus": 2}, "no-such-device", "count from 0", "trainer.devices=2"),
        ({"devices": 2}, {"mps": True}, "no-such-device", "the 1 that", "trainer.devices=1"),
        ({"precision": "64-true"}, {"mps": True}, "not-supported", "MPS", "precision=32-true"),
        ({"precision": "16-true"}, {}, "not-supported", "the CPU", "precision=bf16-mixed"),
        ({"precision": "bf16-mixed"}, {"gpus": 1}, "not-supported", "Tesla K80", "=16-mixed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_machine_lacks_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, trainer: Any, there: Any, code: str, fact: str, offered: str
) -> None:
    machine(monkeypatch, **there)
    (fault,) = device_faults(config(**trainer))
    assert (fault.code, fault.key) == (code, f"trainer.{next(iter(trainer))}")
    assert fact in fault.allowed
    assert offered in fault.hint


@pytest.mark.parametrize(
    ("trainer", "there"),
    [
        ({}, {}),
        ({"devices": 2, "strategy": "ddp", "accelerator": "cpu"}, {}),
        ({"precision": "bf16-mixed"}, {}),
        ({"precision": "64-true"}, {}),
        ({"devices": [1], "accelerator": "gpu"}, {"gpus": 2}),
        ({"devices": "auto", "accelerator": "gpu", "strategy": "fsdp"}, {"gpus": 2}),
        ({"precision": "16-mixed"}, {"gpus": 1}),
        ({"accelerator": "mps"}, {"mps": True}),
    ],
    ids=str,
)
def test_what_the_machine_has_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, trainer: Any, there: Any
) -> None:
    machine(monkeypatch, **there)
    assert device_faults(config(**trainer)) == []


def test_several_things_that_a_machine_lacks_are_reported_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(monkeypatch)
    faults = device_faults(config(strategy="fsdp", precision="16-true", devices=[0]))
    assert {fault.key for fault in faults} == {
        "trainer.strategy",
        "trainer.precision",
        "trainer.devices",
    }
