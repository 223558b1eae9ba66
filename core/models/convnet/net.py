"""A residual convolutional net with batch normalisation (He et al., 2016) on raw pictures of one channel."""

import torch
from torch import nn


class Normalise(nn.Module):
    """Standardise raw values to mean 0 and deviation 1: `x * scale + shift`, set from the training data."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("shift", torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, features) to the same shape."""
        return torch.addcmul(self.shift, x, self.scale)


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions; the shortcut is a 1 x 1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.around = nn.Conv2d(inputs, outputs, 1, bias=False) if project else nn.Identity()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        y = torch.relu(self.norm1(self.conv1(x)))
        # subsampled first: oneDNN's backward pass of a strided 1 x 1 convolution writes past its memory for few
        # channels in channels-last order (uxlfoundation/oneDNN, issue 6035)
        x = x[:, :, :: self.stride, :: self.stride]
        return torch.relu(self.norm2(self.conv2(y)) + self.around(x))


class ConvNet(nn.Module):
    """A strided convolution, one residual block a stage (each halves the size), the mean over pixels, scores."""

    def __init__(self, size: int, channels: list[int], classes: int) -> None:
        super().__init__()
        self.size = size
        self.normalise = Normalise(size * size)
        self.first = nn.Conv2d(1, channels[0], 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(channels[0])
        blocks, inputs = [], channels[0]
        for stage, outputs in enumerate(channels):
            blocks.append(Block(inputs, outputs, stride=2 if stage else 1, project=stage > 0))
            inputs = outputs
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Linear(channels[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map raw pixels (batch, size, size) to scores (batch, classes)."""
        x = self.normalise(x.flatten(1)).view(-1, 1, self.size, self.size)
        x = torch.relu(self.norm(self.first(x)))  # (batch, channels[0], size / 2, size / 2)
        x = x.contiguous(memory_format=torch.channels_last)  # the memory order in which CPUs convolve faster
        x = self.stages(x)  # (batch, channels[-1], size / 8, size / 8)
        scores: torch.Tensor = self.head(x.mean((2, 3)))
        return scores


def convnet(channels: list[int], classes: int = 10, size: int = 28) -> nn.Module:
    """Build a residual net from raw pixels (batch, size, size) to scores (batch, classes).

    Parameters
    ----------
    channels
        Channels of each stage; a convolution changes their number, so they are independent of one another.
    classes, size
        Number of classes, and pixels of a picture's side.
    """
    return ConvNet(size, channels, classes)
