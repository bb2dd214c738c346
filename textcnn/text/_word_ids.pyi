from collections.abc import Callable, Sequence
from typing import Literal, overload

class WordIds:
    def __init__(self, words: list[str], classify: Callable[[int], bytes]) -> None: ...
    @overload
    def encode(self, texts: Sequence[str], first: int, last: int, /) -> tuple[bytearray, bytearray, list[int]]: ...
    @overload
    def encode(
        self, texts: Sequence[str], first: int, last: int, spanned: Literal[True], /
    ) -> tuple[bytearray, bytearray, list[int], bytearray, bytearray]: ...
