# SPDX-License-Identifier: Apache-2.0
"""Networks as other groups write them, with random weights and random running statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its customary name

from export.network import PRESETS
from export.network import build as build_preset


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch normalisation statistics as training leaves them, and layers He's weights.

    With those patches that differ get answers that differ, as of a trained network: torch's own
    first weights would give all of them nearly the same.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor, low: float, high: float) -> None:
        with torch.no_grad():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            draw(module.running_mean, -0.2, 0.2)
            draw(module.running_var, 0.5, 2)
            draw(module.weight, 0.7, 1.3)
            draw(module.bias, -0.1, 0.1)
    return network.eval()


def conv(
    n_in: int, n_out: int, *, norm: bool = True, act: type[nn.Module] = nn.ReLU, **more: object
):
    """Give convolution, perhaps batch normalisation, and an activation."""
    options = {"kernel_size": 3, "padding": 1, "bias": not norm, **more}
    return [nn.Conv3d(n_in, n_out, **options), *([nn.BatchNorm3d(n_out)] * norm), act()]


def vgg(*, norm: bool = True) -> nn.Module:
    """A VGG with dropout before its last layer."""
    layers = [*conv(1, 8, norm=norm), *conv(8, 8, norm=norm), nn.MaxPool3d(2)]
    layers += [*conv(8, 16, norm=norm), *conv(16, 16, norm=norm), nn.MaxPool3d(2)]
    head = [
        nn.Flatten(),
        nn.Linear(16 * 3 * 2 * 2, 24),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(24, 1),
    ]
    return nn.Sequential(*layers, *head)


def vgg_plain() -> nn.Module:
    """The same without batch normalisation."""
    return vgg(norm=False)


class GlobalHead(nn.Module):
    """A mean over all voxels by Tensor.mean, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*conv(1, 8), nn.MaxPool3d(2), *conv(8, 16))
        self.head = nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        return self.head(self.features(x).mean((2, 3, 4)))


class Scaled(nn.Module):
    """A sigmoid at the end, times 6.84, as the method's SBR were scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.body = vgg()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        return torch.sigmoid(self.body(x)) * 6.84


class Viewed(nn.Module):
    """A flatten by view, a dense layer by matmul, a scale and an offset behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*conv(1, 8), nn.AvgPool3d(2))
        self.weight = nn.Parameter(torch.randn(8 * 6 * 5 * 4, 1) / 30)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        x = self.features(x)
        return (x.view(x.size(0), -1) @ self.weight) * 2.5 + 1.5


def sfcn() -> nn.Module:
    """Peng 2021's plain 3-D network, narrow: 3³ blocks, a 1³ block, a mean, a 1³ convolution."""
    blocks: list[nn.Module] = []
    n_in = 1
    for width in (8, 16):
        block = conv(n_in, width)
        blocks += [*block[:2], nn.MaxPool3d(2, stride=2), block[2]]
        n_in = width
    blocks += conv(16, 8, kernel_size=1, padding=0)
    return nn.Sequential(
        *blocks, nn.AvgPool3d((3, 2, 2)), nn.Dropout(0.5), nn.Conv3d(8, 1, 1), nn.Flatten()
    )


def leaky_strided() -> nn.Module:
    """Strided convolutions instead of pools, leaky ReLU, instance-free."""

    def act() -> nn.Module:
        return nn.LeakyReLU(0.1)

    layers = [
        *conv(1, 8, act=act, kernel_size=5, padding=2, stride=2),
        *conv(8, 16, act=act, stride=2),
    ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 1))


def elu_softplus() -> nn.Module:
    """ELU inside, softplus at the end: an SBR that is never negative."""
    layers = [*conv(1, 8, act=nn.ELU), nn.MaxPool3d(3, 2, 1), *conv(8, 8, act=nn.ELU)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 6 * 5 * 4, 1), nn.Softplus())


def monai(name: str, **options: object) -> nn.Module:
    """A network of MONAI."""
    nets = pytest.importorskip("monai.networks.nets", reason="pip install monai")
    return getattr(nets, name)(spatial_dims=3, **options)


def resnet10() -> nn.Module:
    """MONAI's ResNet-10, narrow."""
    return monai("resnet10", n_input_channels=1, num_classes=1, widen_factor=0.125)


def resnet18() -> nn.Module:
    """MONAI's ResNet-18, narrow."""
    return monai("resnet18", n_input_channels=1, num_classes=1, widen_factor=0.125)


class Block(nn.Module):
    """A pair of convolutions and a shortcut, of 1³ where the stride is 2."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        first = conv(n_in, n_out, stride=stride)
        self.branch = nn.Sequential(*first, *conv(n_out, n_out)[:2])
        narrow = conv(n_in, n_out, kernel_size=1, padding=0, stride=2)[:2]
        self.shortcut = nn.Sequential(*narrow) if stride == 2 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the branch to the shortcut."""
        return torch.relu(self.branch(x) + self.shortcut(x))


def r3d_18() -> nn.Module:
    """Write torchvision's r3d_18 with one channel out anew, narrow: it runs without its package."""
    layers = conv(1, 8, kernel_size=(3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3))
    n_in = 8
    for width, stride in ((8, 1), (16, 2), (32, 2), (64, 2)):
        layers += [Block(n_in, width, stride), Block(width, width, 1)]
        n_in = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 1))


def torchvision_r3d_18() -> nn.Module:
    """Torchvision's own r3d_18 with one channel, at its full width."""
    try:
        from torchvision.models import video
    except (ImportError, RuntimeError) as error:  # the latter beside a torch without CUDA
        pytest.skip(f"pip install torchvision: {error}")
    network: nn.Module = video.r3d_18(weights=None, num_classes=1)
    network.stem[0] = nn.Conv3d(1, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
    return network


def densenet() -> nn.Module:
    """MONAI's DenseNet-121, whole: it normalises before it convolves, and concatenates."""
    return monai("DenseNet121", in_channels=1, out_channels=1)


class OfTheMethod(nn.Module):
    """One of our presets as a stranger writes it: functions in forward, a shape worked out there.

    Its parameters are those of ours, in their order.
    """

    def __init__(self, preset: str) -> None:
        super().__init__()
        self.row = PRESETS[preset]
        ours = build_preset(preset, PRESET_SHAPES[preset]).modules()
        layers = [each for each in ours if isinstance(each, nn.Conv3d | nn.Linear)]
        self.convolutions = nn.ModuleList(x for x in layers if isinstance(x, nn.Conv3d))
        self.dense = nn.ModuleList(x for x in layers if isinstance(x, nn.Linear))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        left = iter(self.convolutions)
        for _ in self.row.channels:
            x = F.relu(next(left)(x))
            shortcut = x
            x = next(left)(x)
            if self.row.residual:
                x = shortcut + next(left)(F.relu(x))
            x = F.max_pool3d(F.relu(x), 2)
        x = x.reshape(x.shape[0], -1)
        for layer in self.dense[:-1]:
            x = F.relu(layer(x))
        return self.dense[-1](x)


def bae2023() -> nn.Module:
    """Three VGG blocks of Bae 2023."""
    return OfTheMethod("bae2023")


def slim() -> nn.Module:
    """The same at a quarter of the width."""
    return OfTheMethod("slim")


def mri_dat() -> nn.Module:
    """The layout of the group's released weights."""
    return OfTheMethod("mri-dat")


def resnet() -> nn.Module:
    """The comparison of Bae 2023."""
    return OfTheMethod("resnet")


class Concatenated(nn.Module):
    """Two branches side by side, which the built-in engine does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Sequential(*conv(1, 4)), nn.Sequential(*conv(1, 4))
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        return self.head(torch.cat([self.first(x), self.second(x)], 1).mean((2, 3, 4)))


def grouped() -> nn.Module:
    """Normalised over groups of channels, from each patch: two Reshapes that must fit any batch."""
    return nn.Sequential(
        *(nn.Conv3d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool3d(2)),
        *(nn.Conv3d(4, 6, 3, padding=1), nn.GroupNorm(3, 6), nn.ReLU()),
        *(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 1)),
    )


class Preactivated(nn.Module):
    """Normalises before it convolves, as ResNets of the second version do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(1, 8, 3, padding=1)
        norms = [nn.BatchNorm3d(8) for _ in range(2)]
        convolutions = [nn.Conv3d(8, 8, 3, padding=1) for _ in range(2)]
        pairs = zip(norms, convolutions, strict=True)
        self.branch = nn.Sequential(*(x for a, b in pairs for x in (a, nn.ReLU(), b)))
        self.head = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        x = self.stem(x)
        return self.head(torch.relu(x + self.branch(x)).mean((2, 3, 4)))


#: What they say of one, as --card takes it.
CARD_TOML = """
name = "theirs"
version = "2"
licence = "CC-BY-4.0"
intended_use = "research"
training_data = "120 people, one 3 T scanner"
limits = "not tried elsewhere"
calibration = "SBR of one camera"

[metrics]
rho_c = 0.7
"""

#: Those whose operators the built-in engine has, and those that other engines run.
METHOD = {"bae2023": bae2023, "slim": slim, "mri-dat": mri_dat, "resnet": resnet}
NATIVE = [
    *(vgg, vgg_plain, GlobalHead, Scaled, Viewed, sfcn, leaky_strided, elu_softplus),
    *(resnet10, resnet18, r3d_18, torchvision_r3d_18, Preactivated, *METHOD.values()),
]
OTHERS = [densenet, Concatenated, grouped]
#: torch's current exporter takes seconds for each, and spells the heads of these unlike the older.
BY_DYNAMO = {GlobalHead, Viewed, elu_softplus}

#: The least that their pools leave something of.
PRESET_SHAPES = dict.fromkeys(PRESETS, (8, 8, 8)) | {"mri-dat": (16, 16, 16)}
_SHAPES = {METHOD[name]: shape for name, shape in PRESET_SHAPES.items()} | {
    densenet: (32, 32, 32),
    r3d_18: (20, 20, 16),
    torchvision_r3d_18: (20, 20, 16),
}


def shape_of(factory: object) -> tuple[int, int, int]:
    """Voxels of a patch: small, but for those that shrink it much."""
    return _SHAPES.get(factory, (12, 10, 8))  # type: ignore[call-overload,no-any-return]


def build(factory: object, seed: int = 0) -> nn.Module:
    """Build one, with weights that depend on the seed alone."""
    torch.manual_seed(seed)
    return randomised(factory(), seed)  # type: ignore[operator]
