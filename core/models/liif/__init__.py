"""A local implicit image function for super-resolution; the layers of its decoder are the width."""

from core.models.liif.spec import MODEL

__all__ = ["MODEL"]
