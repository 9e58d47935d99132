"""What the seam needs of the loggers' writers."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, csv_logs
from support.contracts import Seam, contract
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

writers = Seam("event_writers")


@contract(
    "torch",
    "SummaryWriter._get_file_writer returns what takes events and summaries",
    see="torch.utils.tensorboard.writer.SummaryWriter and FileWriter",
)
def test_events_go_through_the_loggers_own_writer(tmp_path: Path) -> None:
    logger = TensorBoardLogger(str(tmp_path), name="", version="")
    writer = writers.event_writer(logger)
    assert writer is not None
    value = Summary.Value(tag="loss", simple_value=0.5)
    writer.add_summary(Summary(value=[value]), 3)
    writer.add_event(Event(step=4, wall_time=1.0, summary=Summary(value=[value])))
    writer.flush()
    read = EventAccumulator(logger.log_dir).Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss")] == [(3, 0.5), (4, 0.5)]
    logger.finalize("success")


@contract(
    "lightning",
    "a CSVLogger keeps its writer in _experiment, and the writer its columns in metrics_keys",
    see="lightning.fabric.loggers.csv_logs and lightning.pytorch.loggers.csv_logs",
)
def test_a_csv_logger_writes_with_the_writer_and_the_columns_that_it_is_given(
    tmp_path: Path,
) -> None:
    logger = CSVLogger(str(tmp_path), name="", version="")
    assert writers.table_writer(logger) is None
    writer = csv_logs.ExperimentWriter(log_dir=str(tmp_path))
    (tmp_path / "metrics.csv").write_text("a,step\n1.0,0\n")
    writers.set_table_writer(logger, writer, ["a", "step"])
    assert writers.table_writer(logger) is logger.experiment is writer
    logger.log_metrics({"b": 2.0}, step=1)
    logger.save()
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"a": "1.0", "b": "", "step": "0"}
    assert rows[1] == {"a": "", "b": "2.0", "step": "1"}
