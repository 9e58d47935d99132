"""The project: data sets, models, and what builds a run. Copy, change and delete what is here."""

from pathlib import Path

from fourbeat.config.project import Project

PROJECT = Project(
    conf_dir=Path(__file__).parents[2] / "conf",
    code_dir=Path(__file__).parent,
    entry="project.build:build",
    # Where the targets of older runs are now.
    moved={
        "fourbeat.data.Circles": "project.data.Circles",
        "fourbeat.data.Diabetes": "project.data.Diabetes",
        "fourbeat.data.Digits": "project.data.Digits",
        "fourbeat.data.FashionMNIST": "project.data.FashionMNIST",
        "fourbeat.data.MNIST": "project.data.MNIST",
        "fourbeat.data.Mapped": "project.data.Mapped",
        "fourbeat.loggers.CSVLogger": "fourbeat.callbacks.CSVLogger",
        "fourbeat.models.CirclesNet": "project.models.CirclesNet",
        "fourbeat.models.MLP": "project.models.MLP",
    },
)
"""What the engine has to know of this project; the scripts pass it on."""
