"""Serves one of the examples: `python -m examples.serve examples.todo:app --port 8000`.

Owns the command line, the one line that says where to look, and the errors a newcomer meets first;
everything else is uvicorn's.
"""

import argparse
import errno
import socket
import sys

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware

HTTP_PROTOCOL = "nitro.uvicorn:HttpProtocol"  # direct streams
LOCAL = ["127.0.0.1", "localhost"]


class DemoServer(uvicorn.Server):
    """uvicorn, which says where to look once the application is up, and not before."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            print(f"Nitro demo: open {address} in two tabs; Ctrl-C ends it", flush=True)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, or the end of the program with one line that says what to do instead."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65535 else 8000
            sys.exit(f"Port {port} is in use by another program; try: make demo PORT={other}")
        sys.exit(f"Can't listen: {exc.strerror}; try another --host or --port")


def port_number(text: str) -> int:
    """A TCP port; 0 lets the system choose a free one."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 0 to 65535")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.serve", description="Serve an example.")
    parser.add_argument("app", help="module:attribute, for example examples.todo:app")
    parser.add_argument("--port", type=port_number, default=8000)
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    options = parser.parse_args()

    config = uvicorn.Config(options.app, http=HTTP_PROTOCOL, access_log=False, log_level="warning")
    config.load()
    if options.host in LOCAL:  # a page of another site can't reach this machine under a name of its own
        config.loaded_app = TrustedHostMiddleware(config.loaded_app, LOCAL)
    with listen(options.host, options.port) as listener:
        try:
            DemoServer(config).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn raises Ctrl-C again once it has ended in good order
            print()


if __name__ == "__main__":
    main()
