"""Bodies of requests: JSON read strictly, checked, and documented. Shared by the routes and the lines of a stream."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from service.errors import InvalidJSONError, InvalidRequestError
from service.native_wire import native

Form = TypeVar("Form", bound=BaseModel)


def parse_json(body: bytes, what: str = "body") -> Any:
    """The body's one JSON document. Raises InvalidJSONError, which calls it `what`."""
    try:
        # Refuses NaN, Infinity, lone surrogates, bad UTF-8 and more than 1024 levels, and never quotes the body.
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJSONError(f"The {what} is not JSON: {error}.") from None


def parse_unrepeated(body: bytes, what: str = "body") -> Any:
    """As `parse_json`; raises InvalidJSONError for a field that is given twice as well, at any depth."""
    content = parse_json(body, what)
    if quotes(body) != 2 * _strings(content):
        raise InvalidJSONError(f"The {what} gives a field twice.")
    return content


def _strings(content: Any) -> int:
    """Strings in a JSON document, names of fields among them."""
    count, rest = 0, [content]
    while rest:
        part = rest.pop()
        if type(part) is str:
            count += 1
        elif type(part) is list:
            rest += part
        elif type(part) is dict:
            count += len(part)
            rest += part.values()
    return count


def validated(form: type[Form], content: Any) -> Form:
    """The content as `form`. Raises InvalidRequestError with the first fault."""
    try:
        return form.model_validate(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if not first["loc"]:
            raise InvalidRequestError("The body must be a JSON object.") from None
        where = ".".join(map(str, first["loc"]))
        raise InvalidRequestError(f"{where}: {first['msg']}.") from None


def check_texts(texts: Any, name: str, *, max_texts: int, max_text_chars: int) -> None:
    """Raises InvalidRequestError unless `texts` is a list of texts within the limits, and not empty."""
    if type(texts) is not list:
        raise InvalidRequestError(f"{name} must be a list of strings; for a single string use text.")
    if not texts:
        raise InvalidRequestError(f"{name} is empty; give at least one.")
    if len(texts) > max_texts:
        raise InvalidRequestError(f"{len(texts):,} texts in one request; at most {max_texts:,}.")
    if set(map(type, texts)) == {str} and max(map(len, texts)) <= max_text_chars:
        return
    for index, text in enumerate(texts):
        if type(text) is not str or len(text) > max_text_chars:
            check_text(text, f"{name}[{index}]", max_text_chars)


def check_text(text: Any, where: str, max_text_chars: int) -> None:
    """Raises InvalidRequestError unless `text` is a string, or several, within the limit all together."""
    parts = text if type(text) is list and text else [text]
    if not all(type(part) is str for part in parts):
        raise InvalidRequestError(f"{where} must be a string.")
    if (characters := sum(map(len, parts))) > max_text_chars:
        raise InvalidRequestError(f"{where} has {characters:,} characters; at most {max_text_chars:,}.")


def quotes(body: bytes) -> int:
    """Quotation marks that open or close a string in valid JSON."""
    if compiled := native():
        found: int = compiled.quotes(body)
        return found
    count = body.count(b'"')
    if b"\\" in body:
        # Of a run of backslashes only an odd last one escapes what follows.
        count -= body.replace(rb"\\", b"").count(b'\\"')
    return count


def request_body(
    one_text: type[BaseModel], several_texts: type[BaseModel], *, max_texts: int, max_text_chars: int
) -> dict[str, Any]:
    """OpenAPI of a request with a text or with several, with the limits that are in force."""
    one, several = one_text.model_json_schema(), several_texts.model_json_schema()
    one["properties"]["text"]["maxLength"] = max_text_chars
    several["properties"]["texts"]["items"]["maxLength"] = max_text_chars
    several["properties"]["texts"]["maxItems"] = max_texts
    return {"required": True, "content": {"application/json": {"schema": {"oneOf": [one, several]}}}}
