"""A multilayer perceptron of equal hidden layers, for any data."""

from core.models.mlp.spec import MODEL

__all__ = ["MODEL"]
