"""The recorder: one record for each optimizer step, in the run's own event file."""

from fourbeat.recorder.callback import RecorderCallback
from fourbeat.recorder.recorder import Recorder
from fourbeat.recorder.store import Records, Table, read_records
from fourbeat.recorder.watch import watch

__all__ = ["Recorder", "RecorderCallback", "Records", "Table", "read_records", "watch"]
