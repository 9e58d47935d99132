"""MNIST and Fashion-MNIST, from files at hand or downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from fourbeat.base.errors import DataError, Fault
from fourbeat.data.base import DataModule
from fourbeat.data.samples import SplitSizes
from project.data.download import RemoteFile, download
from project.data.idx import read_images, read_labels


class MNIST(DataModule):
    """70,000 handwritten digits of 28x28 pixels (LeCun, Bottou, Bengio, Haffner, 1998).

    The official 10,000 test images are the test split; validation is split off the other 60,000.
    Pixels lie between 0 and 1 before normalisation. The four IDX files are searched for, gzipped or
    not, in ``data_dir/mnist`` and in ``data_dir``; what is found there is never replaced.

    Args:
        data_dir: Folder of the files.
        download: Download what is missing.
        mirrors: Addresses of folders that hold the files, or one of them; None for the usual ones.
        timeout_s: Longest wait for a mirror's connection and for each further piece of data.
        retries: Further rounds over the mirrors after the first one.
        **common: The arguments of ``DataModule``; not ``test_fraction``.
    """

    task = "multiclass"
    input_shape = (1, 28, 28)
    num_classes = 10
    num_samples = 60_000
    num_test_samples: ClassVar[int] = 10_000

    folder_name: ClassVar[str] = "mnist"
    usual_mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "http://yann.lecun.com/exdb/mnist",
    )
    train_images: ClassVar[RemoteFile] = RemoteFile(
        "train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"
    )
    train_labels: ClassVar[RemoteFile] = RemoteFile(
        "train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"
    )
    test_images: ClassVar[RemoteFile] = RemoteFile(
        "t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"
    )
    test_labels: ClassVar[RemoteFile] = RemoteFile(
        "t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"
    )

    def __init__(
        self,
        *,
        data_dir: str | Path = "data",
        download: bool = True,
        mirrors: str | Sequence[str] | None = None,
        timeout_s: float = 10.0,
        retries: int = 2,
        **common: Any,
    ) -> None:
        super().__init__(test_fraction=0.0, **common)
        self.data_dir = Path(data_dir)
        self.download = download
        mirrors = mirrors or self.usual_mirrors
        self.mirrors = (mirrors,) if isinstance(mirrors, str) else tuple(mirrors)
        self.timeout_s = timeout_s
        self.retries = retries

    @property
    def split_sizes(self) -> SplitSizes:
        """Numbers of samples for training, validation and testing."""
        return super().split_sizes._replace(test=self.num_test_samples)

    def faults(self) -> list[Fault]:
        """Find what is wrong with the settings, without loading anything."""
        return [*super().faults(), *self._download_faults(), *self._file_faults()]

    def _download_faults(self) -> list[Fault]:
        faults = []
        if self.timeout_s <= 0:
            value = str(self.timeout_s)
            faults.append(Fault("out-of-range", "data.timeout_s", value, "must be above 0 s"))
        if self.retries < 0:
            value = str(self.retries)
            faults.append(Fault("out-of-range", "data.retries", value, "must be 0 or more"))
        return faults

    def _file_faults(self) -> list[Fault]:
        missing = [file.name for file in self._files() if self._find(file) is None]
        if self.download or not missing:
            return []
        allowed = f"lacks {', '.join(missing)} (gzipped or not), and data.download=false"
        hint = f"Put the files into {self._own_folder()}, or set data.download=true."
        return [Fault("no-such-file", "data.data_dir", str(self.data_dir), allowed, hint)]

    def prepare_data(self) -> None:
        """Download what is missing, if that is allowed; Lightning calls this once on each node.

        Raises:
            DataError: If no mirror delivered a file.
        """
        missing = [file for file in self._files() if self._find(file) is None]
        for file in missing if self.download else ():
            download(
                file,
                self._own_folder(),
                self.mirrors,
                timeout_s=self.timeout_s,
                retries=self.retries,
            )

    def load(self) -> tuple[Tensor, Tensor]:
        """Return the 60,000 images, ``[60000, 1, 28, 28]``, and their classes."""
        return self._read(self.train_images, self.train_labels)

    def load_test(self) -> tuple[Tensor, Tensor]:
        """Return the official test images and their classes."""
        return self._read(self.test_images, self.test_labels)

    def _read(self, images: RemoteFile, labels: RemoteFile) -> tuple[Tensor, Tensor]:
        self.prepare_data()
        _, height, width = self.input_shape
        pixels = torch.tensor(read_images(self._path(images), height, width))
        classes = read_labels(self._path(labels), self.num_classes)
        return pixels.unsqueeze(1).float().div_(255), torch.tensor(classes)

    def _path(self, file: RemoteFile) -> Path:
        path = self._find(file)
        if path is None:
            raise DataError(f"{file.name} is in neither {self._own_folder()} nor {self.data_dir}.")
        return path

    def _find(self, file: RemoteFile) -> Path | None:
        names = (file.name, file.name.removesuffix(".gz"))
        folders = (self._own_folder(), self.data_dir)
        candidates = (folder / name for folder in folders for name in names)
        return next((path for path in candidates if path.is_file()), None)

    def _own_folder(self) -> Path:
        return self.data_dir / self.folder_name

    def _files(self) -> tuple[RemoteFile, ...]:
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


class FashionMNIST(MNIST):
    """70,000 pictures of clothes, as drop-in for MNIST (Xiao, Rasul, Vollgraf, 2017).

    The files are searched for in ``data_dir/fashion_mnist`` and in ``data_dir``.
    """

    folder_name = "fashion_mnist"
    usual_mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    )
    train_images = RemoteFile("train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d")
    train_labels = RemoteFile("train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe")
    test_images = RemoteFile("t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79")
    test_labels = RemoteFile("t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the kinds of clothes."""
        return (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        )
