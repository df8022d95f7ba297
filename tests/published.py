"""A network laid out as EfficientNet-PyTorch-3D lays out its own, written for the tests.

The same names of modules and weights, blocks in one list that are called with a second argument,
padding by a function, an activation that is an autograd function. Axes are y, x, z.
"""

import torch
import torch.nn.functional as F
from torch import nn

STAGES = [  # repeats, kernel, stride, expansion, filters in, filters out
    (1, 3, 2, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]


class SwishFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, slope):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return slope * (s + x * s * (1 - s))


class Swish(nn.Module):
    def forward(self, x):
        return SwishFunction.apply(x)


class SamePadding(nn.Conv3d):
    """The padding that an even input needs, fixed when the layer is made."""

    def forward(self, x):
        pad = max(self.kernel_size[0] - self.stride[0], 0)
        x = F.pad(x, [pad // 2, pad - pad // 2] * 3) if pad else x
        return F.conv3d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class Block(nn.Module):
    def __init__(self, kernel, stride, expansion, n_in, n_out):
        super().__init__()
        wide, few = n_in * expansion, max(1, int(n_in * 0.25))
        if expansion != 1:
            self._expand_conv = SamePadding(n_in, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm3d(wide, eps=1e-3)
        self._depthwise_conv = SamePadding(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm3d(wide, eps=1e-3)
        self._se_reduce, self._se_expand = SamePadding(wide, few, 1), SamePadding(few, wide, 1)
        self._project_conv = SamePadding(wide, n_out, 1, bias=False)
        self._bn2 = nn.BatchNorm3d(n_out, eps=1e-3)
        self._swish = Swish()
        self.residual = stride == 1 and n_in == n_out

    def forward(self, inputs, drop_connect_rate=None):
        x = inputs
        if hasattr(self, "_expand_conv"):
            x = self._swish(self._bn0(self._expand_conv(x)))
        x = self._swish(self._bn1(self._depthwise_conv(x)))
        squeezed = self._se_expand(self._swish(self._se_reduce(F.adaptive_avg_pool3d(x, 1))))
        x = self._bn2(self._project_conv(torch.sigmoid(squeezed) * x))
        return x + inputs if self.residual else x


class PublishedLayout(nn.Module):
    def __init__(self, in_channels=6, num_classes=6, width=1.0):
        super().__init__()

        def filters(n):
            rounded = max(8, int(n * width + 4) // 8 * 8)
            return rounded + 8 if rounded < 0.9 * n * width else rounded

        self._conv_stem = SamePadding(in_channels, filters(32), 3, 2, bias=False)
        self._bn0 = nn.BatchNorm3d(filters(32), eps=1e-3)
        self._blocks = nn.ModuleList()
        for repeats, kernel, stride, expansion, n_in, n_out in STAGES:
            self._blocks.append(Block(kernel, stride, expansion, filters(n_in), filters(n_out)))
            for _ in range(repeats - 1):
                self._blocks.append(Block(kernel, 1, expansion, filters(n_out), filters(n_out)))
        self._conv_head = SamePadding(filters(320), filters(1280), 1, bias=False)
        self._bn1 = nn.BatchNorm3d(filters(1280), eps=1e-3)
        self._avg_pooling = nn.AdaptiveAvgPool3d(1)
        self._dropout = nn.Dropout(0.2)
        self._fc = nn.Linear(filters(1280), num_classes)
        self._swish = Swish()

    def forward(self, x):
        x = self._swish(self._bn0(self._conv_stem(x)))
        for i, block in enumerate(self._blocks):
            x = block(x, drop_connect_rate=0.2 * i / len(self._blocks))
        x = self._avg_pooling(self._swish(self._bn1(self._conv_head(x))))
        return self._fc(self._dropout(x.view(len(x), -1)))
