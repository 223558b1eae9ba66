"""Data sets by name: one file each, and its line in `SOURCES`.

registry.py    SOURCES, and `load`, which finds a data set by its name
digits.py, diabetes.py, openml.py    tables and pictures from scikit-learn and OpenML
mnist.py, idx.py    MNIST and Fashion-MNIST, and the IDX format of their files
photos.py    photographs to fit or to enlarge
modelnet.py, meshes.py, solids.py    clouds of points: ModelNet's folders, the OFF format, made-up solids
"""
