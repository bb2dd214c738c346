"""Bind, run uvicorn in this process or in several, and end with an exit code that says how it went."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import parent_process
from types import FrameType
from typing import Any

import uvicorn

from service import logs
from service.app import create_app
from service.feedback import check_folder
from service.files import read_file
from service.find_model import find_served
from service.follow import follow
from service.gpus import take_gpu
from service.guard import Limits, guarded, look_over
from service.keys import read_keys
from service.lifecycle import Lifecycle
from service.memory import return_memory
from service.settings import Settings, misspelled
from service.supervisor import STARTUP_FAILURE, WORKER, Ending, supervise
from textcnn.errors import TextCNNError

log = logging.getLogger(__name__)

USER_ERROR = 2
EXIT_CODES: dict[Ending, int] = {"well": 0, "cannot start": USER_ERROR, "killed": 1}
BACKLOG = 2048
# Less than the 10 s after which container engines kill.
GRACEFUL_SHUTDOWN_SECONDS = 8
CUT_OFF_SECONDS = 5  # well before uvicorn would cancel what is under way
EXIT_SECONDS = 1.0  # from the last answer to the end of the process
# How long the event loop may wait for a batch's thread to let go of the interpreter; Python's own 5 ms is too long.
SWITCH_SECONDS = 0.0005

Sockets = list[tuple[socket.socket, bool]]  # with whether it is the admin's


class CannotListenError(Exception):
    """The address cannot be had; the message says why."""


def serve(settings: Settings) -> int:
    """Answer until told to stop. Returns the exit code; raises CannotListenError or TextCNNError."""
    logs.configure(settings.log_level)
    # uvicorn repeats the signal that ended it, once it has finished cleanly; SIGTERM is then no failure.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if settings.keys:
        # Its old meaning, "read your files again", is done without being told; its default would end the service.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for doubt in misspelled():
        log.warning(doubt)
    # what can be wrong is said before anything listens, and by one process
    _check_access(settings)
    _check_tls(settings)
    find_served(settings.models, settings.model, settings.default_model)
    if settings.feedback:
        check_folder(settings.feedback)
    with ExitStack() as stack:
        listeners = [stack.enter_context(listen(settings.host, settings.port))]
        if settings.admin_port:
            listeners.append(stack.enter_context(listen(settings.admin_host, settings.admin_port, "--admin-port")))
        for listener, name in zip(listeners, ("listening", "admin listening"), strict=False):
            log.info("%s on %s", name, _url(listener, tls=settings.tls_cert is not None and name == "listening"))
        if settings.workers == 1:
            failure = _run(settings, listeners)
            if isinstance(failure, TextCNNError):
                raise failure
            return 1 if failure else 0
        wait = settings.drain_seconds + GRACEFUL_SHUTDOWN_SECONDS + EXIT_SECONDS
        return EXIT_CODES[supervise(work, (settings, listeners), settings.workers, wait=wait)]


def work(settings: Settings, listeners: list[socket.socket], replacement: bool) -> None:
    """One process of several. A replacement takes no requests from the others before it can answer them."""
    logs.configure(settings.log_level)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if gpu := take_gpu(int(os.environ.get(WORKER, "0")), settings.device):
        log.info("using a GPU", extra={"fields": {"gpu": gpu}})
    try:
        failure = _run(settings, listeners, ready_first=replacement)
    except (TextCNNError, OSError) as error:  # what was right when the others began
        log.critical("cannot start: %s", error)
        sys.exit(STARTUP_FAILURE)
    if failure:
        sys.exit(STARTUP_FAILURE)


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A listening socket; `option` is where its port was named. Raises CannotListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"the port is in use. Stop the other program, or choose another with {option}"
        elif error.errno == errno.EACCES:
            reason = f"not permitted. Ports below 1024 need privileges; choose another with {option}"
        else:
            reason = error.strerror or str(error)
        raise CannotListenError(f"cannot listen on {host} port {port}: {reason}") from None


def _check_access(settings: Settings) -> None:
    keys = read_keys(settings.keys)
    if not settings.is_local and not keys and not settings.allow_anonymous:
        raise CannotListenError(
            f"not listening on {settings.host}, where others can reach it, without keys. Make one with "
            "python -m service.keys add NAME --file keys.jsonl and say --keys keys.jsonl, "
            "or let everybody in with --allow-anonymous"
        )
    if settings.admin_port and not settings.admin_is_local and not any("admin" in key.scopes for key in keys.keys):
        raise CannotListenError(f"not listening on {settings.admin_host} for admins without a key of scope admin")


def _check_tls(settings: Settings) -> None:
    if not settings.tls_cert:
        for flag, file in (("--tls-key", settings.tls_key), ("--tls-client-ca", settings.tls_client_ca)):
            if file:
                raise CannotListenError(f"not listening without TLS, for {flag} is given; name the --tls-cert, too")
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        _load_pair(context, settings)
    except (OSError, ssl.SSLError) as error:
        # OpenSSL's own words are of no help: they do not even name the file
        key = f" with the key {settings.tls_key}" if settings.tls_key else ""
        raise CannotListenError(f"the TLS certificate {settings.tls_cert}{key} cannot be used: {error}") from None
    try:
        if settings.tls_client_ca:
            read_file(settings.tls_client_ca)
            context.load_verify_locations(settings.tls_client_ca)
    except (OSError, ssl.SSLError) as error:
        raise CannotListenError(f"--tls-client-ca {settings.tls_client_ca} cannot be used: {error}") from None


def _load_pair(context: ssl.SSLContext, settings: Settings) -> None:
    """The certificate and its key into `context`. Raises OSError, ssl.SSLError."""
    assert settings.tls_cert
    for file in (settings.tls_cert, settings.tls_key):
        if file:
            read_file(file)  # who waits for a pipe, waits for ever
    context.load_cert_chain(settings.tls_cert, settings.tls_key, _no_password)


def _no_password() -> str:
    """In the place of OpenSSL's, which asks on the terminal, and again whenever a certificate is renewed."""
    raise OSError("the key is encrypted; write it without (openssl pkey), in a file that only the service can read")


class WatchedServer(uvicorn.Server):
    """Looks over its connections while it serves, and breaks those that do not end when it does."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        looking = asyncio.ensure_future(look_over(self.server_state))
        try:
            await super().serve(sockets)
        finally:
            looking.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(CUT_OFF_SECONDS, self._cut_off)
        await super().shutdown(sockets)
        timer.cancel()

    def _cut_off(self) -> None:
        """Of clients that do not read their answers to the end."""
        connections = list(self.server_state.connections)
        if connections:
            log.warning("connections are broken, for the service ends", extra={"fields": {"count": len(connections)}})
        for connection in connections:
            connection.transport.abort()


class Server(WatchedServer):
    """Told to end, it first says so (/health/ready), then answers for a while, then closes."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._lifecycle.draining and not self.should_exit:
            self._lifecycle.draining = True
            log.info("draining")
            self._captured_signals.append(sig)
            # From a signal handler, so by way of the loop.
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, self._stop)
            return
        if sig == signal.SIGINT and self.should_exit and parent_process():
            return  # from the terminal and from the supervisor: that is one Ctrl-C, and no wish to end by force
        super().handle_exit(sig, frame)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def _stop(self) -> None:
        self.should_exit = True


class AdminServer(WatchedServer):
    """Ends with the other server; signals are not its business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _run(settings: Settings, listeners: list[socket.socket], *, ready_first: bool = False) -> Exception | None:
    """Serve in this process until told to stop; what kept a model from loading, if that was the end of it."""
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    lifecycle = Lifecycle()
    app = create_app(settings, on_load_failure=stop, lifecycle=lifecycle, ready_first=ready_first)
    limits = Limits(settings.header_timeout, settings.body_timeout, app.streams, app.turn_away)
    server = Server(_config(app, limits, settings), lifecycle, settings.drain_seconds)
    admin = AdminServer(_config(app.admin, limits)) if len(listeners) > 1 else None
    sys.setswitchinterval(SWITCH_SECONDS)
    return_memory()

    async def serve_all() -> None:
        if settings.tls_cert:
            files = [settings.tls_cert, *([settings.tls_key] if settings.tls_key else [])]
            renewing = asyncio.ensure_future(follow(files, partial(_renew, server.config, settings)))
        beside = asyncio.ensure_future(admin.serve([listeners[1]])) if admin else None
        try:
            await server.serve([listeners[0]])
        finally:  # it ends by the signal that it was sent
            if settings.tls_cert:
                renewing.cancel()
            if admin and beside:
                admin.should_exit = True
                await beside

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        _limit_handshakes(runner.get_loop(), settings.header_timeout)
        runner.run(serve_all())
    return failures[0] if failures else None


def _limit_handshakes(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Close what does not begin TLS in time: uvicorn has no setting for it, and the loop's own limit is 60 s."""
    create = loop.create_server

    async def create_server(*args: Any, ssl: Any = None, **options: Any) -> asyncio.Server:
        if ssl:
            options["ssl_handshake_timeout"] = seconds
        return await create(*args, ssl=ssl, **options)

    loop.create_server = create_server  # type: ignore[method-assign]  # uvicorn asks the loop, with options of its own


def _config(app: Any, limits: Limits, settings: Settings | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=guarded(limits),
        loop="auto",  # uvloop where it is installed: everywhere but on Windows
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        **(_tls(settings) if settings else {}),
    )


def _tls(settings: Settings) -> dict[str, Any]:
    if settings.tls_cert is None:
        return {}
    options: dict[str, Any] = {"ssl_certfile": settings.tls_cert, "ssl_keyfile": settings.tls_key}
    if settings.tls_client_ca:
        options |= {"ssl_ca_certs": str(settings.tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options


def _renew(config: uvicorn.Config, settings: Settings) -> None:
    """Show the certificate that the files have now to whom connects from now on."""
    assert config.ssl
    try:
        # tried aside first: half a pair would spoil the one in use
        for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), config.ssl):
            _load_pair(context, settings)
    except (OSError, ssl.SSLError) as error:
        log.error("the TLS certificate stays as it was: %s", error)


def _url(listener: socket.socket, *, tls: bool) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
