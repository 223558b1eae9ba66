"""The server's doors: which requests reach the explorer, and the headers on every answer.

hosts.py     host names and origins that the server answers to (`ALLOWED_HOSTS`)
headers.py   Content-Security-Policy and its companions
doors.py     the ASGI middleware that checks a request, an upload and an answer
"""

from app.web.doors import Doors
from app.web.headers import security_headers
from app.web.hosts import Hosts

__all__ = ["Doors", "Hosts", "security_headers"]
