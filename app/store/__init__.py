"""Cached, read-only access to runs, shared by all visitors. No Streamlit here.

cache.py         runs, their tables and predictions, read once
summary.py       a run in one line, for lists
predictions.py, significance.py   what runs predict, and paired tests
examples.py, polished.py          stored examples, and sizes trained on by themselves
downloads.py     the file of one size, built and checked
"""
