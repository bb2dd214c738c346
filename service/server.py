"""Bind, run uvicorn, and end with an exit code that says how it went."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service import logs
from service.app import create_app
from service.settings import Settings
from textcnn.errors import TextCNNError

log = logging.getLogger(__name__)

USER_ERROR = 2
BACKLOG = 2048
# Less than the 10 s after which container engines kill.
GRACEFUL_SHUTDOWN_SECONDS = 8


class CannotListenError(Exception):
    """The address cannot be had; the message says why."""


def serve(settings: Settings) -> int:
    """Answer until told to stop. Returns the exit code; raises CannotListenError or TextCNNError."""
    logs.configure(settings.log_level)
    # uvicorn repeats the signal that ended it, once it has finished cleanly; SIGTERM is then no failure.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with listen(settings.host, settings.port) as listener:
        return _serve_in_workers(settings, listener) if settings.workers > 1 else _serve_here(settings, listener)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "the port is in use. Stop the other program, or choose another port with --port"
        elif error.errno == errno.EACCES:
            reason = "not permitted. Ports below 1024 need privileges; choose another with --port"
        else:
            reason = error.strerror or str(error)
        raise CannotListenError(f"cannot listen on {host} port {port}: {reason}") from None


def _serve_here(settings: Settings, listener: socket.socket) -> int:
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(settings, on_load_failure=stop)
    server = uvicorn.Server(uvicorn.Config(app, **_uvicorn_options()))
    _say_listening(listener)
    server.run([listener])
    if failures and isinstance(failures[0], TextCNNError):
        raise failures[0]
    return 1 if failures else 0


def _serve_in_workers(settings: Settings, listener: socket.socket) -> int:
    app = partial(_app_of_worker, settings)
    supervisor = Multiprocess(
        uvicorn.Config(app, factory=True, workers=settings.workers, **_uvicorn_options()), [listener]
    )
    _say_listening(listener)
    supervisor.run()
    failed = any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)
    return USER_ERROR if failed else 0


def _app_of_worker(settings: Settings) -> FastAPI:
    logs.configure(settings.log_level)

    def give_up(error: Exception) -> None:
        # The code by which the supervisor knows that another try would end the same way.
        os._exit(STARTUP_FAILURE)

    return create_app(settings, on_load_failure=give_up)


def _uvicorn_options() -> dict[str, Any]:
    return {
        "http": "httptools",
        "loop": "auto",  # uvloop where it is installed: everywhere but on Windows
        "ws": "none",
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": GRACEFUL_SHUTDOWN_SECONDS,
    }


def _say_listening(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    log.info("listening on %s", url)
