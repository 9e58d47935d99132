"""L5: going back: a part of a run played again, to the last bit, with every instrument on."""

from fourbeat.replay.replaying import Replay, replay
from fourbeat.replay.report import replay_data, replay_lines

__all__ = ["Replay", "replay", "replay_data", "replay_lines"]
