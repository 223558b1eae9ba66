"""The page "Compare runs": two to four runs on one chart, and the best run at every size.

page.py, panels.py       the page, and its parts that open on a click
state.py                 what a visitor chose, from widgets and links
verdict.py               which run is better, and whether the data can tell
agreement.py, per_class.py, frontier.py   what the parts compute
charts.py, tables.py, report.py           how it is shown, and exported
"""
