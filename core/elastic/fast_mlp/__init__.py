"""The fast path of fully-connected chains: the same outputs and gradients as `Elastic` in fewer calls. Optional.

elastic_mlp.py     ElasticMLP, chosen in one line of `core.train.training`
stacked_bands.py   all bands side by side in one product a layer, the smallest from several random starts
whitening.py       inputs that a first layer learns from more easily
all_widths.py      scores of every width in nearly one pass, for the sweep
"""
