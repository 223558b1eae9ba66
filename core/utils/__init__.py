"""Small things that any package may use.

files.py        files and folders replaced whole or not at all, read within bounds
locks.py        locks that end with the process that holds them
parquet.py      tables, read within bounds, with a note of how they were made
signals.py      stopping on request
fingerprint.py  SHA-256 of named arrays
formatting.py   sizes, durations and foreign texts for people
onnx_runtime.py onnxruntime, imported with its telemetry off
jsonable.py     values as strict JSON can hold them
numbers.py      whole numbers of any library's type
"""
