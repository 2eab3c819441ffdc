"""The doctor's findings and advice."""

from __future__ import annotations

import numpy as np

from minidl import doctor
from minidl_kernels.threads import cores


def openblas(architecture="SkylakeX", threads=None):
    return {
        "internal_api": "openblas",
        "architecture": architecture,
        "version": "0.3",
        "num_threads": threads or cores(),
    }


def test_the_report_names_what_is_there(monkeypatch):
    monkeypatch.setattr(doctor, "bandwidth", lambda: 12.3e9)
    monkeypatch.setattr(doctor, "gemm_rate", lambda: 456e9)
    report = doctor.examine()
    assert np.__version__ in report.machine["minidl"]
    assert "12.3 GB/s" in report.machine["memory bandwidth"]
    assert "456 GFLOP/s" in report.machine["GEMM"]
    assert report.packages["torch"].startswith("2.13.0")
    assert "pip install" in report.packages["cupy"] or report.packages["cupy"][0].isdigit()


def test_measurements_are_plausible():
    assert 1e8 < doctor.bandwidth(8) < 1e13
    assert 1e7 < doctor.gemm_rate(128) < 1e15


def test_advice_names_what_to_change(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert doctor.advice(["avx512f"], [openblas()]) == []
    assert "OPENBLAS_CORETYPE=SkylakeX" in doctor.advice(["avx512f"], [openblas("Haswell")])[0]
    assert doctor.advice(["avx2"], [openblas("Haswell")]) == []
    assert f"OPENBLAS_NUM_THREADS={cores()}" in doctor.advice([], [openblas(threads=cores() + 1)])[0]
    monkeypatch.setattr(doctor, "cores", lambda: 64)
    assert "fewer threads" in doctor.advice([], [openblas(threads=2)])[0]
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    assert "MALLOC_TRIM_THRESHOLD_=" in doctor.advice([], [])[0]
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    assert doctor.advice([], []) == []


def test_it_prints(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "bandwidth", lambda: 1e9)
    monkeypatch.setattr(doctor, "gemm_rate", lambda: 1e9)
    doctor.main()
    text = capsys.readouterr().out
    for part in ("This machine", "Optional packages", "vector units", "BLAS", "minidl[gpu]"):
        assert part in text


def test_the_gpu_is_measured(monkeypatch):
    from minidl.bench.ceilings import Ceilings

    monkeypatch.setattr(doctor.backends, "cuda_is_available", lambda: True)
    monkeypatch.setattr(doctor.minidl.cuda, "get_device_name", lambda: "A GPU")
    monkeypatch.setattr(doctor, "measure", lambda device: Ceilings(device, 3e12, 50e12, 1e-6))
    assert doctor._gpu() == "A GPU, 3000 GB/s (a copy), 50.0 TFLOP/s (float32 matrix product)"
