"""Saving and loading: what goes in comes out, others can read it, and nothing bad gets in."""

from __future__ import annotations

import contextlib
import json
import math
import os

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn, serialization

DTYPES = ["float16", "float32", "float64", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"]


def same(a, b):
    if isinstance(a, minidl.Tensor):
        return (
            isinstance(b, minidl.Tensor)
            and (a.dtype, a.shape, a.requires_grad) == (b.dtype, b.shape, b.requires_grad)
            and a._data.tobytes() == b._data.tobytes()
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"]))
TENSORS = st.builds(
    lambda shape, name: minidl.ones(shape, dtype=getattr(minidl, name)),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(DTYPES),
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.integers() | st.none() | st.booleans()
NESTED = st.recursive(
    SCALARS | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(NESTED)
def test_anything_nested_comes_back(tmp_path_factory, obj):
    path = tmp_path_factory.mktemp("s") / "x.safetensors"
    minidl.save(obj, path)
    assert same(obj, minidl.load(path))


def test_special_values_and_names_that_meet(tmp_path):
    path = tmp_path / "x"
    t = minidl.randn(3, requires_grad=True)
    obj = {
        "a.b": minidl.ones(1),
        "a": {"b": minidl.zeros(2)},
        "__metadata__": minidl.full((2,), 3.0),
        "": minidl.tensor(math.nan),
        "twice": [t, t],
        "floats": [math.inf, -math.inf, math.nan, 5e-324, -0.0, np.float32(0.1), np.int64(3)],
        "big": 2**100,
        "view": minidl.arange(6).reshape(2, 3).T,
    }
    minidl.save(obj, path)
    back = minidl.load(path)
    assert back["twice"][0] is back["twice"][1]
    assert back["twice"][0].requires_grad
    assert back["a.b"].tolist() == [1]
    assert back["a"]["b"].tolist() == [0, 0]
    assert back["__metadata__"].tolist() == [3, 3]
    assert math.isnan(back[""].item())
    assert back["view"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert back["big"] == 2**100
    assert math.copysign(1, back["floats"][4]) == -1
    assert back["floats"][5] == float(np.float32(0.1))
    back["view"].add_(1)  # what is loaded may be changed


@pytest.mark.parametrize("name", DTYPES)
def test_to_and_from_pytorch(tmp_path, name):
    values = torch.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(torch, name))
    safetensors.torch.save_file({"x": values, "scalar": values[0, 1].clone()}, tmp_path / "t")
    ours = serialization.load_file(tmp_path / "t")
    assert ours["x"].dtype is getattr(minidl, name)
    assert ours["x"].tolist() == values.tolist()
    assert ours["scalar"].shape == ()
    serialization.save_file(ours, tmp_path / "m", {"note": "ours"})
    back = safetensors.torch.load_file(tmp_path / "m")
    assert all(torch.equal(back[k], v) for k, v in safetensors.torch.load_file(tmp_path / "t").items())
    again = minidl.load(tmp_path / "m")
    assert all(same(again[k], v) for k, v in ours.items())
    assert len(again) == 2


def test_state_dict_of_a_module_to_pytorch(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    serialization.save_file(model.state_dict(), tmp_path / "m")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "m"))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(
        model(minidl.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5
    )


def test_what_cannot_be_saved_is_named(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(TypeError, match=r"'a\.1' is of type set"):
        minidl.save({"a": [1, {2}]}, path)
    with pytest.raises(TypeError, match=r"Linear.*state_dict"):
        minidl.save(nn.Linear(2, 2), path)
    with pytest.raises(TypeError, match="keys must be strings or numbers"):
        minidl.save({(1, 2): 3}, path)
    loop = {}
    loop["self"] = [loop]
    with pytest.raises(ValueError, match=r"'self\.0' contains itself"):
        minidl.save(loop, path)
    with pytest.raises(TypeError, match="'x' must be a Tensor, but is int"):
        serialization.save_file({"x": 3}, path)
    with pytest.raises(TypeError, match="names must be strings"):
        serialization.save_file({3: minidl.ones(1)}, path)
    with pytest.raises(TypeError, match="takes a dict"):
        serialization.save_file([minidl.ones(1)], path)
    with pytest.raises(TypeError, match="complex"):
        serialization.save_file({"x": np.ones(2, complex)}, path)
    assert os.listdir(tmp_path) == []


def header(content: bytes | dict, data=b"", size=None):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return (len(content) if size is None else size).to_bytes(8, "little") + content + data


def structure(value):
    return header({"__metadata__": {"minidl.structure": value}})


GOOD = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
BAD = {
    "empty": b"",
    "text": b"hello world, this is not it",
    "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix",
    "zeros": bytes(64),
    "huge header": header(GOOD, bytes(8), 2**63),
    "header longer than file": header(GOOD, b"", 10_000),
    "no JSON": header(b"{" * 40),
    "deep JSON": header(b"[" * 100_000),
    "JSON list": header(b"[1, 2]"),
    "cut short": header(GOOD, bytes(5)),
    "too long": header(GOOD, bytes(9)),
    "offsets backwards": header({"x": {**GOOD["x"], "data_offsets": [8, 0]}}, bytes(8)),
    "offsets beyond": header({"x": {**GOOD["x"], "data_offsets": [0, 2**62]}}, bytes(8)),
    "negative shape": header({"x": {**GOOD["x"], "shape": [-2]}}, bytes(8)),
    "shape too big": header({"x": {**GOOD["x"], "shape": [2**40, 2**40]}}, bytes(8)),
    "overlapping": header({"x": GOOD["x"], "y": GOOD["x"]}, bytes(8)),
    "unknown type": header({"x": {**GOOD["x"], "dtype": "Q7"}}, bytes(8)),
    "a type minidl lacks": header({"x": {**GOOD["x"], "dtype": "U32"}}, bytes(8)),
    "structure no JSON": structure("{"),
    "structure without tensor": structure('{"tensor": "gone"}'),
    "structure tensor list": structure('{"tensor": []}'),
    "structure bare list": structure("[1]"),
    "structure unknown kind": structure('{"set": [1]}'),
    "structure two kinds": structure('{"list": [], "dict": []}'),
    "structure empty": structure("{}"),
    "structure unhashable key": structure('{"dict": [[{}, 1]]}'),
    "structure odd pair": structure('{"dict": [[1, 2, 3]]}'),
    "structure no items": structure('{"list": 3}'),
    "structure deep": structure('{"list": [' * 5000 + "1" + "]}" * 5000),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_clear_error(tmp_path, name):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(BAD[name])
    with pytest.raises(RuntimeError, match=r"bad\.safetensors.*(not a safetensors file|damaged)"):
        minidl.load(path)


def test_every_truncation_and_many_flipped_bytes(tmp_path):
    path = tmp_path / "x"
    minidl.save({"a": minidl.ones(3), "b": [1, "two"]}, path)
    content = path.read_bytes()
    for n in range(len(content)):
        path.write_bytes(content[:n])
        with pytest.raises(RuntimeError, match="cut short"):
            minidl.load(path)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 300):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << int(rng.integers(8)))]) + content[place + 1 :])
        with contextlib.suppress(RuntimeError):  # or it loads: a flipped bit in a value cannot be seen
            minidl.load(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone"):
        minidl.load(tmp_path / "gone")
    with pytest.raises(RuntimeError, match="is a folder"):
        serialization.load_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        minidl.save(1, tmp_path / "no" / "folder")


def test_without_the_library_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        minidl.save(1, tmp_path / "x")
