# SPDX-License-Identifier: Apache-2.0
"""Networks as other groups write them, with random weights and random running statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch normalisation statistics as training leaves them."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: torch.Tensor, low: float, high: float) -> None:
        with torch.no_grad():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for module in network.modules():
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
    """Build torchvision's r3d_18 with one channel, narrow; its package wants CUDA."""
    layers = conv(1, 8, kernel_size=(3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3))
    n_in = 8
    for width, stride in ((8, 1), (16, 2), (32, 2), (64, 2)):
        layers += [Block(n_in, width, stride), Block(width, width, 1)]
        n_in = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 1))


def densenet() -> nn.Module:
    """MONAI's DenseNet-121, narrow: it concatenates, which the built-in engine does not."""
    return monai("DenseNet121", in_channels=1, out_channels=1, init_features=8, growth_rate=4)


class Concatenated(nn.Module):
    """Two branches side by side, which the built-in engine does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Sequential(*conv(1, 4)), nn.Sequential(*conv(1, 4))
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict."""
        return self.head(torch.cat([self.first(x), self.second(x)], 1).mean((2, 3, 4)))


#: Those whose operators the built-in engine has, and those that other engines run.
NATIVE = [
    *(vgg, vgg_plain, GlobalHead, Scaled, Viewed, sfcn, leaky_strided, elu_softplus),
    *(resnet10, resnet18, r3d_18),
]
OTHERS = [densenet]


def shape_of(factory: object) -> tuple[int, int, int]:
    """Voxels of a patch: small, but for those that shrink it much."""
    return (
        (32, 32, 32) if factory is densenet else (20, 20, 16) if factory is r3d_18 else (12, 10, 8)
    )


def build(factory: object, seed: int = 0) -> nn.Module:
    """Build one, with weights that depend on the seed alone."""
    torch.manual_seed(seed)
    return randomised(factory(), seed)  # type: ignore[operator]
