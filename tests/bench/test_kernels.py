"""The kernels' benchmark: what it measures is right, its costs are those counted by hand, its files are whole."""

from __future__ import annotations

import json
import sys

import matplotlib.image
import numpy as np
import pytest
import torch

from minidl import backends
from minidl.bench import cases, ceilings, kernels, plots, results, timing

CEILINGS = ceilings.Ceilings("cpu", bandwidth=10e9, gemm=100e9, call=1e-6)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(ceilings, "measure", lambda device, dtype="float32": CEILINGS)


def small(room):
    return cases.build(room, cases.SIZES[room]["tiny"][0], cases.Arrays())


@pytest.mark.parametrize("room", [room for room in cases.rooms() if room != "dropout"])  # what is dropped is chance
def test_torch_computes_the_same(room):
    """Both sides of every case give the same answer, so that times can be compared."""
    peer = cases.Peer(torch, "cpu")
    for case in small(room):
        ours = kernels._flat(case.ours(backends.kernel(room))())
        theirs = kernels._flat(case.theirs(peer)())
        if theirs is not None:  # an optimiser's step returns nothing
            np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_every_room_is_measured():
    assert set(cases.rooms()) == set(backends.rooms())
    for room in cases.rooms():
        assert set(cases.SIZES[room]) == {"tiny", "cpu", "cuda"}
        for case in small(room):
            assert case.nbytes > 0
            assert case.flops >= 0


def test_costs_by_hand():
    forward, backward = small("softmax")  # 4 × 37
    assert (forward.flops, forward.nbytes) == (5 * 148, 2 * 148 * 4)
    assert (backward.flops, backward.nbytes) == (4 * 148, 3 * 148 * 4)
    product = small("matmul")[0]  # 16 × 18 times 18 × 17
    assert (product.flops, product.nbytes) == (2 * 16 * 17 * 18, 4 * (16 * 18 + 18 * 17 + 16 * 17))


def test_verdicts():
    def judged(seconds, flops, nbytes):
        verdict = ceilings.judge(CEILINGS, seconds, flops, nbytes)
        return verdict.bound, round(verdict.share, 2)

    assert judged(1.0, 1e9, 8e9) == ("memory", 0.8)
    assert judged(1.0, 90e9, 1e9) == ("arithmetic", 0.9)
    assert judged(20e-6, 1e3, 2e3) == ("overhead", 0.01)
    assert judged(1.0, 1e9, 1e8) == ("neither", 0.01)
    assert judged(1.0, 1e9, 3e9) == ("neither", 0.3)
    assert CEILINGS.ridge == 10
    assert CEILINGS.limit(9, 1) == "memory"
    sentence = ceilings.judge(CEILINGS, 1.0, 4e9, 8e9).sentence
    assert sentence == "bytes: 0.5 FLOP/byte, at 80% of this machine's bandwidth"
    assert "caches help" in ceilings.judge(CEILINGS, 0.5, 4e9, 8e9).sentence


def test_ceilings_are_measured():
    assert 1e8 < ceilings.bandwidth(8) < 1e13
    assert 1e7 < ceilings.gemm_rate(128) < 1e15
    assert 0 < ceilings._call() < 1e-3


def test_timing_goes_in_turn_and_within_its_budget():
    order = []
    works = {name: lambda name=name: order.append(name) for name in "ab"}
    clock = timing.Clock(0)
    found = timing.in_turn(works, dict.fromkeys(works, clock), runs=5, warm_up=1)
    assert "".join(order[-10:]) == "ababababab"
    assert found["a"].runs == 5
    assert timing.in_turn(works, dict.fromkeys(works, clock), runs=50, budget=0)["a"].runs == 3
    summary = timing.summary([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (summary.seconds, summary.spread) == (3.0, 1.0)
    assert timing.Clock(1e-3).repeats(lambda: None) > 10


def test_a_run(quick, tmp_path):
    said = []
    found = kernels.run(["softmax", "matmul"], against="torch", runs=3, sizes="tiny", say=said.append)
    assert any("softmax 4 × 37" in text for text in said)
    assert {row.room for row in found.rows} == {"softmax", "matmul"}
    assert {"numpy", "torch"} <= {row.backend for row in found.rows} <= {"numpy", "numba", "torch"}
    for row in found.rows:
        assert row.seconds > 0
        assert row.sentence
    path = tmp_path / "results.json"
    results.save(found, path)
    again = results.load(path)
    assert again == found
    raw = json.loads(path.read_text())
    assert raw["versions"]["numpy"] == np.__version__
    assert raw["machine"]["processor"]
    assert raw["date"][:2] == "20"
    pictures = plots.draw(found, tmp_path / "plots")
    assert {p.name for p in pictures} == {"roofline-cpu.png", "times-softmax.png", "times-matmul.png"}
    for picture in pictures:
        assert matplotlib.image.imread(picture)[..., :3].std() > 0.02
    assert kernels.ratios(found)[0][0] == "numpy"


def test_emulated_backends_only_by_name(quick, monkeypatch, capsys):
    monkeypatch.setattr(backends, "cuda_is_available", lambda: False)
    assert set(kernels.worth_timing()) <= {"numpy", "numba"}
    rows = kernels.run(["softmax"], ["numpy", "triton"], runs=1).rows
    assert {row.size for row in rows if row.backend == "triton"} == {"4 × 37"}
    assert {row.implementation for row in rows if row.backend == "triton"} == {"triton"}
    assert {row.bound for row in rows if row.backend == "triton"} == {"emulation"}


def test_different_answers_are_refused(monkeypatch):
    case = small("softmax")[0]
    with pytest.raises(ValueError, match=r"softmax, forward, 4 × 37: bad and good differ"):
        kernels._check_answers(case, {"good": lambda: np.ones(3), "bad": lambda: np.zeros(3)})
    with pytest.raises(ValueError, match="differ"):
        kernels._check_answers(case, {"good": lambda: np.ones(3), "bad": lambda: np.ones(2)})


def test_small_answers_are_checked_against_the_reference_on_the_cpu(monkeypatch):
    kernels._check_small("softmax", ["numpy"], cases.Arrays())
    good = backends._find("softmax", "numpy").forward
    monkeypatch.setattr(kernels, "_modules", lambda room, names: [("odd", Odd(good), "odd")])
    with pytest.raises(ValueError, match="odd and the reference differ"):
        kernels._check_small("softmax", ["numpy"], cases.Arrays())


class Odd:
    def __init__(self, good):
        self.forward = lambda x: good(x) * 1.1


def test_wrong_names(quick):
    with pytest.raises(ValueError, match=r"'softmx'.*softmax"):
        kernels.run(["softmx"])
    with pytest.raises(ValueError, match="unknown backend"):
        kernels.run(["softmax"], ["jax"])
    with pytest.raises(ValueError, match="'torch', not with 'jax'"):
        kernels.run(["softmax"], against="jax")
    with pytest.raises(ValueError, match="nothing to measure"):
        cases.build("nothing", (1,), cases.Arrays())


def a_row(seconds, size="4 × 37", spread=0.0):
    return results.Row("softmax", "forward", size, 148, "float32", "numpy", "numpy", seconds, spread, 5, 740, 1184)


def test_two_runs_compared():
    before = results.Results([a_row(1.0), a_row(1.0, "other")], machine={"cores": "2"})
    after = results.Results([a_row(0.5, spread=0.1), a_row(3.0, "new")], machine={"cores": "4"})
    (pair,) = results.compare(before, after)
    assert pair.ratio == 0.5
    assert pair.certain
    assert results.differences(before, after) == ["cores: 2 and 4"]
    assert not results.Pair(a_row(1.0, spread=0.1), a_row(1.1, spread=0.1)).certain
    assert results.geometric_mean([0.5, 2.0]) == pytest.approx(1)
    with pytest.raises(ValueError, match="no measurement in common"):
        results.compare(before, results.Results([a_row(1.0, "else")]))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "rows": [{"room": 1}], "ceilings": {}}']
)
def test_files_that_are_something_else(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.json holds no results"):
        results.load(path)


# -------------------------------------------------------------------- as on a GPU: a CuPy that notes what is asked of it


class FakeCupy:
    """NumPy, with events whose clock goes forward by a millisecond at each record."""

    def __init__(self):
        self.log, self.now = [], 0.0
        fake = self

        class Event:
            def record(self):
                fake.now += 1.0
                self.at = fake.now
                fake.log.append("record")

            def synchronize(self):
                fake.log.append("wait")

        class Buffer:
            def fill(self, value):
                fake.log.append("flush")

        device = type("Device", (), {"attributes": {"L2CacheSize": 50 << 20}})
        runtime = type("runtime", (), {"deviceSynchronize": staticmethod(lambda: fake.log.append("synchronize"))})
        self.cuda = type("cuda", (), {"Event": Event, "Device": device, "runtime": runtime})
        self.cuda.get_elapsed_time = staticmethod(lambda a, b: b.at - a.at)
        self.int8, self.float32 = np.int8, np.float32
        self.empty = lambda n, dtype: fake.log.append(n) or Buffer()
        self.ones = lambda shape, dtype: np.ones(min(shape, 8) if isinstance(shape, int) else (4, 4), dtype)
        self.zeros, self.empty_like, self.copyto = np.zeros, np.empty_like, np.copyto
        self.matmul, self.add = np.matmul, np.add


@pytest.fixture
def cupy(monkeypatch):
    fake = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(backends, "cuda_is_available", lambda: True)
    return fake


def test_the_gpu_is_timed_by_events_with_a_cold_cache(cupy):
    clock = timing.clock("cuda")
    assert cupy.log == [256 << 20]
    assert clock.repeats(lambda: None) == 1
    cupy.log.clear()
    assert clock.measure(lambda: cupy.log.append("work"), 2) == pytest.approx(1e-3)
    assert cupy.log == ["flush", "record", "work", "record", "wait"] * 2
    timing.synchronize()
    assert cupy.log[-1] == "synchronize"


def test_the_gpus_ceilings(cupy):
    found = ceilings.measure("cuda", "float16")
    assert found.bandwidth == pytest.approx(2 * 8 * 4 / 1e-3)
    assert found.gemm == pytest.approx(2 * 8192**3 / 1e-3)
    assert found.call == pytest.approx(1e-3)


def test_durations():
    assert [kernels.duration(s) for s in (2, 0.5, 2e-4, 3e-8)] == ["2 s", "500 ms", "200 µs", "30 ns"]
