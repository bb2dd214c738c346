"""Named parts: a table per kind, filled by decorators or by "module:attribute" strings loaded on demand.

The constructor's signature is the configuration schema: `check` binds and type-checks the options before anything is
built, and reports every fault with the names it knows and the nearest.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import PydanticCustomError

from textcnn.errors import ConfigError

Part = TypeVar("Part", bound=Callable[..., Any])


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known name, in whatever case, or nothing."""
    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


class Registry:
    """One kind of part, by name. `kind` is the word used in messages: "block", "pooling", ..."""

    def __init__(self, kind: str, lazy: Mapping[str, str] | None = None, *, home: str | None = None) -> None:
        self.kind = kind
        self._lazy = dict(lazy or {})
        self._home = home
        self._parts: dict[str, Callable[..., Any]] = {}
        self._schemas: dict[str, type[BaseModel]] = {}

    def register(self, name: str) -> Callable[[Part], Part]:
        """Decorator: `@BLOCKS.register("kim_conv")`."""

        def add(part: Part) -> Part:
            assert name not in self._parts, f"{self.kind} {name!r} is registered twice"
            self._parts[name] = part
            return part

        return add

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        """Every known name, sorted. Imports the package whose modules register themselves, if there is one."""
        if self._home:
            importlib.import_module(self._home)
        return sorted({*self._parts, *self._lazy})

    def get(self, name: str) -> Any:
        """The class or function of that name. Raises ConfigError with the known names."""
        if name not in self._parts and name in self._lazy:
            module, _, attribute = self._lazy[name].partition(":")
            self._parts[name] = getattr(importlib.import_module(module), attribute)
        elif name not in self._parts:
            names = self.names()
            if name not in self._parts:
                raise ConfigError(f"unknown {self.kind} {name!r}{nearest(name, names)} (known: {', '.join(names)})")
        return self._parts[name]

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """The options of a part by name: its keyword-only constructor parameters that have a default or a type."""
        signature = inspect.signature(self.get(name))
        return {key: p for key, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY and key not in SUPPLIED}

    def schema(self, name: str) -> type[BaseModel]:
        """The options of a part as a pydantic model that forbids unknown names."""
        if name not in self._schemas:
            part = self.get(name)
            hints = get_type_hints(part.__init__ if inspect.isclass(part) else part, include_extras=True)
            fields: dict[str, Any] = {
                key: (hints.get(key, Any), ... if p.default is p.empty else p.default)
                for key, p in self.options(name).items()
            }
            rules = ConfigDict(extra="forbid", allow_inf_nan=False, validate_default=True)
            self._schemas[name] = create_model(f"{self.kind}_{name}", __config__=rules, **fields)
        return self._schemas[name]

    def check(self, spec: Mapping[str, Any], where: str) -> list[str]:
        """Every fault of one `{"type": name, ...options}`; `where` starts each message."""
        name = spec.get("type")
        if not isinstance(name, str):
            return [f"{where}: no type; give one of {', '.join(self.names())}"]
        try:
            schema = self.schema(name)
        except ConfigError as error:
            return [f"{where}.type: {fault}" for fault in error.faults]
        try:
            schema.model_validate({key: value for key, value in spec.items() if key != "type"})
        except ValidationError as error:
            faults = error.errors()
            # a list whose items are all faulty also counts as too short
            told = {fault["loc"][:length] for fault in faults for length in range(len(fault["loc"]))}
            faults = [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in told]
            return [line for fault in faults for line in describe_faults(fault, where, schema)]
        return []

    def resolve(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The same spec with every default filled in, as plain JSON values. Raises ConfigError."""
        faults = self.check(spec, self.kind)
        if faults:
            raise ConfigError(faults)
        options = self.schema(spec["type"]).model_validate({k: v for k, v in spec.items() if k != "type"})
        return {"type": spec["type"], **options.model_dump(mode="json")}

    def build(self, spec: Mapping[str, Any], /, **supplied: Any) -> Any:
        """Construct the part that `spec` names; `supplied` are the arguments that only the builder knows."""
        options = self.resolve(spec)
        return self.get(options.pop("type"))(**supplied, **options)

    def nested(self, spec: dict[str, Any]) -> dict[str, Any]:
        """`resolve` as a pydantic validator, for parts that are made of others."""
        faults = self.check(spec, "")
        if faults:
            raise PydanticCustomError("nested", "{faults}", {"faults": "\n".join(faults)})
        return self.resolve(spec)


# What the builder hands in, never the user.
SUPPLIED = frozenset({"in_dim", "num_classes", "class_weights", "vectors"})


def describe_faults(fault: Any, where: str, schema: type[BaseModel]) -> list[str]:
    """One pydantic error as lines of ours: one, or those of the parts inside a part."""
    if fault["type"] != "nested":
        return [describe_fault(fault, where, schema)]
    path = ".".join([where, *map(str, fault["loc"])])
    return [path + ("" if line.startswith((".", ":")) else ".") + line for line in fault["ctx"]["faults"].split("\n")]


def describe_fault(fault: Any, where: str, schema: type[BaseModel]) -> str:
    """One pydantic error as a line of ours: place, what was expected, what was found."""
    # a part in angle brackets is the tag of a union, not a name that the user wrote
    places = [str(part) for part in fault["loc"] if not str(part).startswith("<")]
    path = ".".join([where, *places]).strip(".")
    if fault["type"] == "extra_forbidden":
        names = known_fields(schema, fault["loc"][:-1])
        return f"{path}: unknown setting{nearest(str(fault['loc'][-1]), names)} (known: {', '.join(sorted(names))})"
    if fault["type"] == "missing":
        return f"{path}: is required"
    message = _PLAIN.get(fault["type"], str(fault["msg"]))
    found = repr(fault["input"])
    found = found if len(found) <= 80 else f"{found[:79]}…"
    return f"{path or 'the configuration'}: {message[0].lower()}{message[1:]}, found {found}"


# pydantic's own words where they speak of Python
_PLAIN = {
    "dict_type": "should be a table",
    "model_type": "should be a section with settings of its own",
    "tuple_type": "should be a list",
    "too_short": "should have something in it",
    "string_type": "should be a string (in quotes, if it looks like a number)",
}


def known_fields(schema: type[BaseModel], path: Iterable[Any]) -> list[str]:
    """The field names of the section at `path` inside `schema`."""
    for part in path:
        field = schema.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (inspect.isclass(inner) and issubclass(inner, BaseModel)):
            return []
        schema = inner
    return list(schema.model_fields)


TOKENIZERS = Registry("tokenizer", home="textcnn.text.tokenizers")
BLOCKS = Registry("block", home="textcnn.nn.blocks")
POOLINGS = Registry("pooling", home="textcnn.nn.pooling")
JOINS = Registry("join", home="textcnn.nn.joins")
HEADS = Registry("head", home="textcnn.nn.heads")
LOSSES = Registry("loss", home="textcnn.nn.losses")
AUGMENTATIONS = Registry("augmentation", home="textcnn.data.augment")
# The types of constructor options that are parts themselves: {"type": name, ...options}, checked with the whole.
BlockSpec = Annotated[dict[str, Any], AfterValidator(BLOCKS.nested)]
PoolingSpec = Annotated[dict[str, Any], AfterValidator(POOLINGS.nested)]
# Tried in this order, fastest first; each says why it cannot run a model.
ENGINES = Registry(
    "engine",
    {
        "ngram_table": "textcnn.inference.ngram_table:NgramTableEngine",
        "qrnn_table": "textcnn.inference.qrnn_table:QRNNTableEngine",
        "segment_table": "textcnn.inference.segment_table:SegmentTableEngine",
        "torch": "textcnn.inference.torch_engine:TorchEngine",
    },
)
