"""TensorFlow Serving's REST: POST /v1/models/{name}:predict and :classify, of the live version or of one.

A model with one output gives a row of probabilities for each text, one with several tasks {task: row}, as a SavedModel
with several outputs does. GET /v1/models/{name} is the state of its versions.
"""

from __future__ import annotations

from typing import Any

from service import foreign_schemas as schemas
from service.answer import Answer, json_answer
from service.call import Call
from service.errors import InvalidRequestError
from service.route import Route
from service.routes.foreign import ERRORS, Foreign, documented, errors_as, in_order, plain_error
from textcnn.types import task_labels


def routes(foreign: Foreign) -> list[Route]:
    @errors_as(plain_error)
    async def predict_tf_serving(call: Call) -> Answer:
        """Probabilities of all labels, in the model's order, in the format of TensorFlow Serving."""
        content = await foreign.read(call)
        deployment = foreign.registry.choose("/".join(call.parameters.values()))
        texts = _texts(content, "instances")
        predictions = await foreign.classify(call, deployment, texts, "instances", says_tasks=True)
        tasks = task_labels(deployment.labels)
        rows: list[Any] = []
        for prediction in predictions:
            if prediction.tasks is None:
                rows.append(in_order(prediction, deployment.labels))
            else:
                rows.append({task: in_order(found, tasks[task]) for task, found in prediction.tasks.items()})
        return json_answer({"predictions": rows})

    @errors_as(plain_error)
    async def classify_tf_serving(call: Call) -> Answer:
        """Labels with their probabilities, in the format of TensorFlow Serving."""
        content = await foreign.read(call)
        deployment = foreign.registry.choose("/".join(call.parameters.values()))
        predictions = await foreign.classify(call, deployment, _texts(content, "examples"), "examples")
        result = [[[score.label, score.probability] for score in prediction.top] for prediction in predictions]
        return json_answer({"result": result})

    @errors_as(plain_error)
    async def state_tf_serving(call: Call) -> Answer:
        """The loaded versions, in the format of TensorFlow Serving."""
        asked = foreign.registry.choose("/".join(call.parameters.values()))
        every = [other for other in foreign.registry.all() if other.name == asked.name]
        return json_answer(
            {
                "model_version_status": [
                    {
                        "version": other.version,
                        "state": "AVAILABLE",
                        "status": {"error_code": "OK", "error_message": ""},
                    }
                    for other in ([asked] if "version" in call.parameters else every)
                ]
            }
        )

    names = ("{name}", "{name}/versions/{version}")
    return [
        *(
            Route(
                method="POST",
                endpoint=endpoint,
                needs="infer",
                errors=ERRORS,
                **documented(f"/v1/models/{name}:{verb}", answer, body=body),
            )
            for verb, endpoint, answer, body in (
                ("predict", predict_tf_serving, schemas.PredictResponse, schemas.PredictRequest),
                ("classify", classify_tf_serving, schemas.ClassifyResult, schemas.ClassifyRequest),
            )
            for name in names
        ),
        # after the others, for a name may have a colon as far as the table of routes knows
        *(
            Route(
                method="GET",
                endpoint=state_tf_serving,
                needs="infer",
                errors=ERRORS,
                **documented(f"/v1/models/{name}", schemas.VersionStates),
            )
            for name in names
        ),
    ]


def _texts(content: dict[str, Any], field: str) -> list[Any]:
    """A list of strings or of {"text": ...}. Raises InvalidRequestError."""
    if content.keys() - {field, "signature_name"}:
        raise InvalidRequestError(f"Give {field} alone; signature_name is read over.")
    rows = content.get(field)
    if type(rows) is not list:
        raise InvalidRequestError(f"{field} must be a list of strings.")
    texts = []
    for row in rows:
        if type(row) is list and len(row) == 1:
            row = row[0]
        texts.append(row.get("text") if type(row) is dict else row)
    return texts
