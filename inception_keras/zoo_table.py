"""The table of models: a builder, its options, the paper and the published figures of each id."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """Published facts of a model.

    `params` counts trainable parameters; `gmacs` is for one image of `image` pixels a side.
    """

    builder: str  # module:function; the module is a file of models/, or has the name of its folder before it
    options: dict
    paper: str
    year: int
    image: int  # height and width of the published input
    min_size: int  # the smallest height and width that the net accepts
    params: int
    gmacs: float
    top1: float | None = None  # ImageNet accuracy in per cent; None if unknown
    top5: float | None = None
    source: str = ""  # who published the accuracy
    task: str = "classification"
    trunk: str = ""  # of a net for segmentation or detection: the id of the classifier that it is made of
    miou: float | None = None  # mean intersection over union in per cent, of nets for segmentation
    map_50: float | None = None  # mean average precision at an IoU of 0.5 on VOC 2007 in per cent, of detectors


_GOOGLENET = "Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842"
_SQUEEZENET = "Iandola et al., SqueezeNet, arXiv:1602.07360"
_LENET = "LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 1998"
_DPN = "Chen et al., Dual Path Networks, arXiv:1707.01629"
_SENET = "Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507"
_MOBILENET_V1 = "Howard et al., MobileNets, arXiv:1704.04861"
_SHUFFLENET_V1 = "Zhang et al., ShuffleNet, arXiv:1707.01083"
_INCEPTION_V2 = "Ioffe, Szegedy, Batch Normalization, arXiv:1502.03167"
_INCEPTION_V4 = (
    "Szegedy et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections, arXiv:1602.07261"
)
_XCEPTION = "Chollet, Xception, arXiv:1610.02357"
_ALEXNET = "Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012"
_ALEXNET_OWT = "Krizhevsky, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997"
_ZFNET = "Zeiler, Fergus, Visualizing and Understanding Convolutional Networks, arXiv:1311.2901"
_NIN = "Lin et al., Network in Network, arXiv:1312.4400"
_VGG = "Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv:1409.1556"
_INCEPTION_V3 = "Szegedy et al., Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567"
_RESNET = "He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385"
_RESNEXT = "Xie et al., Aggregated Residual Transformations for Deep Neural Networks, arXiv:1611.05431"
_WIDE_RESNET = "Zagoruyko, Komodakis, Wide Residual Networks, arXiv:1605.07146"
_DENSENET = "Huang et al., Densely Connected Convolutional Networks, arXiv:1608.06993"
_MOBILENET_V2 = "Sandler et al., MobileNetV2, arXiv:1801.04381"
_MOBILENET_V3 = "Howard et al., Searching for MobileNetV3, arXiv:1905.02244"
_MNASNET = "Tan et al., MnasNet, arXiv:1807.11626"
_SHUFFLENET_V2 = "Ma et al., ShuffleNet V2, arXiv:1807.11164"
_FCN = "Long et al., Fully Convolutional Networks for Semantic Segmentation, arXiv:1411.4038"
_ATROUS = "Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, arXiv:1706.05587"
_RCNN = "Girshick et al., Rich Feature Hierarchies for Accurate Object Detection, arXiv:1311.2524"
_SPPNET = "He et al., Spatial Pyramid Pooling in Deep Convolutional Networks, arXiv:1406.4729"
_YOLO = "Redmon et al., You Only Look Once, arXiv:1506.02640"
_FAST_RCNN = "Girshick, Fast R-CNN, arXiv:1504.08083"
_FASTER_RCNN = "Ren et al., Faster R-CNN, arXiv:1506.01497"
_FPN = "Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144"
_VARIANTS = "googlenet_variants:build_googlenet"

# fmt: off
ZOO = {
    "googlenet": Entry("googlenet:build_googlenet", {}, _GOOGLENET, 2014, 224, 31, 6_998_552, 1.583, 68.7, 88.9, "Caffe model zoo"),
    "googlenet_bn": Entry("googlenet:build_googlenet", {"batch_norm": True}, _GOOGLENET, 2014, 224, 31, 7_005_832, 1.583),
    "googlenet_slim": Entry(f"{_VARIANTS}_slim", {}, _GOOGLENET, 2014, 224, 15, 6_624_904, 1.498, 69.778, 89.53, "torchvision"),
    "googlenet_cifar": Entry(f"{_VARIANTS}_cifar", {}, _GOOGLENET, 2014, 32, 15, 3_494_346, 0.030),
    "googlenet_small": Entry(f"{_VARIANTS}_small", {}, _GOOGLENET, 2014, 32, 4, 5_976_122, 1.561),
    "squeezenet1_0": Entry("squeezenet:build_squeezenet", {"version": "1.0"}, _SQUEEZENET, 2016, 224, 21, 1_248_424, 0.819, 58.09, 80.42, "torchvision"),
    "squeezenet1_1": Entry("squeezenet:build_squeezenet", {"version": "1.1"}, _SQUEEZENET, 2016, 224, 17, 1_235_496, 0.349, 58.18, 80.62, "torchvision"),
    "lenet5": Entry("lenet:build_lenet5", {}, _LENET, 1998, 32, 32, 60_000, 0.0003),
    "lenet5_modern": Entry("lenet:build_lenet5_modern", {}, _LENET, 1998, 32, 32, 61_706, 0.0004),
    "dpn68": Entry("dpn:build_dpn", {"depth": 68}, _DPN, 2017, 224, 1, 12_611_602, 2.326, 76.346, 93.008, "timm"),
    "dpn92": Entry("dpn:build_dpn", {"depth": 92}, _DPN, 2017, 224, 1, 37_668_392, 6.502, 80.038, 94.86, "timm"),
    "dpn98": Entry("dpn:build_dpn", {"depth": 98}, _DPN, 2017, 224, 1, 61_570_728, 11.671, 79.67, 94.654, "timm"),
    "dpn107": Entry("dpn:build_dpn", {"depth": 107}, _DPN, 2017, 224, 1, 86_917_800, 18.299, 80.168, 94.942, "timm"),
    "dpn131": Entry("dpn:build_dpn", {"depth": 131}, _DPN, 2017, 224, 1, 79_254_504, 16.014, 79.814, 94.7, "timm"),
    "seresnet18": Entry("senet:build_senet", {"variant": "seresnet18"}, _SENET, 2017, 224, 3, 11_778_592, 1.814, 71.766, 90.332, "timm"),
    "seresnet34": Entry("senet:build_senet", {"variant": "seresnet34"}, _SENET, 2017, 224, 3, 21_958_868, 3.664, 74.808, 92.126, "timm"),
    "seresnet50": Entry("senet:build_senet", {"variant": "seresnet50"}, _SENET, 2017, 224, 3, 28_088_024, 3.86, 77.644, 93.758, "timm"),
    "seresnet101": Entry("senet:build_senet", {"variant": "seresnet101"}, _SENET, 2017, 224, 3, 49_326_872, 7.575, 78.386, 94.262, "timm"),
    "seresnet152": Entry("senet:build_senet", {"variant": "seresnet152"}, _SENET, 2017, 224, 3, 66_821_848, 11.289, 78.66, 94.37, "timm"),
    "seresnext50_32x4d": Entry("senet:build_senet", {"variant": "seresnext50_32x4d"}, _SENET, 2017, 224, 3, 27_559_896, 4.233, 79.076, 94.432, "timm"),
    "seresnext101_32x4d": Entry("senet:build_senet", {"variant": "seresnext101_32x4d"}, _SENET, 2017, 224, 3, 48_955_416, 7.975, 80.23, 95.026, "timm"),
    "senet154": Entry("senet:build_senet", {"variant": "senet154"}, _SENET, 2017, 224, 3, 115_088_984, 20.688, 81.308, 95.492, "timm"),
    "seinception": Entry("senet:build_seinception", {}, _SENET, 2017, 224, 31, 7_485_935, 1.583),
    "mobilenet_v1": Entry("mobilenet_v1:build_mobilenet_v1", {"width": 1.0}, _MOBILENET_V1, 2017, 224, 31, 4_231_976, 0.569, 70.9, 89.9, "TF-Slim"),
    "mobilenet_v1_075": Entry("mobilenet_v1:build_mobilenet_v1", {"width": 0.75}, _MOBILENET_V1, 2017, 224, 31, 2_585_560, 0.325, 68.4, None, "TF-Slim"),
    "mobilenet_v1_050": Entry("mobilenet_v1:build_mobilenet_v1", {"width": 0.5}, _MOBILENET_V1, 2017, 224, 31, 1_331_592, 0.149, 63.3, None, "TF-Slim"),
    "mobilenet_v1_025": Entry("mobilenet_v1:build_mobilenet_v1", {"width": 0.25}, _MOBILENET_V1, 2017, 224, 31, 470_072, 0.041, 49.8, None, "TF-Slim"),
    "shufflenet_v1_g1": Entry("shufflenet_v1:build_shufflenet_v1", {"groups": 1}, _SHUFFLENET_V1, 2017, 224, 1, 1_531_936, 0.143),
    "shufflenet_v1_g2": Entry("shufflenet_v1:build_shufflenet_v1", {"groups": 2}, _SHUFFLENET_V1, 2017, 224, 1, 1_733_848, 0.141),
    "shufflenet_v1_g3": Entry("shufflenet_v1:build_shufflenet_v1", {"groups": 3}, _SHUFFLENET_V1, 2017, 224, 1, 1_865_728, 0.137, 67.8, None, "Megvii"),
    "shufflenet_v1_g4": Entry("shufflenet_v1:build_shufflenet_v1", {"groups": 4}, _SHUFFLENET_V1, 2017, 224, 1, 1_968_344, 0.134),
    "shufflenet_v1_g8": Entry("shufflenet_v1:build_shufflenet_v1", {"groups": 8}, _SHUFFLENET_V1, 2017, 224, 1, 2_434_768, 0.138, 68.0, None, "Megvii"),
    "inception_v2": Entry("inception_v2:build_inception_v2", {}, _INCEPTION_V2, 2015, 224, 1, 11_188_288, 1.935, 73.9, 91.8, "TF-Slim"),
    "inception_v4": Entry("inception_v4:build_inception_v4", {}, _INCEPTION_V4, 2016, 299, 75, 42_679_816, 12.254, 80.156, 94.968, "timm"),
    "inception_resnet_v2": Entry("inception_v4:build_inception_resnet_v2", {}, _INCEPTION_V4, 2016, 299, 75, 55_843_464, 13.156, 80.3, 95.3, "keras.applications"),
    "xception": Entry("xception:build_xception", {}, _XCEPTION, 2016, 299, 7, 22_855_952, 8.357, 79.0, 94.5, "keras.applications"),
    "alexnet_2012": Entry("alexnet:build_alexnet_2012", {}, _ALEXNET, 2012, 227, 67, 60_965_224, 0.724, 57.1, 80.2, "Caffe model zoo"),
    "alexnet": Entry("alexnet:build_alexnet", {}, _ALEXNET_OWT, 2014, 224, 63, 61_100_840, 0.714, 56.522, 79.066, "torchvision"),
    "zfnet": Entry("zfnet:build_zfnet", {}, _ZFNET, 2013, 224, 47, 62_357_608, 1.168, 61.6, 83.5, "authors"),
    "nin_cifar": Entry("nin:build_nin_cifar", {}, _NIN, 2013, 32, 4, 966_986, 0.222),
    "nin_imagenet": Entry("nin:build_nin_imagenet", {}, _NIN, 2013, 224, 39, 7_595_176, 1.1, 59.36, None, "authors"),
    "vgg11": Entry("vgg:build_vgg", {"depth": 11}, _VGG, 2014, 224, 32, 132_863_336, 7.609, 69.02, 88.628, "torchvision"),
    "vgg11_bn": Entry("vgg:build_vgg", {"depth": 11, "batch_norm": True}, _VGG, 2014, 224, 32, 132_868_840, 7.609, 70.37, 89.81, "torchvision"),
    "vgg13": Entry("vgg:build_vgg", {"depth": 13}, _VGG, 2014, 224, 32, 133_047_848, 11.308, 69.928, 89.246, "torchvision"),
    "vgg13_bn": Entry("vgg:build_vgg", {"depth": 13, "batch_norm": True}, _VGG, 2014, 224, 32, 133_053_736, 11.308, 71.586, 90.374, "torchvision"),
    "vgg16": Entry("vgg:build_vgg", {"depth": 16}, _VGG, 2014, 224, 32, 138_357_544, 15.47, 71.592, 90.382, "torchvision"),
    "vgg16_bn": Entry("vgg:build_vgg", {"depth": 16, "batch_norm": True}, _VGG, 2014, 224, 32, 138_365_992, 15.47, 73.36, 91.516, "torchvision"),
    "vgg19": Entry("vgg:build_vgg", {"depth": 19}, _VGG, 2014, 224, 32, 143_667_240, 19.632, 72.376, 90.876, "torchvision"),
    "vgg19_bn": Entry("vgg:build_vgg", {"depth": 19, "batch_norm": True}, _VGG, 2014, 224, 32, 143_678_248, 19.632, 74.218, 91.842, "torchvision"),
    "inception_v3": Entry("inception_v3:build_inception_v3", {}, _INCEPTION_V3, 2015, 299, 75, 23_834_568, 5.713, 77.294, 93.45, "torchvision"),
    "resnet18": Entry("resnet:build_resnet", {"depth": 18}, _RESNET, 2015, 224, 1, 11_689_512, 1.814, 69.758, 89.078, "torchvision"),
    "resnet34": Entry("resnet:build_resnet", {"depth": 34}, _RESNET, 2015, 224, 1, 21_797_672, 3.664, 73.314, 91.42, "torchvision"),
    "resnet50": Entry("resnet:build_resnet", {"depth": 50}, _RESNET, 2015, 224, 1, 25_557_032, 4.089, 76.13, 92.862, "torchvision"),
    "resnet101": Entry("resnet:build_resnet", {"depth": 101}, _RESNET, 2015, 224, 1, 44_549_160, 7.801, 77.374, 93.546, "torchvision"),
    "resnet152": Entry("resnet:build_resnet", {"depth": 152}, _RESNET, 2015, 224, 1, 60_192_808, 11.514, 78.312, 94.046, "torchvision"),
    "resnet50_v1": Entry("resnet:build_resnet_v1", {"depth": 50}, _RESNET, 2015, 224, 1, 25_583_592, 3.858, 74.9, 92.1, "keras.applications"),
    "resnet101_v1": Entry("resnet:build_resnet_v1", {"depth": 101}, _RESNET, 2015, 224, 1, 44_601_832, 7.57),
    "resnet152_v1": Entry("resnet:build_resnet_v1", {"depth": 152}, _RESNET, 2015, 224, 1, 60_268_520, 11.282),
    "resnet50_caffe": Entry("resnet:build_resnet_v1", {"depth": 50, "release": "caffe"}, _RESNET, 2015, 224, 3, 25_557_096, 3.858, 75.3, 92.2, "authors"),
    "resnet101_caffe": Entry("resnet:build_resnet_v1", {"depth": 101, "release": "caffe"}, _RESNET, 2015, 224, 3, 44_549_160, 7.57, 76.4, 92.9, "authors"),
    "resnet152_caffe": Entry("resnet:build_resnet_v1", {"depth": 152, "release": "caffe"}, _RESNET, 2015, 224, 3, 60_192_808, 11.282, 77.0, 93.3, "authors"),
    "resnet20_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 20}, _RESNET, 2015, 32, 1, 269_722, 0.041),
    "resnet32_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 32}, _RESNET, 2015, 32, 1, 464_154, 0.069),
    "resnet44_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 44}, _RESNET, 2015, 32, 1, 658_586, 0.097),
    "resnet56_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 56}, _RESNET, 2015, 32, 1, 853_018, 0.125),
    "resnet110_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 110}, _RESNET, 2015, 32, 1, 1_727_962, 0.253),
    "plain20_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 20, "residual": False}, _RESNET, 2015, 32, 1, 269_722, 0.041),
    "plain32_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 32, "residual": False}, _RESNET, 2015, 32, 1, 464_154, 0.069),
    "plain44_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 44, "residual": False}, _RESNET, 2015, 32, 1, 658_586, 0.097),
    "plain56_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 56, "residual": False}, _RESNET, 2015, 32, 1, 853_018, 0.125),
    "plain110_cifar": Entry("resnet_cifar:build_resnet_cifar", {"depth": 110, "residual": False}, _RESNET, 2015, 32, 1, 1_727_962, 0.253),
    "resnext50_32x4d": Entry("resnet:build_resnet", {"depth": 50, "groups": 32, "group_width": 4}, _RESNEXT, 2016, 224, 1, 25_028_904, 4.23, 77.618, 93.698, "torchvision"),
    "resnext101_32x8d": Entry("resnet:build_resnet", {"depth": 101, "groups": 32, "group_width": 8}, _RESNEXT, 2016, 224, 1, 88_791_336, 16.414, 79.312, 94.526, "torchvision"),
    "resnext101_64x4d": Entry("resnet:build_resnet", {"depth": 101, "groups": 64, "group_width": 4}, _RESNEXT, 2016, 224, 1, 83_455_272, 15.46, 83.246, 96.454, "torchvision"),
    "wide_resnet50_2": Entry("resnet:build_resnet", {"depth": 50, "group_width": 128}, _WIDE_RESNET, 2016, 224, 1, 68_883_240, 11.398, 78.468, 94.086, "torchvision"),
    "wide_resnet101_2": Entry("resnet:build_resnet", {"depth": 101, "group_width": 128}, _WIDE_RESNET, 2016, 224, 1, 126_886_696, 22.753, 78.848, 94.284, "torchvision"),
    "densenet121": Entry("densenet:build_densenet", {"depth": 121}, _DENSENET, 2016, 224, 29, 7_978_856, 2.834, 74.434, 91.972, "torchvision"),
    "densenet161": Entry("densenet:build_densenet", {"depth": 161}, _DENSENET, 2016, 224, 29, 28_681_000, 7.728, 77.138, 93.56, "torchvision"),
    "densenet169": Entry("densenet:build_densenet", {"depth": 169}, _DENSENET, 2016, 224, 29, 14_149_480, 3.36, 75.6, 92.806, "torchvision"),
    "densenet201": Entry("densenet:build_densenet", {"depth": 201}, _DENSENET, 2016, 224, 29, 20_013_928, 4.291, 76.896, 93.37, "torchvision"),
    "mobilenet_v2": Entry("mobilenet_v2:build_mobilenet_v2", {}, _MOBILENET_V2, 2018, 224, 1, 3_504_872, 0.301, 71.878, 90.286, "torchvision"),
    "mobilenet_v3_small": Entry("mobilenet_v3:build_mobilenet_v3", {"size": "small"}, _MOBILENET_V3, 2019, 224, 1, 2_542_856, 0.057, 67.668, 87.402, "torchvision"),
    "mobilenet_v3_large": Entry("mobilenet_v3:build_mobilenet_v3", {"size": "large"}, _MOBILENET_V3, 2019, 224, 1, 5_483_032, 0.217, 74.042, 91.34, "torchvision"),
    "mnasnet0_5": Entry("mnasnet:build_mnasnet", {"width": 0.5}, _MNASNET, 2018, 224, 1, 2_218_512, 0.104, 67.734, 87.49, "torchvision"),
    "mnasnet0_75": Entry("mnasnet:build_mnasnet", {"width": 0.75}, _MNASNET, 2018, 224, 1, 3_170_208, 0.215, 71.18, 90.496, "torchvision"),
    "mnasnet1_0": Entry("mnasnet:build_mnasnet", {"width": 1.0}, _MNASNET, 2018, 224, 1, 4_383_312, 0.314, 73.456, 91.51, "torchvision"),
    "mnasnet1_3": Entry("mnasnet:build_mnasnet", {"width": 1.3}, _MNASNET, 2018, 224, 1, 6_282_256, 0.526, 76.506, 93.522, "torchvision"),
    "shufflenet_v2_x0_5": Entry("shufflenet_v2:build_shufflenet_v2", {"width": 0.5}, _SHUFFLENET_V2, 2018, 224, 1, 1_366_792, 0.04, 60.552, 81.746, "torchvision"),
    "shufflenet_v2_x1_0": Entry("shufflenet_v2:build_shufflenet_v2", {"width": 1.0}, _SHUFFLENET_V2, 2018, 224, 1, 2_278_604, 0.145, 69.362, 88.316, "torchvision"),
    "shufflenet_v2_x1_5": Entry("shufflenet_v2:build_shufflenet_v2", {"width": 1.5}, _SHUFFLENET_V2, 2018, 224, 1, 3_503_624, 0.296, 72.996, 91.086, "torchvision"),
    "shufflenet_v2_x2_0": Entry("shufflenet_v2:build_shufflenet_v2", {"width": 2.0}, _SHUFFLENET_V2, 2018, 224, 1, 7_393_996, 0.583, 76.23, 93.006, "torchvision"),
    "fcn32s": Entry("segmentation.fcn:build_fcn_vgg", {"stride": 32}, _FCN, 2014, 500, 1, 134_346_581, 181.366, source="authors", task="segmentation", trunk="vgg16", miou=63.6),
    "fcn16s": Entry("segmentation.fcn:build_fcn_vgg", {"stride": 16}, _FCN, 2014, 500, 1, 134_357_354, 181.448, source="authors", task="segmentation", trunk="vgg16", miou=65.0),
    "fcn8s": Entry("segmentation.fcn:build_fcn_vgg", {"stride": 8}, _FCN, 2014, 500, 1, 134_362_751, 181.529, source="authors", task="segmentation", trunk="vgg16", miou=65.5),
    "fcn8s_atonce": Entry("segmentation.fcn:build_fcn_vgg", {"stride": 8, "at_once": True}, _FCN, 2014, 500, 1, 134_362_751, 181.529, source="authors", task="segmentation", trunk="vgg16", miou=65.4),
    "fcn_alexnet": Entry("segmentation.fcn:build_fcn_alexnet", {}, _FCN, 2014, 500, 1, 56_954_261, 21.424, source="authors", task="segmentation", miou=48.0),
    "fcn_googlenet32s": Entry("segmentation.fcn_backbone:build_fcn_googlenet", {"stride": 32}, _FCN, 2014, 500, 31, 5_995_077, 8.166, task="segmentation", trunk="googlenet"),
    "fcn_googlenet16s": Entry("segmentation.fcn_backbone:build_fcn_googlenet", {"stride": 16}, _FCN, 2014, 500, 31, 6_012_570, 8.212, task="segmentation", trunk="googlenet"),
    "fcn_googlenet8s": Entry("segmentation.fcn_backbone:build_fcn_googlenet", {"stride": 8}, _FCN, 2014, 500, 31, 6_022_671, 8.258, task="segmentation", trunk="googlenet"),
    "fcn_small32s": Entry("segmentation.fcn_backbone:build_fcn_small", {"stride": 32}, _FCN, 2014, 96, 32, 924_549, 0.195, task="segmentation"),
    "fcn_small16s": Entry("segmentation.fcn_backbone:build_fcn_small", {"stride": 16}, _FCN, 2014, 96, 32, 927_258, 0.196, task="segmentation"),
    "fcn_small8s": Entry("segmentation.fcn_backbone:build_fcn_small", {"stride": 8}, _FCN, 2014, 96, 32, 929_967, 0.196, task="segmentation"),
    "fcn_resnet50": Entry("segmentation.fcn_resnet:build_fcn_resnet", {"depth": 50}, _ATROUS, 2017, 520, 1, 32_957_013, 142.726, source="torchvision", task="segmentation", trunk="resnet50", miou=60.5),
    "fcn_resnet101": Entry("segmentation.fcn_resnet:build_fcn_resnet", {"depth": 101}, _ATROUS, 2017, 520, 1, 51_949_141, 222.747, source="torchvision", task="segmentation", trunk="resnet101", miou=63.7),
    "fast_rcnn": Entry("detection.fast_rcnn:build_fast_rcnn", {"backbone": "vgg16"}, _FAST_RCNN, 2015, 600, 16, 134_690_729, 350.311, source="authors", task="detection", trunk="vgg16", map_50=66.9),
    "fast_rcnn_caffenet": Entry("detection.fast_rcnn:build_fast_rcnn", {"backbone": "caffenet"}, _FAST_RCNN, 2015, 600, 16, 57_298_409, 115.149, task="detection"),
    "fast_rcnn_small": Entry("detection.rcnn_small:build_fast_rcnn_small", {}, _FAST_RCNN, 2015, 96, 16, 1_751_385, 0.545, task="detection"),
    "faster_rcnn": Entry("detection.faster_rcnn:build_faster_rcnn", {"backbone": "vgg16"}, _FASTER_RCNN, 2015, 600, 16, 137_078_239, 149.812, source="authors", task="detection", trunk="vgg16", map_50=69.9),
    "faster_rcnn_zf": Entry("detection.faster_rcnn:build_faster_rcnn", {"backbone": "zf"}, _FASTER_RCNN, 2015, 600, 16, 59_294_751, 26.934, source="authors", task="detection", map_50=59.9),
    "faster_rcnn_small": Entry("detection.rcnn_small:build_faster_rcnn_small", {}, _FASTER_RCNN, 2015, 96, 16, 1_905_935, 0.313, task="detection"),
    "fasterrcnn_resnet50_fpn": Entry("detection.fpn:build_fasterrcnn_resnet50_fpn", {}, _FPN, 2016, 800, 32, 41_755_286, 134.38, source="torchvision", task="detection", trunk="resnet50"),
    "rcnn": Entry("detection.rcnn:build_rcnn", {}, _RCNN, 2013, 227, 67, 56_954_261, 0.72, source="authors", task="detection", map_50=58.5),
    "sppnet": Entry("detection.sppnet:build_sppnet", {}, _SPPNET, 2014, 224, 31, 73_026_709, 1.179, source="authors", task="detection", map_50=59.2),
    "extraction": Entry("detection.yolo:build_extraction", {}, _YOLO, 2015, 224, 32, 23_428_136, 4.21, None, 88.0, "authors"),
    "yolo_v1": Entry("detection.yolo:build_yolo_v1", {"release": "paper"}, _YOLO, 2015, 448, 64, 271_703_550, 20.285, source="authors", task="detection", trunk="extraction", map_50=63.4),
    "yolo_v1_fast": Entry("detection.yolo:build_yolo_v1", {"release": "fast"}, _YOLO, 2015, 448, 64, 45_089_374, 2.419, source="authors", task="detection", map_50=52.7),
    "yolo_v1_small": Entry("detection.yolo:build_yolo_v1", {"release": "small"}, _YOLO, 2015, 448, 64, 93_970_430, 20.107, task="detection", trunk="extraction"),
    "yolo_v1_darknet": Entry("detection.yolo:build_yolo_v1", {"release": "yolov1"}, _YOLO, 2015, 448, 64, 197_301_875, 20.211, task="detection"),
    "yolo_v1_darknet_tiny": Entry("detection.yolo:build_yolo_v1", {"release": "yolov1-tiny"}, _YOLO, 2015, 448, 64, 27_095_374, 1.608, task="detection"),
    "yolo_v1_mini": Entry("detection.yolo_backbone:build_yolo_v1_mini", {}, _YOLO, 2015, 96, 16, 1_102_894, 0.081, task="detection"),
}
# fmt: on
