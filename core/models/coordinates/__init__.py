"""A coordinate network for one picture: from a pixel's place to its colour."""

from core.models.coordinates.spec import MODEL

__all__ = ["MODEL"]
