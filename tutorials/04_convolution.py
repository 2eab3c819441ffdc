# %% [markdown]
# # 4. Convolution
#
# **The question.** Take all pictures of digits, shuffle their 64 pixels, every picture by the same permutation. To us they
# are noise now. A network of linear layers does not notice: it learns them exactly as well as before, since to it a picture
# is a list of numbers in no particular order. And move the unshuffled digits by two pixels: to us nothing happened, to that
# network everything did. Which layer knows that pixels have neighbours, and that a seven is a seven wherever it stands? And
# what is its gradient?
#
# [Chapter 3](03_optimisers.py) left us with optimisers that train whatever is differentiable. So far that was
# $Y = XW^\top + \mathbf{b}$ with any matrix $W$. Now we choose which matrices to allow.

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import Digits

minidl.manual_seed(0)


# %% [markdown]
# ## One dimension, by hand
#
# A kernel $\mathbf{w}$ of $K$ numbers slides along $\mathbf{x}$, which has $n$, and gives an inner product at every place
# where it fits:
#
# $$y_o = \sum_{k=0}^{K-1} w_k\, x_{o+k}, \qquad o = 0, \dots, n-K.$$
#
# With $\mathbf{x} = (1, 2, 0, 3)$ and $\mathbf{w} = (1, -1)$, by hand: $\mathbf{y} = (1-2,\; 2-0,\; 0-3) = (-1, 2, -3)$:
# differences of neighbours. There are $n - K + 1$ places, not $n$: a fence has one more post than it has gaps.
#
# This is a linear function of $\mathbf{x}$, so there is a matrix, $\mathbf{y} = T\mathbf{x}$. Row $o$ holds the kernel,
# moved $o$ places to the right: $T_{oi} = w_{i-o}$ where $0 \le i-o < K$, else 0.


# %%
def sliding(w, n):
    """The matrix T (n - K + 1, n) whose product with x is the convolution of x with w (K,)."""
    rows = [F.pad(w, (o, n - len(w) - o)) for o in range(n - len(w) + 1)]
    return minidl.stack(rows)


x = minidl.tensor([1.0, 2.0, 0.0, 3.0], dtype=minidl.float64)
w = minidl.tensor([1.0, -1.0], dtype=minidl.float64)
print(sliding(w, 4))
print(sliding(w, 4) @ x, F.conv1d(x[None, None], w[None, None])[0, 0])

# %% [markdown]
# The layer is a linear layer whose matrix obeys two rules. Most entries are **zero** (an output sees its neighbourhood
# alone), and those that are not are **the same numbers in every row**. The second rule is worth a proof, because it can be
# read backwards. Let $R$ move a signal by one place (on a ring, to be rid of the ends). Sliding commutes with it, $TR = RT$:
# move first and slide then, or the other way round. Now take *any* matrix $T$ with $TR = RT$, and let $\mathbf{e}_i$ be the
# signal with a 1 at place $i$, so that $\mathbf{e}_i = R^i \mathbf{e}_0$. Column $i$ of $T$ is
#
# $$T\mathbf{e}_i = T R^i \mathbf{e}_0 = R^i\, T \mathbf{e}_0,$$
#
# the first column moved $i$ places. So $T$ is made of one column, and that is a convolution. Nothing was said about pictures
# or about eyes: **a linear layer that treats all places alike is a convolution; there is no other.**
#
# ## Its gradient
#
# From the linear layer we know $\bar{\mathbf{x}} = T^\top \bar{\mathbf{y}}$. Column $i$ of $T$ holds $w_{i-o}$ in row $o$,
# hence, with $k = i - o$,
#
# $$\bar{x}_i = \sum_o w_{i-o}\, \bar{y}_o = \sum_k w_k\, \bar{y}_{i-k}.$$
#
# The index of $\mathbf{w}$ goes up where that of $\bar{\mathbf{y}}$ goes down: again a kernel that slides, **turned round**,
# over $\bar{\mathbf{y}}$ with $K-1$ zeros on either side (so that every $i$ gets its sum). It has a name of its own,
# transposed convolution, and the name says all: it is $T^\top$.
#
# For the kernel: $w_k$ stands in $T$ once in each row, at $i = o + k$. A number that is used in many places receives the sum
# of what they send back:
#
# $$\bar{w}_k = \sum_o \bar{T}_{o,o+k} = \sum_o \bar{y}_o\, x_{o+k},$$
#
# where $\bar{T} = \bar{\mathbf{y}}\mathbf{x}^\top$. That is a convolution too: $\bar{\mathbf{y}}$ slides over $\mathbf{x}$.
# Three operations, each the gradient of the others; nothing new will ever be needed for gradients of gradients. In our
# example, let $\bar{\mathbf{y}} = (1, 10, 100)$. Before you read on, write down $\bar{\mathbf{w}}$ and $\bar{\mathbf{x}}$ on
# paper.

# %%
x.requires_grad_()
w.requires_grad_()
g = minidl.tensor([1.0, 10.0, 100.0], dtype=minidl.float64)
(sliding(w, 4) @ x).backward(g)
turned = F.conv1d(F.pad(g, (1, 1))[None, None], w.detach().flip(0)[None, None])[0, 0]
slid = F.conv1d(x.detach()[None, None], g[None, None])[0, 0]
print("x: by the tape", x.grad.tolist(), " by turning the kernel", turned.tolist())
print("w: by the tape", w.grad.tolist(), " by sliding g over x  ", slid.tolist())
assert x.grad.tolist() == turned.tolist() == [1, 9, 90, -100]
assert w.grad.tolist() == slid.tolist() == [21, 302]

# %%
kernel = minidl.tensor([1.0, 2.0, 3.0])
matrix = sliding(kernel, 9)
fig, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for ax, shown, title in zip(axes, (matrix, matrix.t()), ("T: 9 values to 7", "its transpose: 7 to 9")):
    ax.imshow(shown.numpy(), cmap="Blues")
    ax.set(title=title, xticks=[], yticks=[])

# %% [markdown]
# *The same band twice.* Read by rows, the left matrix slides $(1, 2, 3)$; the right one slides $(3, 2, 1)$, and its first
# and last rows are cut short, which is what the zeros around $\bar{\mathbf{y}}$ do.
#
# ## Pictures: channels, stride, padding
#
# A picture has two directions and $C$ channels; a layer has $F$ kernels, called filters, one an output channel. It may step
# $S$ places at a time and see $P$ zeros around the picture:
#
# $$Y_{nfij} = b_f + \sum_{c=0}^{C-1} \sum_{k=0}^{K-1} \sum_{l=0}^{K-1} W_{fckl}\; X_{n,\,c,\,Si+k-P,\,Sj+l-P}.$$
#
# | | shape | for the second layer of chapter 5's network |
# |---|---|---|
# | $X$ | $(N, C, H, W)$ | $(64, 32, 14, 14)$ |
# | $W$ | $(F, C, K, K)$ | $(64, 32, 3, 3)$: 18,432 numbers |
# | $Y$ | $(N, F, H', W')$ | $(64, 64, 14, 14)$ |
#
# where $H' = \lfloor (H + 2P - K)/S \rfloor + 1$. A linear layer between the same two shapes would need
# $6272 \cdot 12544 \approx 79$ million weights, 4,268 times as many. All that is saved there is what the two rules forbid.
#
# ## Windows as rows
#
# Seven nested loops would do, and take minutes. Chapter 0 has the better tool: **a window is a matter of strides.** The
# window that begins at $(i, j)$ is the picture's own memory, read from another start. So all windows together are a view
# with six axes, and not one number is copied.

# %%
picture = minidl.arange(25).reshape(1, 1, 5, 5)
windows = picture.unfold(2, 3, 2).unfold(3, 3, 2)  # axis 2, then axis 3: windows of 3, in steps of 2
print("picture", picture.shape, "strides", picture.stride())
print("windows", windows.shape, "strides", windows.stride(), "same memory:", windows.data_ptr() == picture.data_ptr())
print(windows[0, 0, 1, 0])

# %% [markdown]
# Write each window as a row, $M$ of shape $(N H' W',\; C K^2)$. Then the whole sum above is a matrix product, and a formula
# that we know:
#
# $$Y = M W^\top + \mathbf{b}, \qquad \bar{W} = \bar{Y}^\top M, \qquad \bar{M} = \bar{Y} W,
# \qquad \bar{\mathbf{b}} = \bar{Y}^\top\mathbf{1}.$$
#
# **A convolution is a linear layer whose samples are windows.** One thing is left, from $\bar{M}$ to $\bar{X}$. A pixel
# stands in up to $K^2$ windows, so in as many rows of $M$; it was copied, and what was copied forward is added up backward.
# Making $M$ is called `im2col`, and adding back `col2im`.
#
# Here it is as an operator of our own, forward and backward, without any help of the tape.


# %%
class Convolution(minidl.autograd.Function):
    """x (N, C, H, W) with w (F, C, K, K) and b (F,), no padding."""

    @staticmethod
    def forward(ctx, x, w, b, stride):
        size = w.shape[2]
        windows = x.unfold(2, size, stride).unfold(3, size, stride)  # (N, C, H', W', K, K)
        n, _, high, wide = windows.shape[:4]
        m = windows.permute(0, 2, 3, 1, 4, 5).reshape(n * high * wide, -1)  # here the copy is made
        ctx.save_for_backward(m, w)
        ctx.settings = tuple(x.shape), size, stride
        return (m @ w.flatten(1).t() + b).reshape(n, high, wide, -1).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, g):
        m, w = ctx.saved_tensors
        (n, channels, h, wide), size, stride = ctx.settings
        rows = g.permute(0, 2, 3, 1).flatten(0, 2)  # (N H' W', F): a linear layer's g
        back = (rows @ w.flatten(1)).reshape(n, g.shape[2], g.shape[3], channels, size, size)
        dx = minidl.zeros(n, channels, h, wide, dtype=g.dtype)
        for i in range(g.shape[2]):
            for j in range(g.shape[3]):
                dx[:, :, i * stride : i * stride + size, j * stride : j * stride + size] += back[:, i, j]
        return dx, (rows.t() @ m).reshape(w.shape), rows.sum(0), None


def example(shape):
    return minidl.randn(*shape, dtype=minidl.float64, requires_grad=True)


x, w, b = example((2, 3, 7, 6)), example((4, 3, 3, 3)), example((4,))
ours, theirs = Convolution.apply(x, w, b, 2), F.conv2d(x, w, b, stride=2)
assert minidl.allclose(ours, theirs), "our convolution differs from minidl's"
assert minidl.autograd.gradcheck(lambda *inputs: Convolution.apply(*inputs, 2), (x, w, b))
print("the same as minidl's conv2d:", tuple(ours.shape), "and the gradient stands finite differences")

# %% [markdown]
# A test of `col2im` that needs no finite differences is good to know. Making windows is linear, $M = A X$ with some matrix
# $A$ of zeros and ones, and adding back must be $A^\top$. Whatever $X$ and $Z$ are,
# $\langle AX, Z\rangle = \langle X, A^\top Z\rangle$: two numbers, equal to the last digits, or the rule is wrong. It works
# for every linear operator.

# %%
x, z = minidl.randn(1, 2, 7, 7), minidl.randn(1, 2 * 9, 9)
left = (F.unfold(x, 3, stride=2) * z).sum()
right = (x * F.fold(z, (7, 7), 3, stride=2)).sum()
print(f"<Ax, z> = {left.item():.5f}   <x, A'z> = {right.item():.5f}")
assert abs(left - right) < 1e-4

# %% [markdown]
# ## Pixels are not seen equally often
#
# Let all weights and all of $\bar{Y}$ be 1. Then $\bar{X}$ counts, for each pixel, the windows that it stands in. With
# $K = 3, S = 1$ it must be 9 inside, and less at the edge. **Predict** the pattern for $K = 3$, $S = 2$, inside: is it even?

# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
seen = {}
for ax, (size, stride) in zip(axes, ((3, 1), (3, 2), (4, 2))):
    x = minidl.zeros(1, 1, 13, 13, requires_grad=True)
    F.conv2d(x, minidl.ones(1, 1, size, size), stride=stride).sum().backward()
    seen[size, stride] = x.grad[0, 0, 4:9, 4:9]
    ax.imshow(x.grad[0, 0].numpy(), cmap="viridis")
    ax.set(title=f"K = {size}, S = {stride}", xticks=[], yticks=[])
assert seen[3, 1].unique().tolist() == [9]
assert seen[3, 2].unique().tolist() == [1, 2, 4]
assert seen[4, 2].unique().tolist() == [4]

# %% [markdown]
# *How many windows see a pixel.* In the middle picture one pixel in four sends its value to four windows, and another one in
# four to a single window. Read forward, the layer listens to some pixels four times as much as to others. Read backward it
# is worse: whatever is *drawn* by a transposed convolution, and every gradient with respect to a picture, carries this
# chequerboard. The right picture has none, because there $S$ divides $K$. It is a matter of counting alone, and no training
# helps.
#
# ## How far an output sees
#
# Two layers of $3\times3$ see $5\times5$ pixels: an output of the second sees three of the first in each direction, and
# these reach one pixel further on either side. A layer with stride $S$ makes every step of the layers above it $S$ pixels
# wide. In all
#
# $$r = 1 + \sum_{l} (K_l - 1) \prod_{m < l} S_m .$$
#
# The gradient measures it: $\bar{X}$ for one output is not zero exactly where that output looks.

# %%
layers = nn.Sequential(nn.Conv2d(1, 8, 5), nn.Conv2d(8, 8, 3, stride=2), nn.Conv2d(8, 1, 3))
x = minidl.randn(1, 1, 31, 31, requires_grad=True)
layers(x)[0, 0, 4, 4].backward()
reach = (x.grad[0, 0] != 0).any(1).sum().item()
print("formula:", 1 + 4 * 1 + 2 * 1 + 2 * 2, " measured:", reach)
assert reach == 11

# %% [markdown]
# ## An experiment that can fail: learn here, read there
#
# We train on Digits (1,797 pictures of $8\times8$) that all stand at the same place of a dark canvas, and test them
# elsewhere. Two networks: two linear layers, and two convolutions whose outputs are reduced to the largest value of each
# channel, wherever it is (`AdaptiveMaxPool2d(1)`, which takes a canvas of any size; $K = 5$ and $K = 3$, so $r = 7$).
#
# **Prediction.** The linear network fails elsewhere: weights of pixels that were always dark have never had a gradient. The
# convolutional one does not care: it commutes with moves, and the maximum over places forgets where. Its accuracy will be
# the same.

# %%
training, test = Digits(train=True), Digits(train=False)


def pictures(data, at, canvas, most=None):
    """The digits (N, 1, canvas, canvas), each with its corner at the place ``at``, and their classes."""
    x = minidl.zeros(len(data.targets), 1, canvas, canvas)
    x[:, :, at : at + 8, at : at + 8] = data.data.float().unsqueeze(1) / 255
    return x[:most], data.targets[:most]


def train(model, x, y, epochs=10, lr=5e-3):
    optimizer = optim.Adam(model.parameters(), lr=lr)
    for _ in range(epochs):
        for batch in minidl.randperm(len(y)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model


def accuracy(model, x, y):
    with minidl.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def linear_network(canvas):
    return nn.Sequential(nn.Flatten(), nn.Linear(canvas * canvas, 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional_network():
    first, second = nn.Conv2d(1, 16, 5), nn.Conv2d(16, 32, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def compare(model, here, there):
    """Train with 500 digits that stand ``here``, (place, canvas); the accuracy of test digits here and there."""
    train(model, *pictures(training, *here, 500))
    found = [accuracy(model, *pictures(test, *where)) for where in (here, there)]
    kind = "linear" if isinstance(model[0], nn.Flatten) else "convolutional"
    print(f"{kind:13} trained at {here[0]}: {found[0]:.1%} right at {here[0]}, {found[1]:.1%} at {there[0]}")
    return found


minidl.manual_seed(1)
linear = compare(linear_network(20), (1, 20), (8, 20))
edge = compare(convolutional_network(), (1, 10), (8, 20))

# %% [markdown]
# The linear network fails as foretold, down to guessing. But so does the convolution: most of what it knew is lost. Was the
# proof wrong?
#
# Think before reading on. What is different at place 8, if the layer treats all places alike?
#
# At place 1 there is a single dark pixel around each digit. A window of $7 \times 7$ that shows nothing but the top of a
# digit, in its lowest rows, *does not fit into the picture* there; at place 8 it does. The network has never had to give a
# sensible answer for these windows, and the maximum lets each of them shout. **The edge of the picture is where "all places
# alike" is broken**: a network can even use it to tell where it is. The remedy is a margin of $r - 1 = 6$ dark pixels in
# training. Then every window that has anything to see occurs at both places, and the prediction becomes a strong one: not
# about the same accuracy, but *the same scores*.

# %%
minidl.manual_seed(1)
model = convolutional_network()
margin = compare(model, (6, 20), (11, 25))
with minidl.no_grad():
    apart = (model(pictures(test, 6, 25)[0]) - model(pictures(test, 11, 25)[0])).abs().max().item()
print(f"largest difference of a score between the two places: {apart:.1e}")
assert linear[0] > 0.85 > 0.4 > linear[1], "the linear network was expected to fail elsewhere"
assert edge[0] > 0.85 > 0.6 > edge[1], "without a margin the convolution was expected to lose"
assert margin[0] > 0.85, "with a margin it was expected to learn"
assert apart < 1e-4, "with a margin, all places should be alike"

# %% [markdown]
# ## Exercises

# %% [markdown] tags=["exercise", "count_windows"]
# ### Exercise 1: how many windows
# `count_windows(size, kernel, stride, padding, dilation)` gives the number of places where a kernel fits along one
# direction. With dilation $d$, the kernel's values are taken $d$ pixels apart. Example: `count_windows(7, 3, 2, 0, 1)` is 3,
# and `count_windows(7, 3, 1, 0, 2)` is 3.


# %% tags=["exercise", "count_windows"]
def count_windows(size, kernel, stride, padding, dilation):
    """How many windows fit; each argument an int."""
    # --- solution
    span = dilation * (kernel - 1) + 1
    return (size + 2 * padding - span) // stride + 1
    # --- end


# %% [markdown] tags=["hint", "count_windows"]
# How many pixels lie between the first and the last that a kernel of 3 with dilation 2 touches, both counted?
# %% [markdown] tags=["hint", "count_windows"]
# The first window begins at 0. The last may begin at (padded size - span). How many multiples of the stride lie between,
# both ends counted?


# %% tags=["wrong", "count_windows"]
def gaps_for_posts(size, kernel, stride, padding, dilation):
    """Counts the steps between windows, not the windows."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride


def padding_on_one_side(size, kernel, stride, padding, dilation):
    """Takes the padding for a total, where it is on either side."""
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


def rounded_up(size, kernel, stride, padding, dilation):
    """Counts a last window that hangs over the edge."""
    return -(-(size + 2 * padding - dilation * (kernel - 1) - 1) // stride) + 1


def dilated_too_far(size, kernel, stride, padding, dilation):
    """Takes a dilated kernel for dilation times as long: it has gaps between its values alone."""
    return (size + 2 * padding - dilation * kernel) // stride + 1


# %% tags=["check", "count_windows"]
def check_count_windows(count_windows):
    """Against the size of what conv1d returns."""
    draw = np.random.default_rng(0)
    for _ in range(60):
        kernel, stride, padding, dilation = (int(v) for v in draw.integers((1, 1, 0, 1), (5, 4, 4, 4)))
        size = dilation * (kernel - 1) + 1 + int(draw.integers(0, 9))
        x, w = minidl.zeros(1, 1, size), minidl.ones(1, 1, kernel)
        expected = F.conv1d(x, w, None, stride, padding, dilation).shape[2]
        got = count_windows(size, kernel, stride, padding, dilation)
        assert got == expected, (
            f"count_windows({size=}, {kernel=}, {stride=}, {padding=}, {dilation=}) gave {got}, but conv1d returns "
            f"{expected} values. Draw the pixels in a row and lay the kernel on them, at its first and at its last place."
        )


# %% [markdown] tags=["exercise", "receptive_field"]
# ### Exercise 2: how far it sees
# `receptive_field(layers)`, for a list of `(kernel, stride, dilation)` from the first layer to the last, gives two numbers:
# the width of what one output sees of the input, and how many pixels further its neighbour looks. Example:
# `receptive_field([(3, 2, 1), (3, 1, 1)])` is `(7, 2)`.


# %% tags=["exercise", "receptive_field"]
def receptive_field(layers):
    """(pixels seen by one output, pixels from there to where the next output looks)."""
    # --- solution
    width, step = 1, 1
    for kernel, stride, dilation in layers:
        width += dilation * (kernel - 1) * step
        step *= stride
    return width, step
    # --- end


# %% [markdown] tags=["hint", "receptive_field"]
# Without a layer, an output is a pixel: it sees 1, and its neighbour looks 1 further. What does one layer change?
# %% [markdown] tags=["hint", "receptive_field"]
# A kernel spans (kernel - 1) · dilation steps *of the layer below it*. How long is such a step in pixels? Which strides have
# made it so?


# %% tags=["wrong", "receptive_field"]
def own_stride_counts(layers):
    """Lets a layer's own stride widen what it sees itself."""
    width, step = 1, 1
    for kernel, stride, dilation in layers:
        step *= stride
        width += dilation * (kernel - 1) * step
    return width, step


def kernels_multiplied(layers):
    """Two layers of 3 see 9: as if windows did not overlap."""
    return int(np.prod([d * (k - 1) + 1 for k, _, d in layers])), int(np.prod([s for _, s, _ in layers]))


def strides_forgotten(layers):
    """Adds up kernels, as if every stride were 1."""
    return 1 + sum(d * (k - 1) for k, _, d in layers), int(np.prod([s for _, s, _ in layers]))


def from_the_last(layers):
    """Goes through the layers in the wrong order."""
    width, step = 1, 1
    for kernel, stride, dilation in reversed(layers):
        width += dilation * (kernel - 1) * step
        step *= stride
    return width, step


# %% tags=["check", "receptive_field"]
def check_receptive_field(receptive_field):
    """Against the places where the gradient of one output is not zero."""
    draw = np.random.default_rng(1)
    for count in (0, 1, 2, 2, 3, 3, 3):
        layers = [tuple(int(v) for v in draw.integers((1, 1, 1), (5, 4, 3))) for _ in range(count)]
        x = minidl.ones(1, 1, 400, requires_grad=True)
        y = x
        for kernel, stride, dilation in layers:
            y = F.conv1d(y, minidl.ones(1, 1, kernel), None, stride, 0, dilation)
        ends = []
        for at in (1, 2):
            x.grad = None
            y[0, 0, at].backward(retain_graph=True)
            ends.append(np.flatnonzero(x.grad.numpy())[[0, -1]])
        expected = int(ends[0][1] - ends[0][0] + 1), int(ends[1][0] - ends[0][0])
        got = tuple(receptive_field(list(layers)))
        assert got == expected, (
            f"receptive_field({layers}) gave {got}. The gradient of one output covers {expected[0]} pixels, and that of "
            f"the next begins {expected[1]} further. A layer's span counts in steps of the layer below it."
        )


# %% [markdown] tags=["exercise", "conv2d_backward"]
# ### Exercise 3: all three gradients, with stride and padding
# `conv2d_backward(x, w, g, stride, padding)` takes NumPy arrays `x` (N, C, H, W), `w` (F, C, K, K) and the gradient `g` (N,
# F, H', W') and returns the gradients of `x`, of `w` and of the bias, each of its shape. NumPy alone. Two loops are enough:
# over the $K \cdot K$ places *in the kernel*, not over the windows.


# %% tags=["exercise", "conv2d_backward"]
def conv2d_backward(x, w, g, stride, padding):
    """(gradient of x, gradient of w, gradient of the bias (F,))."""
    # --- solution
    high, wide = g.shape[2:]
    framed = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    dframed, dw = np.zeros_like(framed), np.zeros_like(w)
    for k in range(w.shape[2]):
        for l in range(w.shape[3]):
            seen = (..., slice(k, k + stride * (high - 1) + 1, stride), slice(l, l + stride * (wide - 1) + 1, stride))
            dw[:, :, k, l] = np.einsum("nfij,ncij->fc", g, framed[seen])
            dframed[seen] += np.einsum("nfij,fc->ncij", g, w[:, :, k, l])
    inside = (..., slice(padding, padding + x.shape[2]), slice(padding, padding + x.shape[3]))
    return dframed[inside], dw, g.sum((0, 2, 3))
    # --- end


# %% [markdown] tags=["hint", "conv2d_backward"]
# Fix one place $(k, l)$ of the kernel. Which pixels does it meet, over all windows? They lie on a grid: a slice with a step.
# %% [markdown] tags=["hint", "conv2d_backward"]
# On that grid of pixels, `X[:, :, grid]` has the shape (N, C, H', W'), and what happens to it is a linear layer over
# channels, with the matrix `w[:, :, k, l]`.
# %% [markdown] tags=["hint", "conv2d_backward"]
# Work on the padded picture and cut the frame off at the end. A pixel lies on several grids: `+=`.


# %% tags=["wrong", "conv2d_backward"]
def kernel_turned(x, w, g, stride, padding):
    """Turns the kernel although it scatters: turning is for gathering."""
    return conv2d_backward(x, w[:, :, ::-1, ::-1], g, stride, padding)


def mean_of_batch(x, w, g, stride, padding):
    """Divides by N, which is the loss's business and stands in g already."""
    dx, dw, db = conv2d_backward(x, w, g, stride, padding)
    return dx, dw / (2 * len(x)), db / (2 * len(x))


def frame_left_on(x, w, g, stride, padding):
    """Cuts the result to x's shape from the corner of the frame."""
    larger = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    dx, dw, db = conv2d_backward(larger, w, g, stride, 0)
    return dx[:, :, : x.shape[2], : x.shape[3]], dw, db


def mean_of_windows(x, w, g, stride, padding):
    """Averages over the windows that a pixel stands in, where they add up."""
    dx, dw, db = conv2d_backward(x, w, g, stride, padding)
    windows = conv2d_backward(x, np.ones_like(w), np.ones_like(g), stride, padding)[0] / len(w)
    return dx / np.maximum(windows, 1), dw, db


def bias_a_place(x, w, g, stride, padding):
    """Sums the bias's gradient over the batch alone, though it is used at every place."""
    dx, dw, _ = conv2d_backward(x, w, g, stride, padding)
    return dx, dw, g.sum(0)


# %% tags=["check", "conv2d_backward"]
def check_conv2d_backward(conv2d_backward):
    """Against minidl's tape, in double precision; sizes that the stride does not divide among them."""
    draw = np.random.default_rng(2)
    cases = (
        ((1, 1, 3, 3), (1, 1, 1, 1), 1, 0),
        ((2, 3, 6, 5), (2, 3, 3, 3), 1, 1),
        ((1, 2, 8, 7), (3, 2, 3, 3), 2, 0),
        ((3, 1, 5, 9), (2, 1, 2, 2), 3, 1),
        ((2, 2, 7, 6), (2, 2, 5, 5), 2, 2),
    )
    for shape, kernels, stride, padding in cases:
        x, w = draw.normal(size=shape), draw.normal(size=kernels)
        inputs = [minidl.tensor(a, requires_grad=True) for a in (x, w, np.zeros(len(w)))]
        y = F.conv2d(*inputs, stride=stride, padding=padding)
        g = draw.normal(size=tuple(y.shape))
        y.backward(minidl.tensor(g))
        got = conv2d_backward(x.copy(), w.copy(), g.copy(), stride, padding)
        for name, value, tensor in zip(("x", "w", "the bias"), got, inputs):
            value, expected = np.asarray(value), tensor.grad.numpy()
            where = f"x {x.shape}, w {w.shape}, stride {stride}, padding {padding}: the gradient of {name}"
            assert value.shape == expected.shape, f"{where} has the shape {value.shape}, not {expected.shape}"
            apart = np.abs(value - expected).max()
            hint = f"Take one number of {name}: where did the forward pass use it?"
            assert apart < 1e-8, f"{where} is off by up to {apart:.3g}. {hint}"


# %% [markdown]
# ## What PyTorch does differently
#
# Nothing that shows: names, shapes and results are the same, and so is the word "convolution" for what mathematics calls
# cross-correlation (the kernel is not turned on the way forward). `padding="same"` is refused together with a stride by
# both. Underneath, PyTorch's libraries choose among several algorithms by shape. So does minidl, whose NumPy kernel makes
# rows of windows block by block, so that they stay in the cache, and for $3\times3$ kernels on suitable shapes computes
# tiles of outputs with fewer multiplications (Winograd). Results of different algorithms agree to rounding, not to the bit.
#
# ## Sources
#
# - LeCun, Boser, Denker et al. 1989, "Backpropagation Applied to Handwritten Zip Code Recognition": weight sharing, trained
#   by gradient.
# - Chellapilla, Puri & Simard 2006, "High Performance Convolutional Neural Networks for Document Processing", section 3:
#   windows as rows.
# - Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning": sizes, and the transposed convolution.
# - Odena, Dumoulin & Olah 2016, "Deconvolution and Checkerboard Artifacts"; Kayhan & van Gemert 2020, "On Translation
#   Invariance in CNNs", on what the edge tells a network.
# - Goodfellow, Bengio & Courville 2016, *Deep Learning*, chapter 9.
#
# The layer stands, and so does its gradient; next we build a whole network on it, train it to 99 % of MNIST, and ask what
# that number is worth.
