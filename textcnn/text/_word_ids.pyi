from collections.abc import Callable
from typing import Any, Literal, overload

INTERFACE: str

class WordIds:
    def __init__(self, words: list[str], classify: Callable[[int], bytes]) -> None: ...
    @overload
    def encode(self, texts: Any, first: int, last: int, /) -> tuple[bytearray, bytearray, list[int]]: ...
    @overload
    def encode(
        self, texts: Any, first: int, last: int, spanned: Literal[True], /
    ) -> tuple[bytearray, bytearray, list[int], bytearray, bytearray]: ...
