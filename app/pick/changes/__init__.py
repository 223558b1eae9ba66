"""What changes from full size to the selected size, on the same test examples.

compute.py  counts, intervals, mix-ups
charts.py   charts of them
panel.py    the box on the page
"""
