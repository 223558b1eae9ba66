"""The page "My runs": find, name, rename, pack, add, remove and restore runs.

page.py     the page, and the chosen run
table.py    search, order and the table
actions.py  what can be done with one run
upload.py   add a run from a zip or a folder
archive.py  removed runs
"""
