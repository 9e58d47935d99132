"""An LSTM that tags words; sentences are padded to the longest of their own batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

import fourbeat

NUM_WORDS, NUM_TAGS, PADDING = 20, 3, -100
SIZES = {"train": 90, "val": 21, "test": 21}
Sentence = tuple[Tensor, Tensor]


class Sentences(NamedTuple):
    """A batch: words and tags ``[batch, longest]``, and how many of them each sentence has."""

    words: Tensor
    tags: Tensor
    lengths: Tensor


class Corpus(fourbeat.Data):
    def dataset(self, split: str) -> list[Sentence]:
        generator = torch.Generator().manual_seed(len(split))
        lengths = torch.randint(2, 15, (SIZES[split],), generator=generator).tolist()
        texts = [torch.randint(NUM_WORDS, (n,), generator=generator) for n in lengths]
        # A word's tag depends on the word before it.
        return [(words, (words + words.roll(1)) % NUM_TAGS) for words in texts]

    def collate(self, samples: Sequence[Sentence]) -> Sentences:
        words, tags = zip(*samples, strict=True)
        lengths = torch.tensor([len(each) for each in words])
        padded = pad_sequence(tags, batch_first=True, padding_value=PADDING)
        return Sentences(pad_sequence(words, batch_first=True), padded, lengths)


class LSTMTagger(nn.Module):
    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.words = nn.Embedding(NUM_WORDS, width)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(2 * width, NUM_TAGS)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.words(words), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.tags(hidden)


class Tagging(fourbeat.Task):
    def losses(self, batch: Sentences) -> fourbeat.Mean:
        scores = self.net(batch.words, batch.lengths)  # [batch, longest, tags]
        is_word = batch.tags != PADDING
        self.update_metrics(scores[is_word], batch.tags[is_word])
        total = cross_entropy(scores[is_word], batch.tags[is_word], reduction="sum")
        return fourbeat.Mean(total, is_word.sum())

    def predict(self, batch: Sentences) -> Tensor:
        return self.net(batch.words, batch.lengths).argmax(-1)
