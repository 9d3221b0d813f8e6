"""The published weights of the nets of the zoo: their addresses and the preprocessing that they expect."""

from dataclasses import dataclass
from typing import Any

_TORCH = "https://download.pytorch.org/models/"
_TIMM_RELEASES = "https://github.com/rwightman/pytorch-image-models/releases/download/"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_DPN_MEAN, _DPN_STD = (0.48627450980392156, 0.4588235294117647, 0.40784313725490196), (0.23482446870963955,)


@dataclass(frozen=True)
class Published:
    """One set of weights. `preprocessing` holds the arguments of `data.preprocessing.Preprocessing`."""

    url: str  # or a file in the package's folder of assets
    licence: str
    preprocessing: dict[str, Any]
    md5: str = ""  # of the file, if its name has no checksum


# fmt: off
_TORCHVISION = {  # set: id, file, side after resizing, side of the crop
    "torchvision": """
        alexnet             alexnet-owt-7be5be79.pth                256 224
        vgg11               vgg11-8a719046.pth                      256 224
        vgg13               vgg13-19584684.pth                      256 224
        vgg16               vgg16-397923af.pth                      256 224
        vgg19               vgg19-dcbb9e9d.pth                      256 224
        vgg11_bn            vgg11_bn-6002323d.pth                   256 224
        vgg13_bn            vgg13_bn-abd245e5.pth                   256 224
        vgg16_bn            vgg16_bn-6c64b313.pth                   256 224
        vgg19_bn            vgg19_bn-c79401a0.pth                   256 224
        resnet18            resnet18-f37072fd.pth                   256 224
        resnet34            resnet34-b627a593.pth                   256 224
        resnet50            resnet50-0676ba61.pth                   256 224
        resnet101           resnet101-63fe2227.pth                  256 224
        resnet152           resnet152-394f9c45.pth                  256 224
        resnext50_32x4d     resnext50_32x4d-7cdf4587.pth            256 224
        resnext101_32x8d    resnext101_32x8d-8ba56ff5.pth           256 224
        resnext101_64x4d    resnext101_64x4d-173b62eb.pth           232 224
        wide_resnet50_2     wide_resnet50_2-95faca4d.pth            256 224
        wide_resnet101_2    wide_resnet101_2-32ee1156.pth           256 224
        densenet121         densenet121-a639ec97.pth                256 224
        densenet161         densenet161-8d451a50.pth                256 224
        densenet169         densenet169-b2777c0a.pth                256 224
        densenet201         densenet201-c1103571.pth                256 224
        inception_v3        inception_v3_google-0cc3c7bd.pth        342 299
        mobilenet_v2        mobilenet_v2-b0353104.pth               256 224
        mobilenet_v3_small  mobilenet_v3_small-047dcff4.pth         256 224
        mobilenet_v3_large  mobilenet_v3_large-8738ca79.pth         256 224
        shufflenet_v2_x0_5  shufflenetv2_x0.5-f707e7126e.pth        256 224
        shufflenet_v2_x1_0  shufflenetv2_x1-5666bf0f80.pth          256 224
        shufflenet_v2_x1_5  shufflenetv2_x1_5-3c479a10.pth          232 224
        shufflenet_v2_x2_0  shufflenetv2_x2_0-8be3c8ee.pth          232 224
        squeezenet1_0       squeezenet1_0-b66bff10.pth              256 224
        squeezenet1_1       squeezenet1_1-b8a52dc0.pth              256 224
        mnasnet0_5          mnasnet0.5_top1_67.823-3ffadce67e.pth   256 224
        mnasnet0_75         mnasnet0_75-7090bc5f.pth                232 224
        mnasnet1_0          mnasnet1.0_top1_73.512-f206786ef8.pth   256 224
        mnasnet1_3          mnasnet1_3-a4c69d6f.pth                 232 224
    """,
    "torchvision_v2": """
        resnet50            resnet50-11ad3fa6.pth                   232 224
        resnet101           resnet101-cd907fc2.pth                  232 224
        resnet152           resnet152-f82ba261.pth                  232 224
        resnext50_32x4d     resnext50_32x4d-1a0047aa.pth            232 224
        resnext101_32x8d    resnext101_32x8d-110c445d.pth           232 224
        wide_resnet50_2     wide_resnet50_2-9ba9bcbe.pth            232 224
        wide_resnet101_2    wide_resnet101_2-d733dc28.pth           232 224
        mobilenet_v2        mobilenet_v2-7ebf99e0.pth               232 224
        mobilenet_v3_large  mobilenet_v3_large-5c1a4163.pth         232 224
    """,
}
_TIMM = """
    dpn68               hf://timm/dpn68.mx_in1k                                256 224 bicubic  dpn
    dpn92               hf://timm/dpn92.mx_in1k                                256 224 bicubic  dpn
    dpn98               hf://timm/dpn98.mx_in1k                                256 224 bicubic  dpn
    dpn107              hf://timm/dpn107.mx_in1k                               256 224 bicubic  dpn
    dpn131              hf://timm/dpn131.mx_in1k                               256 224 bicubic  dpn
    inception_v3        hf://timm/inception_v3.tv_in1k                         341 299 bicubic  half
    inception_v4        hf://timm/inception_v4.tf_in1k                         341 299 bicubic  half
    inception_resnet_v2 hf://timm/inception_resnet_v2.tf_in1k                  333 299 bicubic  half
    resnet18            hf://timm/resnet18.a1_in1k                             235 224 bicubic  imagenet
    resnet34            hf://timm/resnet34.a1_in1k                             235 224 bicubic  imagenet
    resnet50            hf://timm/resnet50.a1_in1k                             235 224 bicubic  imagenet
    densenet121         hf://timm/densenet121.ra_in1k                          256 224 bicubic  imagenet
    seresnet18          v0.1-weights/seresnet18-4bb0ce65.pth                   256 224 bicubic  imagenet
    seresnet34          v0.1-weights/seresnet34-a4004e63.pth                   256 224 bilinear imagenet
    seresnet50          v0.1-cadene/se_resnet50-ce0d4300.pth                   256 224 bilinear imagenet
    seresnet101         v0.1-cadene/se_resnet101-7e38fcc6.pth                  256 224 bilinear imagenet
    seresnet152         v0.1-cadene/se_resnet152-d17c99b7.pth                  256 224 bilinear imagenet
    seresnext50_32x4d   v0.1-weights/legacy_se_resnext50_32x4d-f3651bad.pth    256 224 bilinear imagenet
    seresnext101_32x4d  v0.1-weights/legacy_se_resnext101_32x4d-37725eac.pth   256 224 bilinear imagenet
    senet154            v0.1-weights/legacy_senet154-e9eb9fe6.pth              256 224 bilinear imagenet
"""
_KERAS_FILES = """
    vgg16               vgg16/vgg16                                 224 caffe    64373286793e3c8b2b4e3219cbf3544b
    vgg19               vgg19/vgg19                                 224 caffe    cbe5617147190e668d6c5d5026f83318
    resnet50_v1         resnet/resnet50                             224 caffe    2cb95161c43110f7111970584f804107
    resnet101_v1        resnet/resnet101                            224 caffe    f1aeb4b969a6efcfb50fad2f0c20cfc5
    resnet152_v1        resnet/resnet152                            224 caffe    100835be76be38e30d865e96f2aaae62
    densenet121         densenet/densenet121                        224 imagenet 9d60b8095a5708f2dcce2bca79d332c7
    densenet169         densenet/densenet169                        224 imagenet d699b8f76981ab1b30698df4c175e90b
    densenet201         densenet/densenet201                        224 imagenet 1ceb130c1ea1b78c3bf6114dbdfd8807
    mobilenet_v1        mobilenet/mobilenet_1_0_224_tf.h5           224 half     -
    mobilenet_v1_075    mobilenet/mobilenet_7_5_224_tf.h5           224 half     -
    mobilenet_v1_050    mobilenet/mobilenet_5_0_224_tf.h5           224 half     -
    mobilenet_v1_025    mobilenet/mobilenet_2_5_224_tf.h5           224 half     -
    xception            xception/xception                           299 half     0a58e3b7378bc2990ea3b43d5981f1f6
    inception_resnet_v2 inception_resnet_v2/inception_resnet_v2     299 half     e693bd0210a403b3192acc6073ad2e96
"""
_TRUNKS = {  # a net for segmentation or detection: the classifier whose published weights it starts from
    **dict.fromkeys(("fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce"), "vgg16"),
    "fcn_resnet50": "resnet50",
    "fcn_resnet101": "resnet101",
    **dict.fromkeys(("fast_rcnn", "faster_rcnn"), "vgg16"),
    "fasterrcnn_resnet50_fpn": "resnet50",
}
_COCO = {  # trained on the images of COCO that have Pascal VOC's classes
    "fcn_resnet50": "fcn_resnet50_coco-1167a1af.pth",
    "fcn_resnet101": "fcn_resnet101_coco-7ecb50ca.pth",
}
_NORMALISATIONS: dict[str, dict[str, Any]] = {
    "imagenet": {"scale": 255.0, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "half":     {"scale": 255.0, "mean": (0.5,), "std": (0.5,)},
    "dpn":      {"scale": 255.0, "mean": _DPN_MEAN, "std": _DPN_STD},
    "caffe":    {"order": "bgr", "scale": 1.0, "mean": (103.939, 116.779, 123.68), "std": (1.0,)},
}
# fmt: on


def _preprocessing(resize: str | None, crop: str, interpolation: str, normalisation: str) -> dict[str, Any]:
    size = {"size": (int(crop), int(crop)), "resize": int(resize) if resize else None}
    return size | {"interpolation": interpolation} | _NORMALISATIONS[normalisation]


def _published() -> dict[str, dict[str, Published]]:
    found: dict[str, dict[str, Published]] = {}
    for kind, table in _TORCHVISION.items():
        for id, file, resize, crop in (line.split() for line in table.strip().splitlines()):
            options = _preprocessing(resize, crop, "bilinear", "imagenet")
            found.setdefault(id, {})[kind] = Published(_TORCH + file, "BSD-3-Clause", options)
    for id, file, resize, crop, interpolation, normalisation in (line.split() for line in _TIMM.strip().splitlines()):
        options = _preprocessing(resize, crop, interpolation, normalisation)
        url = file if file.startswith("hf:") else _TIMM_RELEASES + file
        found.setdefault(id, {})["timm"] = Published(url, "Apache-2.0", options)
    for id, file, crop, normalisation, md5 in (line.split() for line in _KERAS_FILES.strip().splitlines()):
        file += "" if file.endswith(".h5") else "_weights_tf_dim_ordering_tf_kernels.h5"
        # keras.applications resizes an image without keeping its aspect ratio
        options = _preprocessing(None, crop, "bilinear", normalisation)
        found.setdefault(id, {})["keras"] = Published(_KERAS + file, "Apache-2.0", options, md5.strip("-"))
    found["googlenet_slim"] = {
        "torchvision": Published(
            _TORCH + "googlenet-1378be20.pth",
            "BSD-3-Clause",
            # inside its net, torchvision converts ImageNet's normalisation back to TF-Slim's
            _preprocessing("256", "224", "bilinear", "half"),
        )
    }
    found["inception_v3"]["torchvision"].preprocessing.update(_NORMALISATIONS["half"])  # for the same reason
    for id, trunk in _TRUNKS.items():
        found[id] = dict(found[trunk])
    for id, file in _COCO.items():  # images of any size; torchvision's figures are of a shorter side of 520
        options = {"size": (520, 520), "resize": 520} | _NORMALISATIONS["imagenet"]
        found[id]["coco"] = Published(_TORCH + file, "BSD-3-Clause", options | {"interpolation": "bilinear"})
    options = {"size": (800, 800), "resize": 800} | _NORMALISATIONS["imagenet"]
    options |= {"interpolation": "bilinear", "antialias": False}
    file = "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"  # of all 80 classes of COCO, for a shorter side of 800
    found["fasterrcnn_resnet50_fpn"]["coco"] = Published(_TORCH + file, "BSD-3-Clause", options)
    squeezenet = _preprocessing("256", "227", "bilinear", "caffe") | {"mean": (104.006, 116.669, 122.679)}
    embedded = Published("squeezenet1_1_imagenet.safetensors", "BSD-2-Clause", squeezenet)
    found["squeezenet1_1"] = {"authors": embedded} | found["squeezenet1_1"]
    return found


PUBLISHED = _published()  # by id, then by set; the first set of a net is called "imagenet"

SETS = ("imagenet", "authors", "torchvision", "torchvision_v2", "timm", "keras", "coco")


def find(id: str, weights: str = "imagenet") -> Published:
    """Finds a set of published weights.

    Args:
        id: A net of the zoo.
        weights: `"authors"`, `"torchvision"`, `"torchvision_v2"`, `"timm"`, `"keras"` or `"coco"`; `"imagenet"` is the
            first of these that the net has.

    Raises:
        ValueError: If the net has no such set.

    Examples:
        >>> find("resnet50").preprocessing["resize"], find("resnet50", "timm").preprocessing["resize"]
        (256, 235)
    """
    sets = PUBLISHED.get(id, {})
    if not sets:
        raise ValueError(f"There are no published ImageNet weights of {id} that fit it.")
    if weights == "imagenet":
        weights = next(iter(sets))
    if weights not in sets:
        raise ValueError(f"Published weights of {id} are {', '.join(map(repr, sets))}, got {weights!r}.")
    return sets[weights]
