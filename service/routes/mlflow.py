"""MLflow's scoring server (and SageMaker's): POST /invocations and GET /ping.

A prediction is what a model logged with MLflow would return: the label, null where the model abstains; the list of
labels where there may be any number; {task: label} where there are several tasks, as rows of a data frame.
"""

from __future__ import annotations

from typing import Any

from service import foreign_schemas as schemas
from service.answer import Answer, json_answer
from service.call import Call
from service.errors import InvalidRequestError
from service.golden import said
from service.route import Route
from service.routes.foreign import ERRORS, Foreign, documented, errors_as

FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
ONE_COLUMN = "there must be one column, or one called text"
SEVERAL_COLUMNS = "there must be a column for each of the {count} texts that the model reads together, and no other"


def _error(status: int, code: str, message: str) -> tuple[int, Any]:
    return status, {"error_code": "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR", "message": message}


def routes(foreign: Foreign) -> list[Route]:
    @errors_as(_error)
    async def invocations(call: Call) -> Answer:
        """The best label of each text, in the format of MLflow."""
        content = await foreign.read(call)
        given = [form for form in FORMS if form in content]
        if len(given) != 1 or content.keys() - {*FORMS, "params"}:
            raise InvalidRequestError(f"Give exactly one of {', '.join(FORMS)}, and params if need be.")
        form, deployment = given[0], foreign.registry.choose()
        texts = _texts(form, content[form], deployment.texts_per_record)
        predictions = await foreign.classify(call, deployment, texts, form, 1, says_tasks=True)
        return json_answer({"predictions": [said(prediction) for prediction in predictions]})

    @errors_as(_error)
    async def ping(call: Call) -> Answer:
        """200 while requests are welcome."""
        foreign.registry.check_ready()
        return json_answer({})

    return [
        Route(
            method="POST", endpoint=invocations, needs="infer", errors=ERRORS,
            **documented("/invocations", schemas.MLflowResponse, body=schemas.MLflowRequest, error=schemas.MLflow),
        ),
        Route(
            method="GET", endpoint=ping, errors=(421, 503),
            **documented("/ping", schemas.Body, error=schemas.MLflow),
        ),
    ]  # fmt: skip


def _texts(form: str, value: Any, count: int) -> list[Any]:
    """Texts, or lists of `count` read together, of a list, of columns, or of rows. Raises InvalidRequestError."""
    if form == "dataframe_split":
        if type(value) is not dict or type(value.get("data")) is not list:
            raise InvalidRequestError('dataframe_split must be {"columns": [...], "data": [[...], ...]}.')
        columns = value.get("columns", ["text"])
        if type(columns) is not list:
            raise InvalidRequestError("columns must be a list.")
        if columns.count("text") > 1:
            raise InvalidRequestError("dataframe_split: two columns are called text.")
        rows = value["data"]
        if not all(type(row) is list and len(row) == len(columns) for row in rows):
            raise InvalidRequestError("Each row of data must have a value for each column.")
        return [_cell(columns, row, form, count) for row in rows]
    if type(value) is dict and form in ("inputs", "instances"):
        cells = [cells if type(cells) is list else [cells] for cells in value.values()]
        if len({len(column) for column in cells}) > 1:
            raise InvalidRequestError(f"{form}: the columns are of different lengths.")
        return [_cell([*value], [*row], form, count) for row in zip(*cells, strict=True)] or _none(value, form)
    if type(value) is str:
        return [value]
    if type(value) is not list:
        raise InvalidRequestError(f"{form} must be a list.")
    return [_row(row, form, count) for row in value]


def _row(row: Any, form: str, count: int) -> Any:
    if type(row) is list and len(row) == 1:
        return row[0]
    return _cell([*row], [*row.values()], form, count) if type(row) is dict else row


def _cell(columns: list[Any], row: list[Any], form: str, count: int) -> Any:
    """The text of a row, or its texts in the order of the columns."""
    if count > 1:
        if len(columns) != count:
            raise InvalidRequestError(f"{form}: {SEVERAL_COLUMNS.format(count=count)}.")
        return row
    if "text" not in columns and len(columns) != 1:
        raise InvalidRequestError(f"{form}: {ONE_COLUMN}.")
    return row[columns.index("text") if "text" in columns else 0]


def _none(value: dict[str, Any], form: str) -> list[Any]:
    if not value:
        raise InvalidRequestError(f"{form}: {ONE_COLUMN}.")
    return []
