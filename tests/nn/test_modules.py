"""Every layer beside PyTorch's: state dict, text, outputs and all gradients from the same weights, in both modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl import nn

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.uniform(-2, 2, shape)


def ints(high, *shape):
    return RNG.integers(0, high, shape)


# (name, arguments, keywords, inputs)
LAYERS = [
    ("Identity", (), {}, [floats(2, 3)]),
    ("Linear", (4, 3), {}, [floats(2, 4)]),
    ("Linear", (4, 3), {"bias": False}, [floats(2, 5, 4)]),
    ("Bilinear", (4, 3, 2), {}, [floats(2, 4), floats(2, 3)]),
    ("Conv1d", (2, 4, 3), {}, [floats(2, 2, 7)]),
    ("Conv1d", (2, 4, 3), {"padding": 2, "padding_mode": "circular"}, [floats(2, 2, 7)]),
    ("Conv2d", (2, 4, 3), {}, [floats(2, 2, 7, 6)]),
    ("Conv2d", (2, 4, (3, 2)), {"stride": 2, "padding": (1, 0), "dilation": 2, "bias": False}, [floats(2, 2, 9, 8)]),
    ("Conv2d", (4, 4, 3), {"groups": 2, "padding": "same", "padding_mode": "reflect"}, [floats(2, 4, 7, 6)]),
    ("Conv2d", (2, 4, 3), {"padding": 1, "padding_mode": "replicate"}, [floats(2, 7, 6)]),
    ("Conv3d", (2, 3, 2), {"padding": 1}, [floats(1, 2, 3, 4, 3)]),
    ("ConvTranspose1d", (3, 2, 3), {"stride": 2, "output_padding": 1}, [floats(2, 3, 5)]),
    ("ConvTranspose2d", (4, 2, 3), {"stride": 2, "padding": 1, "groups": 2, "dilation": 2}, [floats(2, 4, 4, 3)]),
    ("ConvTranspose3d", (2, 2, 2), {}, [floats(1, 2, 2, 3, 2)]),
    ("MaxPool1d", (2,), {}, [floats(2, 3, 6)]),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, [floats(2, 3, 6, 7)]),
    ("MaxPool3d", (2,), {}, [floats(1, 2, 4, 4, 4)]),
    ("AvgPool1d", (2,), {"stride": 1}, [floats(2, 3, 6)]),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, [floats(2, 3, 6, 7)]),
    ("AvgPool3d", (2,), {}, [floats(1, 2, 4, 4, 4)]),
    ("AdaptiveAvgPool1d", (3,), {}, [floats(2, 3, 7)]),
    ("AdaptiveAvgPool2d", ((3, 2),), {}, [floats(2, 3, 7, 5)]),
    ("AdaptiveMaxPool1d", (3,), {}, [floats(2, 3, 7)]),
    ("AdaptiveMaxPool2d", (2,), {}, [floats(2, 3, 7, 5)]),
    ("AdaptiveAvgPool3d", (2,), {}, [floats(2, 3, 4, 3, 5)]),
    ("AdaptiveMaxPool3d", ((2, 1, None),), {}, [floats(2, 3, 4, 3, 5)]),
    ("MaxUnpool1d", (2,), {}, [floats(1, 2, 2), np.array([[[0, 3], [1, 2]]])]),
    ("MaxUnpool2d", (2,), {"stride": 1}, [floats(1, 1, 2, 1), np.array([[[[1], [5]]]])]),
    ("MaxUnpool3d", ((2, 1, 1),), {"padding": (1, 0, 0)}, [floats(1, 1, 3, 1, 1), np.array([[[[[1]], [[3]], [[0]]]]])]),
    ("BatchNorm1d", (3,), {}, [floats(0, 3)]),
    ("BatchNorm1d", (3,), {}, [floats(4, 3)]),
    ("BatchNorm1d", (3,), {"momentum": None}, [floats(4, 3, 5)]),
    ("BatchNorm2d", (3,), {"eps": 1e-3, "momentum": 0.3}, [floats(2, 3, 4, 5)]),
    ("BatchNorm2d", (3,), {"affine": False, "track_running_stats": False}, [floats(2, 3, 4, 5)]),
    ("BatchNorm3d", (2,), {}, [floats(2, 2, 2, 3, 2)]),
    ("InstanceNorm1d", (3,), {}, [floats(2, 3, 5)]),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, [floats(2, 3, 4, 5)]),
    ("InstanceNorm3d", (2,), {}, [floats(2, 2, 3, 2)]),
    ("LayerNorm", (5,), {}, [floats(2, 3, 5)]),
    ("LayerNorm", ((3, 5),), {"eps": 1e-3, "bias": False}, [floats(2, 3, 5)]),
    ("LayerNorm", (5,), {"elementwise_affine": False}, [floats(2, 3, 5)]),
    ("RMSNorm", (5,), {}, [floats(2, 3, 5)]),
    ("RMSNorm", ((3, 5),), {"eps": 1e-3, "elementwise_affine": False}, [floats(2, 3, 5)]),
    ("GroupNorm", (2, 4), {}, [floats(2, 4, 5)]),
    ("GroupNorm", (4, 4), {"affine": False}, [floats(2, 4, 3, 2)]),
    ("LocalResponseNorm", (3,), {"alpha": 0.1}, [floats(2, 4, 5)]),
    ("ReLU", (), {}, [floats(3, 4)]),
    ("ReLU6", (), {}, [floats(3, 4) * 4]),
    ("LeakyReLU", (0.2,), {}, [floats(3, 4)]),
    ("ELU", (), {"alpha": 0.5}, [floats(3, 4)]),
    ("SELU", (), {}, [floats(3, 4)]),
    ("CELU", (0.7,), {}, [floats(3, 4)]),
    ("GELU", (), {}, [floats(3, 4)]),
    ("GELU", (), {"approximate": "tanh"}, [floats(3, 4)]),
    ("SiLU", (), {}, [floats(3, 4)]),
    ("Mish", (), {}, [floats(3, 4)]),
    ("Hardswish", (), {}, [floats(3, 4) * 2]),
    ("Hardsigmoid", (), {}, [floats(3, 4) * 2]),
    ("Hardtanh", (-0.5, 1.5), {}, [floats(3, 4)]),
    ("Softplus", (2.0, 3.0), {}, [floats(3, 4)]),
    ("Softsign", (), {}, [floats(3, 4)]),
    ("LogSigmoid", (), {}, [floats(3, 4)]),
    ("GLU", (1,), {}, [floats(3, 4)]),
    ("PReLU", (), {}, [floats(3, 4)]),
    ("PReLU", (4, 0.1), {}, [floats(3, 4, 2)]),
    ("Tanhshrink", (), {}, [floats(3, 4)]),
    ("Softshrink", (0.3,), {}, [floats(3, 4)]),
    ("Hardshrink", (), {}, [floats(3, 4)]),
    ("Threshold", (0.1, 20), {}, [floats(3, 4)]),
    ("Sigmoid", (), {}, [floats(3, 4)]),
    ("Tanh", (), {}, [floats(3, 4)]),
    ("Softmax", (1,), {}, [floats(3, 4)]),
    ("LogSoftmax", (-1,), {}, [floats(3, 4)]),
    ("Softmin", (0,), {}, [floats(3, 4)]),
    ("Softmax2d", (), {}, [floats(2, 3, 2, 2)]),
    ("Embedding", (6, 3), {}, [ints(6, 2, 4)]),
    ("Embedding", (6, 3), {"padding_idx": -1, "scale_grad_by_freq": True}, [ints(6, 2, 4)]),
    ("EmbeddingBag", (6, 3), {"mode": "sum"}, [ints(6, 2, 4)]),
    ("CosineSimilarity", (), {"dim": -1}, [floats(3, 4), floats(3, 4)]),
    ("PairwiseDistance", (), {"p": 1.0}, [floats(3, 4), floats(3, 4)]),
    ("ConstantPad1d", (1, 2.5), {}, [floats(2, 3, 4)]),
    ("ConstantPad2d", ((1, 0, 2, 1), 0.5), {}, [floats(2, 3, 4, 3)]),
    ("ConstantPad3d", (1, 0.5), {}, [floats(1, 2, 2, 2, 2)]),
    ("ZeroPad1d", (1,), {}, [floats(2, 3, 4)]),
    ("ZeroPad2d", ((1, 2, 0, 1),), {}, [floats(2, 3, 4, 3)]),
    ("ZeroPad3d", (1,), {}, [floats(1, 2, 2, 2, 2)]),
    ("ReflectionPad1d", (2,), {}, [floats(2, 3, 4)]),
    ("ReflectionPad2d", ((1, 2, 0, 1),), {}, [floats(2, 3, 4, 3)]),
    ("ReflectionPad3d", (1,), {}, [floats(1, 2, 2, 2, 2)]),
    ("ReplicationPad1d", (2,), {}, [floats(2, 3, 4)]),
    ("ReplicationPad2d", (1,), {}, [floats(2, 3, 4, 3)]),
    ("ReplicationPad3d", (1,), {}, [floats(1, 2, 2, 2, 2)]),
    ("CircularPad1d", (2,), {}, [floats(2, 3, 4)]),
    ("CircularPad2d", (1,), {}, [floats(2, 3, 4, 3)]),
    ("CircularPad3d", (1,), {}, [floats(1, 2, 2, 2, 2)]),
    ("Upsample", (), {"scale_factor": 2}, [floats(2, 3, 4)]),
    ("Upsample", (), {"size": (5, 6), "mode": "bilinear", "align_corners": True}, [floats(2, 3, 4, 3)]),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, [floats(2, 3, 4, 3)]),
    ("UpsamplingBilinear2d", (), {"size": 5}, [floats(2, 3, 4, 3)]),
    ("PixelShuffle", (2,), {}, [floats(2, 4, 3, 2)]),
    ("PixelUnshuffle", (2,), {}, [floats(2, 1, 4, 6)]),
    ("ChannelShuffle", (2,), {}, [floats(2, 4, 3, 2)]),
    ("Unfold", (2,), {"stride": 2}, [floats(2, 3, 4, 6)]),
    ("Fold", ((4, 5), 2), {}, [floats(2, 12, 12)]),
    ("Flatten", (), {}, [floats(2, 3, 4)]),
    ("Flatten", (0, 1), {}, [floats(2, 3, 4)]),
    ("Unflatten", (1, (2, 3)), {}, [floats(2, 6, 4)]),
    ("Dropout", (0.3,), {"inplace": False}, [floats(3, 4)]),
    ("Dropout1d", (0.3,), {}, [floats(2, 3, 4)]),
    ("Dropout2d", (0.3,), {}, [floats(2, 3, 4, 2)]),
    ("Dropout3d", (0.3,), {}, [floats(1, 2, 3, 2, 2)]),
    ("AlphaDropout", (0.3,), {}, [floats(3, 4)]),
    ("FeatureAlphaDropout", (0.3,), {}, [floats(2, 3, 4)]),
    ("RReLU", (0.1, 0.4), {}, [floats(3, 4)]),
]
RANDOM = {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout", "RReLU"}
CASES = [
    (layer, mode) for layer in LAYERS for mode in ("train", "eval") if not (mode == "train" and layer[0] in RANDOM)
]
IDS = [f"{layer[0]}-{i}-{mode}" for i, (layer, mode) in enumerate(CASES)]


def pair(name, arguments, keywords):
    """The layer in both libraries, in float64, with PyTorch's weights."""
    theirs = getattr(torch.nn, name)(*arguments, **keywords).double()
    ours = getattr(nn, name)(*arguments, **keywords).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def inputs(library, arrays):
    tensors = []
    for array in arrays:
        tensor = library.tensor(array)
        tensors.append(tensor.requires_grad_() if array.dtype.kind == "f" else tensor)
    return tensors


@pytest.mark.parametrize(("layer", "mode"), CASES, ids=IDS)
def test_outputs_gradients_and_state_are_pytorchs(layer, mode):
    name, arguments, keywords, arrays = layer
    ours, theirs = pair(name, arguments, keywords)
    getattr(ours, mode)()
    getattr(theirs, mode)()
    x, t = inputs(minidl, arrays), inputs(torch, arrays)
    for _ in range(2):  # running statistics move each time
        y, u = ours(*x), theirs(*t)
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-7, atol=1e-7)
    if y.requires_grad:
        cotangent = np.random.default_rng(1).standard_normal(tuple(u.shape))
        y.backward(minidl.tensor(cotangent))
        u.backward(torch.tensor(cotangent))
    pairs = [(f"input {i}", a, b) for i, (a, b) in enumerate(zip(x, t))]
    pairs += [(n, p, q) for (n, p), q in zip(ours.named_parameters(), theirs.parameters())]
    for what, a, b in pairs:
        if b.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6, atol=1e-6, err_msg=what)
    ours_state, theirs_state = ours.state_dict(), theirs.state_dict()
    assert list(ours_state) == list(theirs_state)
    for key, value in theirs_state.items():
        np.testing.assert_allclose(ours_state[key].numpy(), value.numpy(), rtol=1e-7, err_msg=key)


@pytest.mark.parametrize("layer", LAYERS, ids=[f"{layer[0]}-{i}" for i, layer in enumerate(LAYERS)])
def test_text_state_and_types_of_a_new_layer_are_pytorchs(layer):
    name, arguments, keywords, _ = layer
    ours, theirs = getattr(nn, name)(*arguments, **keywords), getattr(torch.nn, name)(*arguments, **keywords)
    assert repr(ours) == repr(theirs)
    described = {k: (tuple(v.shape), str(v.dtype).rpartition(".")[2]) for k, v in theirs.state_dict().items()}
    assert {k: (v.shape, str(v.dtype).rpartition(".")[2]) for k, v in ours.state_dict().items()} == described
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]


WIDE = [
    ("Linear", (300, 200)),
    ("Bilinear", (20, 30, 40)),
    ("Conv1d", (16, 32, 9)),
    ("Conv2d", (16, 32, 5)),
    ("ConvTranspose2d", (16, 32, 5)),
    ("Embedding", (300, 50)),
]


@pytest.mark.parametrize(("name", "arguments"), WIDE)
def test_initial_values_are_distributed_as_pytorchs(name, arguments):
    minidl.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    for (key, p), q in zip(ours.named_parameters(), theirs.parameters()):
        a, b = p.detach().numpy(), q.detach().numpy()
        assert abs(a.mean()) < 4 * b.std() / np.sqrt(a.size) + 1e-3, key
        np.testing.assert_allclose(a.std(), b.std(), rtol=0.15, err_msg=key)
        if name != "Embedding":  # uniform: the same bounds
            np.testing.assert_allclose(abs(a).max(), abs(b).max(), rtol=0.1, err_msg=key)


def test_a_network_exchanges_state_dicts_with_pytorch_both_ways():
    def network(lib):
        return lib.Sequential(
            lib.Conv2d(1, 4, 3, padding=1), lib.BatchNorm2d(4), lib.ReLU(), lib.Flatten(), lib.Linear(64, 3)
        )

    ours, theirs = network(nn), network(torch.nn)
    theirs.load_state_dict({k: torch.from_numpy(np.array(v.numpy())) for k, v in ours.state_dict().items()})
    x = floats(2, 1, 4, 4).astype("float32")
    y, u = ours.eval()(minidl.tensor(x)), theirs.eval()(torch.tensor(x))
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert repr(ours) == repr(theirs)


WRONG = {
    "groups": ("Conv2d", (3, 4, 3), {"groups": 2}, ValueError, "in_channels must be divisible by groups"),
    "padding mode": ("Conv2d", (3, 4, 3), {"padding_mode": "mirror"}, ValueError, "padding_mode must be one of"),
    "padding name": ("Conv2d", (3, 4, 3), {"padding": "full"}, ValueError, "Invalid padding string"),
    "same with stride": (
        "Conv2d",
        (3, 4, 3),
        {"padding": "same", "stride": 2},
        ValueError,
        "not supported for strided",
    ),
    "transposed padding mode": ("ConvTranspose2d", (3, 4, 3), {"padding_mode": "reflect"}, ValueError, "zeros"),
    "dropout": ("Dropout", (1.5,), {}, ValueError, "between 0 and 1"),
    "group norm": ("GroupNorm", (3, 4), {}, ValueError, "divisible"),
    "bilinear": ("Bilinear", (0, 3, 2), {}, ValueError, "must be > 0"),
    "huber": ("HuberLoss", ("mean", 1j), {}, TypeError, "delta must be a float or int"),
    "multi margin": ("MultiMarginLoss", (3,), {}, ValueError, "only p == 1 and p == 2"),
    "embedding padding": ("Embedding", (3, 2, 5), {}, AssertionError, "padding_idx"),
}


@pytest.mark.parametrize(("name", "arguments", "keywords", "kind", "message"), WRONG.values(), ids=WRONG)
def test_wrong_settings_are_refused_as_pytorch_does(name, arguments, keywords, kind, message):
    with pytest.raises(kind):
        getattr(torch.nn, name)(*arguments, **keywords)
    with pytest.raises(kind, match=message):
        getattr(nn, name)(*arguments, **keywords)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("BatchNorm1d", (2, 3, 4, 5)),
        ("BatchNorm2d", (2, 3)),
        ("InstanceNorm1d", (3,)),
        ("CircularPad1d", (2, 3, 4, 5)),
        ("CircularPad2d", (4, 4)),
        ("CircularPad3d", (4, 4, 4)),
    ],
)
def test_inputs_of_the_wrong_rank_are_refused(name, shape):
    with pytest.raises(ValueError, match="expected"):
        getattr(torch.nn, name)(3)(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"expected.*input"):
        getattr(nn, name)(3)(minidl.zeros(*shape))


def test_transposed_convolution_to_a_given_size():
    ours, theirs = pair("ConvTranspose2d", (2, 3, 3), {"stride": 2})
    x = floats(1, 2, 4, 4)
    y = ours(minidl.tensor(x), output_size=(10, 9))
    np.testing.assert_allclose(
        y.detach().numpy(), theirs(torch.tensor(x), output_size=(10, 9)).detach().numpy(), rtol=1e-9
    )
    with pytest.raises(ValueError, match="valid sizes range from"):
        ours(minidl.tensor(x), output_size=(20, 9))


def test_embeddings_from_a_table():
    table = minidl.rand(5, 3)
    layer = nn.Embedding.from_pretrained(table)
    assert not layer.weight.requires_grad
    assert layer(minidl.tensor([4])).tolist() == [table[4].tolist()]
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


def test_what_resampling_leaves_of_too_little():
    x = floats(1, 2, 3)
    for library in (torch, minidl):
        resize = library.nn.functional.interpolate
        assert tuple(resize(library.tensor(x), scale_factor=0.3, mode="area").shape) == (1, 2, 0)
    wide = floats(2, 1, 9, 7)  # a factor that leaves the size changes nothing, whatever the filter
    for mode in ("bilinear", "bicubic", "lanczos"):
        y = minidl.nn.functional.interpolate(minidl.tensor(wide), scale_factor=1.1, mode=mode, antialias=True)
        np.testing.assert_array_equal(y.numpy(), wide)


WRONG_RECURRENT = [
    ((0, 5), {}, ValueError, "input_size must be greater than zero"),
    ((-1, 5), {}, ValueError, "input_size must be greater than zero"),
    ((3.0, 5), {}, TypeError, "input_size should be of type int, got: float"),
    ((3, 0), {}, ValueError, "hidden_size must be greater than zero"),
    ((3, 5), {"bias": 0}, TypeError, "bias should be of type bool, got: int"),
    ((3, 5), {"batch_first": "True"}, TypeError, "batch_first should be of type bool, got: str"),
    ((3, 5), {"num_layers": 0}, ValueError, "num_layers must be greater than zero"),
]


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize(("arguments", "keywords", "kind", "message"), WRONG_RECURRENT)
def test_wrong_settings_of_recurrent_layers(name, arguments, keywords, kind, message):
    for library in (torch, minidl):
        with pytest.raises(kind, match=message):
            getattr(library.nn, name)(*arguments, **keywords)
