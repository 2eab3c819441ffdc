"""The command line, through typer's runner and as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import matplotlib.image
import pytest
from typer.testing import CliRunner

import minidl
from minidl import cli, serialization
from minidl.__main__ import faster_environment
from minidl.cli import common
from minidl.data.download import DownloadError

FILES = {"metrics.csv", "curves.png", "confusion.png", "mistakes.png", "model.safetensors", "checkpoint.safetensors"}


def invoke(*arguments):
    """Exit code, and all that stood on the screen, with its line breaks and spaces made plain."""
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], env={"COLUMNS": "500", "NO_COLOR": "1"})
    return result.exit_code, re.sub(r"\s+", " ", result.output)


def digits(runs, *more, model="mlp"):
    return invoke("train", "mnist", "--data", "digits", "--model", model, "--runs-dir", runs, *more)


@pytest.fixture(autouse=True)
def screens(monkeypatch):
    """Consoles wide enough for any sentence."""
    for console in (common.console, common.errors):
        monkeypatch.setattr(console, "_width", 500)


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs that draw nothing, where the test is of something else: drawing takes longer than training."""
    from minidl.train import Pictures

    for name in ("on_epoch_end", "on_trained"):
        monkeypatch.setattr(Pictures, name, lambda self, trainer: None)


def test_version():
    assert invoke("--version") == (0, f"minidl {minidl.__version__} ")


@pytest.mark.parametrize("words", [[], ["train"], ["train", "mnist", "--help"], ["bench", "--help"]])
def test_help(words):
    assert "Usage" in invoke(*words)[1]


@pytest.mark.parametrize("model", ["convnet", "lenet5", "mlp", "convnet-bn"])
def test_train_leaves_files_and_pictures(tmp_path, model):
    code, text = digits(tmp_path, "--epochs", 1, model=model)
    assert code == 0, text
    assert "epoch 1/1 train loss" in text
    assert "test accuracy" in text
    assert f"Look at the pictures in {tmp_path}" in text
    folder = tmp_path / f"digits-{model}"
    expected = FILES | (set() if model == "mlp" else {"filters.png"})
    assert set(os.listdir(folder)) == expected
    for name in expected:
        if name.endswith(".png"):
            assert matplotlib.image.imread(folder / name)[..., :3].std() > 0.02


def test_resume_gives_the_same_bits(tmp_path, no_pictures):
    assert digits(tmp_path / "a", "--epochs", 2, model="convnet-bn")[0] == 0
    assert digits(tmp_path / "b", "--epochs", 1, model="convnet-bn")[0] == 0
    code, text = digits(tmp_path / "b", "--epochs", 2, "--resume", model="convnet-bn")
    assert code == 0
    assert "Going on from" in text
    a, b = ((tmp_path / n / "digits-convnet-bn" / "model.safetensors").read_bytes() for n in "ab")
    assert a == b


def test_the_seed_decides(tmp_path, no_pictures):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert digits(tmp_path, "--epochs", 1, "--seed", seed, "--name", name)[0] == 0
    a, b, c = ((tmp_path / n / "model.safetensors").read_bytes() for n in "abc")
    assert a == b != c


def test_an_earlier_run_is_mentioned(tmp_path, no_pictures):
    digits(tmp_path, "--epochs", 1)
    assert "holds an earlier run" in digits(tmp_path, "--epochs", 1)[1]


def test_resume_without_a_run(tmp_path):
    code, text = digits(tmp_path, "--resume")
    assert code == 1
    assert "Error: there is nothing to resume" in text
    assert "Traceback" not in text


def test_resume_of_another_model_or_other_settings(tmp_path, no_pictures):
    digits(tmp_path, "--epochs", 1, "--name", "x")
    code, text = digits(tmp_path, "--name", "x", "--resume", model="lenet5")
    assert code == 1
    assert "it holds MLP, this is LeNet5" in text
    code, text = digits(tmp_path, "--name", "x", "--resume", "--batch-size", 32)
    assert code == 1
    assert "batch_size: it was made with 64, this run has 32" in text


def test_a_damaged_checkpoint(tmp_path, no_pictures):
    digits(tmp_path, "--epochs", 1, "--name", "x")
    path = tmp_path / "x" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    code, text = digits(tmp_path, "--name", "x", "--resume")
    assert code == 1
    assert "Error:" in text
    assert "cut short" in text


def test_a_loss_that_is_nan(tmp_path):
    code, text = digits(tmp_path, "--lr", 1e30)
    assert code == 1
    assert "Error: Training stopped in epoch 1, step" in text
    assert "Traceback" not in text


def test_debug_shows_the_traceback(tmp_path):
    result = CliRunner().invoke(
        cli.app, ["train", "mnist", "--data", "digits", "--resume", "--runs-dir", str(tmp_path), "--debug"]
    )
    assert isinstance(result.exception, FileNotFoundError)


@pytest.mark.parametrize(
    "wrong", [["--epochs", 0], ["--batch-size", 0], ["--model", "gpt"], ["--data", "imagenet"], ["--workers", -1]]
)
def test_options_out_of_range(tmp_path, wrong):
    code, text = digits(tmp_path, *wrong)
    assert code == 2
    assert wrong[0] in text


@pytest.mark.parametrize("wanted", ["mnist", "fashion"])
def test_without_a_network_it_says_so_and_trains_on_digits(tmp_path, monkeypatch, no_pictures, wanted):
    from minidl.data import images

    def no_network(*args, **kwargs):
        raise DownloadError("Could not get it. Tried: - a mirror: unreachable")

    monkeypatch.setattr(images, "obtain", no_network)
    code, text = invoke("train", "mnist", "--data", wanted, "--model", "mlp", "--epochs", 1, "--runs-dir", tmp_path)
    assert code == 0, text
    assert "is not to be had here" in text
    assert "small digits instead" in text
    assert os.listdir(tmp_path) == ["digits-mlp"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    code, text = digits(tmp_path / "file")
    assert code == 1
    assert "Error:" in text


def test_bench_and_doctor_are_reached(monkeypatch):
    import types

    called = []
    bench = types.SimpleNamespace(run=lambda against, backend: called.append((against, backend)))
    physician = types.SimpleNamespace(main=lambda: called.append("doctor"))
    import minidl.bench
    import minidl.doctor

    monkeypatch.setitem(sys.modules, "minidl.bench.cpu", bench)
    monkeypatch.setattr(minidl.bench, "cpu", bench, raising=False)
    monkeypatch.setitem(sys.modules, "minidl.doctor", physician)
    monkeypatch.setattr(minidl, "doctor", physician, raising=False)
    assert invoke("bench", "cpu", "--against", "torch")[0] == 0
    assert invoke("bench", "cpu", "--backend", "numba")[0] == 0
    assert invoke("doctor")[0] == 0
    assert called == [("torch", "numpy"), (None, "numba"), "doctor"]
    code, text = invoke("bench", "cpu", "--against", "jax")
    assert code == 1
    assert "'torch' alone, not 'jax'" in text


def test_openblas_is_told_about_avx512_unless_somebody_chose():
    flags = "flags\t\t: fpu avx2 avx512f avx512bw avx512cd avx512dq avx512vl\n"
    assert faster_environment({"A": "b"}, flags, "darwin") == {"A": "b", "OPENBLAS_CORETYPE": "SkylakeX"}
    assert faster_environment({"OPENBLAS_CORETYPE": "Haswell"}, flags, "darwin") is None
    assert faster_environment({}, "flags : fpu avx2", "darwin") is None
    assert faster_environment({}, "", "darwin") is None


def test_freed_memory_is_kept_unless_somebody_chose():
    found = faster_environment({}, "", "linux")
    assert found is not None
    assert set(found) == {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
    assert faster_environment(found, "", "linux") is None
    assert faster_environment({"MALLOC_ARENA_MAX": "1"}, "", "linux") is None


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "minidl", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_ctrl_c_in_a_process_saves_and_says_how_to_go_on(tmp_path):
    arguments = ["train", "mnist", "--data", "digits", "--model", "mlp", "--epochs", "3000", "--runs-dir", tmp_path]
    process = start(*arguments)
    path = tmp_path / "digits-mlp" / "metrics.csv"
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "Stopped in" in text
    assert "--resume" in text
    saved = serialization.load(tmp_path / "digits-mlp" / "checkpoint.safetensors")
    assert saved["progress"]["epoch"] + saved["progress"]["step"] > 0


def test_as_a_process():
    process = start("--version")
    assert process.communicate(timeout=60)[0].strip() == f"minidl {minidl.__version__}"
