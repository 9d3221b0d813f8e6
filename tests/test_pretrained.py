"""Published weights: the table, and downloads from a local server."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from inception_keras import create_model, list_models, preprocessing, save_weights
from inception_keras.weights import fetch as fetching
from inception_keras.weights.fetch import cache_folder, fetch
from inception_keras.weights.pretrained import ASSETS, READERS
from inception_keras.weights.published import PUBLISHED, SETS, find


@pytest.fixture
def server(tmp_path, monkeypatch):
    """`server.url` with the files in the dict `server.files`; `server.asked` counts the requests."""
    monkeypatch.setenv("INCEPTION_KERAS_HOME", str(tmp_path / "cache"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            content = server.files.get(self.path)
            if content is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + server.missing))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.url, server.files, server.asked, server.missing = f"http://127.0.0.1:{server.server_port}", {}, [], 0
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _named(content):
    return f"/nets/x-{hashlib.sha256(content).hexdigest()[:8]}.pth"


def test_fetches_once_and_keeps(server):
    name = _named(b"weights")
    server.files[name] = b"weights"
    path = fetch(server.url + name)
    assert path == cache_folder() / "127.0.0.1" / name[1:] and path.read_bytes() == b"weights"
    assert fetch(server.url + name) == path
    assert server.asked == [name]


def _leftovers():
    return [path for path in cache_folder().rglob("*") if path.is_file()]


def test_what_is_damaged_is_not_kept(server):
    server.files[_named(b"weights")] = b"height"
    with pytest.raises(ValueError, match=r"is damaged: its sha256 is [0-9a-f]{64}, not [0-9a-f]{8}"):
        fetch(server.url + _named(b"weights"))
    server.files["/y.h5"] = b"height"
    with pytest.raises(ValueError, match="its md5 is"):
        fetch(server.url + "/y.h5", md5=hashlib.md5(b"weights").hexdigest())
    assert not _leftovers()
    assert fetch(server.url + "/y.h5", md5=hashlib.md5(b"height").hexdigest()).is_file()


def test_what_breaks_off_is_not_kept(server):
    server.files["/y.h5"], server.missing = b"half", 4
    with pytest.raises(OSError, match="the connection broke after 4 of 8 bytes"):
        fetch(server.url + "/y.h5")
    assert not _leftovers()


def test_says_why_it_could_not_fetch(server, monkeypatch):
    with pytest.raises(OSError, match=r"/z\.pth could not be fetched: HTTP 404 Not Found"):
        fetch(server.url + "/z.pth")
    with pytest.raises(OSError, match=r"could not be fetched: .*refused"):
        fetch("http://127.0.0.1:1/z.pth")
    assert not _leftovers()


@pytest.mark.parametrize("url", ["ftp://x/y.pth", "https://", "http:///y", "http://x", "http://x/../../y", "file:///y"])
def test_fetches_from_the_web_only(url):
    with pytest.raises(ValueError, match="must be https://"):
        fetch(url)


def test_knows_the_addresses_of_the_hub(monkeypatch):
    address = fetching._address
    assert (
        address("hf://timm/resnet18.a1_in1k")
        == "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"
    )
    assert address("hf://a/b/c/d.pth") == "https://huggingface.co/a/b/resolve/main/c/d.pth"
    with pytest.raises(ValueError, match="hf://owner/repository"):
        fetch("hf://timm")


def test_create_model_takes_an_address(server, tmp_path):
    options = {"input_shape": (32, 32, 3), "classes": 7}
    saved = create_model("squeezenet1_1", **options)
    save_weights(saved, tmp_path / "x.safetensors")
    server.files["/x.safetensors"] = (tmp_path / "x.safetensors").read_bytes()
    model = create_model("squeezenet1_1", weights=f"{server.url}/x.safetensors", **options)
    for given, expected in zip(model.get_weights(), saved.get_weights(), strict=True):
        assert np.array_equal(given, expected)


def test_create_model_takes_the_name_of_a_set(server, tmp_path, monkeypatch):
    saved = create_model("mobilenet_v1_025", input_shape=(32, 32, 3))
    save_weights(saved, tmp_path / "x.safetensors")
    server.files["/x.safetensors"] = (tmp_path / "x.safetensors").read_bytes()
    published = find("mobilenet_v1_025").__class__(f"{server.url}/x.safetensors", "", {})
    monkeypatch.setitem(PUBLISHED, "mobilenet_v1_025", {"keras": published})
    model = create_model("mobilenet_v1_025", input_shape=(32, 32, 3), weights="imagenet")
    assert np.array_equal(model.get_weights()[0], saved.get_weights()[0])


def test_says_which_sets_there_are():
    with pytest.raises(ValueError, match="of xception are 'keras', got 'timm'"):
        create_model("xception", weights="timm")
    with pytest.raises(ValueError, match="no published ImageNet weights of seinception"):
        create_model("seinception", weights="imagenet")
    with pytest.raises(ValueError, match="weights must be None, a name of published weights"):
        create_model("lenet5", weights=3)


def test_the_table_is_sound():
    assert set(PUBLISHED) <= set(list_models(task=None))
    for id, sets in PUBLISHED.items():
        assert set(sets) <= set(SETS)
        for kind, published in sets.items():
            suffix = re.search(r"\.\w+$", fetching._address(published.url))[0]
            assert suffix in READERS, (id, kind)
            options = published.preprocessing
            assert options["resize"] is None or options["resize"] >= max(options["size"])
            assert {len(options["mean"]), len(options["std"])} <= {1, 3}
            # what the file's name does not tell, the table does, where its publisher does
            named = re.search(r"-[0-9a-f]{8,}\.\w+$", published.url) or (ASSETS / published.url).is_file()
            assert named or len(published.md5) == 32 or published.url.startswith("hf:") or "mobilenet_v1" in id


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels_than_three(channels):
    colour = create_model("squeezenet1_1", weights="imagenet", input_shape=(64, 64, 3), classifier_activation=None)
    other = create_model(
        "squeezenet1_1", weights="imagenet", input_shape=(64, 64, channels), classifier_activation=None
    )
    kernel, wanted = (net.get_layer("conv_1").kernel.numpy() for net in (other, colour))
    if channels == 1:  # a grey image is what its copy in three colours is
        grey = np.random.default_rng(0).normal(size=(1, 64, 64, 1)).astype("float32")
        np.testing.assert_allclose(other(grey), colour(np.repeat(grey, 3, -1)), rtol=1e-3, atol=1e-4)
    else:
        np.testing.assert_allclose(kernel[:, :, 0], wanted[:, :, 0] * 3 / channels, rtol=1e-6)
        np.testing.assert_allclose(kernel[:, :, -1], wanted[:, :, (channels - 1) % 3] * 3 / channels, rtol=1e-6)


def test_preprocessing_of_a_set():
    assert preprocessing("squeezenet1_1").order == "bgr"
    assert preprocessing("squeezenet1_1", "torchvision").order == "rgb"
    assert preprocessing("googlenet_slim").mean == (0.5,)
    assert preprocessing("inception_v4").size == (299, 299)
    with pytest.raises(ValueError, match="no published ImageNet weights of lenet5"):
        preprocessing("lenet5")


@pytest.mark.parametrize("id", sorted(PUBLISHED))
def test_every_set_has_a_preprocessing(id):
    for weights in PUBLISHED[id]:
        assert preprocessing(id, weights).channels == 3
