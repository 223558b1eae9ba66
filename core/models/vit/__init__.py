"""A vision transformer for square pictures; attention heads and feed-forward features are two widths."""

from core.models.vit.spec import MODEL

__all__ = ["MODEL"]
