"""Server-sent events over ASGI: the response, the connection that it writes to, and how streams end."""
