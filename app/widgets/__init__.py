"""Widgets that several pages use.

number_field.py  a field for a figure that is asked for
run_picker.py    names of runs to choose from
notices.py       messages where there is nothing to show
"""
