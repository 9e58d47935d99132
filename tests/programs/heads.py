"""Two inputs and two heads, all in nested dicts: what form a thing has, and how large it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

import fourbeat

SIZES = {"train": 90, "val": 20, "test": 20}
Batch = dict[str, Any]


class Things(fourbeat.Data):
    def dataset(self, split: str) -> list[Batch]:
        generator = torch.Generator().manual_seed(len(split))
        return [thing(generator, number) for number in range(SIZES[split])]


def thing(generator: torch.Generator, number: int) -> Batch:
    form = torch.randint(3, (), generator=generator)
    size = torch.rand((), generator=generator)
    picture = size * torch.eye(3)[form].repeat(2, 1) + 0.1 * torch.randn(2, 3, generator=generator)
    facts = torch.stack([size**2, size * form]) + 0.1 * torch.randn(2, generator=generator)
    seen = {"picture": picture, "facts": facts}
    return {"seen": seen, "truth": {"form": form, "size": size}, "name": f"thing {number}"}


class TwoHeads(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.picture = nn.Sequential(nn.Flatten(), nn.Linear(6, width))
        self.facts = nn.Linear(2, width)
        self.form, self.size = nn.Linear(width, 3), nn.Linear(width, 1)

    def forward(self, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        hidden = torch.relu(self.picture(seen["picture"]) + self.facts(seen["facts"]))
        return {"form": self.form(hidden), "size": self.size(hidden).squeeze(1)}


class FormAndSize(fourbeat.Task):
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        outputs, truth = self.net(batch["seen"]), batch["truth"]
        self.update_metrics(outputs["form"], truth["form"])
        return {
            "form": cross_entropy(outputs["form"], truth["form"]),
            "size": 3.0 * mse_loss(outputs["size"], truth["size"]),
        }

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        return self.net(batch["seen"])
