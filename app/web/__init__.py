"""The server's doors: which requests and changes are allowed, and the headers on every answer. Pages import from here.

access.py    the read-only switch, and the log of changes and downloads
uploads.py   limits of uploads, and when their memory is freed
hosts.py     host names and origins that the server answers to (`ALLOWED_HOSTS`)
headers.py   Content-Security-Policy and its companions
doors.py     the ASGI middleware that checks each request
"""
