"""A residual convolutional net for square pictures; its channels are the width."""

from core.models.convnet.spec import MODEL

__all__ = ["MODEL"]
