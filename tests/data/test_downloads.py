"""Downloads, for real, from a server on the loopback address; and the catalogue's own data sets."""

import contextlib
import gzip
import hashlib
import http.server
import shutil
import socket
import threading
import zipfile
from io import BytesIO

import numpy as np
import pytest
from idx_format import idx_bytes

from mlp_jax.data import DataError, catalogue, downloads, idx, load, prepare
from mlp_jax.data.downloads import EMNIST, published

FILES = {
    "train-images-idx3-ubyte.gz": gzip.compress(idx_bytes(np.arange(20 * 6).reshape(20, 2, 3))),
    "train-labels-idx1-ubyte.gz": gzip.compress(idx_bytes(np.arange(20) % 10)),
    "t10k-images-idx3-ubyte.gz": gzip.compress(idx_bytes(np.ones((10, 2, 3)))),
    "t10k-labels-idx1-ubyte.gz": gzip.compress(idx_bytes(np.arange(10))),
}


@contextlib.contextmanager
def server(files: dict[str, bytes], stop_half_way: bool = False):
    """Serve `files`; optionally promise all of a file and close after half of it."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(b"")

        def do_GET(self):
            requests.append(self.path)
            content = files.get(self.path.rsplit("/", 1)[1])
            if content is None:
                self.send_error(404)
                return
            self.answer(content[: len(content) // 2] if stop_half_way else content, len(content))

        def answer(self, content: bytes, length: int = 0):
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.server_port}", requests
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MLP_JAX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MLP_JAX_DATA_DIR", raising=False)
    return tmp_path / "cache"


def announce(monkeypatch, address: str, files: dict[str, bytes], path: str = "") -> None:
    """Let the catalogue say that `files` are at `address`, with their true size and SHA-256."""
    checksums = pytest.importorskip("tensorflow_datasets.core.download.checksums")
    table = {
        f"{address}/{path}{name}": checksums.UrlInfo(
            size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=name
        )
        for name, content in files.items()
    }
    monkeypatch.setattr(downloads, "published", lambda collection: table)


def left_over(cache) -> list[str]:
    return [str(path) for path in cache.rglob("*") if ".tmp." in path.name or path.suffix in (".npy", ".partial")]


def test_download_once_then_read_from_the_cache(own_cache, monkeypatch, capsys):
    with server(FILES) as (address, requests):
        announce(monkeypatch, address, FILES)
        dataset = load("kmnist", validation=0)
    np.testing.assert_array_equal(dataset.train.x, np.arange(20 * 6).reshape(20, 6))
    np.testing.assert_array_equal(dataset.test.y, np.arange(10))
    assert sorted(requests) == sorted(f"/{name}" for name in FILES)
    again = load("kmnist", validation=0)  # the server is gone
    np.testing.assert_array_equal(again.train.x, dataset.train.x)
    assert capsys.readouterr().out == ""
    kept = prepare("kmnist")
    assert kept.is_relative_to(own_cache)
    np.testing.assert_array_equal(np.load(kept / "y_test.npy"), np.arange(10))
    shutil.rmtree(kept)  # as on a full disk, where nothing is kept
    monkeypatch.setattr(downloads, "read_family", lambda name: None)
    with pytest.raises(DataError, match="kmnist can't be kept; make room in .*cache"):
        prepare("kmnist")


def test_wrong_checksum_is_refused_and_not_kept(own_cache, monkeypatch):
    changed = FILES | {"t10k-labels-idx1-ubyte.gz": gzip.compress(idx_bytes(np.zeros(10)))}
    with server(changed) as (address, _):
        announce(monkeypatch, address, FILES)
        for _ in range(2):  # the second time it must not find the wrong file in a cache
            with pytest.raises(DataError, match="kmnist has another checksum than published"):
                load("kmnist")
    assert not left_over(own_cache)


def test_connection_refused(own_cache, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    announce(monkeypatch, address, FILES)
    with pytest.raises(DataError, match=r"kmnist can't be downloaded \(.*refused.*--data-dir"):
        load("kmnist")
    assert not left_over(own_cache)


def test_server_that_stops_half_way(own_cache, monkeypatch):
    with server(FILES, stop_half_way=True) as (address, _):
        announce(monkeypatch, address, FILES)
        with pytest.raises(DataError, match="kmnist can't be downloaded|another checksum"):
            load("kmnist")
    assert not left_over(own_cache)
    with server(FILES) as (address, _):
        announce(monkeypatch, address, FILES)
        assert len(load("kmnist", validation=0).train.y) == 20


def test_missing_page(own_cache, monkeypatch):
    with server({}) as (address, _):
        announce(monkeypatch, address, FILES)
        with pytest.raises(DataError, match=r"can't be downloaded \(.*404"):
            load("kmnist")


def test_emnist_is_transposed_and_letters_count_from_one(own_cache, monkeypatch):
    images, labels = np.arange(26 * 6).reshape(26, 2, 3), np.arange(26) + 1
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in (("train-images-idx3", images), ("train-labels-idx1", labels),
                            ("test-images-idx3", images), ("test-labels-idx1", labels)):  # fmt: skip
            archive.writestr(f"gzip/emnist-letters-{name}-ubyte.gz", gzip.compress(idx_bytes(array)))
    files = {"gzip.zip": content.getvalue()}
    with server(files) as (address, _):
        announce(monkeypatch, address, files)
        dataset = load("emnist/letters", validation=0)
    np.testing.assert_array_equal(dataset.train.x, images.transpose(0, 2, 1).reshape(26, 6))
    np.testing.assert_array_equal(dataset.train.y, labels - 1)
    assert (len(dataset.classes), dataset.shape) == (26, (3, 2))


@pytest.mark.parametrize("collection", ["mnist", "fashion_mnist", "kmnist", "emnist"])
def test_the_catalogue_knows_every_file_that_is_read(collection):
    pytest.importorskip("tensorflow_datasets")
    files = {url.rsplit("/", 1)[1] for url in published(collection)}
    assert files == ({"gzip.zip"} if collection == "emnist" else {f"{name}.gz" for name in idx.FILES.values()})


def test_unknown_name_gets_a_suggestion(own_cache):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(DataError, match=r"unknown data set 'digts'; did you mean digits"):
        load("digts")


def test_a_name_that_needs_tensorflow_says_so(own_cache, monkeypatch, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match="'cifar10' is not prepared.*pip install tensorflow"):
        load("cifar10")


def test_list_names_all_and_their_state():
    listed = {entry["name"]: entry for entry in catalogue()}
    assert listed["digits"] == {"name": "digits", "task": "multiclass", "source": "embedded"}
    assert {f"emnist/{part}" for part in EMNIST} <= set(listed)


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A data set of the catalogue's kind, prepared as array_record without TensorFlow."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class Tiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Tensor(shape=(2, 2), dtype=np.uint8),
                "label": tfds.features.ClassLabel(num_classes=3),
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(9), "test": self._generate_examples(3)}

        def _generate_examples(self, n):
            for i in range(n):
                yield i, {"image": np.full((2, 2), i, np.uint8), "label": i % 3}

    builder = Tiny(data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    monkeypatch.setattr(downloads, "names", lambda: ["tiny"])


@pytest.mark.filterwarnings("ignore")
def test_prepared_data_set_is_read_without_tensorflow(own_cache, prepared):
    dataset = load("tiny", validation=0)
    rows = np.sort(dataset.train.x[:, 0])
    np.testing.assert_array_equal(rows, np.arange(9))
    np.testing.assert_array_equal(dataset.train.x[:, 0] % 3, dataset.train.y)
    assert (len(dataset.test.y), dataset.shape, dataset.classes) == (3, (2, 2), ("0", "1", "2"))
