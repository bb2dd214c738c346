"""What can be wrong with a request, and the JSON body that says so.

RequestError
├── BadRequestError            400  not HTTP as it has to be
├── InvalidJSONError           400  the body is not one JSON document in UTF-8, or repeats a key
├── UnauthorizedError          401  no key, or one we do not know
├── ForbiddenError             403  the key is not for this
├── NotFoundError              404  no such path
├── UnknownModelError          404  no such model, version or alias
├── MethodNotAllowedError      405  the path takes other methods
├── ConflictError              409  what is asked for cannot be done as things stand
├── BodyTooLargeError          413  more bytes than we read
├── UnsupportedMediaTypeError  415  not a type this path reads, or compressed
├── MisdirectedError           421  the Host header names somebody else
├── InvalidRequestError        422  well-formed, but not what this path expects
├── OverloadedError            429  more work is waiting than can be done in time
├── RateLimitedError           429  the key has used up what it may
├── ClientGoneError            499  nobody is left to answer
├── NotReadyError              503  the model is still loading, or the service is ending
├── DeadlineError              504  it would have come later than the client wanted
└── NotKeptError               507  the disk is full, or fails

Anything outside this tree is a fault of ours: 500, with a body that never changes.
"""

from __future__ import annotations

from service.answer import Answer, json_answer
from service.request_context import REQUEST_ID
from service.schemas import ERROR_KINDS


class RequestError(Exception):
    """Base of all errors whose message is written for the client."""

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers or {}


class BadRequestError(RequestError):
    """Not HTTP as it has to be."""


class InvalidJSONError(RequestError):
    """The body is not one JSON document in UTF-8, or repeats a key."""


class UnauthorizedError(RequestError):
    """No key, or one we do not know."""


class ForbiddenError(RequestError):
    """The key is not for this."""


class NotFoundError(RequestError):
    """No such path."""


class UnknownModelError(RequestError):
    """No such model, version or alias."""


class MethodNotAllowedError(RequestError):
    """The path takes other methods."""


class ConflictError(RequestError):
    """What is asked for cannot be done as things stand."""


class BodyTooLargeError(RequestError):
    """More bytes than we read."""


class UnsupportedMediaTypeError(RequestError):
    """Not a type this path reads, or compressed."""


class MisdirectedError(RequestError):
    """The Host header names somebody else."""


class InvalidRequestError(RequestError):
    """Well-formed, but not what this path expects."""


class OverloadedError(RequestError):
    """More work is waiting than can be done in time."""


class RateLimitedError(RequestError):
    """The key has used up what it may."""


class ClientGoneError(RequestError):
    """Nobody is left to answer."""


class NotReadyError(RequestError):
    """The model is still loading, or the service is ending."""

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"retry-after": "1"})


class DeadlineError(RequestError):
    """It would have come later than the client wanted."""


class NotKeptError(RequestError):
    """The disk is full, or fails."""


CODES: dict[type[RequestError], str] = {
    BadRequestError: "bad_request",
    InvalidJSONError: "invalid_json",
    UnauthorizedError: "unauthorized",
    ForbiddenError: "forbidden",
    NotFoundError: "not_found",
    UnknownModelError: "unknown_model",
    MethodNotAllowedError: "method_not_allowed",
    ConflictError: "conflict",
    BodyTooLargeError: "body_too_large",
    UnsupportedMediaTypeError: "unsupported_media_type",
    MisdirectedError: "misdirected",
    InvalidRequestError: "invalid_request",
    OverloadedError: "overloaded",
    RateLimitedError: "rate_limited",
    ClientGoneError: "client_gone",
    NotReadyError: "not_ready",
    DeadlineError: "deadline_passed",
    NotKeptError: "not_kept",
}
TABLE = {kind: (ERROR_KINDS[code].status, code) for kind, code in CODES.items()}

# Says nothing of the cause: an exception's text may hold paths, names, or somebody's words.
INTERNAL = ("internal_error", "The service failed to answer; its log has the reason under this request id.")


def error_body(code: str, message: str) -> dict[str, dict[str, str]]:
    """The one shape of every answer that is not a success."""
    return {"error": {"code": code, "message": message, "request_id": REQUEST_ID.get()}}


def error_answer(error: Exception) -> Answer:
    """The answer to an error of the tree above, or of none."""
    if isinstance(error, RequestError):
        status, code = TABLE[type(error)]
        return json_answer(error_body(code, str(error)), status=status, headers=error.headers)
    return json_answer(error_body(*INTERNAL), status=ERROR_KINDS[INTERNAL[0]].status)
