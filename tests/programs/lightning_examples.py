"""Modules of Lightning's own, as they are, on data that need not be downloaded."""

from __future__ import annotations

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.demos.lstm import LightningLSTM, SequenceSampler
from lightning.pytorch.demos.transformer import LightningTransformer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

VOCABULARY = 20


class Tokens(Dataset[tuple[Tensor, Tensor]]):
    """Blocks of a text of which each letter says what comes next; its targets are one later."""

    vocab_size = VOCABULARY

    def __init__(self, seed: int, num_blocks: int, block_size: int = 8) -> None:
        text = torch.full((num_blocks * block_size + 1,), seed)
        for i in range(1, len(text)):
            text[i] = (text[i - 1] * 3 + 1 + i % 2) % VOCABULARY
        self.inputs = text[:-1].reshape(num_blocks, block_size)
        self.targets = text[1:].reshape(num_blocks, block_size)

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


class Text(LightningDataModule):
    """A data module that logs nothing, and has no validation."""

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        self.tokens = Tokens(1, 42)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(self.tokens, batch_size=self.batch_size, shuffle=True)


class Sequences(Text):
    """Batches that continue one another: the sampler of Lightning's LSTM."""

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        sampler = SequenceSampler(self.tokens, batch_size=self.batch_size)
        return DataLoader(self.tokens, batch_sampler=sampler)


class SmallTransformer(LightningTransformer):
    def __init__(self) -> None:
        super().__init__(vocab_size=VOCABULARY)

    def prepare_data(self) -> None:
        """Download nothing."""


class SmallLSTM(LightningLSTM):
    def __init__(self) -> None:
        super().__init__(vocab_size=VOCABULARY)

    def prepare_data(self) -> None:
        """Download nothing."""
