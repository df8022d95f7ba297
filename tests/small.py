"""A small residual CNN of any rank: in-place activations, pooling, branches, even kernels."""

import torch
from torch import nn


class SmallResNet(nn.Module):
    def __init__(self, dims=3, in_channels=2, classes=3, width=8, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        conv = (nn.Conv2d, nn.Conv3d)[dims - 2]
        norm = (nn.BatchNorm2d, nn.BatchNorm3d)[dims - 2]
        self.stem = nn.Sequential(conv(in_channels, width, 4, 2, 1), norm(width), nn.ReLU(True))
        self.pool = (nn.MaxPool2d, nn.MaxPool3d)[dims - 2](3, 2, 1)
        self.layer1 = Residual(conv, norm, width, width, 1)
        self.layer2 = Residual(conv, norm, width, 2 * width, 2)
        self.average = (nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dims - 2](1)
        self.fc = nn.Linear(2 * width, classes)
        for module in self.modules():
            if isinstance(module, norm):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        self.eval()

    def forward(self, x):
        x = self.layer2(self.layer1(self.pool(self.stem(x))))
        return self.fc(self.average(x).flatten(1))


class Residual(nn.Module):
    def __init__(self, conv, norm, n_in, n_out, stride):
        super().__init__()
        self.conv1, self.norm1 = conv(n_in, n_out, 3, stride, 1), norm(n_out)
        self.conv2, self.norm2 = conv(n_out, n_out, 3, 1, 1), norm(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = conv(n_in, n_out, 1, stride) if n_in != n_out else nn.Identity()

    def forward(self, x):
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        y += self.shortcut(x)
        return self.relu(y)
