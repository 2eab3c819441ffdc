# %% [markdown]
# # 16. FlashAttention
#
# **The question.** A head of attention over 8,192 tokens reads three arrays of two megabytes and writes one. In
# between, if it is programmed as chapter 10 wrote it, stand the weights: a number for each *pair* of tokens, 268
# megabytes for one head, of one layer, of one sequence. Each is written, read, used once and forgotten; and then
# backward asks for all of them again. Could they be used without ever having been anywhere? The softmax says no: a
# weight has the whole row's sum in its denominator, so no weight is known before the last score of its row has been
# seen.
#
# Chapter 15 drew a roofline, and taught us to ask of every operator how many operations it makes of a byte. We ask it
# of attention, do not like the answer, and change it.

# %% tags=["setup"]
import inspect
import itertools
import math
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np

import minidl
import minidl.nn.functional as F
from minidl.backends import kernel
from minidl.tutor import choose

minidl.manual_seed(0)

# %% [markdown]
# ## The mathematics: what it costs to write the weights down
#
# One head, with $T$ queries, $S$ keys and values of width $d$ (as in chapter 10, $V$ are the values and $K$ the keys).
# The scores are called $X$ here, since $s$ will be a sum, as in chapter 14:
#
# $$X = \alpha Q K^\top \ (T, S), \qquad P = \operatorname{softmax}(X), \qquad Y = P V.$$
#
# Per score: $2d$ operations for its inner product, $2d$ to take the value into the mean, and a handful for the softmax,
# so $4d$. And bytes, in float32, if each of the three formulas is a kernel of its own: $X$ is written and read, $P$ is
# written and read, 16 bytes a score. ($Q$, $K$, $V$ and $Y$ have no $T \times S$ in them; forget them for now.)
#
# $$\text{intensity} = \frac{4d}{16} = \frac{d}{4}\ \text{FLOP per byte}, \qquad 16 \text{ for } d = 64.$$
#
# An H100's data sheet promises 67 TFLOP/s for float32 and 3.35 TB/s, a ridge at 20, and its matrix units move the ridge
# into the hundreds. There attention waits for memory, and a longer sequence does not help: $T$ does not occur in the
# intensity. The one thing that does help is to make the 16 smaller.
#
# **In parts.** Suppose that $R$ queries stay in fast memory, on the chip, while all keys and values pass by, a tile at
# a time, and that the scores of a tile are *used up* before the next tile comes. Then the traffic is: each query once,
# and for every block of $R$ queries all of $K$ and $V$,
#
# $$\frac{T}{R} \cdot S \cdot 2d \cdot 4 \text{ bytes} = \frac{8d}{R} \text{ a score}, \qquad
# \text{intensity} = \frac{4d}{8d/R} = \frac{R}{2}.$$
#
# The width has gone, and what remains is a number that *we choose*, as far as the chip has room. With $R = 128$ and
# numbers of 16 bits the intensity is 128. All that is in the way is the denominator.
#
# ## The online softmax, extended to outputs
#
# Chapter 14 merged pairs $(m, s)$ of a maximum and a sum. We add a third: the sum of the *values*, weighted like the
# summands of $s$. For a set $J$ of keys, as one query sees them,
#
# $$m_J = \max_{j \in J} x_j, \qquad s_J = \sum_{j \in J} e^{x_j - m_J}, \qquad
# \mathbf{a}_J = \sum_{j \in J} e^{x_j - m_J}\, \mathbf{v}_j,$$
#
# and for the empty set $(-\infty, 0, \mathbf{0})$. If $J$ is everything, the output is
# $\mathbf{y} = \mathbf{a}_J / s_J$: numerator and denominator carry the same factor $e^{-m_J}$. Two disjoint sets merge
# by
#
# $$m = \max(m_I, m_J), \qquad s = s_I\, e^{m_I - m} + s_J\, e^{m_J - m}, \qquad
# \mathbf{a} = \mathbf{a}_I\, e^{m_I - m} + \mathbf{a}_J\, e^{m_J - m}.$$
#
# **Theorem.** The merge of the triples of $I$ and $J$ is the triple of $I \cup J$. *Proof.* The maximum is clear. For
# the others let us undo the shift: define $\sigma_J = s_J e^{m_J} = \sum_J e^{x_j}$ and
# $\mathbf{A}_J = \mathbf{a}_J e^{m_J} = \sum_J e^{x_j}\mathbf{v}_j$. These are plain sums, so
# $\mathbf{A}_{I \cup J} = \mathbf{A}_I + \mathbf{A}_J$. Multiply by $e^{-m}$:
#
# $$\mathbf{a}_{I \cup J} = e^{-m} \mathbf{A}_I + e^{-m} \mathbf{A}_J
# = e^{-m}\, \mathbf{a}_I\, e^{m_I} + e^{-m}\, \mathbf{a}_J\, e^{m_J},$$
#
# which is the third formula; for $s$ likewise. An empty part has $e^{-\infty - m} = 0$ and adds nothing. $\square$
#
# So merging *is addition*, of two sums that nobody may write down because $e^{x}$ overflows; the triple is a way to
# write them with the exponent kept apart. Addition does not care for order, so neither does merging: keys may come in
# any order, in a chain, in a tree, or from several machines. And by induction, a loop that begins with the empty triple
# and merges tile after tile holds, at its end, the softmax's mean. The division waits until then: one for each query
# instead of one for each pair.


# %%
def triple(x, v):
    """(m, s, a) of scores x (n,) and values v (n, d)."""
    m = x.max()
    e = np.exp(x - m)
    return m, e.sum(), e @ v


def merged(one, other):
    """The triple of both sets of keys."""
    m = max(one[0], other[0])
    f, g = math.exp(one[0] - m), math.exp(other[0] - m)
    return m, one[1] * f + other[1] * g, one[2] * f + other[2] * g


draw = np.random.default_rng(0)
x, v = draw.normal(size=1000) * 3 + 900, draw.normal(size=(1000, 4))  # e^900 is beyond what a float64 can hold
p = np.exp(x - x.max())
exact = (p @ v) / p.sum()
tiles = [triple(a, b) for a, b in zip(np.split(x, 20), np.split(v, 20))]
chain, backwards = (tiles, tiles[::-1])
tree = tiles
while len(tree) > 1:
    tree = [merged(*pair) if len(pair) == 2 else pair[0] for pair in (tree[i : i + 2] for i in range(0, len(tree), 2))]
for name, found in (("chain", chain), ("backwards", backwards), ("tree", tree)):
    m, s, a = (-math.inf, 0.0, np.zeros(4))
    for tile in found:
        m, s, a = merged((m, s, a), tile)
    print(f"{name:10} off by at most {abs(a / s - exact).max():.1e}")
    assert np.allclose(a / s, exact, rtol=1e-12)

# %% [markdown]
# What does the merging cost? Each time that the maximum grows, $d$ numbers are rescaled. **Predict:** a query meets 256
# tiles, with scores that are random. In how many of them does the maximum grow: about 128, about 16, about 6?
#
# The $i$-th tile has the largest score so far if the largest of $i$ equally likely places happens to be the last: with
# probability $1/i$. So the expected count is $1 + \frac12 + \frac13 + \dots + \frac1n \approx \ln n + 0.577$.

# %%
tops = draw.normal(size=(4000, 256, 8)).max(2)  # queries, tiles, scores of a tile
grew = np.concatenate([np.ones((4000, 1), bool), tops[:, 1:] > np.maximum.accumulate(tops, 1)[:, :-1]], 1)
harmonic = (1 / np.arange(1, 257)).sum()
print(f"the maximum grew in {grew.sum(1).mean():.2f} tiles of 256; predicted {harmonic:.2f}")
assert abs(grew.sum(1).mean() - harmonic) < 0.3

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.loglog(range(1, 257), grew.mean(0), ".", label="share of queries whose maximum grew")
ax.loglog(range(1, 257), 1 / np.arange(1, 257), color="0.6", label="1 / i")
ax.set(xlabel="tile", title="how often the reference has to move")
ax.legend()

# %% [markdown]
# *About six.* The points lie on $1/i$: after the first few tiles the reference has nearly always been found, and
# rescaling multiplies by 1. That the loop does it all the same is a choice for a simple program; a recent kernel leaves
# it out unless the maximum grows by much, which the theorem allows, as any $m$ is right that does not overflow.
#
# ## The code: forward in tiles
#
# First the whole matrices, as in chapter 10, forward and backward; then tiles. The tiled one keeps one more number for
# each query, $\ell = m + \log s$, the logarithm of the true sum $\sum_j e^{x_j}$. Backward will live on it.


# %% tags=["setup"]
def hide(x, first, start):
    """-inf where key ``start + j`` comes later than query ``first + i``."""
    later = start + np.arange(x.shape[1]) > first + np.arange(x.shape[0])[:, None]
    x[later] = -np.inf


def whole(q, k, v, g, causal=False):
    """Attention of one head with all its weights written down: y, and the gradients of q, k and v for the gradient g."""
    alpha = q.shape[1] ** -0.5
    x = (q * alpha) @ k.T
    if causal:
        hide(x, 0, 0)
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    y = p @ v
    dp = g @ v.T
    dx = p * (dp - (p * dp).sum(1, keepdims=True))
    return y, (dx @ k * alpha, dx.T @ q * alpha, p.T @ g)


# %%
def flash_forward(q, k, v, rows=64, columns=64, causal=False, visit=lambda i, j: None):
    """y (T, d) and lse (T,), from ``rows`` queries by ``columns`` keys at a time; ``visit`` is told of each tile."""
    y, lse = np.empty((len(q), v.shape[1]), q.dtype), np.empty(len(q), q.dtype)
    for first in range(0, len(q), rows):
        block = q[first : first + rows] * q.shape[1] ** -0.5
        m, s, a = np.full(len(block), -np.inf, q.dtype), np.zeros(len(block), q.dtype), 0.0
        last = min(first + len(block), len(k)) if causal else len(k)  # what no query of the block may see is not read
        for start in range(0, last, columns):
            visit(first // rows, start // columns)
            x = block @ k[start : start + columns].T
            if causal and start + columns > first:
                hide(x, first, start)
            larger = np.maximum(m, x.max(1))
            fade, e = np.exp(m - larger), np.exp(x - larger[:, None])
            s, a, m = s * fade + e.sum(1), a * fade[:, None] + e @ v[start : start + columns], larger
        y[first : first + rows], lse[first : first + rows] = a / s[:, None], m + np.log(s)
    return y, lse


# %%
def inputs(t, s, d=32, dtype=np.float64):
    return [draw.normal(size=(n, d)).astype(dtype) for n in (t, s, s, t)]


for t, s, rows, columns, causal in (
    (5, 7, 2, 3, False),
    (100, 70, 64, 64, False),
    (130, 130, 32, 48, True),
    (1, 1, 8, 8, True),
):
    q, k, v, g = inputs(t, s)
    y, lse = flash_forward(q, k, v, rows, columns, causal)
    with minidl.use_backend("numpy"):
        theirs, their_lse = kernel("attention").forward(*(z[None, None] for z in (q, k, v)), None, causal, 32**-0.5)
    assert np.allclose(y, whole(q, k, v, g, causal)[0])
    assert np.allclose(y, theirs[0, 0])
    assert np.allclose(lse, their_lse[0, 0])
print("tiles of any size give what the whole matrix gives, and minidl's kernel")

# %% [markdown]
# Did we save the journeys that we set out to save? An array that counts what is read from it will say. **Prediction**
# for 512 queries and keys of width 32 in float32: $Q$ once; $K$ and $V$ once for each block of queries. Four times as
# many queries in a block, a quarter of the traffic; the width of the tile plays no part.


# %%
class Slow:
    """An array in slow memory: it counts the bytes that are fetched."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.fetched = array, array.shape, array.dtype, 0

    def __len__(self):
        return len(self.array)

    def __getitem__(self, where):
        self.fetched += self.array[where].nbytes
        return self.array[where]


t, d = 512, 32
print("rows × columns   bytes fetched a score   8d/R   (16, if X and P are written down)")
for rows, columns in ((16, 64), (64, 64), (64, 16), (256, 64)):
    slow = [Slow(z) for z in inputs(t, t, d, np.float32)[:3]]
    flash_forward(*slow, rows, columns)
    fetched = sum(z.fetched for z in slow)
    assert fetched == 4 * d * (t + 2 * t * t // rows)
    print(f"{rows:4} × {columns:4} {fetched / t**2:18.2f} {8 * d / rows:15.2f}")

# %% [markdown]
# With 16 rows it is *as bad as before*: small tiles save nothing. The gain is not in having tiles; it is in their
# height. And the height is bounded: queries, $\mathbf{a}$, a tile of keys and values and one of scores must fit on the
# chip together, about $2Rd + 2Cd + RC$ numbers for $C$ columns. Make $C$ small and $R$ as large as fits in $M$ numbers,
# $R \approx M/2d$, and the traffic of all scores is about $TS \cdot 16 d^2/M$ bytes. That nothing better is possible
# for all $M$ at once is the theorem of the paper.
#
# ## The mathematics: backward, by doing it again
#
# Chapter 10 derived
#
# $$\bar{V} = P^\top \bar{Y}, \qquad \bar{P} = \bar{Y} V^\top, \qquad
# \bar{X} = P \odot (\bar{P} - \operatorname{rowsum}(P \odot \bar{P})), \qquad
# \bar{Q} = \alpha \bar{X} K, \qquad \bar{K} = \alpha \bar{X}^\top Q.$$
#
# It wants $P$, which was never kept. A tile of it can be made again from a tile of scores, *if* we know the row's
# reference and sum; both are in $\ell$:
#
# $$P_{tj} = \frac{e^{x_{tj} - m_t}}{s_t} = e^{x_{tj} - (m_t + \log s_t)} = e^{x_{tj} - \ell_t}.$$
#
# One number a row, no maximum, no division, nothing online: backward is the easier half. One obstacle remains. The row
# sum needs all of $P$ and $\bar{P}$ in a row, so no tile of $\bar{X}$ could be finished before the row has been gone
# through once. But
#
# $$\delta_t = \sum_j P_{tj} \bar{P}_{tj} = \sum_j P_{tj} \sum_e \bar{Y}_{te} V_{je}
# = \sum_e \bar{Y}_{te} \sum_j P_{tj} V_{je} = \sum_e \bar{Y}_{te} Y_{te}.$$
#
# Two small arrays, multiplied and summed along the width: `delta = (g * y).sum(-1)`. A sum over $S$ keys has become a
# sum over $d$ columns, since $Y$ already contains what the keys had to say. Now each tile stands by itself: from its
# queries, keys, values, $\bar{Y}$, $\ell$ and $\delta$ come its *contributions* to $\bar{Q}$, $\bar{K}$ and $\bar{V}$,
# which are sums over tiles.
#
# What is paid? The scores are computed twice. Forward has two products, backward four if $P$ is at hand, and now five:
# 7 instead of 6. We pay 17% more operations, of which a GPU has more than it can use, and get bytes for them.


# %%
def flash_backward(g, q, k, v, y, lse, rows=64, columns=64, causal=False):
    """The gradients of q, k and v; no array has more than rows × columns weights in it."""
    alpha = q.shape[1] ** -0.5
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    delta = (g * y).sum(1)
    for start in range(0, len(k), columns):
        these = slice(start, start + columns)
        for first in range(start // rows * rows if causal else 0, len(q), rows):
            block = slice(first, first + rows)
            x = (q[block] * alpha) @ k[these].T
            if causal and start + columns > first:
                hide(x, first, start)
            p = np.exp(x - lse[block, None])
            dx = p * (g[block] @ v[these].T - delta[block, None])
            dq[block] += dx @ k[these] * alpha
            dk[these] += dx.T @ q[block] * alpha
            dv[these] += p.T @ g[block]
    return dq, dk, dv


for t, s, causal in ((100, 70, False), (130, 130, True), (3, 200, False), (90, 40, True)):
    q, k, v, g = inputs(t, s)
    y, gradients = whole(q, k, v, g, causal)
    ours = flash_backward(g, q, k, v, *flash_forward(q, k, v, causal=causal), causal=causal)
    for name, mine, right in zip("qkv", ours, gradients):
        assert np.allclose(mine, right), f"the gradient of {name}"
print("gradients agree")

# %% [markdown]
# Look at the loops. With keys outside and queries inside, $\bar{K}$ and $\bar{V}$ of a tile could wait on the chip
# until they are finished, while $\bar{Q}$ is fetched, added to and written back each time. On a GPU, where the tiles of
# keys are different blocks of threads, several would add to one place at once. Either the addition is made atomic, and
# the last digits differ from run to run as the order does; or there are **two** kernels, one with keys outside for
# $\bar{K}$ and $\bar{V}$, one with queries outside for $\bar{Q}$, and the scores are made a third time. minidl does the
# latter: the same inputs give the same bits.
#
# ## An experiment that can fail: memory
#
# Python's `tracemalloc` counts what NumPy allocates. **Predictions** for forward and backward together, $T = S$,
# $d = 32$, float32. `whole`: at its worst moment $X$, $P$, $\bar{P}$, the sum's argument or $\bar{X}$, so four arrays
# of $4T^2$ bytes; four times as much for a doubled $T$. In tiles: $Y$, $\ell$, $\delta$ and three gradients, about
# $4 \cdot 32 \cdot 4T$ bytes and a few tiles; twice as much for a doubled $T$.


# %%
def peak(f):
    """The most bytes that were allocated at any moment of f(), beyond what was there before."""
    tracemalloc.start()
    try:
        f()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def in_tiles(q, k, v, g):
    return flash_backward(g, q, k, v, *flash_forward(q, k, v))


def by_minidl(q, k, v, g):
    q, k, v, g = (minidl.tensor(z).requires_grad_(name != "g") for name, z in zip("qkvg", (q, k, v, g)))
    (F.scaled_dot_product_attention(q, k, v) * g).sum().backward()


lengths = choose([256, 512, 1024, 2048], [256, 512, 1024, 2048, 4096, 8192])
used = {"whole": [], "in tiles": [], "minidl": []}
for t in lengths:
    given = inputs(t, t, 32, np.float32)
    for name, f in zip(used, (whole, in_tiles, by_minidl)):
        used[name].append(peak(lambda f=f, given=given: f(*given)))
print("     T " + "".join(f"{name:>14}" for name in used) + "   whole in units of 4T²")
for i, t in enumerate(lengths):
    print(
        f"{t:6} " + "".join(f"{b[i] / 1e6:11.2f} MB" for b in used.values()) + f"{used['whole'][i] / (4 * t * t):12.2f}"
    )
growth = {name: b[-1] / b[-2] for name, b in used.items()}
print("the last doubling:", {name: f"× {r:.2f}" for name, r in growth.items()})
assert growth["whole"] > 3.5
assert growth["in tiles"] < 2.3
assert growth["minidl"] < 2.3
assert 3.9 < used["whole"][-1] / (4 * lengths[-1] ** 2) < 4.5

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, b in used.items():
    ax.loglog(lengths, [n / 1e6 for n in b], "o-", label=name)
ax.set(xlabel="T", ylabel="MB at the peak", title="forward and backward of one head, d = 32")
ax.set_xticks(lengths, [str(t) for t in lengths])
ax.minorticks_off()
ax.legend()

# %% [markdown]
# *Two slopes.* One line climbs two steps for each step to the right, the others one, or less. minidl's lies above ours:
# it takes larger blocks of scores, up to a megabyte, because on a processor large products are quick ones. Its size is
# the same however long the sequence, so where the block is what counts, the line is flat.
#
# ## Leaving out what nobody may see
#
# A causal mask hides half of the scores, and a program that writes them all down computes them, then overwrites them.
# In tiles we can do better: a tile above the diagonal is not even visited. With $n$ blocks of queries and $n$ of keys,
# of $n^2$ tiles there remain $n(n+1)/2$, and only the $n$ on the diagonal need a look at the mask. **Predict** the
# share for $n = 4$ and for $n = 64$.

# %%
q, k, v, g = inputs(512, 512)
for size in (128, 32, 8):
    seen = set()
    flash_forward(q, k, v, size, size, True, lambda i, j, seen=seen: seen.add((i, j)))
    n = 512 // size
    print(f"tiles of {size:3}: {len(seen):4} of {n * n:4} visited, {len(seen) / n**2:.1%}")
    assert len(seen) == n * (n + 1) // 2

# %% [markdown]
# 62.5% for $n = 4$, 50.8% for $n = 64$: tall tiles save bytes, small ones hug the diagonal. That is a contest to be
# decided by measuring.
#
# Leaving out has a second effect, which is easily overlooked. Serving a language model, one keeps keys and values in a
# buffer that is longer than the text so far, and what lies beyond is whatever was there. Masked, is it not?
# **Predict:** the last quarter of $V$ is NaN, the mask is causal. Which outputs are NaN, by the whole matrix and in
# tiles?

# %%
spoilt = v.copy()
spoilt[384:] = np.nan
bad = {
    "whole": np.isnan(whole(q, k, spoilt, g, causal=True)[0]).any(1),
    "in tiles": np.isnan(flash_forward(q, k, spoilt, causal=True)[0]).any(1),
    "minidl": np.isnan(F.scaled_dot_product_attention(*map(minidl.tensor, (q, k, spoilt)), is_causal=True).numpy()).any(
        1
    ),
}
for name, rows in bad.items():
    print(f"{name:9} {rows.sum():4} of 512 outputs are NaN, the first is number {rows.argmax()}")
assert bad["whole"].all()
assert bad["in tiles"].argmax() == 384

# %% [markdown]
# Every one, by the whole matrix: a weight of 0 times NaN is NaN. A mask on weights hides *numbers*, and NaN is not one.
# In tiles, what is left out is left out; what shares a tile with the diagonal is not. So nobody may rely on it, and
# whoever writes a cache fills it with zeros.
#
# ## minidl's kernels
#
# The room `minidl_kernels/attention/` has four. The CUDA C kernel is our `flash_forward` with tiles of 16 by 16, a
# thread for each score. Look for `larger`, `fade`, `s`, `a` and `lse`; they are called `top`, `fade`, `sum`, `result`
# and `lse`.

# %%
from minidl_kernels.attention import with_cupy

text = with_cupy.source.text
loop = text[text.index("for (int begin = 0; begin < last; begin += TILE)") :]
print(loop[: loop.index("\n}")])

# %% [markdown]
# In Triton the tile is a value, and the loop reads as ours does. `tl.dot` is the product on matrix units; powers of two
# take the place of powers of $e$, since the chip has an instruction for them, and $\log_2 e$ is multiplied into the
# scale.

# %%
try:
    from minidl_kernels.attention import with_triton

    loop = inspect.getsource(with_triton.attend.fn)
    print(loop[loop.index("    for start in range") :])
except ImportError as error:
    print(error)

given = [z[None, None] for z in inputs(37, 37, 16, np.float32)]


def run_on(backend):
    """Attention's output and gradients on a backend, and the launches of forward and of backward."""
    from minidl_kernels.arrays import launches

    with minidl.use_backend(backend):
        q, k, v, g = (minidl.tensor(z) for z in given)
        for z in (q, k, v):
            z.requires_grad_()
        counts = [launches[0]]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        counts.append(launches[0])
        y.backward(g)
        counts.append(launches[0])
        return [z.detach().cpu().numpy() for z in (y, q.grad, k.grad, v.grad)], np.diff(counts)


expected, _ = run_on("numpy")
for backend in ("numba", "cupy", "triton"):
    try:
        found, (forward, backward) = run_on(backend)
    except (ImportError, RuntimeError, OSError) as error:
        print(str(error).splitlines()[0])
        continue
    print(f"{backend}: as NumPy; launches forward {forward}, backward {backward}")
    for mine, right in zip(found, expected):
        assert np.allclose(mine, right, atol=2e-2), backend  # a GPU's matrix units round what they multiply

# %% [markdown]
# Numba launches nothing, its loops are functions of the processor's. On a GPU (or where one is imitated): a single
# launch forward, for all heads and all tiles; backward the two kernels that we spoke of, and in Triton a third for
# $\delta$.
#
# Now open `with_numpy.py`, and be surprised: **no online softmax.** Blocks of queries, but each with its *whole row* of
# scores. The ladder of `docs/ladders.md` has the reason, measured forward and backward, causal, on two cores, for a
# length of 4096:
#
# | rung | ms |
# |---|---|
# | 2 the whole matrix | 2900 |
# | 3 blocks of queries, whole rows | 1350 |
# | 4 blocks of keys as well, online | 2500 |
# | 5 as 4, down to the diagonal | 687 |
# | 6 as 3, down to the diagonal, heads on threads | 366 |
# | 7 as 6, compiled between the products | 268 |
#
# Tiles with the online sum are *worse* than whole rows here, 4 than 3. A processor's cache is a megabyte or more, and
# keeps by itself what is used again; 32 rows of 4096 scores fit. A block of threads on a GPU has some two hundred
# kilobytes of fast memory to itself, 128 rows of 4096 scores need two megabytes, and the alternative is not a slower
# cache but the journey to memory. What helps either way is *leaving out*, 5 against 4. The mathematics is the same; the
# algorithm that is best is a property of the machine, which is what chapter 15 was about.
#
# ## Exercises

# %% [markdown] tags=["exercise", "join"]
# ### Exercise 1: attention on two machines
# The keys of a long text lie on two machines. Each computes attention over its own keys and gives back a finished
# output and the logarithm of its sum, `y1` (T, d) and `lse1` (T,), `y2` and `lse2`. Write `join(y1, lse1, y2, lse2)`:
# the output and the logarithm for all keys together. A machine may have nothing for a query: then its lse is -inf and
# its row of y is 0. If both have nothing, the result is 0 and -inf, too. The lse may be as large as 10,000 and as small
# as -10,000.


# %% tags=["exercise", "join"]
def join(y1, lse1, y2, lse2):
    """(y, lse) of both sets of keys."""
    # --- solution
    m = np.maximum(lse1, lse2)
    m = np.where(m == -np.inf, 0, m)
    s1, s2 = np.exp(lse1 - m), np.exp(lse2 - m)
    s = s1 + s2
    seen = np.where(s == 0, 1, s)
    return (s1 / seen)[:, None] * y1 + (s2 / seen)[:, None] * y2, np.where(s == 0, -np.inf, m + np.log(seen))
    # --- end


# %% [markdown] tags=["hint", "join"]
# An output was divided by its sum, and the sum is e^lse. Multiplied by it, outputs can be added; then divide by the sum
# of both sums.
# %% [markdown] tags=["hint", "join"]
# e^10000 is infinite. Take the larger of both lse off first, from both: nothing changes but that.
# %% [markdown] tags=["hint", "join"]
# -inf minus -inf is not a number. Where the larger of both is -inf, take off 0 instead, and divide by 1.


# %% tags=["wrong", "join"]
def the_mean(y1, lse1, y2, lse2):
    """Takes both outputs for equally important, however many keys fit and how well."""
    return (y1 + y2) / 2, np.logaddexp(lse1, lse2)


def overflows(y1, lse1, y2, lse2):
    """The formula as it stands, without a reference."""
    with np.errstate(all="ignore"):
        s1, s2 = np.exp(lse1), np.exp(lse2)
        s = np.where(s1 + s2 == 0, 1, s1 + s2)
        return (s1 / s)[:, None] * y1 + (s2 / s)[:, None] * y2, np.log(s1 + s2)


def nothing_is_not_a_number(y1, lse1, y2, lse2):
    """Takes -inf from -inf where neither machine has a key for a query."""
    with np.errstate(all="ignore"):
        m = np.maximum(lse1, lse2)
        s1, s2 = np.exp(lse1 - m), np.exp(lse2 - m)
        return (s1 / (s1 + s2))[:, None] * y1 + (s2 / (s1 + s2))[:, None] * y2, m + np.log(s1 + s2)


def merged_like_triples(y1, lse1, y2, lse2):
    """Takes finished outputs for the sums that they were before their division."""
    m = np.where(np.maximum(lse1, lse2) == -np.inf, 0, np.maximum(lse1, lse2))
    return np.exp(lse1 - m)[:, None] * y1 + np.exp(lse2 - m)[:, None] * y2, np.logaddexp(lse1, lse2)


# %% tags=["check", "join"]
def check_join(join):
    """Against the softmax over all keys at once; shares of every size, none among them, and scores far from 0."""
    draw = np.random.default_rng(0)

    def attend(x, v):
        if not x.shape[1]:
            return np.zeros((len(x), v.shape[1])), np.full(len(x), -np.inf)
        m = x.max(1, keepdims=True)
        e = np.exp(x - m)
        return e @ v / e.sum(1, keepdims=True), (m + np.log(e.sum(1, keepdims=True)))[:, 0]

    for n1, n2, centre in (
        (4, 4, 0),
        (1, 9, 0),
        (9, 1, 5),
        (0, 3, 1),
        (3, 0, -1),
        (0, 0, 0),
        (5, 5, 9000),
        (5, 5, -9000),
    ):
        t, d = int(draw.integers(1, 6)), int(draw.integers(1, 5))
        x, v = draw.normal(size=(t, n1 + n2)) * 3 + centre, draw.normal(size=(n1 + n2, d))
        expected, expected_lse = attend(x, v)
        with np.errstate(divide="ignore"):
            y, lse = join(*attend(x[:, :n1], v[:n1]), *attend(x[:, n1:], v[n1:]))
        where = f"{n1} keys here and {n2} there, scores around {centre}"
        assert np.shape(y) == (t, d), f"{where}: y has the shape {np.shape(y)} and should have {(t, d)}"
        assert np.shape(lse) == (t,), f"{where}: lse has the shape {np.shape(lse)} and should have {(t,)}"
        assert np.allclose(y, expected), (
            f"{where}: the first query's output is {expected[0]}, and you gave {y[0]}. With which weight does each machine's "
            "output enter?"
        )
        assert np.allclose(lse, expected_lse), f"{where}: lse is {expected_lse[0]:.6g}, and you gave {lse[0]:.6g}"


# %% [markdown] tags=["exercise", "tile_gradients"]
# ### Exercise 2: what one tile adds to the gradients
# Write `tile_gradients(q, k, v, g, lse, delta, alpha)` for a tile of R queries and C keys: `q` (R, d), `k` (C, d), `v`
# (C, e), `g` (R, e) the outputs' gradient, `lse` (R,) and `delta` (R,) of the *whole* rows. Return what this tile
# contributes to the gradients of q, k and v, of their shapes. Summed over all tiles they must be the gradients of
# softmax(alpha · q kᵀ) v.


# %% tags=["exercise", "tile_gradients"]
def tile_gradients(q, k, v, g, lse, delta, alpha):
    """(dq, dk, dv) of one tile."""
    # --- solution
    p = np.exp(alpha * q @ k.T - lse[:, None])
    dx = p * (g @ v.T - delta[:, None])
    return alpha * dx @ k, alpha * dx.T @ q, p.T @ g
    # --- end


# %% [markdown] tags=["hint", "tile_gradients"]
# Make the tile's probabilities again: their denominator belongs to the whole row and is in lse.
# %% [markdown] tags=["hint", "tile_gradients"]
# Then three lines of the derivation: the probabilities' gradient g vᵀ, the scores' gradient with delta, and a product
# for each result. Where does alpha come in?


# %% tags=["wrong", "tile_gradients"]
def softmax_of_the_tile(q, k, v, g, lse, delta, alpha):
    """Divides by the tile's own sum, as if there were no other keys."""
    x = alpha * q @ k.T
    p = np.exp(x - x.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    dx = p * (g @ v.T - delta[:, None])
    return alpha * dx @ k, alpha * dx.T @ q, p.T @ g


def delta_of_the_tile(q, k, v, g, lse, delta, alpha):
    """Takes the row sum over the keys of this tile alone."""
    p = np.exp(alpha * q @ k.T - lse[:, None])
    dp = g @ v.T
    dx = p * (dp - (p * dp).sum(1, keepdims=True))
    return alpha * dx @ k, alpha * dx.T @ q, p.T @ g


def alpha_once(q, k, v, g, lse, delta, alpha):
    """Scales the scores and forgets that their gradients pass through the scale as well."""
    p = np.exp(alpha * q @ k.T - lse[:, None])
    dx = p * (g @ v.T - delta[:, None])
    return dx @ k, dx.T @ q, p.T @ g


def without_delta(q, k, v, g, lse, delta, alpha):
    """Leaves out that a larger weight for one key is a smaller one for all others."""
    p = np.exp(alpha * q @ k.T - lse[:, None])
    dx = p * (g @ v.T)
    return alpha * dx @ k, alpha * dx.T @ q, p.T @ g


# %% tags=["check", "tile_gradients"]
def check_tile_gradients(tile_gradients):
    """Summed over ragged tiles, against minidl's operator in double precision."""
    draw = np.random.default_rng(0)
    for t, s, d, e, rows, columns, alpha in (
        (4, 6, 3, 2, 4, 6, 1.0),
        (5, 7, 4, 3, 2, 3, 0.5),
        (1, 1, 1, 1, 1, 1, 2.0),
        (9, 8, 2, 5, 4, 3, 0.3),
    ):
        arrays = [draw.normal(size=shape) for shape in ((t, d), (s, d), (s, e), (t, e))]
        q, k, v, g = (minidl.tensor(a) for a in arrays)
        for z in (q, k, v):
            z.requires_grad_()
        y = F.scaled_dot_product_attention(q, k, v, scale=alpha)
        (y * g).sum().backward()
        right = {"q": q.grad.numpy(), "k": k.grad.numpy(), "v": v.grad.numpy()}
        q, k, v, g = arrays
        lse, delta = np.log(np.exp(alpha * q @ k.T).sum(1)), (g * y.detach().numpy()).sum(1)
        sums = {"q": np.zeros((t, d)), "k": np.zeros((s, d)), "v": np.zeros((s, e))}
        for first, start in itertools.product(range(0, t, rows), range(0, s, columns)):
            i, j = slice(first, first + rows), slice(start, start + columns)
            parts = tile_gradients(q[i], k[j], v[j], g[i], lse[i], delta[i], alpha)
            for (name, total), part, where in zip(sums.items(), parts, (i, j, j)):
                assert np.shape(part) == total[where].shape, (
                    f"d{name} should have the shape {total[where].shape}, not {np.shape(part)}"
                )
                total[where] += part
        for name, total in sums.items():
            apart = np.abs(total - right[name]).max()
            assert apart < 1e-8, (
                f"T = {t}, S = {s}, tiles of {rows} × {columns}, alpha = {alpha}: the gradient of {name} is off by {apart:.3g}"
                + ("" if (rows, columns) == (t, s) else "; a single tile may be right where several are not")
                + ". What belongs to the row, and what to the tile?"
            )


# %% [markdown] tags=["exercise", "windowed"]
# ### Exercise 3: a sliding window
# Query $t$ sees the `width` keys $t - \text{width} < s \le t$. Write `windowed(q, first, tiles, width)` for a block of
# queries `q` (R, d), the numbers `first`, `first + 1`, …, scaled already. `tiles` is a `Tiles`: `tiles[j]` fetches keys
# and values number `j * tiles.size` and following, `(k, v)`, and the last may be shorter; `len(tiles)` is how many
# there are. Return the outputs (R, e). Fetch only tiles of which some query of the block sees something, and each once.
# Every query sees at least one key.


# %% tags=["setup"]
class Tiles:
    """Keys and values in slow memory, to be fetched a tile at a time; it counts how often each is."""

    def __init__(self, k, v, size):
        self.k, self.v, self.size = k, v, size
        self.fetched = [0] * len(self)

    def __len__(self):
        return -(-len(self.k) // self.size)

    def __getitem__(self, j):
        if not 0 <= j < len(self):
            raise IndexError(f"tile {j} of {len(self)}")
        self.fetched[j] += 1
        part = slice(j * self.size, (j + 1) * self.size)
        return self.k[part], self.v[part]


# %% tags=["exercise", "windowed"]
def windowed(q, first, tiles, width):
    """The outputs of a block of queries that see the last ``width`` keys."""
    # --- solution
    t = first + np.arange(len(q))[:, None]
    m, s, a = np.full(len(q), -np.inf), np.zeros(len(q)), 0.0
    lowest, highest = max(first - width + 1, 0), first + len(q) - 1
    for j in range(lowest // tiles.size, min(highest // tiles.size + 1, len(tiles))):
        k, v = tiles[j]
        key = j * tiles.size + np.arange(len(k))
        x = np.where((key <= t) & (key > t - width), q @ k.T, -np.inf)
        larger = np.maximum(m, x.max(1))
        shift = np.where(larger == -np.inf, 0, larger)
        fade, e = np.exp(m - shift), np.exp(x - shift[:, None])
        s, a, m = s * fade + e.sum(1), a * fade[:, None] + e @ v, larger
    return a / s[:, None]
    # --- end


# %% [markdown] tags=["hint", "windowed"]
# Which is the first key that the *first* query sees, and which the last that the *last* one sees? Only tiles between
# these two are needed.
# %% [markdown] tags=["hint", "windowed"]
# A query in the block may see nothing of the first tile. Its maximum is then -inf after it, and -inf - (-inf) is not a
# number: of such a row subtract 0.
# %% [markdown] tags=["hint", "windowed"]
# `np.where((key <= t) & (key > t - width), q @ k.T, -np.inf)` with t as a column; then the loop of `flash_forward`.


# %% tags=["wrong", "windowed"]
def nan_until_seen(q, first, tiles, width):
    """Subtracts infinity from infinity while a query has seen nothing."""
    t = first + np.arange(len(q))[:, None]
    m, s, a = np.full(len(q), -np.inf), np.zeros(len(q)), 0.0
    for j in range(max(first - width + 1, 0) // tiles.size, min((first + len(q) - 1) // tiles.size + 1, len(tiles))):
        k, v = tiles[j]
        key = j * tiles.size + np.arange(len(k))
        x = np.where((key <= t) & (key > t - width), q @ k.T, -np.inf)
        larger = np.maximum(m, x.max(1))
        with np.errstate(invalid="ignore"):
            fade, e = np.exp(m - larger), np.exp(x - larger[:, None])
        s, a, m = s * fade + e.sum(1), a * fade[:, None] + e @ v, larger
    return a / s[:, None]


def everything_fetched(q, first, tiles, width):
    """Masks what it should not have fetched: right, and the window saves nothing."""
    t = first + np.arange(len(q))[:, None]
    parts = [tiles[j] for j in range(len(tiles))]
    k, v = (np.concatenate(part) for part in zip(*parts))
    key = np.arange(len(k))
    x = np.where((key <= t) & (key > t - width), q @ k.T, -np.inf)
    e = np.exp(x - x.max(1, keepdims=True))
    return e @ v / e.sum(1, keepdims=True)


def one_key_too_many(q, first, tiles, width):
    """Sees from t - width on, which are width + 1 keys."""
    t = first + np.arange(len(q))[:, None]
    parts = range(max(first - width, 0) // tiles.size, min((first + len(q) - 1) // tiles.size + 1, len(tiles)))
    k, v = (np.concatenate(part) for part in zip(*[tiles[j] for j in parts]))
    key = parts[0] * tiles.size + np.arange(len(k))
    x = np.where((key <= t) & (key >= t - width), q @ k.T, -np.inf)
    e = np.exp(x - x.max(1, keepdims=True))
    return e @ v / e.sum(1, keepdims=True)


def window_of_the_block(q, first, tiles, width):
    """Lets all queries of the block begin where the first does."""
    t = first + np.arange(len(q))[:, None]
    parts = range(max(first - width + 1, 0) // tiles.size, min((first + len(q) - 1) // tiles.size + 1, len(tiles)))
    k, v = (np.concatenate(part) for part in zip(*[tiles[j] for j in parts]))
    key = parts[0] * tiles.size + np.arange(len(k))
    x = np.where((key <= t) & (key > first - width), q @ k.T, -np.inf)
    e = np.exp(x - x.max(1, keepdims=True))
    return e @ v / e.sum(1, keepdims=True)


# %% tags=["check", "windowed"]
def check_windowed(windowed):
    """Against a softmax with the mask written down; tiles counted. Windows of 1, of all, and across tiles."""
    draw = np.random.default_rng(0)
    for keys, size, first, rows, width in (
        (6, 2, 0, 6, 6),
        (40, 4, 17, 6, 3),
        (40, 8, 0, 8, 5),
        (40, 7, 33, 7, 100),
        (9, 4, 5, 1, 1),
        (64, 8, 30, 16, 20),
    ):
        q, k, v = draw.normal(size=(rows, 5)) * 3, draw.normal(size=(keys, 5)), draw.normal(size=(keys, 3))
        tiles = Tiles(k, v, size)
        y = windowed(q, first, tiles, width)
        t, key = first + np.arange(rows)[:, None], np.arange(keys)
        visible = (key <= t) & (key > t - width)
        weights = np.where(visible, np.exp(q @ k.T), 0)
        expected = weights @ v / weights.sum(1, keepdims=True)
        where = f"queries {first} to {first + rows - 1}, a window of {width}, {keys} keys in tiles of {size}"
        wrong = np.flatnonzero(~np.isclose(y, expected).all(1))
        assert not wrong.size, (
            f"{where}: query {first + wrong[0]} sees keys {key[visible[wrong[0]]].tolist()}; its output is "
            f"{expected[wrong[0]]}, and you gave {y[wrong[0]]}. Follow (m, s, a) of this query through the tiles."
        )
        needed = [int(visible[:, j * size : (j + 1) * size].any()) for j in range(len(tiles))]
        assert tiles.fetched == needed, f"{where}: tiles were fetched {tiles.fetched} times; needed: {needed}"


# %% [markdown]
# ## What PyTorch does differently
#
# `torch.nn.functional.scaled_dot_product_attention` chooses between implementations at each call, by device, type,
# width and mask: the authors' FlashAttention-2 in CUDA C++, a "memory-efficient" one that takes arbitrary masks,
# cuDNN's, and the composed formula; `torch.nn.attention.sdpa_kernel` forces one. Its fused backward on GPUs may add
# atomically, so that bits can differ from run to run. A query that may see nothing gives 0 there as here. Windows and
# other patterns are `flex_attention`, which compiles the mask's formula into the loop.
#
# ## Sources
#
# - Dao, Fu, Ermon, Rudra & Ré 2022, "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness":
#   section 3.1 (tiles, recomputation), 3.2 and appendix C (the theorem on bytes).
# - Dao 2023, "FlashAttention-2": the division at the end, one number a row, how the loops are shared among blocks.
# - Rabe & Staats 2021, "Self-attention Does Not Need O(n²) Memory".
# - Milakov & Gimelshein 2018, "Online normalizer calculation for softmax".
# - minidl: `minidl kernels show attention`, `minidl kernels ladder attention`, `docs/ladders.md`.
#
# We have made the bytes fewer by not writing numbers down. In the next chapter we write them down, with half the bits.
