"""The explorer: a Streamlit app over a store of runs. README.md in this folder says where to add a page or a chart.

main.py       the router: the table of pages
server.py     the server: what it reads ahead, and the address of downloads; how to serve others: SERVING.md
url_state.py  the address of a page as its state; words.py: figures and names as text
pick/ compare/ my_runs/ help/   a folder a page, each with `page.page()`
widgets/ store/ charts/ web/ components/   shared parts; each imports only those to its right, url_state and words
"""
