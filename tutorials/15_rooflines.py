# %% [markdown]
# # 15. Why backends differ: rooflines
#
# **The question.** Someone replaces a machine by one that does a thousand times as many operations a second, and large
# matrix products become a thousand times as fast. The softmax becomes three hundred times as fast, and the training of
# a small network takes as long as before. Nobody has written bad code. Could one have known that before buying, from
# nothing but the shapes of the arrays?
#
# Chapter 14 found three things that take time: calls, journeys and arithmetic. Here we put a number on each, for the
# machine before us, and *then* look at an operator. Of each operator we count two numbers, and of each machine we
# measure three. That is all we allow ourselves.

# %% tags=["setup"]
import inspect as source
import math
import time

import matplotlib.pyplot as plt
import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import inspect, nn
from minidl.bench import ceilings
from minidl.bench.ceilings import Ceilings
from minidl.profiler import profile
from minidl.tutor import choose

minidl.manual_seed(0)
minidl.set_num_threads(1)

# %% [markdown]
# ## The mathematics: two roofs
#
# A piece of work makes $F$ floating-point operations and moves $B$ bytes between memory and processor, in $n$ calls.
# The machine makes at most $\pi$ operations a second, moves at most $\beta$ bytes a second, and each call costs it $c$
# seconds before anything happens. (Three letters for this chapter.) Each of the three needs its time:
#
# $$\frac{F}{\pi}, \qquad \frac{B}{\beta}, \qquad n c.$$
#
# Fetching and computing can go on together; calling comes before both. So
#
# $$t \;\ge\; n c + \max\!\left(\frac{F}{\pi}, \frac{B}{\beta}\right).$$
#
# If a program overlaps nothing it takes the sum in place of the maximum, and a sum of two numbers is at most twice the
# larger. *The maximum is never wrong by more than a factor of 2 for want of overlap.* What is further above it has
# another reason, and that is why the model is useful: it does not predict a time, it says when to go and look.
#
# Leave calls aside for a moment, divide $F$ by both sides, and write $I = F / B$, the **intensity**, in operations a
# byte:
#
# $$\frac{F}{t} \;\le\; \min(\pi,\; \beta I), \qquad
# \log \frac{F}{t} \;\le\; \min(\log \pi,\; \log \beta + \log I).$$
#
# On logarithmic axes that is a roof: a slope of exactly 1, whose height is the bandwidth, then a ceiling. They meet at
# the **ridge**, $I^* = \pi / \beta$. Left of it faster arithmetic is worth nothing; right of it faster memory is worth
# nothing. The ridge belongs to the machine, $I$ to the operator. The operator is bound by whatever it stands under.
#
# ## The two numbers of an operator
#
# Float32; everything is read once and written once.
#
# | operator | $F$ | $B$ | $I$ |
# |---|---|---|---|
# | copy of $n$ | 0 | $8n$ | 0 |
# | sum of two arrays | $n$ | $12 n$ | 1/12 |
# | softmax, layer normalisation | $5n$, $8n$ | $8n$ | 5/8, 1 |
# | Adam ($w, g, m, v$ read; $w, m, v$ written) | $12 n$ | $28 n$ | 3/7 |
# | matrix product $(n, n)(n, n)$ | $2 n^3$ | $12 n^2$ | $n / 6$ |
#
# All but the last have a number of the order of 1, whatever their size. Only a product has an intensity that *grows*:
# it uses each number $n$ times. But not every product. A linear layer with $N$ rows, $D$ to $D$:
#
# $$I(N) = \frac{2 N D^2}{4\,(D^2 + 2ND)} = \frac{N D}{2\,(D + 2N)} \approx \frac{N}{2} \ \text{ for } N \ll D,
# \qquad I(\infty) = \frac{D}{4}.$$
#
# One row has $I = \tfrac12$, less than a softmax. The weights are fetched, each is used twice, and that is it. The
# batch *is* the intensity.
#
# We do not have to trust our counting: the profiler of minidl takes notes of every rule that runs, and `minidl.costs`
# of operations. Forward:


# %%
def counted(f):
    """The (F, B) of each operator that ran forward in f(), by name, views left out: they move nothing."""
    with profile(record_shapes=False) as prof, minidl.no_grad():
        f()
    found = {}
    for event in prof.events:
        if event.phase == "forward" and event.flops:
            flops, nbytes, calls = found.get(event.name, (0, 0, 0))
            found[event.name] = flops + event.flops, nbytes + event.nbytes, calls + 1
    return found


n, d, rows = 48, 256, 64
x, square, layer = minidl.randn(rows, d), minidl.randn(n, n), nn.Linear(d, d, bias=False)
for name, f, flops, nbytes in (
    ("Add", lambda: x + x.clone(), rows * d, 12 * rows * d),
    ("Softmax", lambda: minidl.softmax(x, 1), 5 * rows * d, 8 * rows * d),
    ("MatMul", lambda: square @ square.T, 2 * n**3, 12 * n**2),
    ("Linear", lambda: layer(x), 2 * rows * d * d, 4 * (d * d + 2 * rows * d)),
):
    found = counted(f)[name]
    print(f"{name:8} F = {found[0]:9,}  B = {found[1]:8,}  I = {found[0] / found[1]:.3g}")
    assert found[:2] == (flops, nbytes), (name, found, flops, nbytes)

# %% [markdown]
# ## The three numbers of a machine
#
# Measured, not read off a data sheet. $\pi$: the rate of a large matrix product, since nothing does arithmetic better.
# $\beta$: a copy, since nothing does less with a byte. $c$: an operator on one number. Of several runs we take the
# **least**: other programs can only make us slower, so the least is the one that says most about the machine.


# %% tags=["setup"]
def least(f, runs=5, repeats=1):
    """The least seconds of one call of f, of several runs of ``repeats`` calls each."""
    f()
    best = math.inf
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(repeats):
            f()
        best = min(best, (time.perf_counter() - began) / repeats)
    return best


# %%
a = np.ones((768, 768), np.float32)
source_array, target = np.ones(1 << 24, np.float32), np.ones(1 << 24, np.float32)
one = minidl.ones(1)
machine = Ceilings(
    "this machine",
    bandwidth=2 * target.nbytes / least(lambda: np.copyto(target, source_array)),
    gemm=2 * 768**3 / least(lambda: a @ a),
    call=least(lambda: one + one, repeats=300),
)
paper = Ceilings("H100, by its data sheet", *ceilings.DATASHEET["H100"], 5e-6)  # and five microseconds a launch
for m in (machine, paper):
    print(
        f"{m.device:26} β = {m.bandwidth / 1e9:7.1f} GB/s   π = {m.gemm / 1e9:8.0f} GFLOP/s   "
        f"c = {m.call * 1e6:.1f} µs   ridge {m.ridge:.1f}   c·β = {m.call * m.bandwidth / 1e6:.3f} MB"
    )
print(source.getsource(Ceilings.least))

# %% [markdown]
# `minidl.bench.ceilings.measure()` does the same with more care. The two machines differ by a factor of thousands in
# $\pi$ and of hundreds in $\beta$, and *not at all* in $c$. The last column makes a length of it: $c\beta$ bytes could
# have been moved in the time of one call. Work on fewer bytes than that is mostly calling. It is some tens of kilobytes
# on the slow machine, and 17 MB on the fast one, four million numbers. The faster the machine, the larger the work must
# be; the small network of the question was too small for it.
#
# Is $\beta$ one number? **Predict:** we copy arrays from a kilobyte to 64 MB. Where is the copy fastest?

# %%
powers = range(8, 25)
rates = []
for k in powers:
    again = max((1 << 19) >> k, 1)
    rates.append(8 * (1 << k) / least(lambda k=k: np.copyto(target[: 1 << k], source_array[: 1 << k]), 5, again))
size = [4 * 2**k for k in powers]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.loglog(size, [r / 1e9 for r in rates], "o-")
ax.axhline(machine.bandwidth / 1e9, color="0.7", lw=1)
ax.set(xlabel="bytes of the array", ylabel="GB/s", title="a copy, by size")
print(f"at best {max(rates) / 1e9:.0f} GB/s, the largest {rates[-1] / 1e9:.1f} GB/s")
assert max(rates) > 1.2 * rates[-1], "a cache was expected to be faster than memory"

# %% [markdown]
# *A hill.* On the left the calls, on the right memory (the grey line), between them caches, which are several times as
# fast: arrays that fit move without going to memory. So $\beta$ is the roof of work *that does not fit*, and an
# operator can be found above its roof when its input was in the cache. When `minidl bench` says "142% of the bandwidth
# (caches help)", this hill is why. The true picture has a roof for each memory; we keep the lowest.
#
# ## Operators under the roof
#
# **Prediction.** All points lie under the roof or, where an array fits the cache, a little above. Matrix products come
# near the ceiling. The softmax lies below its slope by the factor of chapter 14: in NumPy it makes 32 bytes of its 8,
# and exponentials are slow; compiled it comes nearer, at the same place on the axis, for *the intensity belongs to the
# operator and only the height to the program*. The product beats the softmax by a factor of five at least.

# %%
backends = ["numpy"] + [row.name for row in minidl.backends.table() if row.name == "numba" and row.state == "available"]
wide = choose(4096, 8192)
matrix = minidl.ones(wide, wide)  # 64 MB: more than most caches hold
big, other = minidl.randn(6144, 1024), minidl.randn(6144, 1024)
work = {
    "Add": lambda: big + other,
    "Softmax": lambda: minidl.softmax(big, 1),
    "LayerNorm": lambda: F.layer_norm(big, (1024,)),
    "Gelu": lambda: F.gelu(big),
    "Linear": lambda: F.linear(big[:1024], other[:1024]),
    "Linear, one row": lambda: F.linear(matrix[:1], matrix),
}
costs = {name: counted(f)[name.partition(",")[0]] for name, f in work.items()}

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
span = np.geomspace(0.03, 1000, 100)
ax.loglog(span, np.minimum(span * machine.bandwidth, machine.gemm) / 1e9, color="black")
heights = {}
for backend, marker in zip(backends, "os"):
    with minidl.use_backend(backend):
        for name, f in work.items():
            if backend == "numba" and name not in ("Softmax", "LayerNorm", "Gelu"):
                continue  # it has no kernel of its own for these, and runs NumPy's
            flops, nbytes, _ = costs[name]
            seconds = least(f, 2)
            heights[name, backend] = flops / seconds
            ax.plot(flops / nbytes, flops / seconds / 1e9, marker, color="tab:blue" if marker == "o" else "tab:orange")
            verdict = ceilings.judge(machine, seconds, flops, nbytes)
            print(
                f"{name:16} {backend:6} I = {flops / nbytes:7.3f}  {flops / seconds / 1e9:7.2f} GFLOP/s  {verdict.sentence}"
            )
for name, (flops, nbytes, _) in costs.items():
    ax.annotate(name, (flops / nbytes, heights[name, "numpy"] / 1e9), (6, -12), textcoords="offset points", fontsize=8)
ax.set(
    xlabel="intensity, FLOP per byte",
    ylabel="GFLOP/s",
    title="a roof and what stands under it (dots NumPy, squares Numba)",
)
assert heights["Linear", "numpy"] > 5 * heights["Softmax", "numpy"]

# %% [markdown]
# *Read it from left to right.* One point may stand above its slope: the single row of a linear layer only reads, and
# our copy also writes, for which most processors first fetch the line that is about to be overwritten, a journey that
# nobody counts. The roofs are measured by programs, and are as true as these. For the rest, a point's distance below
# the roof is what a better program could still gain, and its place on the axis says *how*: on the slope by fewer bytes,
# under the ceiling by better instructions. No program can move a point sideways; another algorithm can. That is the
# difference between writing a better kernel (from the dots to the squares) and **fusing** two operators (less $B$ for
# the same $F$: to the right, along the slope and up).
#
# ## An experiment that can fail: how many rows are free?
#
# Below the ridge a linear layer waits for its weights. They are fetched once for the whole batch. So, says the model, a
# batch of $2 I^*$ rows should take as long as a single row: the time is flat, then climbs. **Prediction**, with the
# numbers measured above, for $D = 4096$; let us see.

# %%
batches = [1, 2, 4, 8, 16, 32]
print(f"flat up to {2 * machine.ridge:.0f} rows, says the model")
took = {}
for count in batches:
    inputs = np.ones((count, wide), np.float32)
    took[count] = least(lambda inputs=inputs: inputs @ matrix.numpy().T, 2)
    model = machine.least(2 * count * wide**2, 4 * (wide**2 + 2 * count * wide))
    print(
        f"{count:4} rows  model {model * 1e3:7.2f} ms   measured {took[count] * 1e3:7.2f} ms   × {took[count] / model:.1f}"
    )
assert took[32] < 6 * took[4], "eight times the rows were expected to cost far less than eight times the time"

# %% [markdown]
# Flat, in a sense: from 4 rows to 32 the work grows eightfold, and the time by much less. But look at the last column,
# and at the step behind the first row. On the machine where this was written two rows take six to fourteen *times* as
# long as a single one. The model says where to look: $F$ cannot be the reason, so there must be bytes that we did not
# count. Indeed. For a single row BLAS has a routine of its own that reads the weights as they lie. For several it first
# *copies* them, piece by piece, into an order that its inner loops like, and this packing pays if many rows use it. The
# bound was right; the program moves more than the least. Who had counted the FLOPs alone would have called the
# processor slow.
#
# (This is why a language model that writes for one user is slow on any hardware, and for thirty users hardly slower: a
# token is a row, and the weights are the journey.)
#
# ## Two experiments without a clock
#
# Counts do not flicker. First: *which operators move the bytes?* We take a layer of a transformer (chapter 11),
# forward. **Prediction:** products, attention's included, make more than 95% of the operations; of the bytes the others
# move more than half.

# %%
encoder = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
found = counted(lambda: encoder(minidl.randn(8, 64, 128)))
all_flops, all_bytes = (sum(v[i] for v in found.values()) for i in (0, 1))
for name, (flops, nbytes, calls) in sorted(found.items(), key=lambda item: -item[1][1]):
    print(f"{name:10} {calls} calls  {flops / all_flops:6.1%} of the FLOPs  {nbytes / all_bytes:6.1%} of the bytes")
products = [found[name] for name in ("Linear", "Attention")]
assert sum(p[0] for p in products) > 0.95 * all_flops
assert sum(p[1] for p in products) < 0.5 * all_bytes

# %% [markdown]
# A machine that makes products infinitely fast would save whatever time the products take, and leave half of the
# journeys. So a compiler for deep learning is, first of all, a program that finds *neighbours to fuse*.
#
# Second: what does fusing save? Layer normalisation without affine, composed from tensors, and as one operator. Count
# before reading on: how many calls, how many times 4 bytes a value?


# %%
def composed(x):
    """Layer normalisation of the rows, from seven operators."""
    centred = x - x.mean(1, keepdim=True)
    variance = centred.square().mean(1, keepdim=True)
    return centred / (variance + 1e-5).sqrt()


x = minidl.randn(256, 512)
assert minidl.allclose(composed(x), F.layer_norm(x, (512,)), atol=1e-5)
apart, fused = counted(lambda: composed(x)), counted(lambda: F.layer_norm(x, (512,)))
apart_calls, apart_bytes = sum(v[2] for v in apart.values()), sum(v[1] for v in apart.values())
fused_calls, fused_bytes = sum(v[2] for v in fused.values()), sum(v[1] for v in fused.values())
print(
    f"composed: {apart_calls} calls, {apart_bytes / x.numel():.2f} bytes a value; ", {k: v[2] for k, v in apart.items()}
)
print(f"fused:    {fused_calls} call,  {fused_bytes / x.numel():.2f} bytes a value")
assert fused_calls == 1
assert apart_calls == 7
assert math.isclose(apart_bytes / fused_bytes, 4, rel_tol=0.02)

print("\nvalues       this machine: composed / fused        H100 by its data sheet")
for k in (10, 14, 18, 22, 26):
    values, ratios = 2**k, []
    for m in (machine, paper):
        seconds = [
            calls * m.call + nbytes / x.numel() * values / m.bandwidth
            for calls, nbytes in ((apart_calls, apart_bytes), (fused_calls, fused_bytes))
        ]
        ratios.append(seconds[0] / seconds[1])
    print(f"2^{k:<10} {ratios[0]:20.1f} × {ratios[1]:32.1f} ×")

# %% [markdown]
# The gain has two ends: seven, the ratio of the *calls*, where arrays are small; four, the ratio of the *bytes*, where
# they are large. On the fast machine the first lasts to millions of values. Nothing here was timed, and nothing of it
# depends on how well the kernels are written.
#
# ## Racing the backends
#
# `minidl.inspect.race` does all of this for a graph of yours: it checks each operator of each backend in float64 first
# (a wrong answer is not worth timing), then times them in turn, counts, and judges. Backends that are only emulated
# here are checked and not timed. **Predict** for each operator of this little graph which of calls, bytes and
# operations binds it.


# %%
def build():
    linear, given = nn.Linear(256, 256), minidl.randn(64, 256)
    return lambda: minidl.softmax(linear(given), 1).square().mean()


race = inspect.race(build, backends, runs=5)
print(race)
legs = {leg.operator: leg for leg in race.legs if leg.phase == "forward" and leg.backend == "numpy"}
assert legs["Linear"].flops == 2 * 64 * 256**2 + 64 * 256
assert legs["Linear"].intensity > 20 > 1 > legs["Softmax"].intensity > legs["Square"].intensity
assert max(race.errors.values()) < 1e-3

# %% [markdown]
# The line `numba → numpy` says that Numba's backend has no file of its own for this operator: a compiled loop cannot
# better a sum that NumPy makes, nor a product that BLAS makes. So why do backends differ? Not in $F$, which is the
# mathematics; little in $\pi$ and $\beta$, on one machine. They differ in the *calls* that they need and in the *bytes*
# that they move beyond the least, and in nothing else that matters. Who has read the table has read the answer to the
# chapter.
#
# What are calls on a GPU? Launches, and they can be counted where the kernels are merely imitated:

# %%
from minidl_kernels.arrays import launches

small = np.ones((4, 40), np.float32)
for backend in ("cupy", "triton"):
    try:
        with minidl.use_backend(backend):
            given, begun = minidl.tensor(small), launches[0]
            F.layer_norm(minidl.softmax(given, 1), (40,))
            number = launches[0] - begun
    except (ImportError, RuntimeError, OSError) as error:
        print(str(error).splitlines()[0])
        continue
    print(
        f"{backend}: softmax and layer normalisation in {number} launches, {number * paper.call * 1e6:.0f} µs at least"
    )
    assert number == 2

# %% [markdown]
# ## Exercises

# %% [markdown] tags=["exercise", "rows_to_the_ridge"]
# ### Exercise 1: how many rows keep the processor busy?
# A linear layer $D \to D$ without bias, float32, $N$ rows: $F = 2ND^2$, $B = 4(D^2 + 2ND)$. Write
# `rows_to_the_ridge(d, ridge)`: the least $N$ with $F/B \ge$ ridge, an int; None if there is no such $N$. Example:
# `rows_to_the_ridge(1024, 20)` is 44.


# %% tags=["exercise", "rows_to_the_ridge"]
def rows_to_the_ridge(d, ridge):
    """The least number of rows with which a linear layer of width d is bound by arithmetic, or None."""
    # --- solution
    if d <= 4 * ridge:
        return None
    return math.ceil(2 * ridge * d / (d - 4 * ridge))
    # --- end


# %% [markdown] tags=["hint", "rows_to_the_ridge"]
# Write the inequality down and solve it for $N$. What do you multiply both sides by, and is it positive?
# %% [markdown] tags=["hint", "rows_to_the_ridge"]
# $N D \ge 2r(D + 2N)$, so $N (D - 4r) \ge 2rD$. The intensity never exceeds $D/4$, however many rows there are.


# %% tags=["wrong", "rows_to_the_ridge"]
def rows_do_not_count(d, ridge):
    """Takes I = N / 2, as if inputs and outputs were no bytes."""
    return math.ceil(2 * ridge) if d > 4 * ridge else None


def always_possible(d, ridge):
    """Divides by something that is not positive: a narrow layer never gets there."""
    return math.ceil(2 * ridge * d / (d - 4 * ridge)) if d != 4 * ridge else None


def numbers_for_bytes(d, ridge):
    """Counts numbers moved, each of which is four bytes."""
    return math.ceil(ridge * d / (2 * (d - ridge))) if d > ridge else None


def one_too_few(d, ridge):
    """Rounds down: with that many rows the ridge is not reached."""
    return int(2 * ridge * d / (d - 4 * ridge)) if d > 4 * ridge else None


# %% tags=["check", "rows_to_the_ridge"]
def check_rows_to_the_ridge(rows_to_the_ridge):
    """Against trying one N after another; narrow layers among them."""
    for d, ridge in (
        (1024, 20),
        (256, 5),
        (64, 16),
        (64, 20),
        (65, 16),
        (4096, 295),
        (512, 7.5),
        (8, 1),
        (3, 1),
        (100, 24),
    ):
        expected = next((n for n in range(1, 8000) if 2 * n * d * d >= ridge * 4 * (d * d + 2 * n * d)), None)
        got = rows_to_the_ridge(d, ridge)
        assert got == expected, (
            f"d = {d}, ridge = {ridge}: {expected} is right (the intensity of N rows is N·D / (2(D + 2N)), and never reaches "
            f"{d / 4:g}), and you gave {got}"
        )


# %% [markdown] tags=["exercise", "traffic"]
# ### Exercise 2: what fusing saves
# A chain of elementwise steps is a list of pairs (inputs, output), names of arrays of $n$ float32 values each:
# `[(("x",), "a"), (("a", "b"), "y")]` is a = f(x), y = g(a, b). Write `traffic(steps, kept, n)`: the bytes moved, as a
# pair. First **apart**: each step reads each of its *different* inputs once and writes its output. Then **fused** into
# one kernel: each array that the chain did not make itself is read once, and only the arrays named in `kept` are
# written. All in `kept` are made by the chain, and no array is made twice. The example with `kept = {"y"}` and n = 1
# gives (20, 12).


# %% tags=["exercise", "traffic"]
def traffic(steps, kept, n):
    """(bytes apart, bytes fused)."""
    # --- solution
    made = {output for _, output in steps}
    read = {name for inputs, _ in steps for name in inputs} - made
    apart = sum(len(set(inputs)) + 1 for inputs, _ in steps)
    return 4 * n * apart, 4 * n * (len(read) + len(kept))
    # --- end


# %% [markdown] tags=["hint", "traffic"]
# Two sets decide about the fused kernel: the names that appear as an output, and the names that appear as an input.
# %% [markdown] tags=["hint", "traffic"]
# Read from memory is what is an input somewhere and an output nowhere. `x * x` reads x once.


# %% tags=["wrong", "traffic"]
def squares_read_twice(steps, kept, n):
    """Reads an array twice in a step that names it twice."""
    made = {output for _, output in steps}
    read = {name for inputs, _ in steps for name in inputs} - made
    return 4 * n * sum(len(inputs) + 1 for inputs, _ in steps), 4 * n * (len(read) + len(kept))


def only_the_last_written(steps, kept, n):
    """Writes one result, though backward may want others."""
    made = {output for _, output in steps}
    read = {name for inputs, _ in steps for name in inputs} - made
    return 4 * n * sum(len(set(inputs)) + 1 for inputs, _ in steps), 4 * n * (len(read) + bool(steps))


def read_at_each_use(steps, kept, n):
    """Fetches an array again for each step that uses it, inside one kernel."""
    made = {output for _, output in steps}
    read = sum(len(set(inputs) - made) for inputs, _ in steps)
    return 4 * n * sum(len(set(inputs)) + 1 for inputs, _ in steps), 4 * n * (read + len(kept))


def intermediates_written(steps, kept, n):
    """Saves the readings and still writes every intermediate array."""
    made = {output for _, output in steps}
    read = {name for inputs, _ in steps for name in inputs} - made
    return 4 * n * sum(len(set(inputs)) + 1 for inputs, _ in steps), 4 * n * (len(read) + len(made))


# %% tags=["check", "traffic"]
def check_traffic(traffic):
    """Random chains, played on a memory that counts."""
    draw = np.random.default_rng(0)
    for length in (0, 1, 1, 2, 3, 3, 5, 8):
        names, steps = ["x", "b"], []
        for i in range(length):
            inputs = tuple(str(name) for name in draw.choice(names, int(draw.integers(1, 4))))
            steps.append((inputs, f"t{i}"))
            names.append(f"t{i}")
        kept = {output for _, output in steps[:-1] if draw.random() < 0.3} | {output for _, output in steps[-1:]}
        n, apart, on_chip, fused = int(draw.integers(1, 9)), 0, set(), 0
        for inputs, output in steps:
            apart += len(dict.fromkeys(inputs)) + 1
            for name in inputs:
                fused += name not in on_chip
                on_chip.add(name)
            on_chip.add(output)
            fused += output in kept
        got = traffic(steps, set(kept), n)
        for what, right, given in zip(("apart", "fused"), (4 * n * apart, 4 * n * fused), got):
            where = f"{steps}, kept {sorted(kept)}, n = {n}"
            assert given == right, f"{where}: {what} moves {right} bytes, and you say {given}"


# %% [markdown] tags=["exercise", "fit"]
# ### Exercise 3: the machine, from its timetable
# Somebody timed copies: `nbytes` (M,), from a hundred bytes to a billion, and `seconds` (M, R), each R times, while
# other programs ran. In truth $t = c + B/\beta$, to a few hundredths; disturbances come on top and can be large. Write
# `fit(nbytes, seconds)`: the pair $(c, \beta)$, each right to 10%. At least a fifth of the runs of each size were
# hardly disturbed.


# %% tags=["exercise", "fit"]
def fit(nbytes, seconds):
    """(seconds of a call, bytes a second)."""
    # --- solution
    t = np.min(seconds, axis=1)
    rows = np.stack([1 / t, nbytes / t], axis=1)  # c / t + (B / t) / beta = 1: errors relative to t
    call, slope = np.linalg.lstsq(rows, np.ones(len(t)), rcond=None)[0]
    return call, 1 / slope
    # --- end


# %% [markdown] tags=["hint", "fit"]
# Which of several times of the same work says most about the machine, when others can only slow it down?
# %% [markdown] tags=["hint", "fit"]
# Least squares on seconds sees only the largest sizes: an error of 1% there is more than all of c. The errors that
# matter are relative.
# %% [markdown] tags=["hint", "fit"]
# Divide the equation by t: c · (1/t) + (1/β) · (B/t) = 1, which is linear in c and 1/β. `np.linalg.lstsq` solves it.


# %% tags=["wrong", "fit"]
def in_seconds(nbytes, seconds):
    """Least squares on seconds: a hundredth of the longest time drowns the cost of a call."""
    slope, call = np.polyfit(nbytes, np.min(seconds, axis=1), 1)
    return call, 1 / slope


def by_the_mean(nbytes, seconds):
    """Lets what disturbs the machine into the result."""
    t = np.mean(seconds, axis=1)
    call, slope = np.linalg.lstsq(np.stack([1 / t, nbytes / t], axis=1), np.ones(len(t)), rcond=None)[0]
    return call, 1 / slope


def first_to_last(nbytes, seconds):
    """Draws a line through the ends, and finds its height at 0 as the difference of two large numbers."""
    t = np.min(seconds, axis=1)
    i, j = np.argsort(nbytes)[[-2, -1]]
    slope = (t[j] - t[i]) / (nbytes[j] - nbytes[i])
    return t[i] - slope * nbytes[i], 1 / slope


def in_logarithms(nbytes, seconds):
    """Fits a power of the size, which a sum of two terms is not."""
    slope, height = np.polyfit(np.log(nbytes), np.log(np.min(seconds, axis=1)), 1)
    return math.exp(height), float(np.max(nbytes)) / math.exp(height + slope * math.log(np.max(nbytes)))


# %% tags=["check", "fit"]
def check_fit(fit):
    """Machines of several speeds, sizes in any order, disturbances that only slow."""
    draw = np.random.default_rng(0)
    for call, bandwidth in ((1e-6, 1e10), (5e-6, 3e12), (3e-5, 5e9), (2e-7, 4e11), (1e-6, 6e9)):
        nbytes = draw.permutation(np.geomspace(100, 1e9, 30))
        exact = (call + nbytes / bandwidth)[:, None]
        disturbed = draw.exponential(0.8, (30, 15)) * (draw.random((30, 15)) < 0.6)
        disturbed[:, :3] = 0
        seconds = draw.permuted(exact * (1 + np.abs(draw.normal(0, 0.02, (30, 15))) + disturbed), axis=1)
        got = fit(nbytes.copy(), seconds.copy())
        for what, right, given in zip(("seconds of a call", "bytes a second"), (call, bandwidth), got):
            assert abs(given - right) < 0.1 * right, (
                f"a machine with c = {call:g} s and β = {bandwidth:g} B/s: your {what} are {given:.3g}, not {right:.3g}. "
                "Which of the 15 times of a size do you use, and does an error of 1% count the same at both ends?"
            )


# %% [markdown]
# ## What PyTorch does differently
#
# `torch.profiler` notes time, shapes and, with `with_flops=True`, the operations of products and convolutions; bytes it
# does not count, so that an intensity has to be worked out by hand or read from NVIDIA's Nsight Compute, which draws
# rooflines from the chip's own counters: bytes that *did* move, where minidl counts those that must. To save calls
# PyTorch has `torch.compile`, which fuses elementwise neighbours, and CUDA graphs, which replay a recorded row of
# launches for the price of about one. minidl has neither: what is fused here was fused by hand, in a room of its own.
#
# ## Sources
#
# - Williams, Waterman & Patterson 2009, "Roofline: An Insightful Visual Performance Model for Multicore Architectures".
# - Hockney & Jesshope 1981, *Parallel Computers*: the half-performance length, which is our $c\beta$.
# - McCalpin 1995, "Memory Bandwidth and Machine Balance in Current High Performance Computers": the STREAM copy.
# - Goto & van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication": packing, and why.
# - NVIDIA, *H100 Tensor Core GPU Architecture* (data sheet, SXM form): 3.35 TB/s, 67 TFLOP/s in float32.
# - minidl: `docs/measuring.md`; `minidl bench softmax matmul --plots pictures`;
#   `minidl race model.py --plot roofline.png`.
#
# The sum, the softmax and the norm have an intensity that nobody can change. Attention is two products with a softmax
# between them, and there the choice is ours: the next chapter moves it along the axis.
