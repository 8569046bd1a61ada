"""Data sets of the tensorflow-datasets catalogue, without TensorFlow wherever that is possible.

The library's download manager downloads the MNIST family and checks size and SHA-256 against its own table; the IDX
files are read here. Any other data set is read if it is prepared; preparing it needs TensorFlow.
"""

import contextlib
import importlib.util
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlp_jax.data import idx
from mlp_jax.data.cache import cached, held
from mlp_jax.data.dataset import Source, Split
from mlp_jax.data.errors import DataError
from mlp_jax.machine import cache

EMNIST = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
HELP = "try again with a network, or name a folder that holds its IDX files with --data-dir"
PATIENCE = 15.0  # seconds that a server may take to answer
RETRIES = 3
FAMILY = ("mnist", "fashion_mnist", "kmnist", *(f"emnist/{part}" for part in EMNIST))


def read_family(name: str) -> Source:
    """Read one of FAMILY, downloading it the first time.

    Raises:
        DataError: the download failed, or a file differs from what the catalogue says.
    """
    return idx.assemble(cached(_key(name), lambda: _download(name)), name)


def read_any(name: str) -> Source:
    """Read any other data set of the catalogue whose examples are pairs of an array of fixed shape and a class.

    Raises:
        DataError: the name is unknown, the data set is not prepared, or its examples are of another kind.
    """
    return assemble_any(cached(_key(name), lambda: _read_prepared(name)), name)


def path(name: str) -> Path:
    """Return the folder in the user's cache that holds the arrays of a data set that has been read.

    Raises:
        DataError: the arrays could not be stored.
    """
    if (folder := held(_key(name))) is None:
        raise DataError(f"{name} can't be kept; make room in {cache.cache_directory()}, or set $MLP_JAX_CACHE_DIR")
    return folder


def names() -> list[str]:
    """Return every name in the catalogue; needs no network."""
    with _quiet():
        import tensorflow_datasets as tfds

        return tfds.list_builders(with_community_datasets=False)


def assemble_any(arrays: dict[str, np.ndarray], name: str) -> Source:
    """Make a Source of the arrays x and y, and of x_test and y_test if there is a test split."""
    k = int(max(arrays[part].max() for part in ("y", "y_test") if part in arrays)) + 1
    flat = lambda x: np.ascontiguousarray(x.reshape(len(x), -1))
    test = Split(flat(arrays["x_test"]), arrays["y_test"].astype(np.int32)) if "x_test" in arrays else None
    levels = 255 if arrays["x"].dtype == np.uint8 else 0
    shape = arrays["x"].shape[1:]
    return Source(flat(arrays["x"]), arrays["y"].astype(np.int32), test, shape, tuple(map(str, range(k))), levels)


def fetch(collection: str) -> dict[str, Path]:
    """Download the files of `collection` once, and return their paths by the names in their URLs.

    Raises:
        DataError: no connection, a connection that broke, or a file with another size or SHA-256 than published.
    """
    table = published(collection)
    with _quiet():
        import requests
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.download import downloader
        from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

        downloader.MAX_RETRIES = RETRIES  # the default of 10 would keep a user waiting for minutes
        directory = cache.cache_directory() / "downloads"
        manager = tfds.download.DownloadManager(
            download_dir=directory, url_infos=table, dataset_name=collection, force_checksums_validation=True
        )
        try:
            requests.head(next(iter(table)), timeout=PATIENCE).close()  # the manager itself waits for ever
            paths = manager.download({url.rsplit("/", 1)[1]: url for url in table})
            return {name: Path(path) for name, path in paths.items()}
        except NonMatchingChecksumError as error:
            raise DataError(f"a file of {collection} has another checksum than published; {HELP}") from error
        except (requests.RequestException, tfds.download.DownloadError) as error:
            raise DataError(f"{collection} can't be downloaded ({_cause(error)}); {HELP}") from error
        finally:
            for rest in directory.rglob("*.tmp.*"):
                shutil.rmtree(rest, ignore_errors=True)


def published(collection: str) -> dict[str, Any]:
    """Return the catalogue's own table of a collection: size and SHA-256 by URL."""
    with _quiet():
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.download import checksums

        return checksums.load_url_infos(tfds.core.tfds_path(f"url_checksums/{collection}.txt"))


def _key(name: str) -> str:
    return f"catalogue {name}"


def _download(name: str) -> dict[str, np.ndarray]:
    collection, _, part = name.partition("/")
    files = fetch(collection)
    if part:
        return _unzip_emnist(files["gzip.zip"], part)
    paths = {key: files[f"{file}.gz"] for key, file in idx.FILES.items()}
    return idx.read_files(paths, name)


def _unzip_emnist(path: Path, part: str) -> dict[str, np.ndarray]:
    """Read one part of EMNIST."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for key, name in idx.FILES.items():
            member = f"gzip/emnist-{part}-{name.replace('t10k', 'test')}.gz"
            arrays[key] = idx.parse(idx.decompress(archive.read(member), member), 3 if key[0] == "x" else 1, member)
    return idx.upright(arrays)


def _read_prepared(name: str) -> dict[str, np.ndarray]:
    with _quiet():
        import tensorflow_datasets as tfds

        try:
            builder: Any = tfds.builder(name)
        except tfds.core.DatasetNotFoundError as error:
            raise DataError(f"unknown data set {name!r}; see mlp-jax data list") from error
        _check_supervised(builder, name)
        if not builder.is_prepared():
            _prepare(builder, name)
        try:
            sources = {
                split: builder.as_data_source(split=split)
                for split in builder.info.splits
                if split in ("train", "test")
            }
        except NotImplementedError as error:
            raise DataError(
                f"{name!r} is not prepared as array_record; run tfds build {name} --file_format=array_record"
            ) from error
        return _stack(builder, sources, name)


def _check_supervised(builder: Any, name: str) -> None:
    keys = builder.info.supervised_keys
    features = builder.info.features
    if not keys or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        raise DataError(f"{name!r} has no pairs of an input and a class; choose another data set")
    shape = features[keys[0]].shape
    if not shape or any(size is None for size in shape) or not hasattr(features[keys[1]], "num_classes"):
        raise DataError(f"{name!r} has no inputs of one shape with classes; choose another data set")


def _prepare(builder: Any, name: str) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(f"{name!r} is not prepared, and preparing it needs TensorFlow; run pip install tensorflow")
    builder.download_and_prepare(file_format="array_record")


def _stack(builder: Any, sources: dict, name: str) -> dict[str, np.ndarray]:
    x_key, y_key = builder.info.supervised_keys
    arrays = {}
    for split, source in sources.items():
        end = "" if split == "train" else "_test"
        examples = source.__getitems__(range(len(source)))
        arrays[f"x{end}"] = np.stack([example[x_key] for example in examples])
        arrays[f"y{end}"] = np.array([example[y_key] for example in examples])
    if "x" not in arrays:
        raise DataError(f"{name!r} has no split 'train'; choose another data set")
    return arrays


def _cause(error: Exception) -> str:
    """Return the innermost cause of an error, as one line."""
    while isinstance(reason := getattr(error, "reason", None) or (error.args[0] if error.args else None), Exception):
        error = reason
    return " ".join(str(error).split())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the library's notes, and keep its progress bars off stdout, which is for results."""
    import logging
    import warnings

    os.environ.setdefault("TFDS_DISABLE_PROGRESS_BAR", "1")
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        logging.getLogger("absl").setLevel(logging.ERROR)
        yield
