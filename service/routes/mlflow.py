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
from service.route import Route
from service.routes.foreign import ERRORS, Foreign, documented, errors_as
from textcnn.types import Prediction

FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
ONE_COLUMN = "there must be one column, or one called text"


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
        form = given[0]
        texts = _texts(form, content[form])
        predictions = await foreign.classify(call, foreign.registry.choose(), texts, form, 1, says_tasks=True)
        return json_answer({"predictions": [_answer(prediction) for prediction in predictions]})

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


def _answer(prediction: Prediction) -> Any:
    if prediction.tasks is not None:
        return {task: _answer(found) for task, found in prediction.tasks.items()}
    if prediction.labels is not None:
        return [score.label for score in prediction.labels]
    return None if prediction.abstained else prediction.label


def _texts(form: str, value: Any) -> list[Any]:
    """Texts of a list, of a named column, or of rows. Raises InvalidRequestError."""
    if form == "dataframe_split":
        if type(value) is not dict or type(value.get("data")) is not list:
            raise InvalidRequestError('dataframe_split must be {"columns": [...], "data": [[...], ...]}.')
        columns = value.get("columns", ["text"])
        if type(columns) is not list:
            raise InvalidRequestError("columns must be a list.")
        if "text" not in columns and len(columns) != 1:
            raise InvalidRequestError(f"dataframe_split: {ONE_COLUMN}.")
        place = columns.index("text") if "text" in columns else 0
        rows = value["data"]
        if not all(type(row) is list and len(row) == len(columns) for row in rows):
            raise InvalidRequestError("Each row of data must have a value for each column.")
        return [row[place] for row in rows]
    if type(value) is dict and form in ("inputs", "instances"):
        if "text" not in value and len(value) != 1:
            raise InvalidRequestError(f"{form}: {ONE_COLUMN}.")
        value = value.get("text", next(iter(value.values())))
        return value if type(value) is list else [value]
    if type(value) is str:
        return [value]
    if type(value) is not list:
        raise InvalidRequestError(f"{form} must be a list.")
    return [_cell(row, form) for row in value]


def _cell(row: Any, form: str) -> Any:
    if type(row) is list and len(row) == 1:
        return row[0]
    if type(row) is dict:
        if "text" not in row and len(row) != 1:
            raise InvalidRequestError(f"{form}: {ONE_COLUMN}.")
        return row.get("text", next(iter(row.values())))
    return row
