"""Compare the three recipes with dedicated models on Fashion-MNIST, three seeds: python benchmarks/recipes.py

The part of `quality.py` on the recipes, with its options, table and files: `ours` is `stratified`, and `slimmable` is
`sandwich` with distillation and the best learning rate. Both scripts share their results.
"""

import sys

from quality import main

ASKED = ("dedicated", "paper", "ours", "slimmable")

if __name__ == "__main__":
    main(["--task", "fashion-mlp", *(word for name in ASKED for word in ("--contender", name)), *sys.argv[1:]])
