"""What an operator can set. A flag of `python -m service` wins over its environment variable, that over the default."""

from __future__ import annotations

import difflib
import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ByteSize, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parent.parent
ENV_PREFIX = "TEXTCNN_"

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})

Seconds = Annotated[float, Field(gt=0, le=3600)]
AtLeastOne = Annotated[int, Field(ge=1, le=10**12)]  # more than there is, and as seconds still a float
# What Kubernetes puts into the environment of every container beside a Service that is called textcnn.
SERVICE_LINK = "tcp://"


def default_models_folder() -> Path:
    """`./models`, else the `models/` that ships beside this package."""
    here, shipped = Path("models"), CHECKOUT / "models"
    return shipped if shipped.is_dir() and not here.is_dir() else here


class Settings(BaseSettings):
    """Classify texts over HTTP. Each flag can be given in the environment as well: --max-texts as TEXTCNN_MAX_TEXTS."""

    # Made once, at the start, and handed on: nothing else in the service reads the environment.

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        cli_prog_name="python -m service",
        cli_kebab_case=True,
        cli_implicit_flags=True,
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    models: Path = Field(
        default_factory=default_models_folder,
        description="folder of <name>/<version>/; ./models, else the one that ships beside this package",
    )
    model: str = Field(
        "",
        description="name, name/version or path of the model, or of several with commas; empty: every name in the "
        "folder, each by its highest version",
    )
    default_model: str = Field(
        "",
        description="name of the model that answers what names none; empty: the first of --model, or the only one. "
        "Where there are several and neither is given, each request has to name one",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    engine: str = Field("auto", description="what computes the answers; auto takes the fastest that can run the model")
    table_precision: Literal["float32", "float16", "int8"] = Field(
        "float32", description="numbers in the table engine's tables: less memory and more speed, or exact"
    )
    table_budget: ByteSize = Field(
        ByteSize(1 << 30), description="memory for those tables, e.g. 200MB; rarer words are computed when they are met"
    )
    threads: int = Field(1, ge=0, description="CPU threads of one request; 0: one per core")
    max_texts: AtLeastOne = Field(1024, description="texts in one request")
    max_text_chars: AtLeastOne = Field(100_000, description="characters in one text")
    max_body_bytes: AtLeastOne = Field(2_000_000, description="bytes in one request body")
    max_batch_texts: AtLeastOne = Field(256, description="texts in one run of the model")
    max_batch_chars: AtLeastOne = Field(65_536, description="characters in one run of the model")
    max_wait_ms: AtLeastOne = Field(500, description="forecast wait, ms, from which requests are refused with 429")
    max_queued_bytes: ByteSize = Field(
        ByteSize(64 << 20), description="size of all texts that wait, from which requests are refused with 429"
    )
    max_timeout_ms: AtLeastOne = Field(
        30_000, description="longest that a request may wait for its turn; X-Request-Timeout-Ms asks for less"
    )
    keys: Path | None = Field(
        None, description="file of keys, made by python -m service.keys; without it, none is asked for"
    )
    allow_anonymous: bool = Field(False, description="listen beyond this machine though no keys are given")
    feedback: Path | None = Field(
        None, description="folder for what POST /v1/feedback is told; without it there is none"
    )
    feedback_file_bytes: ByteSize = Field(
        ByteSize(64 << 20), description="size at which another feedback file is begun"
    )
    tls_cert: Path | None = Field(None, description="file of the certificate chain, PEM; turns TLS on")
    tls_key: Path | None = Field(None, description="file of its private key, PEM; if it is not in the same file")
    tls_client_ca: Path | None = Field(None, description="certificates, PEM, that clients' own must be signed by: mTLS")
    header_timeout: Seconds = Field(10.0, description="seconds for a client to send the headers of a request")
    body_timeout: Seconds = Field(20.0, description="seconds for a client to send a body, or to read an answer")
    drain_seconds: Seconds = Field(
        0.5, description="seconds from SIGTERM (/health/ready says no) to closing; more than your balancer's interval"
    )
    admin_port: int = Field(0, ge=0, le=65535, description="port for changing models while running; 0: none")
    admin_host: str = Field("127.0.0.1", description="address of the admin port; beyond this machine it needs a key")
    hosts: str = Field(
        "", description="names, with commas, for the Host header; empty: local ones on loopback, any elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe line that is logged"
    )
    docs: bool = Field(True, description="serve /docs and /openapi.json")
    traces: bool = Field(False, description="send a span of each request by OpenTelemetry, as the OTEL_* variables say")
    playground: bool = Field(True, description="serve /playground, a page to try the models on")
    workers: AtLeastOne = Field(1, description="processes, each with its own copy of the model")

    @field_validator("host", "admin_host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        """An IPv6 address as it stands in a URL is one."""
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("hosts")
    @classmethod
    def _as_clients_send_them(cls, hosts: str) -> str:
        return ",".join(_name_on_the_wire(name.strip()) for name in hosts.split(",") if name.strip())

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_local(self.host)

    @property
    def admin_is_local(self) -> bool:
        return _is_local(self.admin_host)

    @property
    def admin_host_names(self) -> frozenset[str]:
        """As `host_names`, of the admin port. Where others can reach it, a key is asked for."""
        return LOCAL_NAMES | {self.admin_host} if self.admin_is_local else frozenset()

    @property
    def host_names(self) -> frozenset[str]:
        """What the Host header may say; empty: anything."""
        given = frozenset(filter(None, self.hosts.split(",")))
        return given or (LOCAL_NAMES | {self.host} if self.is_local else frozenset())


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, and names may lead anywhere
        return host.lower() == "localhost"


def _name_on_the_wire(name: str) -> str:
    """In lower case and ASCII, as it stands in a Host header."""
    try:
        found = name.lower().encode("idna").decode("ascii")
    except UnicodeError:
        found = ""
    if not re.fullmatch(r"[a-z0-9._:\[\]-]+", found):
        raise PydanticCustomError(
            "host_name", "{name} is no name of a host; give names in full, such as a.example", {"name": repr(name)}
        )
    return found


def misspelled() -> list[str]:
    """Of the variables of the environment those that are nearly a setting's, a sentence each."""
    names = [name.upper() for name in Settings.model_fields]
    found = []
    for variable in sorted(os.environ):
        prefix, name = variable[: len(ENV_PREFIX)].upper(), variable[len(ENV_PREFIX) :].upper()
        near = difflib.get_close_matches(name, names, 1, 0.75)
        if prefix == ENV_PREFIX and name not in names and near:
            found.append(f"{variable} is no setting, and has no effect; did you mean {ENV_PREFIX}{near[0]}?")
    return found


def describe_faults(error: ValidationError) -> str:
    """One line for each wrong setting, by the two names under which it can be given."""
    lines = []
    for fault in error.errors():
        name = str(fault["loc"][0])
        flag, variable = "--" + name.replace("_", "-"), ENV_PREFIX + name.upper()
        lines.append(f"{flag} / {variable}: {fault['msg']} (given: {fault['input']!r})")
        if str(fault["input"]).startswith(SERVICE_LINK):
            lines.append(
                f"  Kubernetes sets {variable} where a Service is called textcnn: give {flag}, or say "
                "enableServiceLinks: false in the pod's specification"
            )
    return "\n".join(lines)
