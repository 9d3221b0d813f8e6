"""Diagrams of models: their content, and that nothing overlaps or is cut off."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from inception_keras import build_inception, build_naive_inception, create_model, plot_blocks, plot_model
from inception_keras.analysis import diagrams
from inception_keras.analysis.block_diagram import draw
from inception_keras.analysis.block_graph import blocks, collapse, shared_name
from inception_keras.analysis.captions import engineering, window
from inception_keras.analysis.diagrams import to_dot
from inception_keras.graph import nodes

SIGNATURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def module():
    return build_inception((28, 28, 192), 64, 96, 128, 16, 32, 32, name="inception_3a")


def residual():
    """Layers without names, a projection, an identity, two heads, one of which reads the middle of a block."""
    image = x = keras.Input((32, 32, 3))
    middle = None
    for filters in (16, 16, 32):
        y = layers.Conv2D(filters, 3, padding="same", strides=filters // 16, use_bias=False)(x)
        y = middle = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(y))
        if x.shape != y.shape:
            x = layers.Conv2D(filters, 1, strides=filters // 16)(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    heads = [layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(t)) for t in (x, middle)]
    return keras.Model(image, heads, name="residual")


def several_inputs():
    first, second = keras.Input((8,), name="first"), keras.Input((8,), name="second")
    x = layers.Dense(8, activation="relu", name="hidden")(first)
    x = layers.Concatenate(name="joined")([x, second])
    return keras.Model([first, second], layers.Dense(2, name="scores")(x), name="several_inputs")


MODELS = {
    "googlenet": lambda: create_model("googlenet", aux=True),
    "googlenet_bn": lambda: create_model("googlenet_bn"),
    "googlenet_small": lambda: create_model("googlenet_small", aux=True),
    "squeezenet1_1": lambda: create_model("squeezenet1_1"),
    "naive_inception": lambda: build_naive_inception((256, 256, 3), 64, 128, 32),
    "inception": module,
    "residual": residual,
    "several_inputs": several_inputs,
    "open_sizes": lambda: create_model("squeezenet1_0", input_shape=(None, None, 3)),
    "resnet50": lambda: keras.applications.ResNet50(weights=None),
    "resnet152": lambda: keras.applications.ResNet152(weights=None),
    "mobilenet_v2": lambda: keras.applications.MobileNetV2(weights=None),
}


@cache
def model_of(name):
    return MODELS[name]()


def test_dot_has_each_layer_once_in_the_frame_of_its_block(without_weights):
    model = create_model("googlenet", aux=True)
    graph = nodes(model)
    dot = to_dot(model)
    frames = {frame.get_label().strip('"'): frame for frame in dot.get_subgraphs()}
    inside = {name: [node.get_name() for node in frame.get_nodes()] for name, frame in frames.items()}
    outside = [node.get_name() for node in dot.get_nodes() if node.get_name() not in ("graph", "node", "edge")]
    drawn = [name.strip('"') for name in [*outside, *(name for names in inside.values() for name in names)]]
    assert sorted(drawn) == sorted(node.name for node in graph)
    assert {"conv_2", "inception_3a", "inception_5b", "aux_1", "aux_2"} <= frames.keys()
    assert "pool_3" not in frames  # one layer needs no frame
    assert all(name.strip('"').partition("-")[0] == block for block, names in inside.items() for name in names)
    edges = {(edge.get_source().strip('"'), edge.get_destination().strip('"')) for edge in dot.get_edges()}
    assert edges == {(source, node.name) for node in graph for source in node.inputs}
    assert len(dot.get_edges()) == len(edges)


def test_dot_says_what_a_layer_is(without_weights):
    source = to_dot(create_model("googlenet")).to_string()
    assert '"conv_1\\nConv2D 7x7/2, 64\\n112 x 112 x 64"' in source
    assert '"reduce_3x3\\nConv2D 1x1, 96\\n28 x 28 x 96"' in source
    assert "rankdir=TB" in source
    assert "rankdir=LR" in to_dot(module(), horizontal=True).to_string()


@pytest.mark.parametrize("plot", [plot_model, plot_blocks])
@pytest.mark.parametrize("suffix", SIGNATURES)
def test_files(without_weights, tmp_path, plot, suffix):
    path = plot(module(), tmp_path / f"net.{suffix}")
    content = path.read_bytes()
    assert path == tmp_path / f"net.{suffix}"
    assert content.startswith(SIGNATURES[suffix])
    assert 3_000 < len(content) < 500_000
    if (plot, suffix) != (plot_model, "pdf"):  # Graphviz writes the time into it
        assert plot(module(), tmp_path / f"again.{suffix}").read_bytes() == content


@pytest.mark.parametrize("plot", [plot_model, plot_blocks])
def test_default_path(without_weights, tmp_path, monkeypatch, plot):
    monkeypatch.chdir(tmp_path)
    assert str(plot(module())) == "inception_3a.png"
    assert (tmp_path / "inception_3a.png").stat().st_size > 3_000


@pytest.mark.parametrize("plot", [plot_model, plot_blocks])
def test_notebook_shows_and_writes_only_what_is_asked(without_weights, tmp_path, monkeypatch, plot):
    pytest.importorskip("IPython")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(diagrams, "in_notebook", lambda: True)
    assert "</svg>" in plot(module())._repr_svg_()
    assert not list(tmp_path.iterdir())
    assert "</svg>" in plot(module(), "net.pdf")._repr_svg_()
    assert (tmp_path / "net.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("plot", [plot_model, plot_blocks])
def test_errors(without_weights, tmp_path, plot):
    with pytest.raises(ValueError, match=r"must end in \.png, \.svg or \.pdf, got 'net\.jpg'"):
        plot(module(), "net.jpg")

    class Bare(keras.Model):
        pass

    with pytest.raises(ValueError, match="bare has no graph of layers"):
        plot(Bare(name="bare"), tmp_path / "net.png")


def test_without_dot(without_weights, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"apt install graphviz, or brew install graphviz") as caught:
        plot_model(module(), tmp_path / "net.png")
    assert "plot_blocks" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "net.png").exists()
    assert plot_blocks(module(), tmp_path / "net.png").exists()


def test_blocks_of_googlenet(without_weights):
    trunk = blocks(create_model("googlenet", aux=True))
    names = [block.name for block in trunk]
    assert names[:4] == ["image", "conv_1", "pool_1", "norm_1"]
    assert names[-3:] == ["inception_5b", "avg_pool", "predictions"]
    assert {block.name: [head.name for head in block.heads] for block in trunk if block.heads} == {
        "inception_4a": ["aux_1"],
        "inception_4d": ["aux_2"],
    }
    module_3a = trunk[names.index("inception_3a")]
    assert module_3a.shape == (28, 28, 256)
    assert sorted((box.title, box.detail) for box in module_3a.boxes) == [
        ("concat", ""),
        ("conv 1x1", "16, ReLU"),
        ("conv 1x1", "32, ReLU"),
        ("conv 1x1", "64, ReLU"),
        ("conv 1x1", "96, ReLU"),
        ("conv 3x3", "128, ReLU"),
        ("conv 5x5", "32, ReLU"),
        ("max pool", "3x3"),
    ]


def test_blocks_of_a_detector(without_weights):
    trunk = blocks(create_model("fast_rcnn_small"))
    assert [block.name for block in trunk][:3] == ["images", "conv_1", "pool_1"]
    pooled = next(block for block in trunk if block.name == "regions")
    assert [box.title for box in pooled.boxes] == ["input", "given proposals", "RoI pool"]
    assert [box.title for box in trunk[-1].boxes] == ["fc, scores", "fc, offsets", "detections"]
    assert trunk[-1].boxes[-1].detail == "+ proposals" and trunk[-1].name == "detections"


def test_companions_stand_in_the_box_they_follow(without_weights):
    trunk = blocks(create_model("googlenet_bn"))
    assert [(box.title, box.detail) for box in trunk[1].boxes] == [("conv 7x7/2", "64, BN, ReLU")]
    assert [(box.title, box.detail) for box in trunk[-2].boxes] == [("global avg pool", "dropout 0.4")]
    assert [(box.title, box.detail) for box in trunk[-1].boxes] == [("fc", "1000, softmax")]


def test_every_layer_is_in_one_box(without_weights):
    for name in ("googlenet", "residual", "resnet50"):
        model = MODELS[name]()
        trunk = blocks(model)
        boxes = [box for block in trunk for part in (block, *block.heads) for box in part.boxes]
        inside = [layer.name for box in boxes for layer in box.layers]
        padding = [node.name for node in nodes(model) if node.kind == "ZeroPadding2D"]
        assert sorted(inside + padding) == sorted(node.name for node in nodes(model))


def test_equal_blocks_are_joined(without_weights):
    trunk = collapse(blocks(model_of("resnet152")))
    assert [(block.name, block.times) for block in trunk if block.times > 1] == [
        ("conv2_block2 to block3", 2),
        ("conv3_block2 to block8", 7),
        ("conv4_block2 to block36", 35),
        ("conv5_block2 to block3", 2),
    ]
    long, short = (draw(model_of(name)) for name in ("resnet152", "resnet50"))
    assert "x 35" in [text.get_text() for text in long.axes[0].texts]
    assert not [text for text in short.axes[0].texts if text.get_text().startswith("x ")]


# of blocks that others have too
SLOW = ("googlenet_bn", "googlenet_small", "resnet50", "mobilenet_v2")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MODELS]
)
def test_nothing_overlaps_or_is_cut_off(without_weights, name):
    figure = draw(model_of(name))
    canvas = FigureCanvasAgg(figure)  # without it, matplotlib makes a renderer of the whole page for each text
    canvas.draw()
    axes = figure.axes[0]
    areas = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    extents = [(patch.get_gid(), patch.get_window_extent()) for patch in areas]
    frames = [extent for gid, extent in extents if gid.startswith("frame:")]
    boxes = [extent for gid, extent in extents if not gid.startswith("frame:")]  # and the frames' headers
    texts = [(text, text.get_window_extent()) for text in axes.texts]
    page = figure.bbox

    assert len(boxes) > 2
    for group in (boxes, frames, [extent for _, extent in texts]):
        low, high = _corners(group)
        crossing = (low[:, None] < high[None]).all(-1)
        assert (crossing & crossing.T).sum() == len(group)  # each meets itself alone
    for _, extent in extents:
        assert page.x0 < extent.x0 and extent.x1 < page.x1 and page.y0 < extent.y0 and extent.y1 < page.y1
    for box in boxes:  # in one frame, or outside all
        assert all(_within(box, frame, 1) or not box.overlaps(frame) for frame in frames)
    for text, extent in texts:
        owner = [box for gid, box in extents if gid == text.get_gid()] or [page]
        assert any(_within(extent, box) for box in owner), text.get_text()
    low, high = _corners([*boxes, *(extent for _, extent in texts)])
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert arrows
    for arrow in arrows:
        _check_arrow(axes.transData.transform_path(arrow._path_original), low + 1.5, high - 1.5, page)


def _within(inner, outer, slack=0):
    corners = (inner.x0 - outer.x0, inner.y0 - outer.y0, outer.x1 - inner.x1, outer.y1 - inner.y1)
    return min(corners) >= -slack


def _corners(extents):
    return np.array([extent.min for extent in extents]), np.array([extent.max for extent in extents])


def _check_arrow(path, low, high, page):
    """Checks an arrow: it leads down into an area, has room for its head, stays on the page and touches only edges."""
    (x, y), (end_x, end_y) = path.vertices[[-2, -1]]
    assert y - end_y > 4 and abs(x - end_x) < 0.1  # pixels
    line = np.concatenate(path.to_polygons(closed_only=False))
    steps = np.linspace(line[:-1], line[1:], 20).reshape(-1, 2)
    assert steps.min() > 0 and (steps < page.max).all()
    assert not ((steps[:, None] > low) & (steps[:, None] < high)).all(axis=-1).any()


def test_shared_name():
    assert shared_name(["inception_3a-conv_1x1", "inception_3a-pool", "inception_3a"]) == "inception_3a"
    assert shared_name(["conv5_block32_1_conv", "conv5_block32_add"]) == "conv5_block32"
    assert shared_name(["conv_1", "concat"]) == ""


def test_window():
    assert window(layers.Conv2D(8, (1, 7))) == "1x7"
    assert window(layers.Conv2D(8, 3, strides=2)) == "3x3/2"
    assert window(layers.MaxPooling2D(3, strides=(2, 1))) == "3x3/2x1"
    assert window(layers.Dense(8)) == ""


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (999, "999"), (1000, "1 k"), (1_582_671_872, "1.58 G")])
def test_engineering(count, text):
    assert engineering(count) == text


def test_open_sizes_are_drawn_for_a_given_shape(without_weights):
    net = create_model("fcn_small32s", input_shape=(None, None, 3))
    said = [" ".join(text.get_text() for text in draw(net, shape).findobj(Text)) for shape in (None, (96, 96, 3))]
    assert "? x ? x 3" in said[0] and "MACs" not in said[0]
    assert "96 x 96 x 3" in said[1] and "?" not in said[1] and " M MACs" in said[1]
