"""An example of the visitor's own, run through the selected size and full size.

inputs.py   ask for it: drawn, uploaded, typed, or a stored one
parsing.py  make it into the network's input; it may be hostile
panel.py    the box on the page
"""
