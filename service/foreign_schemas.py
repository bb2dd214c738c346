"""Bodies of requests and answers in other servers' formats, for the OpenAPI documentation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from service.schemas import ErrorResponse, Probability


class Body(BaseModel):
    model_config = ConfigDict(extra="allow")


class PlainError(Body):
    error: str


class TEIError(PlainError):
    error_type: str


class MLflowError(Body):
    error_code: str
    message: str


# what is refused before the endpoint is reached (no key, another host) has our own shape
class Plain(RootModel[PlainError | ErrorResponse]):
    pass


class TEI(RootModel[TEIError | ErrorResponse]):
    pass


class MLflow(RootModel[MLflowError | ErrorResponse]):
    pass


class Score(Body):
    label: str
    score: Probability


class HuggingFaceParameters(Body):
    top_k: int | None = Field(None, ge=1)
    function_to_apply: Literal["softmax", "sigmoid"] | None = None


class TextPair(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    text_pair: str


class HuggingFaceRequest(Body):
    inputs: str | TextPair | list[str | TextPair] = Field(examples=["where is my parcel?"])
    parameters: HuggingFaceParameters | None = None


class HuggingFaceResponse(RootModel[list[list[Score]]]):
    """A list of scores for each text, also where there is one."""


class TEIRequest(Body):
    inputs: str | list[str] | list[list[str]] = Field(examples=["where is my parcel?"])
    truncate: Literal[True] | None = None
    raw_scores: Literal[False] | None = None


class TEIResponse(RootModel[list[Score] | list[list[Score]]]):
    """Scores of one text, or a list of them for each."""


class TEIInfo(Body):
    model_id: str
    model_type: dict[str, Any]
    max_input_length: int


class MLflowRequest(BaseModel):
    """Exactly one of the four, and `params`, which are read over."""

    model_config = ConfigDict(extra="forbid")
    inputs: Any = Field(None, examples=[["where is my parcel?"]])
    instances: Any = None
    dataframe_split: Any = None
    dataframe_records: Any = None
    params: Any = None


class MLflowResponse(Body):
    predictions: list[str | None | list[str] | dict[str, str | None]]


class PredictRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    instances: list[Any] = Field(examples=[["where is my parcel?"]])
    signature_name: Any = None


class PredictResponse(Body):
    predictions: list[list[Probability] | dict[str, list[Probability]]]


class ClassifyRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    examples: list[Any] = Field(examples=[["where is my parcel?"]])
    signature_name: Any = None


class ClassifyResult(Body):
    result: list[list[tuple[str, Probability]]]


class VersionStates(Body):
    model_version_status: list[dict[str, Any]]


class Tensor(Body):
    name: str
    shape: list[int] = Field(examples=[[1]])
    datatype: str = Field(examples=["BYTES"])
    data: list[Any] | None = Field(None, examples=[["where is my parcel?"]])
    parameters: dict[str, Any] | None = None


class AskedTensor(Body):
    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(Body):
    inputs: list[Tensor]
    outputs: list[AskedTensor] = []
    id: str = ""
    parameters: dict[str, Any] = {}


class InferResponse(Body):
    model_name: str
    model_version: str
    outputs: list[Tensor]


class ServerMetadata(Body):
    name: str
    version: str
    extensions: list[str]


class ModelMetadata(Body):
    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class Flags(RootModel[dict[str, bool | str]]):
    """Such as ready and live."""
