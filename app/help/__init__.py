"""The page "Help": how it works in one figure, what can be done where, the words, the limits.

page.py    the page
figure.py  the figure as SVG
text.py    the texts
"""
