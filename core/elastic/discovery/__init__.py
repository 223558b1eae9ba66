"""Discovery of a layout: which dimension of which tensor belongs to which width. README.md tells how.

infer.py             from shapes; factory.py: calls of the user's factory
axis_rules.py        rules for axes whose order shapes leave open
symmetry.py          the check that features are unordered; random_state.py, outputs.py: its weights and outputs
repair.py            check at two sizes, and other readings where it fails
training_forward.py  one training step through a slice, before any training
importance.py        features by importance; cost.py: multiply-accumulates; chain.py: fully-connected chains
"""
