"""A transformer that guesses the next character: integers in, a score for each character out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from torch.utils.data import Dataset

import fourbeat

TEXT = (
    "the loop is in the open: forward, loss, backward, step. what a batch draws is drawn again, "
    "what was stopped is resumed, and what was recorded is replayed. "
) * 8
ALPHABET = sorted(set(TEXT))
SHARES = {"train": (0.0, 0.7), "val": (0.7, 0.85), "test": (0.85, 1.0)}


class Windows(Dataset[tuple[Tensor, Tensor]]):
    """Stretches of a text, each with the same one a character later."""

    def __init__(self, text: str, length: int) -> None:
        self.characters = torch.tensor([ALPHABET.index(character) for character in text])
        self.length = length

    def __len__(self) -> int:
        return (len(self.characters) - 1) // self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = index * self.length
        window = self.characters[start : start + self.length + 1]
        return window[:-1], window[1:]


class Text(fourbeat.Data):
    def __init__(self, *, length: int = 12, **common: Any) -> None:
        super().__init__(**common)
        self.length = length

    def dataset(self, split: str) -> Windows:
        first, last = (round(share * len(TEXT)) for share in SHARES[split])
        return Windows(TEXT[first:last], self.length)


class Block(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.wide = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = self.queries_keys_values(self.norm_1(x)).chunk(3, dim=-1)
        heads = (p.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for p in parts)
        mixed = scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.joined(mixed.transpose(1, 2).flatten(2))
        return x + self.wide(self.norm_2(x))


class Transformer(nn.Module):
    def __init__(self, width: int = 16, num_heads: int = 2, num_blocks: int = 2) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(ALPHABET), width)
        self.places = nn.Embedding(64, width)
        self.blocks = nn.Sequential(*(Block(width, num_heads) for _ in range(num_blocks)))
        self.scores = nn.Linear(width, len(ALPHABET))

    def forward(self, characters: Tensor) -> Tensor:
        places = torch.arange(characters.shape[1], device=characters.device)
        return self.scores(self.blocks(self.characters(characters) + self.places(places)))


class NextCharacter(fourbeat.Task):
    def losses(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        characters, following = batch
        scores = self.net(characters)  # [batch, length, alphabet]
        self.update_metrics(scores, following)
        return cross_entropy(scores.flatten(0, 1), following.flatten())
