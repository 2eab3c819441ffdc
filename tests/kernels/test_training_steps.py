"""Whole training steps, in small: every backend gives the losses, gradients and parameters that NumPy gives in float64,
and gives the same bits twice. A kernel that is right alone but handed the wrong layout or type by the engine shows here."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import minidl
from minidl import backends, nn, optim
from minidl.amp import GradScaler
from minidl.nn import functional as F

STEPS = 3
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
# In units of the rounding error of a value as large as the largest: sums of a hundred terms, a few layers deep.
FACTOR = 32.0


def convnet():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


class Residual(nn.Module):
    """A residual block with batch norm, and a head."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=2, dilation=2)
        self.norm1, self.norm2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        y = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return self.head(F.silu(x + y).mean((2, 3)))


def mlp():
    return nn.Sequential(
        nn.Linear(7, 9),
        nn.GELU(approximate="tanh"),
        nn.Dropout(0.3),
        nn.RMSNorm(9),
        nn.Linear(9, 5),
        nn.Tanh(),
        nn.Linear(5, 3),
    )


class Recurrent(nn.Module):
    """A sequence's last state, classified."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell(4, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


class Encoder(nn.Module):
    """A layer of the Transformer's encoder, and the mean over time, classified."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(6, 2, 11, dropout=0.2, activation="gelu", batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.head(self.layer(x, src_mask=mask, is_causal=True).mean(1))


class Words(nn.Module):
    """Words to the next words: an embedding, shared with the last product."""

    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Embedding(13, 6, padding_idx=0), nn.LayerNorm(6)

    def forward(self, index):
        return F.linear(self.norm(self.words(index)), self.words.weight).flatten(0, 1)


def sgd(parameters):
    return optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)


def adamw(parameters):
    # With a larger eps: Adam would turn the rounding errors in a gradient that is 0 (that of the keys' bias) into steps.
    return optim.AdamW(parameters, lr=0.02, eps=1e-2)


CASES = {  # the model, the shape of its inputs (or words), the number of classes, the optimiser
    "convnet": (convnet, (3, 1, 12, 12), 3, sgd),
    "residual": (Residual, (2, 3, 5, 6), 3, sgd),
    "mlp": (mlp, (5, 7), 3, adamw),
    "rnn": (lambda: Recurrent(nn.RNN), (2, 3, 4), 3, sgd),
    "gru": (lambda: Recurrent(nn.GRU), (2, 3, 4), 3, sgd),
    "lstm": (lambda: Recurrent(nn.LSTM), (2, 3, 4), 3, adamw),
    "encoder": (Encoder, (2, 5, 6), 3, adamw),
    "words": (Words, (2, 4), 13, adamw),
}


def to_numpy(tensor):
    return tensor.detach().cpu().numpy()


def trained(name, backend, dtype, half=None):
    """Losses, then gradients of the last step, then parameters and buffers after it, as NumPy arrays."""
    make, shape, classes, optimiser = CASES[name]
    rng = np.random.default_rng(2)
    with minidl.use_backend(backend):
        kind = getattr(minidl, dtype)
        minidl.manual_seed(3)
        model = make().to(kind)
        for p in model.parameters():  # the same values, wherever they were made
            p.data = minidl.tensor(rng.standard_normal(tuple(p.shape)) * 0.3 + (p.ndim == 1), dtype=kind)
        optimizer, scaler = optimiser(model.parameters()), GradScaler(init_scale=256.0, enabled=half is not None)
        losses = []
        for _ in range(STEPS):
            values = rng.integers(0, classes, shape) if name == "words" else rng.standard_normal(shape)
            x = minidl.tensor(values, dtype=None if name == "words" else kind)
            target = minidl.tensor(rng.integers(0, classes, values.size if name == "words" else shape[0]))
            optimizer.zero_grad()
            with minidl.autocast(x.device.type, dtype=half or minidl.bfloat16, enabled=half is not None):
                loss = F.cross_entropy(model(x), target, label_smoothing=0.1)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            scaler.step(optimizer)
            scaler.update()
            losses.append(to_numpy(loss))
        found = {"losses": np.array(losses)}
        found |= {f"gradient of {n}": to_numpy(p.grad) for n, p in model.named_parameters()}
        return found | {n: to_numpy(v) for n, v in model.state_dict().items()}


trained_once = functools.cache(trained)


def assert_near(ours, theirs, error):
    """Within ``error``, measured at the size of the largest value; of a model's gradients together."""
    assert ours.keys() == theirs.keys()
    steepest = max(np.abs(v).max() for k, v in theirs.items() if k.startswith("gradient"))
    for key, value in theirs.items():
        scale = steepest if key.startswith("gradient") else max(1.0, np.abs(value).max())
        np.testing.assert_allclose(ours[key], value, rtol=error, atol=error * scale, err_msg=key)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", list(backends.CHAINS))
@pytest.mark.parametrize("name", list(CASES))
def test_steps_are_numpys_in_float64(name, backend, dtype):
    assert_near(trained_once(name, backend, dtype), trained_once(name, "numpy", "float64"), FACTOR * ROUNDING[dtype])


@pytest.mark.parametrize("backend", list(backends.CHAINS))
@pytest.mark.parametrize("name", list(CASES))
def test_the_same_steps_give_the_same_bits(name, backend):
    first, second = trained_once(name, backend, "float32"), trained(name, backend, "float32")
    for key, value in first.items():
        assert value.tobytes() == second[key].tobytes(), key


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("backend", list(backends.CHAINS))
@pytest.mark.parametrize("name", list(CASES))
def test_steps_in_mixed_precision_stay_near(name, backend, half):
    made = trained(name, backend, "float32", getattr(minidl, half))
    assert all(np.isfinite(v).all() for v in made.values())
    assert all(v.dtype != np.float16 for v in made.values())  # parameters and losses stay in float32
    assert_near(made, trained_once(name, "numpy", "float64"), 8 * ROUNDING[half])
