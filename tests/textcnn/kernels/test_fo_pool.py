from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from textcnn.kernels.fo_pool import PARTS, Pooling, fo_pool, fo_pool_ref, gate_pool, gate_pool_ref, zoneout
from textcnn.kernels.native import native

Tensor = torch.Tensor
compiled = pytest.mark.skipif(native() is None, reason="the compiled kernels are not built")
OFFSETS = torch.tensor([0, 4, 4, 5, 14, 16])  # lengths 4, 0, 1, 9, 2
POOLINGS: tuple[Pooling, ...] = ("f", "fo", "ifo")


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers around 0, most within -3 and 3, that want a gradient."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_()


def gate_inputs(
    pooling: Pooling, dim: int, offsets: Tensor = OFFSETS, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """gates, bias and initial states."""
    columns, tokens = PARTS[pooling] * dim, int(offsets[-1])
    return (
        draw(tokens, columns, dtype=dtype),
        draw(columns, seed=1, dtype=dtype),
        draw(len(offsets) - 1, dim, dtype=dtype),
    )


def with_gradients(h: Tensor, *inputs: Tensor) -> list[Tensor]:
    """h, and the gradients of a sum of h in which every element has a weight of its own."""
    weights = torch.linspace(-1, 1, h.numel()).view_as(h)
    return [h, *torch.autograd.grad((h * weights).sum(), inputs)]


def assert_equal(fast: list[Tensor], slow: list[Tensor]) -> None:
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_reference_is_the_recurrence_as_it_is_written(reverse: bool) -> None:
    z, f, i, initial = draw(16, 3), draw(16, 3, seed=1), draw(16, 3, seed=2), draw(5, 3, seed=3)
    h = fo_pool_ref(z, f, OFFSETS, i=i, initial=initial, reverse=reverse)
    for text, (start, end) in enumerate(zip(OFFSETS[:-1], OFFSETS[1:], strict=True)):
        state = initial[text]
        for t in reversed(range(start, end)) if reverse else range(start, end):
            state = f[t] * state + i[t] * z[t]
            torch.testing.assert_close(h[t], state)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_of_the_reference_are_right(pooling: Pooling, reverse: bool) -> None:
    inputs = gate_inputs(pooling, 2, dtype=torch.float64)

    def pool(gates: Tensor, bias: Tensor, initial: Tensor) -> Tensor:
        return gate_pool_ref(gates, bias, OFFSETS, pooling=pooling, initial=initial, reverse=reverse)

    assert torch.autograd.gradcheck(pool, inputs)


@compiled
@pytest.mark.parametrize("dim", [1, 16, 37])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_compiled_gate_pool_equals_the_reference(pooling: Pooling, reverse: bool, dim: int) -> None:
    gates, bias, initial = gate_inputs(pooling, dim)
    for states in (None, initial):
        inputs = (gates, bias) if states is None else (gates, bias, states)
        fast, slow = (
            with_gradients(pool(gates, bias, OFFSETS, pooling=pooling, initial=states, reverse=reverse), *inputs)
            for pool in (gate_pool, gate_pool_ref)
        )
        assert_equal(fast, slow)


@compiled
@pytest.mark.parametrize("dim", [1, 16, 37])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("input_gate", [False, True])
def test_compiled_fo_pool_equals_the_reference(input_gate: bool, reverse: bool, dim: int) -> None:
    z, f, initial = draw(16, dim), draw(16, dim, seed=1), draw(5, dim, seed=2)
    i = draw(16, dim, seed=3) if input_gate else None
    inputs = [z, f, initial] if i is None else [z, f, initial, i]
    fast, slow = (
        with_gradients(pool(z, f, OFFSETS, i=i, initial=initial, reverse=reverse), *inputs)
        for pool in (fo_pool, fo_pool_ref)
    )
    assert_equal(fast, slow)


@pytest.mark.parametrize("pool", [gate_pool, gate_pool_ref])
@pytest.mark.parametrize("offsets", [[0], [0, 0], [0, 0, 0]])
def test_a_batch_without_tokens(pool: Callable[..., Tensor], offsets: list[int]) -> None:
    gates, bias, _ = gate_inputs("fo", 3, torch.tensor(offsets))
    h, grad_bias = with_gradients(pool(gates, bias, torch.tensor(offsets)), bias)
    assert h.shape == (0, 3)
    assert not grad_bias.any()


@compiled
@pytest.mark.parametrize("reverse", [False, True])
def test_a_text_has_the_same_bits_in_any_company(reverse: bool) -> None:
    gates, bias, _ = gate_inputs("fo", 37)
    together = gate_pool(gates, bias, OFFSETS, reverse=reverse)
    for start, end in zip(OFFSETS[:-1], OFFSETS[1:], strict=True):
        alone = gate_pool(gates[start:end], bias, torch.tensor([0, end - start]), reverse=reverse)
        assert torch.equal(alone, together[start:end])


@compiled
def test_threads_do_not_change_the_bits() -> None:
    offsets = torch.tensor([0, 700, 2000])
    gates, bias, _ = gate_inputs("ifo", 100, offsets)
    before, results = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        results.append(with_gradients(gate_pool(gates, bias, offsets, pooling="ifo"), gates, bias))
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@compiled
def test_the_compiled_sigmoid_and_tanh_are_exact_to_float32() -> None:
    x = torch.linspace(-100, 100, 200_001)
    each_alone = torch.arange(len(x) + 1)
    wide_open, shut, no_bias = torch.full_like(x, 80.0), torch.full_like(x, -80.0), torch.zeros(2)
    tanh = gate_pool(torch.stack([x, shut], 1), no_bias, each_alone, pooling="f")[:, 0]
    torch.testing.assert_close(tanh.double(), x.double().tanh(), atol=2e-7, rtol=0)
    sigmoid = gate_pool(torch.stack([wide_open, -x], 1), no_bias, each_alone, pooling="f")[:, 0]
    torch.testing.assert_close(sigmoid.double(), x.double().sigmoid(), atol=2e-7, rtol=0)


@pytest.mark.parametrize("pool", [gate_pool, gate_pool_ref])
def test_what_is_not_a_number_stays_so(pool: Callable[..., Tensor]) -> None:
    gates = torch.zeros(3, 4)
    gates[1, 0] = torch.nan
    assert pool(gates, torch.zeros(4), torch.tensor([0, 3]), pooling="f").isnan().tolist() == [
        [False, False],
        [True, False],
        [True, False],
    ]


@pytest.mark.parametrize("pool", [gate_pool, gate_pool_ref])
def test_zoneout_of_every_channel_keeps_the_state_and_stops_the_gradient(pool: Callable[..., Tensor]) -> None:
    z, f, initial = draw(16, 3), draw(16, 3), draw(5, 3)
    gates = torch.cat([z, zoneout(f, 1.0, kept=torch.inf)], 1)
    h = pool(gates, torch.zeros(6), OFFSETS, pooling="f", initial=initial)
    lengths = OFFSETS.diff()
    assert torch.equal(h, initial.repeat_interleave(lengths, 0))
    _, grad_z, grad_f, grad_initial = with_gradients(h.sum(), z, f, initial)
    assert not grad_z.any()
    assert not grad_f.any()
    torch.testing.assert_close(grad_initial, -lengths[:, None].expand(5, 3).float())


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_pooled_in_float32(half: torch.dtype) -> None:
    gates, bias, initial = (part.detach().to(half) for part in gate_inputs("fo", 3))
    h = gate_pool(gates, bias, OFFSETS, initial=initial)
    assert torch.equal(h, gate_pool(gates.float(), bias.float(), OFFSETS, initial=initial.float()))
    z, f = gates[:, :3], gates[:, 3:6].sigmoid()
    assert torch.equal(fo_pool(z, f, OFFSETS), fo_pool(z.float(), f.float(), OFFSETS))


def test_zoneout_keeps_about_as_many_channels_as_asked() -> None:
    kept = zoneout(torch.full((100, 100), 0.5), 0.3) == 1.0
    assert 0.25 < kept.float().mean() < 0.35
