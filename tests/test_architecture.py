"""The layers of the house: imports point downwards, nothing heavy leaks, each heavy package has one door."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# room -> layer; a module may import from a lower layer, or from its own room
LAYERS = {
    "choices": 0, "errors": 0, "files": 0, "progress_bar": 0, "safetensors_file": 0,
    "types": 1, "registry": 1,
    "config": 2, "kernels": 2,
    "calibration": 3, "data": 3, "text": 3, "model_card": 3, "members": 3,
    "answers": 4, "nn": 4, "presets": 4,
    "build": 5, "golden": 5,
    "artifact": 6, "doctor": 6,
    "evaluation": 7, "explain": 7, "inference": 7,
    "train": 8, "fitted": 8, "estimator": 8,
    "classifier": 9,
    "__init__": 10, "report": 10,
    "cli": 11,
}  # fmt: skip
FENCES = {
    "gensim": {"textcnn/text/vectors.py", "textcnn/text/train_vectors.py"},
    "triton": {"textcnn/kernels/"},
    "tqdm": {"textcnn/progress_bar.py"},
    "sentencex": {"textcnn/text/segments.py"},
    "captum": {"textcnn/explain/gradients.py"},
    "py3langid": {"textcnn/doctor/texts.py"},
    "fastapi": {"service/"},
    "starlette": {"service/"},
}
SERVICE_MAY_IMPORT = {"textcnn", "textcnn.errors", "textcnn.types"}
MODULES = sorted([*(ROOT / "textcnn").rglob("*.py"), *(ROOT / "service").rglob("*.py")])


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and node.level == 0, f"{path}: a relative import; write where it comes from"
            yield node.module


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_downwards(path: Path) -> None:
    here = room(name(path))
    for module in imports(path):
        if not module.startswith("textcnn") or name(path).startswith("service"):
            continue
        there = room(module)
        assert there in LAYERS, f"{there} has no layer; add it to the house plan"
        allowed = LAYERS[there] < LAYERS[here] or there == here
        assert allowed, f"{name(path)} (layer {LAYERS[here]}) imports {module} (layer {LAYERS[there]})"


def test_every_room_has_a_layer_and_stands_in_the_readme() -> None:
    rooms = {room(name(path)) for path in MODULES if name(path).startswith("textcnn")}
    assert rooms == set(LAYERS)
    tree = re.search(r"^textcnn/ .*?^service/", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert tree is not None
    assert rooms - set(re.findall(r"\w+", tree[0])) == {"__init__"}


def test_every_door_is_there() -> None:
    assert [door for doors in FENCES.values() for door in doors if not (ROOT / door).exists()] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_heavy_packages_have_one_door(path: Path) -> None:
    where = path.relative_to(ROOT).as_posix()
    for module in imports(path):
        doors = FENCES.get(module.split(".")[0])
        assert doors is None or where.startswith(tuple(doors)), f"{where} imports {module}; only {doors} may"


@pytest.mark.parametrize("path", [path for path in MODULES if name(path).startswith("service")], ids=name)
def test_service_sees_only_the_public_face_of_textcnn(path: Path) -> None:
    seen = {module for module in imports(path) if module.split(".")[0] == "textcnn"}
    assert seen <= SERVICE_MAY_IMPORT


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_unpickles_or_evaluates(path: Path) -> None:
    banned = {"pickle", "marshal", "shelve", "dill", "joblib", "yaml"}
    assert not {module.split(".")[0] for module in imports(path)} & banned


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_string_is_run_as_code(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec", "compile", "__import__"))
            assert not any(keyword.arg in ("allow_pickle", "trust_remote_code") for keyword in node.keywords)


def test_no_import_cycle() -> None:
    known = set(map(name, MODULES))
    graph = {name(path): known.intersection(imports(path)) for path in MODULES}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above, module])
        if module not in done:
            for other in graph[module]:
                visit(other, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())
