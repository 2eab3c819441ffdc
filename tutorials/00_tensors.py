# %% [markdown]
# # 0. Tensors
#
# **The question.** Take a picture of sixty million numbers and turn it on its side. Not one number moves, and the
# turning takes a microsecond. Stretch one row of a thousand numbers into a matrix of a million rows: no memory is
# used, although the matrix claims four gigabytes. And then add two arrays whose shapes look alike, and a network
# quietly learns nothing at all. All three have one cause, and it fits into a single line of arithmetic. What is that
# line?
#
# This is the first chapter. It needs Python, a little NumPy, and no calculus before its fourth section. The letters
# are those of [the notation](notation.md); when one surprises, it is explained there.

# %% tags=["setup"]
import math
import time

import numpy as np

import minidl

# %%
import matplotlib.pyplot as plt

from minidl.tutor import choose

minidl.manual_seed(0)

# %% [markdown]
# ## The mathematics: a line of numbers and a way to walk it
#
# Memory has no rows and no columns. It is one long line of places, numbered from 0. So a matrix must be *read out of
# a line*, and somebody has to say how. Here are twelve numbers, and a matrix with 3 rows and 4 columns that is read
# out of them:
#
#     places   0  1  2  3  4  5  6  7  8  9 10 11
#              └─ row 0 ─┘ └─ row 1 ─┘ └─ row 2 ─┘
#
# To go one column further, we go 1 place further. To go one row down, we go 4 places further. These two step lengths,
# $(4, 1)$, are the **strides**. With them the element in row $i$ and column $j$ is at the place $4i + 1j$. In
# general, for any number of axes:
#
# $$\text{place}(i_0, i_1, \dots, i_{n-1}) \;=\; o + \sum_{k=0}^{n-1} i_k\, s_k .$$
#
# This is the line of arithmetic we were looking for. The **offset** $o$ is the place of the first element, $s_k$ the
# stride of axis $k$, and a tensor is nothing but a line of numbers, a shape, strides, and an offset.
#
# Which strides belong to a shape $(n_0, \dots, n_{m-1})$ whose rows lie one after the other? The last axis steps by
# one place. One step along axis $k$ must pass over everything that the later axes hold, which is $n_{k+1}$ blocks of
# $s_{k+1}$ places:
#
# $$s_{m-1} = 1, \qquad s_k = n_{k+1}\, s_{k+1} \quad\Longrightarrow\quad s_k = \prod_{l > k} n_l .$$
#
# For $(2, 3, 4)$ this gives $(12, 4, 1)$. It is called *row-major* order, or *contiguous*. But nothing in the first
# formula asks for it: any strides are allowed, and that is where it becomes interesting.
#
# ## The code: a tensor in twenty lines
#
# Let us write it down exactly as it stands above. Every method below makes a new walk through the **same** line.


# %%
class Strided:
    """A line of numbers, and a way to walk it."""

    def __init__(self, line, shape, strides, offset=0):
        self.line, self.shape, self.strides, self.offset = line, tuple(shape), tuple(strides), offset

    def place(self, *index):
        return self.offset + sum(i * s for i, s in zip(index, self.strides))

    def transpose(self):
        return Strided(self.line, self.shape[::-1], self.strides[::-1], self.offset)

    def every(self, axis, start, step):
        """Along one axis, every step-th element from start on."""
        shape, strides = list(self.shape), list(self.strides)
        shape[axis] = math.ceil((shape[axis] - start) / step)
        strides[axis] *= step
        return Strided(self.line, shape, strides, self.offset + start * self.strides[axis])

    def stretch(self, n):
        """A new first axis of size n, along which nothing changes."""
        return Strided(self.line, (n, *self.shape), (0, *self.strides), self.offset)

    def numbers(self):
        """What the walk meets, as a NumPy array: for looking at only."""
        return np.array([self.line[self.place(*index)] for index in np.ndindex(*self.shape)]).reshape(self.shape)


line = list(range(12))  # each number says its own place
x = Strided(line, (3, 4), (4, 1))
for walk in (x, x.transpose(), x.every(1, start=1, step=2)):
    print("strides", walk.strides, "offset", walk.offset)
    print(walk.numbers())

# %% [markdown]
# Transposing swapped two pairs of small integers. Taking every second column doubled a stride and moved the offset.
# Sixty million numbers would have cost the same. The diagonal is as cheap: one step down and one to the right is
# $s_0 + s_1 = 5$ places, so the diagonal is a vector with the stride 5.
#
# minidl's tensors, which are made of NumPy's arrays, walk in the same way. They tell us their strides, and
# `data_ptr()` says where in the machine's memory they begin, so we can see that a view lies inside what it looks at.

# %%
a = minidl.arange(12).reshape(3, 4)
odd = a[:, 1::2]
assert a.t().stride() == x.transpose().strides
assert odd.stride() == x.every(1, 1, 2).strides
assert odd.data_ptr() - a.data_ptr() == 1 * a.element_size()  # one place of 8 bytes further
assert a.diagonal().stride() == (5,)

a[0, 1] = -7  # written once, seen by all who look there
print(odd)
print("transposed:", a.t()[1, 0].item(), "  diagonal:", a.diagonal().tolist())

# %% [markdown]
# The picture shows four walks through one line of twelve places. The colour of a cell is its place, dark at the front
# and bright at the end. See that every panel is made of the same colours, that the transposed one runs downwards, and
# that the last repeats one row.

# %%
x = Strided(line, (3, 4), (4, 1))
walks = {
    "x": x,
    "transposed": x.transpose(),
    "every second column from 1": x.every(1, 1, 2),
    "row 1, stretched": Strided(line, (4,), (1,), 4).stretch(3),
}
fig, axes = plt.subplots(1, 4, figsize=(11, 3))
for ax, (name, walk) in zip(axes, walks.items()):
    places = walk.numbers()
    ax.imshow(places, cmap="viridis", vmin=0, vmax=11)
    for (i, j), place in np.ndenumerate(places):
        ax.text(j, i, place, ha="center", va="center", color="white" if place < 8 else "black")
    ax.set_title(f"{name}\nstrides {walk.strides}, offset {walk.offset}", fontsize=9)
    ax.set_xticks([])
    ax.set_yticks([])
fig.tight_layout()

# %% [markdown]
# ### When can a view not do it?
#
# Read the transposed matrix row by row, and the places are 0, 4, 8, 1, 5, 9, … Is there a stride $s$ so that the flat
# vector's element $i$ is at $o + i s$? From 0 to 4 to 8 the step is 4, and then from 8 to 1 it is $-7$. No single
# stride will do; the numbers have to be copied into a new line.
#
# The rule is easily derived. Let axes $k$ and $k+1$ become one axis, with the index $i = i_k n_{k+1} + i_{k+1}$. One
# step of $i$ is usually one step along the later axis, so its stride must be $s_{k+1}$. But when the later axis is at
# its end, the step leads from its last element to the first of the next row: forward by $s_k$, back by
# $(n_{k+1} - 1) s_{k+1}$. Both steps must be the same:
#
# $$s_k - (n_{k+1} - 1)\, s_{k+1} = s_{k+1} \quad\Longleftrightarrow\quad s_k = n_{k+1}\, s_{k+1} .$$
#
# So two axes merge exactly where they are row-major *with each other*; the rest of the tensor may be as it likes.
# `view` insists on no copy and refuses otherwise; `reshape` copies where it must and does not say so.

# %%
b = minidl.zeros(4, 6, 5).permute(2, 0, 1)  # shape (5, 4, 6), strides (1, 30, 5)
print(b.shape, b.stride(), "contiguous:", b.is_contiguous())
print("the last two merge, 30 = 6 · 5:", b.view(5, 24).stride())
try:
    b.view(20, 6)
except RuntimeError as error:
    print("the first two do not, 1 ≠ 4 · 30:", error)
copied = b.reshape(20, 6)
assert copied.data_ptr() != b.data_ptr()
assert b.view(5, 24).data_ptr() == b.data_ptr()

# %% [markdown]
# ## Broadcasting is a stride of 0
#
# Look again at the last panel of the picture. A new axis with the stride 0 repeats what is there without copying it:
# whatever $i_0$ is, $i_0 \cdot 0$ adds nothing. In minidl this is `expand`, and we can overdo it.

# %%
giant = minidl.zeros(1).expand(1_000_000, 1_000_000)
print(f"strides {giant.stride()}: it claims {giant.nbytes / 1e12:.0f} TB, made of {minidl.zeros(1).nbytes} bytes")

# %% [markdown]
# Adding a vector of shape $(4,)$ to a matrix of shape $(3, 4)$ does nothing else. The shapes are written one above
# the other, **aligned at the right**; missing axes at the left count as 1; and on each axis the sizes must be equal,
# or one of them must be 1 and gets the stride 0:
#
#     (8, 1, 3, 4)         (5, 4)          (3, 4)
#        (6, 1, 4)         (   1)          (   3)
#     (8, 6, 3, 4)         (5, 4)          refused: 4 and 3
#
# Aligned at the right, because the axis at the right is the one of features, and the axes at the left are those of
# samples. Every bias that is added to every row of a batch rests on this rule.

# %%
print(minidl.broadcast_shapes((8, 1, 3, 4), (6, 1, 4)))
rows, columns = minidl.arange(3)[:, None], minidl.arange(4)
print((10 * rows + columns).tolist())
try:
    minidl.ones(3, 4) + minidl.ones(3)
except RuntimeError as error:
    print(error)

# %% [markdown]
# With broadcasting one can write every product by hand. For the linear layer $Y = X W^\top$, with
# $Y_{ij} = \sum_d X_{id} W_{jd}$, let samples, outputs and features each have an axis, multiply, and sum over the
# features. It is right, and it shows at once why libraries have a matrix product: the array in the middle is $D$
# times as large as the result.

# %%
X, W = minidl.randn(64, 200), minidl.randn(100, 200)
middle = X[:, None, :] * W[None, :, :]  # (64, 1, 200) * (1, 100, 200) -> (64, 100, 200)
assert minidl.allclose(middle.sum(-1), X @ W.t(), atol=1e-4)
print(f"in the middle {middle.nbytes / 1e6:.1f} MB, the result {(X @ W.t()).nbytes / 1e3:.1f} kB")

# %% [markdown]
# ## The gradient of a walk
#
# Later chapters need to know how a loss $L$ changes with the numbers *behind* a view. Let $Y$ be the vector
# $\mathbf{b}$ stretched over $N$ rows, $Y_{ij} = b_j$, and let $\bar{Y} = \partial L/\partial Y$ be known. Move $b_j$
# by a little $\delta$. Then all $N$ elements of column $j$ move by $\delta$, and each changes $L$ by
# $\bar{Y}_{ij}\, \delta$. To first order these changes add up:
#
# $$\bar{b}_j = \frac{\partial L}{\partial b_j} = \sum_{i=0}^{N-1} \bar{Y}_{ij},
# \qquad\text{in short}\qquad \bar{\mathbf{b}} = \bar{Y}^\top \mathbf{1}.$$
#
# **What forward repeats, backward sums.** The other walks need only half a line each. Where $Y = X^\top$, the number
# $X_{ij}$ appears once, at $Y_{ji}$, so $\bar{X} = \bar{Y}^\top$. Where $Y$ is a slice of $X$, numbers outside it
# cannot change $L$: $\bar{X}$ is $\bar{Y}$ in its place among zeros. Reshaping is undone by reshaping.
#
# We test it with finite differences. Take $L = \sum_{ij} Y_{ij}^2 C_{ij}$, whose $\bar{Y} = 2\,Y \odot C$ we know
# from school; move each $b_j$ by $\pm 10^{-6}$ and see how much $L$ moves.

# %%
rng = np.random.default_rng(0)
bias, C = rng.standard_normal(4), rng.standard_normal((3, 4))


def loss(bias):
    Y = np.broadcast_to(bias, (3, 4))
    return (Y**2 * C).sum()


step = 1e-6
measured = np.array([(loss(bias + step * e) - loss(bias - step * e)) / (2 * step) for e in np.eye(4)])
g = 2 * np.broadcast_to(bias, (3, 4)) * C  # the gradient of Y
derived = g.sum(axis=0)  # summed over the repeated axis: the gradient of the bias
print("measured", measured.round(6))
print("derived ", derived.round(6))
assert np.allclose(measured, derived)
assert np.allclose(minidl.from_numpy(g).sum_to_size(4).numpy(), derived)  # minidl's name for it

# %% [markdown]
# ## An experiment that can fail: the loss that ignores its targets
#
# Now to the network that quietly learned nothing. A model gives one number a sample, as a column of shape $(N, 1)$.
# The targets were read from a file as a vector of shape $(N,)$. Somebody writes `((prediction - y) ** 2).mean()`. No
# error: by the rule above the shapes meet as $(N, N)$, and every prediction is compared with every target. What does
# a model that minimises this learn?
#
# Write $p_i$ for the predictions and expand around the two means, $m_p$ and $m_y$. The mixed terms vanish because
# deviations from a mean sum to zero:
#
# $$\frac{1}{N^2}\sum_{i,j} (p_i - y_j)^2
# = \frac{1}{N^2}\sum_{i,j} \big((p_i - m_p) - (y_j - m_y) + (m_p - m_y)\big)^2
# = \operatorname{Var}[p] + \operatorname{Var}[y] + (m_p - m_y)^2 .$$
#
# No term knows which target belongs to which prediction. **Predictions, to be proved wrong if they are:**
#
# 1. Shuffling the targets leaves the wrong loss exactly as it was, and changes the right one.
# 2. For the model $p = a x$ with true slope 2, the right loss is least near $a = 2$. The wrong one punishes any
#    variance of $p$, so it is least at $a = 0$: the model learns to say the same thing always.

# %%
N = 200
x = minidl.randn(N, 1)
x = x - x.mean()
y = 2 * x[:, 0] + 0.3 * minidl.randn(N)  # a vector, as from a file
shuffled = y[minidl.randperm(N)]


def mean_square(prediction, y):
    return ((prediction - y) ** 2).mean().item()


slopes = np.linspace(-1, 4, 101)
right = [mean_square(a * x, y[:, None]) for a in slopes.tolist()]
wrong = [mean_square(a * x, y) for a in slopes.tolist()]
wrong_before, wrong_after = mean_square(2 * x, y), mean_square(2 * x, shuffled)
right_before, right_after = mean_square(2 * x, y[:, None]), mean_square(2 * x, shuffled[:, None])
print(f"wrong loss: {wrong_before:.4f}, with shuffled targets {wrong_after:.4f}")
print(f"right loss: {right_before:.4f}, with shuffled targets {right_after:.4f}")
best_right, best_wrong = slopes[np.argmin(right)], slopes[np.argmin(wrong)]
print(f"best slope by the right loss {best_right:.2f}, by the wrong loss {best_wrong:.2f}")
assert abs(wrong_before - wrong_after) < 1e-4
assert right_after > 10 * right_before
assert abs(best_right - 2) < 0.1
assert abs(best_wrong) < 0.1

# %% [markdown]
# The two parabolas: one is the loss that was meant, the other the one that was written. Both fall smoothly, both
# would look like training in a log.

# %%
fig, ax = plt.subplots(figsize=(6, 3.2))
ax.plot(slopes, right, label="(N, 1) with (N, 1)")
ax.plot(slopes, wrong, label="(N, 1) with (N,): every pair")
ax.axvline(2, color="grey", lw=0.8, ls=":")
ax.set_xlabel("slope $a$ of the model $p = ax$; the true one is 2")
ax.set_ylabel("loss")
ax.legend()
fig.tight_layout()

# %% [markdown]
# ### What a stride costs
#
# Views are free to make. Are they free to *read*? A processor does not fetch numbers but **cache lines** of 64 bytes,
# sixteen float32. A walk with the stride 16 uses one number of every line it fetches. We copy equally many numbers
# with the strides 1 and 16, out of an array that fits into the cache and out of one that does not. **Prediction:**
# where the array fits, the lines are near already and the stride costs little. Where it does not, every number costs
# a line of its own from main memory, and the stride costs many times more. If it were the stepping itself that is
# dear, the two ratios would be alike.

# %%


def nanoseconds(source, repeats):
    """The least time a number, of copying `source` into an array of its own."""
    target = np.empty(source.shape, source.dtype)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(repeats):
            np.copyto(target, source)
        times.append(time.perf_counter() - start)
    return min(times) / repeats / source.size * 1e9


small, large = minidl.ones(64, 1024), minidl.ones(choose(4096, 16384), 8192)
ratio = {}
for name, t, repeats in (("small", small, 100), ("large", large, 1)):
    dense, sparse = t[:, : t.shape[1] // 16].numpy(), t[:, ::16].numpy()
    times = nanoseconds(dense, repeats), nanoseconds(sparse, repeats)
    ratio[name] = times[1] / times[0]
    print(f"{name}, {t.nbytes / 2**20:.2f} MiB: {times[0]:.2f} and {times[1]:.2f} ns a number, {ratio[name]:.1f} times")
print("as predicted" if ratio["large"] > 2 * ratio["small"] else "not as predicted: what is different here?")

# %% [markdown]
# A wall clock on a busy machine is a weak witness, so this verdict is printed and not asserted. Where the chapter was
# written the large array paid ten to twenty times. The small one paid too, three to four times, which the prediction
# had no reason for: a processor loads eight neighbouring numbers with one instruction, and numbers that are not
# neighbours one by one. Most of the price is still the memory's, and it is why `contiguous()` exists: sometimes it
# pays to copy once and walk straight ever after. Chapters 14 and 15 live on this effect.
#
# ## Exercises
#
# Write each function, then let `minidl check 00` look at it.

# %% [markdown] tags=["exercise", "unravel"]
# ### Exercise 1: from the place back to the index
#
# `place` goes from an index to a place. Write the way back for a row-major array with offset 0:
# `unravel(position, shape)` gives the tuple of indices of the element at that place. `unravel(7, (3, 4))` is
# `(1, 3)`, because $1 \cdot 4 + 3 = 7$. An array without axes has one element, at the index `()`. Use no NumPy.


# %% tags=["exercise", "unravel"]
def unravel(position, shape):
    """The index, a tuple with one int an axis, of the element at `position` in a row-major array of this shape."""
    # --- solution
    index = []
    for n in reversed(shape):
        position, i = divmod(position, n)
        index.append(i)
    return tuple(reversed(index))
    # --- end


# %% [markdown] tags=["hint", "unravel"]
# The last axis is the fastest. Among the places 0, 1, 2, …, what does its index do?

# %% [markdown] tags=["hint", "unravel"]
# The last index is the remainder of the position by the last size, and the quotient is a position in an array without
# that axis. Python's `divmod` gives both.


# %% tags=["wrong", "unravel"]
def unravel_first_axis_fastest(position, shape):
    """Takes the first axis for the fastest: column-major order."""
    index = []
    for n in shape:
        position, i = divmod(position, n)
        index.append(i)
    return tuple(index)


def unravel_reversed(position, shape):
    """Forgets to turn the indices round after collecting them from the last."""
    index = []
    for n in reversed(shape):
        position, i = divmod(position, n)
        index.append(i)
    return tuple(index)


def unravel_divides_by_size(position, shape):
    """Divides by the size of an axis where its stride was needed."""
    index = []
    for n in shape:
        i, position = divmod(position, n)
        index.append(i)
    return tuple(index)


def unravel_no_axes(position, shape):
    """Right for every shape but the empty one, where it keeps the position as an index."""
    index = []
    for n in reversed(shape[1:]):
        position, i = divmod(position, n)
        index.append(i)
    return (position, *reversed(index))


# %% tags=["check", "unravel"]
def check_unravel(unravel):
    """Every place of random arrays of 0 to 4 axes, against NumPy's order."""
    rng = np.random.default_rng(1)
    random = [tuple(rng.integers(1, 6, rng.integers(1, 5)).tolist()) for _ in range(30)]
    for shape in [(), (1,), (5,), (3, 4), (1, 3, 1), *random]:
        places = np.arange(math.prod(shape)).reshape(shape)
        for position in range(places.size):
            got = tuple(unravel(position, shape))
            said = f"unravel({position}, {shape}) gave {got}"
            assert len(got) == len(shape), f"{said}: one index an axis would be {len(shape)} of them"
            assert all(0 <= i < n for i, n in zip(got, shape)), f"{said}, which is outside the shape"
            assert places[got] == position, f"{said}, where the place is {places[got]}: which axis is the fastest?"


# %% [markdown] tags=["exercise", "broadcast_shape"]
# ### Exercise 2: the rule of broadcasting
#
# `broadcast_shape(*shapes)` gives the shape in which any number of arrays meet, by the rule above, or raises a
# `ValueError` where they cannot. `broadcast_shape((8, 1, 3), (6, 1))` is `(8, 6, 3)`. Sizes of 0 are allowed, and
# they are where most first attempts fail: an empty batch with one bias for all gives an empty batch.


# %% tags=["exercise", "broadcast_shape"]
def broadcast_shape(*shapes):
    """The shape, a tuple, to which all `shapes` broadcast; ValueError if there is none."""
    # --- solution
    result = []
    for k in range(1, max(map(len, shapes), default=0) + 1):
        sizes = {shape[-k] for shape in shapes if len(shape) >= k} - {1}
        if len(sizes) > 1:
            raise ValueError(f"the sizes {sorted(sizes)} meet on axis -{k} of {shapes}")
        result.append(sizes.pop() if sizes else 1)
    return tuple(reversed(result))
    # --- end


# %% [markdown] tags=["hint", "broadcast_shape"]
# Aligned at the right means counted from the end: go through the axes $-1, -2, \dots$ of all shapes at once.

# %% [markdown] tags=["hint", "broadcast_shape"]
# Collect the sizes on one axis that are not 1. If there are none, the result is 1. If there is one, it is that one.
# If they differ, there is no result. Where does 0 come out?


# %% tags=["wrong", "broadcast_shape"]
def broadcast_shape_aligned_left(*shapes):
    """Writes the shapes aligned at the left."""
    result = []
    for k in range(max(map(len, shapes), default=0)):
        sizes = {shape[k] for shape in shapes if len(shape) > k} - {1}
        if len(sizes) > 1:
            raise ValueError("sizes differ")
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


def broadcast_shape_larger_wins(*shapes):
    """Believes that the larger of two sizes wins, which makes 1 out of 0 and 1."""
    result = []
    for k in range(1, max(map(len, shapes), default=0) + 1):
        sizes = [shape[-k] for shape in shapes if len(shape) >= k]
        if len(set(sizes) - {1}) > 1:
            raise ValueError("sizes differ")
        result.append(max(sizes))
    return tuple(reversed(result))


def broadcast_shape_refuses_nothing(*shapes):
    """Lets any two sizes meet: repeats a 2 as readily as a 1."""
    result = []
    for k in range(1, max(map(len, shapes), default=0) + 1):
        sizes = [shape[-k] for shape in shapes if len(shape) >= k]
        result.append(0 if 0 in sizes else max(sizes))
    return tuple(reversed(result))


def broadcast_shape_needs_equal_lengths(*shapes):
    """Thinks that missing axes are an error instead of ones."""
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError("different numbers of axes")
    result = []
    for sizes in zip(*shapes):
        rest = set(sizes) - {1}
        if len(rest) > 1:
            raise ValueError("sizes differ")
        result.append(rest.pop() if rest else 1)
    return tuple(result)


# %% tags=["check", "broadcast_shape"]
def check_broadcast_shape(broadcast_shape):
    """Random shapes of 0 to 4 axes with sizes 0, 1, 2 and 3, against minidl's own rule; clashes must be refused."""
    rng = np.random.default_rng(2)
    cases = [((),), ((3,), ()), ((0, 4), (1,)), ((1,), (0,)), ((2, 3), (2,)), ((5, 1), (1, 6)), ((4,), (2,))]
    for _ in range(300):
        full = rng.integers(0, 4, rng.integers(0, 5))
        shapes = []
        for _ in range(rng.integers(1, 4)):
            shape = np.where(rng.random(len(full)) < 0.4, 1, full)[rng.integers(0, len(full) + 1) :]
            if len(shape) and rng.random() < 0.15:
                shape[rng.integers(len(shape))] += 2
            shapes.append(tuple(shape.tolist()))
        cases.append(tuple(shapes))
    for shapes in cases:
        call = f"broadcast_shape({', '.join(map(str, shapes))})"
        try:
            expected = tuple(minidl.broadcast_shapes(*shapes))
        except RuntimeError:
            expected = None
        try:
            got = tuple(broadcast_shape(*shapes))
        except ValueError:
            got = None
        if expected is None:
            assert got is None, f"{call} gave {got}; where sizes differ and neither is 1, a ValueError must be raised"
        else:
            assert got is not None, f"{call} raised a ValueError; these shapes meet in {expected}"
            assert got == expected, f"{call} gave {got}, the rule {expected}: align at the right, stretch only a 1"


# %% [markdown] tags=["exercise", "view_strides"]
# ### Exercise 3: can it be a view?
#
# Above we derived when two neighbouring axes merge. Make it general, and you have what `view` decides:
# `view_strides(shape, strides, new_shape)` gives the strides with which the same elements, in the same order, are
# read in the new shape without a copy, or `None` if there are none. The two shapes hold equally many elements, and no
# size is 0.
#
# `view_strides((3, 4), (4, 1), (2, 6))` is `(6, 1)`; `view_strides((4, 3), (1, 4), (12,))` is `None`; and
# `view_strides((4, 6), (1, 4), (2, 2, 3, 2))` is `(2, 1, 8, 4)`. On an axis of size 1 nobody ever steps, so any
# stride is accepted there.


# %% tags=["exercise", "view_strides"]
def view_strides(shape, strides, new_shape):
    """The strides, one an axis of `new_shape`, that read the same elements in the same order; None if it takes a copy."""
    # --- solution
    blocks = []  # [size, stride]: axes that are row-major with each other, merged
    for n, s in zip(shape, strides):
        if n == 1:
            continue
        if blocks and blocks[-1][1] == n * s:
            blocks[-1] = [blocks[-1][0] * n, s]
        else:
            blocks.append([n, s])
    result = []
    for n in reversed(new_shape):  # cut the new axes off the blocks, from the end
        while blocks and blocks[-1][0] == 1:
            blocks.pop()
        if n == 1:
            result.append(1)
            continue
        size, stride = blocks[-1]
        if size % n:
            return None
        result.append(stride)
        blocks[-1] = [size // n, stride * n]
    return tuple(reversed(result))
    # --- end


# %% [markdown] tags=["hint", "view_strides"]
# Merge first, cut afterwards. Which axes can be merged into larger blocks, by $s_k = n_{k+1} s_{k+1}$? What should
# happen to axes of size 1 before that?

# %% [markdown] tags=["hint", "view_strides"]
# A block of $n$ elements with stride $s$ is cut into an inner axis of size $m$ with stride $s$, and what remains:
# $n / m$ elements with stride $m s$.

# %% [markdown] tags=["hint", "view_strides"]
# Go through the new sizes from the last to the first, cutting each off the last block that is not used up. If a
# block's size is not divisible by the new size, the new axis would have to reach across two blocks that did not
# merge: return `None`.


# %% tags=["wrong", "view_strides"]
def view_strides_row_major(shape, strides, new_shape):
    """Gives the new shape's row-major strides, whatever the old strides were."""
    return tuple(math.prod(new_shape[k + 1 :]) for k in range(len(new_shape)))


def view_strides_contiguous_only(shape, strides, new_shape):
    """Allows a view of contiguous tensors only, which refuses too much."""
    if any(n > 1 and s != math.prod(shape[k + 1 :]) for k, (n, s) in enumerate(zip(shape, strides))):
        return None
    return tuple(math.prod(new_shape[k + 1 :]) for k in range(len(new_shape)))


def view_strides_last_stride(shape, strides, new_shape):
    """Steps by multiples of the last stride, without asking whether the rows leave gaps between them."""
    step = next((s for n, s in zip(shape[::-1], strides[::-1]) if n > 1), 1)
    return tuple(step * math.prod(new_shape[k + 1 :]) for k in range(len(new_shape)))


def view_strides_size_one(shape, strides, new_shape):
    """Lets an axis of size 1, whose stride means nothing, keep its neighbours from merging."""
    blocks = []
    for n, s in zip(shape, strides):
        if blocks and blocks[-1][1] == n * s:
            blocks[-1] = [blocks[-1][0] * n, s]
        else:
            blocks.append([n, s])
    result = []
    for n in reversed(new_shape):
        while blocks and blocks[-1][0] == 1:
            blocks.pop()
        size, stride = blocks[-1] if blocks else (1, 1)
        if size % n:
            return None
        result.append(stride)
        blocks[-1:] = [[size // n, stride * n]]
    return tuple(reversed(result))


# %% tags=["check", "view_strides"]
def check_view_strides(view_strides):
    """Random walks (permuted, sliced, stretched) whose every number is its place; the answer must meet the same places."""
    rng = np.random.default_rng(3)
    for trial in range(400):
        sizes = rng.integers(1, 4, rng.integers(0, 5)).tolist()
        walk = np.arange(math.prod(sizes)).reshape(sizes)
        if trial % 2:
            walk = walk.transpose(rng.permutation(walk.ndim))
        if trial % 3 == 0:
            walk = walk[tuple(slice(None, None, int(rng.integers(1, 3))) for _ in sizes)]
        if trial % 5 == 0:
            walk = np.broadcast_to(walk, (int(rng.integers(1, 4)), *walk.shape))
        strides = tuple(s // walk.itemsize for s in walk.strides)
        left, new_shape = walk.size, []
        while left > 1:
            new_shape.append(int(rng.choice([n for n in range(2, left + 1) if left % n == 0])))
            left //= new_shape[-1]
        for _ in range(rng.integers(0, 3)):
            new_shape.insert(int(rng.integers(0, len(new_shape) + 1)), 1)
        wanted = walk.reshape(new_shape)  # its numbers are the places, in the right order
        index = np.indices(wanted.shape)

        def met(strides, wanted=wanted, index=index):
            return wanted.flat[0] + sum((i * s for i, s in zip(index, strides)), np.zeros_like(wanted))

        # If any strides will do, they are the differences between the first element and its neighbour on each axis.
        only = [int(np.diff(wanted, axis=k).flat[0]) if n > 1 else 0 for k, n in enumerate(new_shape)]
        possible = (met(only) == wanted).all()
        got = view_strides(walk.shape, strides, tuple(new_shape))
        said = f"view_strides({walk.shape}, {strides}, {tuple(new_shape)}) gave {got}"
        if got is None:
            assert not possible, f"{said}; the strides {tuple(only)} would do"
            continue
        places = wanted.ravel().tolist()
        assert possible, f"{said}, but no strides meet the places {places}: it takes a copy"
        assert len(got) == len(new_shape), f"{said}: one stride an axis would be {len(new_shape)} of them"
        assert (met(got) == wanted).all(), f"{said}, which meets the places {met(got).ravel().tolist()}, not {places}"


# %% [markdown]
# ## What PyTorch does differently
#
# - In PyTorch the line is an object of its own, `tensor.untyped_storage()`, which views share and which can be looked
#   at; minidl's tensors hold NumPy arrays, whose `base` plays that part. `torch.as_strided` lets one write any
#   strides; minidl has no such door.
# - Both count strides in elements. NumPy counts them in bytes: `tensor.numpy().strides` is `element_size()` times
#   larger.
# - NumPy can walk backwards, with negative strides. PyTorch cannot, and minidl follows it: `x[::-1]` is an error
#   there as here, and `flip` copies.
# - PyTorch can keep pictures of shape $(N, C, H, W)$ with the channels' stride 1
#   (`memory_format=torch.channels_last`), because many of its kernels walk that order faster: the shape stays, the
#   strides change.
#
# ## Sources
#
# - S. van der Walt, S. C. Colbert, G. Varoquaux, *The NumPy array: a structure for efficient numerical computation*,
#   Computing in Science & Engineering 13 (2011).
# - C. R. Harris et al., *Array programming with NumPy*, Nature 585 (2020), 357–362: figure 1 has shape, strides and
#   broadcasting on half a page.
# - E. Z. Yang, *PyTorch internals* (2019): tensors, strides and storage, told by one of its makers.
# - K. E. Iverson, *A Programming Language* (1962): where arrays as values of a notation come from.
#
# A view's gradient was a sum or a shuffle, found by asking who depends on whom; the next chapter lets the machine
# keep that account for every operation.
