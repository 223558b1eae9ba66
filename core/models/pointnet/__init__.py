"""PointNet for clouds of points; the fully connected layers of its head and of its T-nets are two widths."""

from core.models.pointnet.spec import MODEL

__all__ = ["MODEL"]
