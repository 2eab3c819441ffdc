# %% [markdown]
# # 14. What a kernel is
#
# **The question.** `minidl.softmax(x, 1)` is one line, and behind it are four programs: in NumPy, in Numba, in CUDA C and
# in Triton. They compute the same numbers with the same operations in nearly the same order. On a large array the
# slowest of them takes a hundred times as long as the fastest, and on a small array another one is the slowest. If it is
# not the arithmetic, what is it that takes the time?
#
# Chapter 13 trained small parts of large networks, and we waited for it. From here on we look at the waiting. A **kernel**
# is a function that does the innermost work: plain arrays in, plain arrays out, no tape, no layers. minidl keeps each in a
# room of its own, `minidl_kernels/softmax/` for one, with a file for each way to run it.

# %% tags=["setup"]
import inspect
import math
import statistics
import time

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl.backends import kernel
from minidl.tutor import choose
from minidl_kernels.installing import how_to_install

minidl.manual_seed(0)

# %% [markdown]
# ## The mathematics, and what it asks of a machine
#
# A row $\mathbf{x}$ of $n$ scores becomes $n$ probabilities,
#
# $$y_i = \frac{e^{x_i - m}}{s}, \qquad s = \sum_j e^{x_j - m}, \qquad m = \max_j x_j.$$
#
# Any $m$ gives the same result, as $e^{-m}$ stands above and below; the maximum is chosen because no exponent is then above
# 0, and nothing overflows. The gradient (chapter 10) needs the result alone:
# $\bar{\mathbf{x}} = \mathbf{y} \odot (\bar{\mathbf{y}} - \bar{\mathbf{y}}^\top\mathbf{y})$.
#
# Count per value, for float32. It must be **read** once and its result **written** once: 8 bytes. In between there are
# five operations: a comparison, a difference, an exponential, an addition, a product. A processor of today does some
# hundreds of operations in the time in which it fetches 8 bytes from memory. So the arithmetic is nothing. What remains is
# a question of transport: **how often does each value travel?** Here is the formula as one writes it in NumPy.


# %% tags=["setup"]
def whole_arrays(x):
    """Softmax of the rows of x (N, n), an expression a step."""
    m = x.max(1, keepdims=True)
    e = np.exp(x - m)
    return e / e.sum(1, keepdims=True)


# %% [markdown]
# | step | reads | writes | bytes per value |
# |---|---|---|---|
# | `x.max` | x | | 4 |
# | `x - m` | x | a temporary | 8 |
# | `np.exp` | the temporary | e | 8 |
# | `e.sum` | e | | 4 |
# | `e / …` | e | y | 8 |
# | together | | | **32** |
#
# Four times what is necessary, if every array is too large for the cache, so that each step fetches it anew. That is a
# **prediction** with a number in it; we come back to it.
#
# ## The other end: three loops
#
# What would we write in a language without arrays?


# %% tags=["setup"]
def loops(x):
    """Softmax of the rows of x, value by value."""
    y = np.empty_like(x)
    for i, row in enumerate(x):
        m = -math.inf
        for value in row:
            m = max(m, value)
        s = 0.0
        for value in row:
            s += math.exp(value - m)
        for j, value in enumerate(row):
            y[i, j] = math.exp(value - m) / s
    return y


def seconds(functions, runs):
    """The median time of each function, called in turn, so that what disturbs the machine disturbs all."""
    for f in functions.values():
        f()
    times = {name: [] for name in functions}
    for _ in range(runs):
        for name, f in functions.items():
            began = time.perf_counter()
            f()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(t) for name, t in times.items()}


# %%
draw = np.random.default_rng(0)
small = draw.normal(size=(32, 100)).astype(np.float32)
assert np.allclose(loops(small), whole_arrays(small), atol=1e-6)
took = seconds({"loops": lambda: loops(small), "whole arrays": lambda: whole_arrays(small)}, 7)
for name, t in took.items():
    print(f"{name:13} {t / small.size * 1e9:8.1f} ns a value")
assert took["loops"] > 10 * took["whole arrays"], "Python's loops were expected to be far slower"

# %% [markdown]
# Hundreds of nanoseconds a value. The processor needs about one. The rest is Python: each `max`, each `-`, each index looks up
# types, makes an object, counts references. That is the first cost, **overhead**: it is paid per *operation of the
# interpreter*, whatever the operation does. NumPy pays it once per array instead of once per number.
#
# Once per array is still something. **Predict**: a softmax of 10 numbers takes NumPy how much less time than a softmax of
# 100?

# %%
sizes = [1, 10, 100, 1_000, 10_000, 100_000, choose(1_000_000, 10_000_000)]
inputs = {n: draw.normal(size=(1, n)).astype(np.float32) for n in sizes}
times = seconds({n: (lambda n=n: whole_arrays(inputs[n])) for n in sizes}, choose(9, 21))

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.loglog(sizes, [times[n] * 1e6 for n in sizes], "o-")
ax.set(xlabel="values", ylabel="microseconds", title="softmax of one row, in NumPy")
print(f"10 values: {times[10] * 1e6:.1f} µs, 100 values: {times[100] * 1e6:.1f} µs")
assert times[100] < 3 * times[10], "below some hundred values, only the calls were expected to count"
assert times[100_000] > 10 * times[100], "with many values, the values were expected to count"

# %% [markdown]
# *A floor, then a slope.* Up to some hundred values nothing changes: five calls cost some microseconds, with or without work
# in them. On the slope the values count. Every kernel on every machine has this picture; only the height of the floor
# differs. On a GPU a launch costs about five microseconds, and the slope is ten to fifty times as flat, so the floor
# reaches to a hundred thousand values. Small work gains nothing there.
#
# ## Blocks: stay in the cache
#
# On the slope, the 32 bytes of our table are the enemy. A processor keeps what it touched last in a cache, some hundred
# kilobytes that are many times as fast as memory. If a *block of rows* fits, all five steps can be done on it before the
# next block is fetched. Then the temporaries never see memory. That is all that minidl's NumPy kernel adds:

# %%
with minidl.use_backend("numpy"):
    print(inspect.getsource(kernel("softmax").forward))

# %% [markdown]
# `each_block` cuts the rows and shares them among threads (NumPy lets go of Python's lock inside a call, so that they
# really run side by side). `wide` is float32 for 16-bit types: sums of rounded numbers are no good, as chapter 17 will show.
#
# ## Numba: the loops again, compiled
#
# The three loops were not a bad *program*. They were badly *run*. Numba translates such a function into machine code, once,
# at its first call, and then the overhead is gone. Is that all there is to it? We write the loops once more, for a
# compiler, and put them beside minidl's own Numba kernel.

# %%
try:
    import numba
except ImportError:
    numba = None
    print(f"Numba is not installed ({how_to_install('minidl[jit]')}): the next comparison goes without it")

candidates = {"whole arrays": whole_arrays, "minidl, numpy": kernel("softmax").forward}
if numba is not None:

    @numba.njit(fastmath=False)
    def compiled_loops(x):
        y = np.empty_like(x)
        for i in range(x.shape[0]):
            m = -np.inf
            for j in range(x.shape[1]):
                m = max(m, x[i, j])
            s = 0.0
            for j in range(x.shape[1]):
                y[i, j] = math.exp(x[i, j] - m)
                s += y[i, j]
            for j in range(x.shape[1]):
                y[i, j] /= s
        return y

    candidates["loops, compiled"] = compiled_loops
    with minidl.use_backend("numba"):
        candidates["minidl, numba"] = kernel("softmax").forward

large = draw.normal(size=choose((1024, 512), (4096, 1024))).astype(np.float32)
for name, f in candidates.items():
    assert np.allclose(f(large), whole_arrays(large), atol=1e-6), name
took = seconds({name: (lambda f=f: f(large)) for name, f in candidates.items()}, choose(7, 21))
print(f"{'':16} {'ns a value':>10} {'GB/s of the 8 bytes':>20}")
for name, t in took.items():
    print(f"{name:16} {t / large.size * 1e9:10.2f} {8 * large.size / t / 1e9:20.1f}")

# %% [markdown]
# *Compiled loops are no miracle.* They read each row from memory once (the second and third loop find it in the cache), so
# by our table they should win by far. On most machines they do not: `math.exp` takes one number at a time, and some
# nanoseconds for it, while NumPy's `exp` works on eight or sixteen at once with vector instructions. Now the arithmetic
# *is* the cost, because we have chosen a slow way to do it. minidl's kernel writes the exponential as a polynomial, which
# the compiler turns into vector instructions (`minidl_kernels/compiled.py`), and has both: one journey, and fast arithmetic
# on the way.
#
# Keep the order of questions, for it is always the same: does the interpreter take the time? Then fewer, larger calls. Does
# transport? Then fewer journeys. Does arithmetic? Then better instructions.
#
# ## A GPU's program: CUDA C
#
# A GPU has thousands of threads, each slow, all at once. A kernel is written for *one thread* and started for all of them,
# in **blocks** of, say, 256. Each knows its number in the block, `threadIdx.x`, its block's number, `blockIdx.x`, and the
# block's size, `blockDim.x`. Threads of one block can share a little fast memory and wait for each other
# (`__syncthreads`); blocks know nothing of each other.
#
# Softmax fits: a block a row. Thread $i$ takes the values $i, i + 256, i + 512, \dots$, so that at any moment neighbouring
# threads read neighbouring values, and 32 small loads travel as one.

# %%
from minidl_kernels.softmax import with_cupy

print(with_cupy.source.text.partition('extern "C" __global__ void softmax_backward')[0])

# %% [markdown]
# Two of our three loops can be recognised. New is `block_max`: each thread has seen 1/256 of the row, and the row's maximum is
# known to none. They have to **agree**, which is the one hard thing in parallel programming. The classical way is a tree:
# in a shared array, the first half of the threads add what the second half have, then the first quarter, and so on,
# $\log_2 256 = 8$ rounds. Between rounds *all must wait*: who reads a neighbour's number too early reads an old one.
#
# We can play GPU in Python, well enough to see it go wrong. A thread is a generator; `yield` is the barrier; between two
# barriers the threads run in any order.


# %% tags=["setup"]
def run_block(program, threads, *arguments, seed=0):
    """Run ``program(thread, threads, *arguments)`` for each thread of a block. It yields at a barrier. Between barriers,
    threads take their turns in a random order."""
    order = np.random.default_rng(seed)
    waiting = [program(thread, threads, *arguments) for thread in range(threads)]
    while waiting:
        arrived = []
        for i in order.permutation(len(waiting)):
            try:
                next(waiting[i])
                arrived.append(waiting[i])
            except StopIteration:
                pass
        if arrived and len(arrived) < len(waiting):
            raise RuntimeError(
                f"{len(arrived)} of {len(waiting)} threads wait at a barrier that the others never reach"
            )
        waiting = arrived


# %%
def tree(thread, threads, shared):
    """The largest number of ``shared`` comes to shared[0]."""
    half = threads // 2
    while half:
        if thread < half:
            shared[thread] = max(shared[thread], shared[thread + half])
        yield  # all wait here
        half //= 2


def tree_without_waiting(thread, threads, shared):
    half = threads // 2
    while half:
        if thread < half:
            shared[thread] = max(shared[thread], shared[thread + half])
        half //= 2
    yield


numbers = draw.permutation(64)
wrong = {tree: 0, tree_without_waiting: 0}
for program in wrong:
    for seed in range(50):
        shared = numbers.copy()
        run_block(program, 64, shared, seed=seed)
        wrong[program] += shared[0] != 63
print({program.__name__: f"{count} of 50 wrong" for program, count in wrong.items()})
assert wrong[tree] == 0
assert wrong[tree_without_waiting] > 10

# %% [markdown]
# Without the barrier it is wrong, and *not always*: it depends on the order, which on a GPU is different every time. Such
# an error is called a race. It passes the test on Monday.
#
# minidl runs the real CUDA C without a GPU in very much this manner: g++ compiles the same source, each thread becomes a
# fiber, and a barrier switches to the next. The answers are right; the times say nothing.

# %%
tiny = minidl.tensor(small[:4, :37])


def ran_on(backend):
    """softmax of a small matrix on a backend, and how many kernels were launched; None where it cannot be run."""
    from minidl_kernels.arrays import launches

    before = launches[0]
    try:
        with minidl.use_backend(backend):
            y = minidl.softmax(tiny, 1)
            what = minidl.backends.implementation("softmax")
    except (ImportError, RuntimeError, OSError) as error:
        print(f"{backend} cannot run here: {str(error).splitlines()[0]}")
        return None
    print(f"{backend}: ran {what}, {launches[0] - before} launch")
    return y


for name in ("cupy", "triton"):
    got = ran_on(name)
    assert got is None or minidl.allclose(got, minidl.softmax(tiny, 1), atol=1e-6)

# %% [markdown]
# ## Triton: tiles instead of threads
#
# Triton takes one step back from the threads. One *program* works on a **tile**, an array whose size is a power of two and
# known when it is compiled. Which thread holds what, how maxima are agreed upon, where barriers stand: that is the
# compiler's business.

# %%
try:
    from minidl_kernels.softmax import with_triton

    print(inspect.getsource(with_triton.softmax_forward.fn))
except ImportError as error:
    print(error)

# %% [markdown]
# It reads like NumPy, and does what no NumPy can: the row is loaded **once** into the chip's registers, and everything
# until the store happens there. 8 bytes a value: the least that is possible. The price is in the details. A row of 37 is
# padded to a tile of 64, so loads have a *mask*, and what is outside must not disturb: $-\infty$ is the maximum's zero, and
# its exponential is the sum's. And a row must fit: beyond 16,384 values the registers spill into memory, and minidl hands the
# row to the CUDA C kernel, which has no such limit.
#
# Can a tile handle a row longer than itself? Yes, with one more idea, and it is the most useful one of this chapter.
#
# ## The online sum
#
# Let a row be seen in two parts, with $(m_1, s_1)$ and $(m_2, s_2)$ their maxima and sums. What are those of both together?
# The maximum is $m = \max(m_1, m_2)$. The sums were taken relative to *their own* maxima; moving to another reference
# multiplies by a power of $e$:
#
# $$s = \sum_{j} e^{x_j - m} = \sum_{j \in 1} e^{x_j - m_1} e^{m_1 - m} + \sum_{j \in 2} e^{x_j - m_2} e^{m_2 - m}
#     = s_1\, e^{m_1 - m} + s_2\, e^{m_2 - m}.$$
#
# No value has to be looked at again. The pair $(m, s)$ is a summary that can be **merged**, in any order, in a tree or one
# after another, so a row can be read tile by tile, and a pass is saved: maximum and sum in one. (Milakov and Gimelshein
# published it in 2018, and two years of attention kernels followed from it. Chapter 16 builds one.)

# %%
row = draw.normal(size=1000) * 20
m, s = -math.inf, 0.0
history = []
for tile in np.split(row, 10):
    tile_m, tile_s = tile.max(), np.exp(tile - tile.max()).sum()
    new = max(m, tile_m)
    m, s = new, s * math.exp(m - new) + tile_s * math.exp(tile_m - new)
    history.append((m, s))
exact = np.exp(row - row.max()).sum()
print(f"merged: {s:.12f}, at once: {exact:.12f}")
assert math.isclose(s, exact, rel_tol=1e-12)
for seen, (m, s) in zip(range(100, 1001, 300), history[::3]):
    print(f"after {seen:4} values: m = {m:6.2f}, s = {s:.4f}, so far log of the sum = {m + math.log(s):.4f}")

# %% [markdown]
# The sum goes down when a larger maximum is met; $m + \log s$, the logarithm of the true sum, only ever goes up.
#
# ## An experiment that can fail: counting journeys
#
# Times differ from machine to machine. Journeys do not. Let us put the three plans to a memory that counts: every value read
# from or written to it is noted. Predictions, per value: three loops read 3 and write 1; online reads 2 and writes 1; a tile
# that holds the row reads 1 and writes 1.


# %% tags=["setup"]
class Memory:
    """A row of numbers that counts how often each is read and written, and refuses what lies outside."""

    def __init__(self, values):
        self.values = np.array(values, np.float64)
        self.result = np.full_like(self.values, np.nan)
        self.reads, self.writes = np.zeros(len(values), int), np.zeros(len(values), int)

    def load(self, places, mask, other):
        """The values at ``places`` where ``mask`` holds, ``other`` elsewhere."""
        places, mask = np.broadcast_arrays(np.asarray(places), mask)
        used = places[mask]
        if ((used < 0) | (used >= len(self.values))).any():
            raise IndexError(f"read at {used.max()}, but the row has {len(self.values)} values: is the mask right?")
        self.reads[used] += 1
        found = np.full(places.shape, float(other))
        found[mask] = self.values[used]
        return found

    def store(self, places, values, mask):
        """Write ``values`` at ``places`` where ``mask`` holds."""
        places, values, mask = np.broadcast_arrays(np.asarray(places), values, mask)
        used = places[mask]
        if ((used < 0) | (used >= len(self.values))).any():
            raise IndexError(f"written at {used.max()}, but the row has {len(self.values)} values: is the mask right?")
        self.writes[used] += 1
        self.result[used] = values[mask]


# %%
def one_tile(memory, n):
    """As Triton's kernel: the whole row in one tile."""
    places = np.arange(1 << (n - 1).bit_length())
    inside = places < n
    x = memory.load(places, inside, -np.inf)
    e = np.exp(x - x.max())
    memory.store(places, e / e.sum(), inside)


def three_passes(memory, n, block=32):
    """As the CUDA C kernel: a loop for the maximum, one for the sum, one for the result."""
    tiles = [np.arange(start, start + block) for start in range(0, n, block)]
    m = max(memory.load(t, t < n, -np.inf).max() for t in tiles)
    s = sum(np.exp(memory.load(t, t < n, -np.inf) - m).sum() for t in tiles)
    for t in tiles:
        memory.store(t, np.exp(memory.load(t, t < n, -np.inf) - m) / s, t < n)


for plan, journeys in ((one_tile, 1), (three_passes, 3)):
    memory = Memory(row)
    plan(memory, len(row))
    assert np.allclose(memory.result, np.exp(row - row.max()) / exact)
    print(f"{plan.__name__:13} reads {memory.reads.mean():.0f}, writes {memory.writes.mean():.0f}")
    assert memory.reads.min() == memory.reads.max() == journeys
    assert memory.writes.min() == memory.writes.max() == 1

# %% [markdown]
# The online plan, with 2 readings, is left to you.
#
# ## Exercises

# %% [markdown] tags=["exercise", "merge"]
# ### Exercise 1: merging two summaries
# `merge(a, b)` takes two pairs (m, s) of floats and gives that of both parts together. A part may be empty; its summary is
# `(-math.inf, 0.0)`, and so is that of two empty parts. Example: `merge((0.0, 1.0), (math.log(3), 1.0))` is about
# `(1.0986, 1.3333)`.


# %% tags=["exercise", "merge"]
def merge(a, b):
    """(m, s) of two parts of a row taken together."""
    # --- solution
    m = max(a[0], b[0])
    if m == -math.inf:
        return m, 0.0
    return m, a[1] * math.exp(a[0] - m) + b[1] * math.exp(b[0] - m)
    # --- end


# %% [markdown] tags=["hint", "merge"]
# Each sum is relative to its own maximum. By which factor must it be multiplied to be relative to the larger one?
# %% [markdown] tags=["hint", "merge"]
# `math.exp(-math.inf - m)` is 0, which is what an empty part needs. In one case the exponent is not a number: which?


# %% tags=["wrong", "merge"]
def sums_added(a, b):
    """Adds sums that are relative to different maxima."""
    return max(a[0], b[0]), a[1] + b[1]


def upside_down(a, b):
    """Scales by the inverse factor."""
    m = max(a[0], b[0])
    if m == -math.inf:
        return m, 0.0
    scale = lambda part: part[1] * math.exp(m - part[0]) if part[1] else 0.0
    return m, scale(a) + scale(b)


def only_the_first_rescaled(a, b):
    """Takes the second part for the one with the larger maximum."""
    m = max(a[0], b[0])
    return m, (a[1] * math.exp(a[0] - m) if a[1] else 0.0) + b[1]


def nan_for_nothing(a, b):
    """Subtracts infinity from infinity where both parts are empty."""
    m = max(a[0], b[0])
    return m, a[1] * math.exp(a[0] - m) + b[1] * math.exp(b[0] - m)


# %% tags=["check", "merge"]
def check_merge(merge):
    """Against the sum of the joined parts; empty parts and far apart maxima among them."""
    draw = np.random.default_rng(0)

    def summary(part):
        return (float(part.max()), float(np.exp(part - part.max()).sum())) if part.size else (-math.inf, 0.0)

    for n1, n2, spread in (
        (3, 4, 1),
        (1, 1, 1),
        (0, 3, 5),
        (5, 0, 5),
        (0, 0, 1),
        (20, 7, 100),
        (7, 20, 300),
        (2, 2, 2),
    ):
        for _ in range(4):
            parts = [draw.normal(size=n) * spread for n in (n1, n2)]
            expected = summary(np.concatenate(parts))
            got = merge(summary(parts[0]), summary(parts[1]))
            assert np.allclose(got, expected, rtol=1e-9), (
                f"parts of {n1} and {n2} values with the summaries {summary(parts[0])} and {summary(parts[1])}: together "
                f"{expected}, and you gave {got}. A sum is relative to its part's maximum."
            )


# %% [markdown] tags=["exercise", "block_sum"]
# ### Exercise 2: threads that agree
# Write a thread's program as `run_block` takes it. `block_sum(thread, threads, values, shared)`: `values` is a list of any
# length, `shared` an array with a place for each thread. In the end `shared[0]` must hold the sum of all values. Thread
# `thread` first adds up the values `thread`, `thread + threads`, … by itself; then the threads add their sums in a tree.
# `threads` is a power of two. `yield` is the barrier, and *every* thread must reach every barrier.


# %% tags=["exercise", "block_sum"]
def block_sum(thread, threads, values, shared):
    """A generator: the program of one thread of a block."""
    # --- solution
    shared[thread] = sum(values[thread::threads])
    yield
    half = threads // 2
    while half:
        if thread < half:
            shared[thread] += shared[thread + half]
        yield
        half //= 2
    # --- end


# %% [markdown] tags=["hint", "block_sum"]
# Take `tree` above: what is different are the first line and the operation. Where must all wait before the tree begins?
# %% [markdown] tags=["hint", "block_sum"]
# A barrier inside `if thread < half:` is reached by half of the threads. It belongs outside. Its place is after each write
# that another thread will read.


# %% tags=["wrong", "block_sum"]
def no_barrier_before_the_tree(thread, threads, values, shared):
    """Begins with the tree before all threads have written their own sums."""
    shared[thread] = sum(values[thread::threads])
    half = threads // 2
    while half:
        if thread < half:
            shared[thread] += shared[thread + half]
        yield
        half //= 2
    yield


def barrier_inside_the_branch(thread, threads, values, shared):
    """Half of the threads wait for the others, which never come."""
    shared[thread] = sum(values[thread::threads])
    yield
    half = threads // 2
    while half:
        if thread < half:
            shared[thread] += shared[thread + half]
            yield
        half //= 2


def no_barrier_between_rounds(thread, threads, values, shared):
    """Waits once, and then lets rounds overtake each other."""
    shared[thread] = sum(values[thread::threads])
    yield
    half = threads // 2
    while half:
        if thread < half:
            shared[thread] += shared[thread + half]
        half //= 2
    yield


def one_value_a_thread(thread, threads, values, shared):
    """Takes for granted that there are as many threads as values."""
    shared[thread] = values[thread] if thread < len(values) else 0
    yield
    half = threads // 2
    while half:
        if thread < half:
            shared[thread] += shared[thread + half]
        yield
        half //= 2


def all_into_one(thread, threads, values, shared):
    """Every thread adds to the same place: a read, an addition and a write, between which another thread writes."""
    if thread == 0:
        shared[0] = 0
    mine = sum(values[thread::threads])
    yield
    before = shared[0]
    yield
    shared[0] = before + mine


# %% tags=["check", "block_sum"]
def check_block_sum(block_sum):
    """Any number of values, several block sizes, twenty orders of the threads."""
    draw = np.random.default_rng(0)
    for threads in (1, 2, 8, 32):
        for n in (0, 1, 5, 32, 33, 100):
            values = [int(v) for v in draw.integers(-50, 50, n)]
            for seed in range(20):
                shared = np.full(threads, 10**6)
                run_block(block_sum, threads, values, shared, seed=seed)
                assert shared[0] == sum(values), (
                    f"{n} values, {threads} threads, order {seed}: shared[0] is {shared[0]} and the sum {sum(values)}. If "
                    "another order comes out right, it is a race: who reads a number that may not have been written yet?"
                )


# %% [markdown] tags=["exercise", "tiled_softmax"]
# ### Exercise 3: a row longer than the tile
# Write `tiled_softmax(memory, n, block)`: the softmax of the `n` values in a `Memory`, with tiles of `block` values.
# `memory.load(places, mask, other)` and `memory.store(places, values, mask)` are the only ways to the row, and they count.
# Read no value more than twice, write each once, and touch nothing outside. `n` need not be a multiple of `block`; the
# values may all be below -1000.


# %% tags=["exercise", "tiled_softmax"]
def tiled_softmax(memory, n, block):
    """Softmax of a row, in two passes over it."""
    # --- solution
    tiles = [np.arange(start, start + block) for start in range(0, n, block)]
    m, s = -np.inf, 0.0
    for places in tiles:
        x = memory.load(places, places < n, -np.inf)
        new = max(m, x.max())
        s = s * np.exp(m - new) + np.exp(x - new).sum()
        m = new
    for places in tiles:
        x = memory.load(places, places < n, -np.inf)
        memory.store(places, np.exp(x - m) / s, places < n)
    # --- end


# %% [markdown] tags=["hint", "tiled_softmax"]
# First pass: load a tile, merge its maximum and sum into a running (m, s). Second pass: load it again and write the result.
# %% [markdown] tags=["hint", "tiled_softmax"]
# The last tile hangs over the end: `mask = places < n`. What must `other` be, so that it is never the maximum and adds
# nothing to the sum?
# %% [markdown] tags=["hint", "tiled_softmax"]
# When the maximum grows from m to new, what has been summed so far is multiplied by `np.exp(m - new)`.


# %% tags=["wrong", "tiled_softmax"]
def three_readings(memory, n, block):
    """Right, and reads every value three times."""
    tiles = [np.arange(start, start + block) for start in range(0, n, block)]
    m = max(memory.load(t, t < n, -np.inf).max() for t in tiles)
    s = sum(np.exp(memory.load(t, t < n, -np.inf) - m).sum() for t in tiles)
    for t in tiles:
        memory.store(t, np.exp(memory.load(t, t < n, -np.inf) - m) / s, t < n)


def zeros_outside(memory, n, block):
    """Fills the tile with 0, which is larger than the row's maximum if that is negative, and adds to the sum."""
    tiles = [np.arange(start, start + block) for start in range(0, n, block)]
    m, s = -np.inf, 0.0
    for t in tiles:
        x = memory.load(t, t < n, 0.0)
        new = max(m, x.max())
        m, s = new, s * np.exp(m - new) + np.exp(x - new).sum()
    for t in tiles:
        memory.store(t, np.exp(memory.load(t, t < n, 0.0) - m) / s, t < n)


def never_rescaled(memory, n, block):
    """Lets old sums stand when the maximum grows."""
    tiles = [np.arange(start, start + block) for start in range(0, n, block)]
    m, s = -np.inf, 0.0
    for t in tiles:
        x = memory.load(t, t < n, -np.inf)
        m = max(m, x.max())
        s += np.exp(x - m).sum()
    for t in tiles:
        memory.store(t, np.exp(memory.load(t, t < n, -np.inf) - m) / s, t < n)


def tile_by_tile(memory, n, block):
    """Makes each tile a softmax of its own."""
    for start in range(0, n, block):
        t = np.arange(start, start + block)
        x = memory.load(t, t < n, -np.inf)
        e = np.exp(x - x.max())
        memory.store(t, e / e.sum(), t < n)


def no_mask(memory, n, block):
    """Reads beyond the end of the row: on a GPU, somebody else's numbers."""
    tiles = [np.arange(start, start + block) for start in range(0, n, block)]
    m, s = -np.inf, 0.0
    for t in tiles:
        x = memory.load(t, True, -np.inf)
        new = max(m, x.max())
        m, s = new, s * np.exp(m - new) + np.exp(x - new).sum()
    for t in tiles:
        memory.store(t, np.exp(memory.load(t, True, -np.inf) - m) / s, True)


# %% tags=["check", "tiled_softmax"]
def check_tiled_softmax(tiled_softmax):
    """Against the formula, in double precision, with readings and writings counted."""
    draw = np.random.default_rng(0)
    for n, block, centre in (
        (1, 1, 0),
        (5, 8, 0),
        (8, 8, -2000),
        (9, 8, -1e4),
        (100, 16, 0),
        (100, 7, 500),
        (64, 1, 3),
    ):
        values = draw.normal(size=n) * 10 + centre
        memory = Memory(values)
        tiled_softmax(memory, n, block)
        expected = np.exp(values - values.max())
        expected /= expected.sum()
        where = f"{n} values around {centre}, tiles of {block}"
        assert (memory.writes == 1).all(), f"{where}: values were written {sorted(set(memory.writes.tolist()))} times"
        assert memory.reads.max() <= 2, f"{where}: a value was read {memory.reads.max()} times, and twice is enough"
        apart = np.abs(memory.result - expected).max()
        assert apart < 1e-9, (
            f"{where}: the result is off by up to {apart:.3g}, and sums to {memory.result.sum():.6g}. Follow m and s through "
            "the first two tiles by hand."
        )


# %% [markdown]
# ## What PyTorch does differently
#
# Eager PyTorch has the same three layers under its one line: C++ with vector instructions and threads on the CPU, CUDA C++
# on NVIDIA's GPUs with several kernels for short and long rows, and `torch.compile`, which writes Triton. What to run is found
# by a dispatcher, at every call, from the tensors' device and type; in minidl it is one word, `use_backend`, and a file's
# name. PyTorch's kernels are chosen by shape more finely than ours, and are more numerous by two orders of magnitude.
#
# ## Sources
#
# - Milakov & Gimelshein 2018, "Online normalizer calculation for softmax".
# - Harris 2007, "Optimizing Parallel Reduction in CUDA": the tree, and what else can be done.
# - Tillet, Kung & Cox 2019, "Triton: An Intermediate Language and Compiler for Tiled Neural Network Computations".
# - Lam, Pitrou & Seibert 2015, "Numba: A LLVM-based Python JIT Compiler".
# - NVIDIA, *CUDA C++ Programming Guide*, chapters on the programming model and on warp shuffles.
# - The page that follows one kernel through all four languages: `kernels/README.md`; all rungs from loops to registers:
#   `minidl kernels ladder softmax`.
#
# We have seen three costs: calls, journeys and arithmetic. The next chapter draws them into one picture, from which one can
# read what bounds a kernel before it is written.
