"""The page "Pick a size": ask a question or move the slider, see what a size costs, take the file.

page.py, selected.py    the page, and its parts that depend on the selected size
state.py, question.py   what a visitor chose, and the question with its answer
answer.py, polished.py  sentences about a size, and about a size trained on by itself
examples.py, download.py   example predictions, and the file
changes/, try_it/       what gets worse against full size; an example of the visitor's own
"""
