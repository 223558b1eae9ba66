"""The explorer: a Streamlit app over a run store. `main.py` is the router, and each page is a file."""
