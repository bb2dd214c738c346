"""What can be wrong with a request, and the JSON body that says so.

RequestError
├── InvalidJSONError           400  the body is not one JSON document in UTF-8, or repeats a key
├── BodyTooLargeError          413  more bytes than we read
├── UnsupportedMediaTypeError  415  not application/json, or compressed
├── InvalidRequestError        422  JSON, but not what this path expects
└── NotReadyError              503  the model is still loading

Anything outside this tree is a fault of ours: 500, with a body that never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.request_context import REQUEST_ID


class RequestError(Exception):
    """Base of all errors whose message is written for the client."""


class InvalidJSONError(RequestError):
    """The body is not one JSON document in UTF-8, or repeats a key."""


class BodyTooLargeError(RequestError):
    """More bytes than we read."""


class UnsupportedMediaTypeError(RequestError):
    """Not application/json, or compressed."""


class InvalidRequestError(RequestError):
    """JSON, but not what this path expects."""


class NotReadyError(RequestError):
    """The model is still loading."""


TABLE: dict[type[RequestError], tuple[int, str]] = {
    InvalidJSONError: (400, "invalid_json"),
    BodyTooLargeError: (413, "body_too_large"),
    UnsupportedMediaTypeError: (415, "unsupported_media_type"),
    InvalidRequestError: (422, "invalid_request"),
    NotReadyError: (503, "not_ready"),
}


def json_response(content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON bytes."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def error_response(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """The one shape of every answer that is not a success."""
    error = {"code": code, "message": message, "request_id": REQUEST_ID.get()}
    return json_response({"error": error}, status=status, headers=headers)


def internal_error() -> Response:
    """Says nothing of the cause: an exception's text may hold paths, names, or somebody's words."""
    return error_response(
        500, "internal_error", "The service failed to answer; its log has the reason under this request id."
    )


async def answer_request_error(request: Request, error: Exception) -> Response:
    """Exception handler for the tree above."""
    assert isinstance(error, RequestError)
    status, code = TABLE[type(error)]
    headers = {"retry-after": "1"} if status == 503 else None
    return error_response(status, code, str(error), headers=headers)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """Exception handler for what the router itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    headers = error.headers or {}
    if error.status_code == 404:
        message = "There is nothing at this path. The main one is POST /v1/classify."
    elif error.status_code == 405:
        message = f"This path takes {headers.get('Allow', 'other methods')} only."
    else:
        message = error.detail
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    return error_response(error.status_code, code, message, headers=headers)
