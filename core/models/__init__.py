"""Models by name: plain networks, each in a folder with `net.py` (PyTorch) and `spec.py` (the rest).

registry.py     MODELS, and the family of a name and settings
base.py         Model: what a spec consists of; checks of settings
onnx_graph.py   building blocks of the ONNX graphs in the specs
source_text.py  a model's plain PyTorch as text, for downloads
rebuild.py      the family of a saved run
"""

from core.models.base import Model
from core.models.registry import MODELS, family, family_for, fit_inputs, recipe_settings, suited
from core.models.source_text import Source, source

__all__ = [
    "MODELS", "Model", "Source", "family", "family_for", "fit_inputs", "recipe_settings", "source", "suited"
]  # fmt: skip
