"""Charts as plain Plotly dicts and pictures as HTML, free of Streamlit but for the switch under a chart.

axes.py         the range of an axis and its ticks
style.py        colours, symbols, layout and names, shared by all charts
curves.py       the metric over size, for one run and for several
images.py       single examples: pictures, clouds of points, tables
axis_switch.py  the switch between the close-up and all sizes
"""
