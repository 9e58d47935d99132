"""Going back: steps of a run replayed, bitwise identical, with every layer measured."""

from fourbeat.replay.plain import replay_with
from fourbeat.replay.report import replay_data, replay_lines
from fourbeat.replay.steps import Replay, replay

__all__ = ["Replay", "replay", "replay_data", "replay_lines", "replay_with"]
