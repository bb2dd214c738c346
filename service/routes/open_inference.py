"""The Open Inference Protocol v2, as KServe, Triton and MLServer speak it; with Triton's binary tensors.

One input, BYTES [n] or [n, 1]; of a model that reads several texts together [n, texts]. What comes out depends on the
model, and its metadata lists it with the labels that the columns stand for:

one label a text       label BYTES [n], empty where the model abstains; abstained BOOL [n];
                       probabilities FP32 [n, labels]
paths in a tree        the same, and levels BYTES [n, depth], level_probabilities FP32 [n, depth]
any number of labels   given BOOL [n, labels]; probabilities FP32 [n, labels]
several tasks          label, abstained and probabilities of each, called TASK.label and so on

Triton's classification extension is answered as well.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import orjson

from service import foreign_schemas as schemas
from service.answer import JSON, Answer, json_answer
from service.call import Call
from service.deployment import Deployment
from service.errors import InvalidRequestError, UnsupportedMediaTypeError
from service.request_body import parse_unrepeated
from service.route import Route
from service.routes.foreign import ERRORS, Foreign, documented, errors_as, flag, in_order, plain_error, whole
from textcnn.types import Prediction, task_labels

LENGTH_HEADER = b"inference-header-content-length"
MODEL = "/v2/models/{name}"
VERSION = "/v2/models/{name}/versions/{version}"
NOT_TEXT = "The input must be one tensor of datatype BYTES and shape {}"


def routes(foreign: Foreign) -> list[Route]:
    def deployment_of(call: Call) -> Deployment:
        return foreign.registry.choose("/".join(call.parameters.values()))

    @errors_as(plain_error)
    async def server(call: Call) -> Answer:
        """The server's name and what it speaks."""
        extensions = ["binary_tensor_data", "classification"]
        return json_answer({"name": "textcnn", "version": "1", "extensions": extensions})

    @errors_as(plain_error)
    async def live(call: Call) -> Answer:
        """200 as long as the process answers."""
        return json_answer({"live": True})

    @errors_as(plain_error)
    async def ready(call: Call) -> Answer:
        """200 while requests are welcome."""
        foreign.registry.check_ready()
        return json_answer({"ready": True, "live": True})

    @errors_as(plain_error)
    async def model(call: Call) -> Answer:
        """The model's inputs and outputs."""
        deployment = deployment_of(call)
        return json_answer(
            {
                "name": deployment.name,
                "versions": [other.version for other in foreign.registry.all() if other.name == deployment.name],
                "platform": "textcnn",
                "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1, *_more_axes(deployment)]}],
                "outputs": [output.metadata() for output in _outputs(deployment).values()],
            }
        )

    @errors_as(plain_error)
    async def model_ready(call: Call) -> Answer:
        """Whether the model answers."""
        return json_answer({"name": deployment_of(call).name, "ready": True})

    @errors_as(plain_error)
    async def infer(call: Call) -> Answer:
        """Labels in the format of the Open Inference Protocol."""
        content, tensors = await _read(call)
        deployment = deployment_of(call)
        texts = _texts(content, tensors, deployment.texts_per_record)
        wanted = _wanted(content, _outputs(deployment))
        predictions = await foreign.classify(call, deployment, texts, "data", says_tasks=True)
        return _answer(content, deployment, predictions, wanted)

    return [
        Route(method="GET", endpoint=server, errors=(421,), **documented("/v2", schemas.ServerMetadata)),
        Route(method="GET", endpoint=live, errors=(421,), **documented("/v2/health/live", schemas.Flags)),
        Route(method="GET", endpoint=ready, errors=(421, 503), **documented("/v2/health/ready", schemas.Flags)),
        *(
            route
            for path in (MODEL, VERSION)
            for route in (
                Route(
                    method="GET",
                    endpoint=model,
                    needs="infer",
                    errors=ERRORS,
                    **documented(path, schemas.ModelMetadata),
                ),
                Route(
                    method="GET",
                    endpoint=model_ready,
                    needs="infer",
                    errors=ERRORS,
                    **documented(f"{path}/ready", schemas.Flags),
                ),
                Route(
                    method="POST",
                    endpoint=infer,
                    needs="infer",
                    errors=ERRORS,
                    **documented(f"{path}/infer", schemas.InferResponse, body=schemas.InferRequest),
                ),
            )
        ),
    ]


async def _read(call: Call) -> tuple[dict[str, Any], bytes]:
    """The JSON part and the tensors after it. Raises RequestError."""
    header = call.header(LENGTH_HEADER)
    # Triton's own client names no type at all
    if call.media_type() not in (b"application/json", b"", b"application/octet-stream" if header else b""):
        raise UnsupportedMediaTypeError("Send JSON, or JSON and tensors with Inference-Header-Content-Length.")
    body = await call.body()
    length = len(body)
    if header:
        if not header.isdigit() or len(header) > 12 or int(header) > len(body):
            raise InvalidRequestError("Inference-Header-Content-Length is not the length of the JSON in the body.")
        length = int(header)
    content = parse_unrepeated(body[:length])
    if type(content) is not dict:
        raise InvalidRequestError("The body must be a JSON object.")
    for field, kind in (("id", str), ("parameters", dict), ("outputs", list)):
        if field in content and type(content[field]) is not kind:
            raise InvalidRequestError(f"{field} is of the wrong type.")
    return content, body[length:]


def _more_axes(deployment: Deployment) -> list[int]:
    return [deployment.texts_per_record] if deployment.texts_per_record > 1 else []


def _texts(content: dict[str, Any], tensors: bytes, together: int) -> list[Any]:
    """The texts, or lists of those that are read `together`. Raises InvalidRequestError."""
    wanted = "[n] or [n, 1]." if together == 1 else f"[n, {together}]: this model reads so many together."
    not_text = InvalidRequestError(NOT_TEXT.format(wanted))
    inputs = content.get("inputs")
    if type(inputs) is not list or len(inputs) != 1 or type(inputs[0]) is not dict:
        raise not_text
    tensor = inputs[0]
    shape = tensor.get("shape")
    parameters = tensor.get("parameters") or {}
    if type(parameters) is not dict or tensor.get("datatype") != "BYTES" or type(shape) is not list or not shape:
        raise not_text
    axes = ([], [1]) if together == 1 else ([together],)
    if not all(type(size) is int for size in shape) or shape[1:] not in axes:
        raise not_text
    size = parameters.get("binary_data_size")
    if size is not None:
        if type(size) is not int or size != len(tensors):
            raise InvalidRequestError("binary_data_size is not the size of what follows the JSON.")
        texts: list[Any] = _unpacked(tensors)
    elif tensors:
        raise InvalidRequestError("There are bytes after the JSON that no input claims by binary_data_size.")
    else:
        data = tensor.get("data")
        if type(data) is not list:
            raise InvalidRequestError("data must be a list of strings.")
        # nested or flat, row by row
        texts = [text for row in data for text in (row if type(row) is list and len(row) == together else [row])]
    if len(texts) != shape[0] * together:
        count = f"{shape[0]} times {together}" if together > 1 else shape[0]
        raise InvalidRequestError(f"The shape says {count} texts, the data has {len(texts)}.")
    if together == 1:
        return texts
    return [texts[first : first + together] for first in range(0, len(texts), together)]


def _unpacked(tensors: bytes) -> list[str]:
    """Strings, each after its length in four bytes, little-endian."""
    texts, place = [], 0
    while place < len(tensors):
        if place + 4 > len(tensors):
            raise InvalidRequestError("The binary data ends within a length.")
        (length,) = struct.unpack_from("<I", tensors, place)
        place += 4
        if place + length > len(tensors):
            raise InvalidRequestError("The binary data ends within a string.")
        try:
            texts.append(tensors[place : place + length].decode())
        except UnicodeDecodeError:
            raise InvalidRequestError(f"String {len(texts)} of the binary data is not UTF-8.") from None
        place += length
    return texts


@dataclass(frozen=True, kw_only=True)
class Output:
    """A tensor that comes out: `values` gives those of one text, `columns` of them (None: one, and no axis for it).

    `labels` are what the columns stand for; `scored` says that they are probabilities, which the classification
    extension can rank.
    """

    name: str
    datatype: str
    values: Callable[[Prediction], Sequence[Any]]
    columns: int | None = None
    labels: tuple[str, ...] = ()
    scored: bool = False

    def metadata(self) -> dict[str, Any]:
        shape = [-1] if self.columns is None else [-1, self.columns]
        said = {"name": self.name, "datatype": self.datatype, "shape": shape}
        # a parameter is a string, a number or a truth value
        return said | ({"parameters": {"labels": orjson.dumps(self.labels).decode()}} if self.labels else {})


class Wanted(NamedTuple):
    output: Output
    classes: int | None  # of the classification extension
    binary: bool


def _outputs(deployment: Deployment) -> dict[str, Output]:
    """What comes out of a model, by name."""
    head, labels = deployment.head, deployment.labels
    if head["type"] == "multi_task":
        found = [
            output
            for task, own in task_labels(labels).items()
            for output in _one_label(own, f"{task}.", partial(_of_task, task))
        ]
    elif head["type"] == "multi_label":
        found = [
            Output(name="given", datatype="BOOL", columns=len(labels), labels=labels, values=_mask(labels)),
            _probabilities(labels),
        ]
    else:
        found = _one_label(labels)
    if head["type"] == "hierarchy":
        depth = len(head["levels"])
        found += [
            Output(
                name="levels", datatype="BYTES", columns=depth,
                values=lambda prediction: [score.label for score in prediction.levels or ()],
            ),
            Output(
                name="level_probabilities", datatype="FP32", columns=depth,
                values=lambda prediction: [score.probability for score in prediction.levels or ()],
            ),
        ]  # fmt: skip
    return {output.name: output for output in found}


def _one_label(
    labels: tuple[str, ...], prefix: str = "", part: Callable[[Prediction], Prediction] = lambda whole: whole
) -> list[Output]:
    """The outputs of one softmax, whose answer is `part` of the prediction."""
    return [
        Output(
            name=f"{prefix}label", datatype="BYTES",
            values=lambda prediction: ["" if part(prediction).abstained else part(prediction).label],
        ),
        Output(name=f"{prefix}abstained", datatype="BOOL", values=lambda prediction: [part(prediction).abstained]),
        _probabilities(labels, prefix, part),
    ]  # fmt: skip


def _probabilities(
    labels: tuple[str, ...], prefix: str = "", part: Callable[[Prediction], Prediction] = lambda whole: whole
) -> Output:
    return Output(
        name=f"{prefix}probabilities", datatype="FP32", columns=len(labels), labels=labels, scored=True,
        values=lambda prediction: in_order(part(prediction), labels),
    )  # fmt: skip


def _of_task(task: str, prediction: Prediction) -> Prediction:
    assert prediction.tasks is not None
    return prediction.tasks[task]


def _mask(labels: tuple[str, ...]) -> Callable[[Prediction], list[bool]]:
    def mask(prediction: Prediction) -> list[bool]:
        given = frozenset(prediction.given)
        return [label in given for label in labels]

    return mask


def _wanted(content: dict[str, Any], outputs: dict[str, Output]) -> list[Wanted]:
    """The outputs asked for, else all. Raises InvalidRequestError."""
    everything = flag(content.get("parameters") or {}, "binary_data_output")
    wanted: list[Wanted] = []
    for asked in content.get("outputs") or [{"name": name} for name in outputs]:
        output = outputs.get(asked["name"]) if type(asked) is dict and type(asked.get("name")) is str else None
        if output is None:
            raise InvalidRequestError(f"The outputs of this model are {', '.join(outputs)}.")
        if any(other.output is output for other in wanted):
            raise InvalidRequestError(f"The output {output.name} is asked for twice.")
        parameters = asked.get("parameters") or {}
        if type(parameters) is not dict:
            raise InvalidRequestError("parameters must be an object.")
        classes = whole(parameters.get("classification"), "classification")
        if classes and not output.scored:
            raise InvalidRequestError(f"classification: {output.name} has no probabilities to rank.")
        binary = flag(parameters, "binary_data") if parameters.get("binary_data") is not None else everything
        wanted.append(Wanted(output, classes, binary))
    return wanted


def _answer(
    content: dict[str, Any], deployment: Deployment, predictions: list[Prediction], wanted: list[Wanted]
) -> Answer:
    outputs, binary = [], []
    for output, classes, in_binary in wanted:
        rows = [output.values(prediction) for prediction in predictions]
        columns, datatype = output.columns, output.datatype
        if classes:
            columns, datatype = min(classes, len(output.labels)), "BYTES"
            rows = [_ranked(row, output.labels, columns) for row in rows]
        data = [value for row in rows for value in row]
        shape = [len(rows)] if columns is None else [len(rows), columns]
        answered: dict[str, Any] = {"name": output.name, "shape": shape, "datatype": datatype}
        if in_binary:
            packed = PACKED[datatype](data)
            binary.append(packed)
            answered["parameters"] = {"binary_data_size": len(packed)}
        else:
            answered["data"] = data
        outputs.append(answered)
    answer: dict[str, Any] = {"model_name": deployment.name, "model_version": deployment.version, "outputs": outputs}
    if "id" in content:
        answer["id"] = content["id"]
    head = orjson.dumps(answer)
    if not binary:
        return Answer(head, headers=[JSON])
    headers = [(b"content-type", b"application/octet-stream"), (LENGTH_HEADER, b"%d" % len(head))]
    return Answer(head + b"".join(binary), headers=headers)


def _ranked(row: Sequence[float], labels: tuple[str, ...], count: int) -> list[str]:
    """Triton's "value:index:label", the best first."""
    best = sorted(range(len(row)), key=lambda place: -row[place])[:count]
    return [f"{row[place]:f}:{place}:{labels[place]}" for place in best]


def _packed(strings: list[str]) -> bytes:
    parts = []
    for string in strings:
        encoded = string.encode()
        parts += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(parts)


PACKED: dict[str, Callable[[list[Any]], bytes]] = {
    "BYTES": _packed,
    "FP32": lambda data: struct.pack(f"<{len(data)}f", *data),
    "BOOL": bytes,
}
