"""Mixed precision against PyTorch's: the type of every result under autocast, gradients, and the course of the scale."""

import numpy as np
import pytest
import torch

import minidl
from minidl.amp import GradScaler

CLASSES = [0, 1, 2, 3]
CALLS = {
    "matmul": lambda t, f, a: a @ a,
    "mm": lambda t, f, a: t.mm(a, a),
    "mv": lambda t, f, a: t.mv(a, a[0]),
    "addmv": lambda t, f, a: t.addmv(a[0], a, a[0]),
    "outer": lambda t, f, a: t.outer(a[0], a[0]),
    "inner": lambda t, f, a: t.inner(a, a),
    "addmm": lambda t, f, a: t.addmm(a, a, a),
    "bmm": lambda t, f, a: t.bmm(a[None], a[None]),
    "baddbmm": lambda t, f, a: t.baddbmm(a[None], a[None], a[None]),
    "einsum": lambda t, f, a: t.einsum("ij,jk->ik", a, a),
    "tensordot": lambda t, f, a: t.tensordot(a, a, 1),
    "linear": lambda t, f, a: f.linear(a, a),
    "bilinear": lambda t, f, a: f.bilinear(a, a, a[None]),
    "conv1d": lambda t, f, a: f.conv1d(a[None], a[None, :, :3]),
    "conv2d": lambda t, f, a: f.conv2d(a[None, None], a[None, None, :3, :3]),
    "conv_transpose2d": lambda t, f, a: f.conv_transpose2d(a[None, None], a[None, None, :3, :3]),
    "prelu": lambda t, f, a: f.prelu(a, t.ones(1)),
    "softmax": lambda t, f, a: a.softmax(1),
    "layer_norm": lambda t, f, a: f.layer_norm(a, (4,)),
    "batch_norm": lambda t, f, a: f.batch_norm(a, None, None, training=True),
    "cross_entropy": lambda t, f, a: f.cross_entropy(a, t.tensor(CLASSES)),
    "nll_loss": lambda t, f, a: f.nll_loss(a, t.tensor(CLASSES)),
    "mse_loss": lambda t, f, a: f.mse_loss(a, a),
    "l1_loss": lambda t, f, a: f.l1_loss(a, a),
    "smooth_l1_loss": lambda t, f, a: f.smooth_l1_loss(a, a),
    "huber_loss": lambda t, f, a: f.huber_loss(a, a),
    "binary_cross_entropy": lambda t, f, a: f.binary_cross_entropy(a.sigmoid(), a.sigmoid()),
    "with_logits": lambda t, f, a: f.binary_cross_entropy_with_logits(a, a),
    "kl_div": lambda t, f, a: f.kl_div(a, a, reduction="sum"),
    "margin_ranking_loss": lambda t, f, a: f.margin_ranking_loss(a, a, a),
    "triplet_margin_loss": lambda t, f, a: f.triplet_margin_loss(a, a, a),
    "cosine_similarity": lambda t, f, a: f.cosine_similarity(a, a),
    "cdist": lambda t, f, a: t.cdist(a, a),
    "prod": lambda t, f, a: a.prod(),
    "sum": lambda t, f, a: a.sum(),
    "exp": lambda t, f, a: a.exp(),
    "norm": lambda t, f, a: a.norm(),
    "cumsum": lambda t, f, a: a.cumsum(0),
    "trace": lambda t, f, a: a.trace(),
    "gelu": lambda t, f, a: f.gelu(a),
    "cat": lambda t, f, a: t.cat([a, t.ones(4, 4)]),
    "add": lambda t, f, a: a + t.ones(4, 4),
    "where": lambda t, f, a: t.where(a > 0, a, t.ones(4, 4)),
    "max_pool2d": lambda t, f, a: f.max_pool2d(a[None], 2),
    "grid_sample": lambda t, f, a: f.grid_sample(
        a[None, None], a[None, :, :, None].expand(1, 4, 4, 2), align_corners=True
    ),
    "inv": lambda t, f, a: t.linalg.inv(a + 3 * t.eye(4, dtype=a.dtype)),
}


def name_of(dtype):
    return str(dtype).rpartition(".")[2]


@pytest.mark.parametrize("given", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("name", CALLS)
def test_results_have_pytorchs_types_and_values(name, given):
    values = np.random.default_rng(0).standard_normal((4, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs = torch.tensor(values, dtype=getattr(torch, given))
        try:
            expected = CALLS[name](torch, torch.nn.functional, theirs)
        except RuntimeError:  # types that PyTorch mixes nowhere either
            expected = None
    with minidl.autocast("cpu", dtype=minidl.bfloat16):
        ours = minidl.tensor(values, dtype=getattr(minidl, given))
        if expected is None:
            with pytest.raises(RuntimeError):
                CALLS[name](minidl, minidl.nn.functional, ours)
            return
        result = CALLS[name](minidl, minidl.nn.functional, ours)
    assert name_of(result.dtype) == name_of(expected.dtype)
    np.testing.assert_allclose(
        result.double().numpy(), expected.double().numpy(), rtol=0.03, atol=0.05 * float(expected.double().abs().max())
    )


def test_on_cuda_more_is_kept_in_float32():
    """The lists for CUDA, on tensors that say they are there: the device is looked up, the decision is the same code."""
    from minidl.autograd import autocast as module

    x = minidl.ones(3, 3, dtype=minidl.float16)
    called = []
    probe = module.in_float32_on_cuda(lambda t: called.append(t.dtype) or t)
    with minidl.autocast("cpu", dtype=minidl.float16):
        probe(x)
    assert called == [minidl.float16]


def test_gradients_arrive_in_the_weights_type_and_the_weight_is_rounded_once():
    weight = minidl.randn(4, 4, requires_grad=True)
    x = minidl.randn(2, 4)
    with minidl.autocast("cpu"):
        first, second = (minidl.nn.functional.linear(x, weight) for _ in range(2))
        assert first._edge[0].edges[1][0] is second._edge[0].edges[1][0]  # one conversion on the tape
    loss = (first + second).float().sum()
    loss.backward()
    assert weight.grad.dtype == minidl.float32
    np.testing.assert_allclose(weight.grad.numpy(), np.tile(2 * x.numpy().sum(0), (4, 1)), rtol=0.02, atol=0.02)


def test_blocks_nest_decorate_and_end():
    x = minidl.ones(2, 2)
    with minidl.autocast("cpu"):
        assert minidl.is_autocast_enabled()
        assert minidl.get_autocast_dtype("cpu") == minidl.bfloat16
        with minidl.autocast("cpu", enabled=False):
            assert not minidl.is_autocast_enabled()
            assert (x @ x).dtype == minidl.float32
        assert (x @ x).dtype == minidl.bfloat16
    assert (x @ x).dtype == minidl.float32
    assert minidl.autocast("cpu", dtype=minidl.float16)(lambda: x @ x)().dtype == minidl.float16
    with minidl.autocast("cuda"):  # for another device
        assert (x @ x).dtype == minidl.float32


@pytest.mark.parametrize(
    ("arguments", "match"),
    [(("tpu",), "unknown device_type"), (("cpu", minidl.float32), "must be float16 or bfloat16")],
)
def test_wrong_settings_are_refused(arguments, match):
    with pytest.raises(RuntimeError, match=match):
        minidl.autocast(*arguments)


def run_scaler(library, scaler, overflow_at, steps=12):
    p = library.nn.Parameter(library.ones(3))
    optimizer = library.optim.SGD([p], lr=0.1)
    course = []
    for i in range(steps):
        optimizer.zero_grad()
        loss = (p * (float("inf") if i in overflow_at else 1.0)).sum()
        scaler.scale(loss).backward()
        if i % 2:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        course.append((scaler.get_scale(), p.detach().numpy().tolist()))
    return course, scaler.state_dict()


@pytest.mark.parametrize("overflow_at", [(), (0,), (3, 4, 9), range(12)])
def test_the_scale_takes_pytorchs_course(overflow_at):
    settings = {"init_scale": 8.0, "growth_interval": 3, "growth_factor": 4.0, "backoff_factor": 0.25}
    ours = run_scaler(minidl, GradScaler("cpu", **settings), overflow_at)
    theirs = run_scaler(torch, torch.amp.GradScaler("cpu", **settings), overflow_at)
    assert ours[1] == theirs[1]
    for (scale, p), (their_scale, their_p) in zip(ours[0], theirs[0]):
        assert scale == their_scale
        np.testing.assert_allclose(p, their_p, rtol=1e-6)


def test_a_scaler_goes_on_from_its_state_and_a_disabled_one_does_nothing():
    scaler = GradScaler("cpu", init_scale=4.0)
    other = GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 4.0
    off = GradScaler("cpu", enabled=False)
    x = minidl.ones(2)
    assert off.scale(x) is x
    assert off.state_dict() == {}
    with pytest.raises(RuntimeError, match="empty"):
        scaler.load_state_dict({})


def test_misuse_of_a_scaler_is_refused():
    p = minidl.nn.Parameter(minidl.ones(2))
    optimizer = minidl.optim.SGD([p], lr=0.1)
    scaler = GradScaler("cpu")
    with pytest.raises(AssertionError, match="No inf checks"):
        scaler.update()
    scaler.scale(p.sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(optimizer)
    half = minidl.nn.Parameter(minidl.ones(2, dtype=minidl.float16))
    half.grad = minidl.ones(2, dtype=minidl.float16)
    with pytest.raises(ValueError, match="FP16"):
        GradScaler("cpu").unscale_(minidl.optim.SGD([half], lr=0.1))
