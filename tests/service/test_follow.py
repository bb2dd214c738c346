from __future__ import annotations

import asyncio
import os

import pytest

from service import follow as following
from service.follow import follow

from ..patience import PATIENCE


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(following, "POLL_SECONDS", 0.005)


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.mark.anyio
@pytest.mark.parametrize("change", ["written", "replaced", "taken away"])
async def test_a_change_is_noticed_once(quick, tmp_path, change):
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_text("1")
    calls = []
    task = asyncio.ensure_future(follow([file], lambda: calls.append(1)))
    await asyncio.sleep(0.03)
    assert calls == [1], "once at the beginning"
    calls.clear()
    if change == "written":
        file.write_text("22")
    elif change == "replaced":
        other.write_text("2")
        os.replace(other, file)
    else:
        file.unlink()
    await until(lambda: calls)
    await asyncio.sleep(0.03)
    assert len(calls) == 1
    task.cancel()
