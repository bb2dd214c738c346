from collections.abc import Callable
from typing import Any

INTERFACE: str

class WordIds:
    def __init__(self, words: list[str], classify: Callable[[int], bytes]) -> None: ...
    def encode(
        self, texts: Any, first: int, last: int, spanned: bool = ..., spelled: bool = ..., /
    ) -> tuple[Any, ...]: ...
