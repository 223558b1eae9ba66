"""Browser components: what Streamlit has no widget for, each a folder with its JavaScript and a Python function.

live_slider, live_part   the slider and the readouts that follow it without a message to the server
take_file                the download button that follows the slider
draw_pad                 a pad to draw a digit or a piece of clothing on
copy_link, first_steps   the page's address to copy; the first-steps box
theme                    colours for light and dark
"""
