"""The data sets; one file each."""

from project.data.circles import Circles
from project.data.diabetes import Diabetes
from project.data.digits import Digits
from project.data.mapped import Mapped
from project.data.mnist import MNIST, FashionMNIST

__all__ = ["MNIST", "Circles", "Diabetes", "Digits", "FashionMNIST", "Mapped"]
