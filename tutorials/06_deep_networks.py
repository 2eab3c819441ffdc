# %% [markdown]
# # 6. Deep networks
#
# **The question.** In 2012 eight layers won the ImageNet competition, in 2014 twenty-two, in 2015 a hundred and fifty-two.
# Nothing kept one from stacking layers in 1990; what happened when one did? A plain network of 56 layers had a larger error
# than one of 20, *on the pictures it was trained with*. That is absurd: the deep one could copy the shallow one and let its
# other 36 layers do nothing. "The gradient vanishes", one reads. We shall measure it, and find that it is as large as ever.
# What is it, then, that a shortcut mends?
#
# [Chapter 5](05_mnist.py) left us with a rule for the first weights: a layer must neither swell nor fade what passes
# through, $\sigma^2 = 2/n$. It seemed enough.

# %% tags=["setup"]
import math

import matplotlib.pyplot as plt
import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import inspect, nn, optim
from minidl.data import DataLoader, Digits, TensorDataset
from minidl.models import resnet_small
from minidl.train import Trainer, evaluate
from minidl.train.families import describe
from minidl.tutor import choose

minidl.manual_seed(0)

# %% [markdown]
# ## Three networks, counted
#
# **AlexNet** (2012): five convolutions, three linear layers. Where are its parameters? The first linear layer alone takes
# $256 \cdot 6 \cdot 6 = 9216$ numbers to 4096: 37.7 million weights, six tenths of the whole network. All five convolutions
# together have 2.5 million.
#
# **Inception** (2014) asks which size of kernel is right, and takes all: $1\times1$, $3\times3$ and $5\times5$ side by side.
# That would be expensive, so a $1\times1$ convolution (a linear layer over channels, at every place) first makes the
# channels fewer. In the first block 192 channels of $28 \times 28$ go to 32 by $5\times5$. Count multiplications and
# additions:
#
# $$\text{directly:}\quad 2 \cdot 28^2 \cdot 32 \cdot 192 \cdot 25 = 241 \text{ million};$$
# $$\text{by way of 16:}\quad 2 \cdot 28^2 \cdot (16 \cdot 192 + 32 \cdot 16 \cdot 25) = 25 \text{ million}.$$
#
# And it ends with the mean over all places in place of AlexNet's linear layers: nothing to be learnt there at all.
#
# **ResNet** (2015) adds the input of every two or three layers to their output. Its 50-layer form thins channels too:
# $256 \to 64 \to 64 \to 256$ has 69,632 weights where two convolutions $3\times3$ of 256 channels have 1,179,648.

# %%
print(f"{'':10} {'parameters':>12} {'operations a picture':>22}")
for name in ("AlexNet", "GoogLeNet", *choose((), ("ResNet-18", "ResNet-50", "ResNet-152"))):
    row = describe(name)
    print(f"{name:10} {row.parameters:12,} {row.flops:22,}")

# %% [markdown]
# AlexNet has nine times the parameters of GoogLeNet and does half of its work. Parameters are memory, operations are time;
# neither is depth.
#
# ## What depth does to a gradient
#
# Write $\mathbf{h}_{l+1} = f_l(\mathbf{h}_l)$ with the Jacobian $J_l$. Backward,
# $\bar{\mathbf{h}}_0 = J_0^\top J_1^\top \cdots J_{n-1}^\top\, \bar{\mathbf{h}}_n$: a product of as many matrices as there
# are layers. If each multiplies lengths by 0.9, fifty make it 0.005. Hence He's rule, which makes the factor 1 on average.
# Now look at **two** pictures at once, $\mathbf{x}$ and $\mathbf{x}'$. Their lengths are kept. What happens to the *angle*
# between them?
#
# One output unit sees $u = \mathbf{w}^\top\mathbf{x}$ and $v = \mathbf{w}^\top\mathbf{x}'$. For random weights, $u$ and $v$
# are normal, and if the angle between the pictures is $\varphi$, their correlation is $c = \cos\varphi$. We want the
# correlation after the ReLU. A pair of normal numbers with correlation $\cos\varphi$ is a random point $(r, \theta)$ of the
# plane, seen from two directions: $u = r\cos\theta$, $v = r\cos(\theta - \varphi)$. Both are positive where
# $\varphi - \frac{\pi}{2} < \theta < \frac{\pi}{2}$, and only there the product of the ReLUs is not 0:
#
# $$\mathbb{E}[\operatorname{relu}(u)\operatorname{relu}(v)] =
#   \frac{1}{2\pi} \int_0^\infty r^3 e^{-r^2/2}\, dr \int_{\varphi - \pi/2}^{\pi/2}
#   \cos\theta \cos(\theta - \varphi)\, d\theta .$$
#
# The first integral is 2. In the second,
# $\cos\theta\cos(\theta-\varphi) = \frac12\left[\cos\varphi + \cos(2\theta - \varphi)\right]$, which integrates to
# $\frac12\left[(\pi - \varphi)\cos\varphi + \sin\varphi\right]$. For $\varphi = 0$ all of it is $\frac12$, the mean square
# we know; dividing by it,
#
# $$c' = \frac{(\pi - \varphi)\cos\varphi + \sin\varphi}{\pi}, \qquad \varphi = \arccos c .$$
#
# Try it: pictures at a right angle, $c = 0$, have $c' = 1/\pi = 0.32$ after one layer, then 0.49, 0.60, 0.68. And $c = 1$
# gives $c' = 1$. The correlation always rises: **layer by layer a plain network makes all pictures alike**, although every
# length is kept. At the end of forty layers it has to tell a 3 from a 7 by what is left of the difference.
#
# ## What a shortcut does
#
# Let a block add to its input instead of replacing it: $\mathbf{h}_{l+1} = \mathbf{h}_l + F_l(\mathbf{h}_l)$. Its Jacobian
# is $I + J_l$, and
#
# $$\bar{\mathbf{h}}_0 = (I + J_0^\top)(I + J_1^\top) \cdots (I + J_{n-1}^\top)\; \bar{\mathbf{h}}_n .$$
#
# Multiplied out, that is a sum over all $2^n$ ways of taking or leaving each block; one of them, the 1 in front of all, is
# the gradient itself, undiminished. Forward, if the last weights of $F_l$ are drawn with variance $1/n$ of what would keep
# the length, the mean square is multiplied by $(1 + \frac1n)$ a block, $(1 + \frac1n)^n < e$ in all, at any depth. The
# correlation moves by about $\frac1n(c' - c)$ a block: the whole network turns the pictures towards each other about as far
# as *one* plain layer does.
#
# **Prediction**, for width 256: in the plain network the correlation follows the formula towards 1; in the residual one it
# stays close to where it begins.


# %%
class Block(nn.Module):
    """Two layers, (N, width) → (N, width): h + F(h) with a shortcut, relu(F(h)) without.

    ``share`` is the factor of the second layer's first weights.
    """

    def __init__(self, width, shortcut, share):
        super().__init__()
        self.one, self.two, self.shortcut = nn.Linear(width, width), nn.Linear(width, width), shortcut
        for layer in (self.one, self.two):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        with minidl.no_grad():
            self.two.weight.mul_(share)

    def forward(self, h):
        f = self.two(F.relu(self.one(h)))
        return h + f if self.shortcut else F.relu(f)


def blocks(layers, shortcut, width):
    """``layers`` layers in blocks of two; those with a shortcut share 1 among them (F has no ReLU at its end, hence 2 n)."""
    return [Block(width, shortcut, 1 / math.sqrt(layers) if shortcut else 1) for _ in range(layers // 2)]


# %%
def correlations(layers, h):
    """The mean cosine between different rows of h (N, width), at first and after each layer."""
    found = []
    for layer in [nn.Identity(), *layers]:
        h = layer(h)
        unit = h / h.norm(dim=1, keepdim=True)
        together = unit @ unit.t()
        found.append((together.sum() - len(h)).item() / (len(h) * (len(h) - 1)))
    return found


def next_correlation(c):
    angle = math.acos(min(c, 1.0))
    return ((math.pi - angle) * c + math.sin(angle)) / math.pi


minidl.manual_seed(0)
with minidl.no_grad():
    start = minidl.randn(60, 256)
    plain, residual = (correlations(blocks(40, shortcut, 256), start) for shortcut in (False, True))
foretold = [0.0]
for _ in range(40):
    foretold.append(next_correlation(foretold[-1]))
foretold = foretold[::2]  # a block is two layers
for l in (0, 1, 5, 20):
    print(
        f"after {2 * l:2} layers: plain {plain[l]:.3f} (foretold {foretold[l]:.3f}), with shortcuts {residual[l]:.3f}"
    )
assert all(abs(a - b) < 0.06 for a, b in zip(plain, foretold))
assert residual[-1] < 0.35 < 0.95 < plain[-1]

# %%
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
depths = np.arange(21) * 2
ax.plot(depths, plain, "o", label="plain, measured")
ax.plot(depths, foretold, "-", color="tab:blue", label="plain, from the formula")
ax.plot(depths, residual, "s-", color="tab:orange", label="with shortcuts")
ax.set(xlabel="layers", ylabel="cosine between inputs", ylim=(-0.05, 1.05))
ax.legend()

# %% [markdown]
# *Random inputs begin at right angles.* Forty plain layers leave them nearly parallel, just where the formula says; forty
# with shortcuts hardly move them.
#
# ## An experiment that can fail
#
# Digits, networks of 4, 20 and 40 layers, 64 wide, with and without shortcuts, same optimiser, same number of epochs. We
# note the norm of the gradient of the first block's weights *before* training, and the loss on the training pictures after
# it.
#
# **Predictions.** (1) With four layers the two are alike. (2) With forty, the plain network is worse on its own training
# pictures. (3) If the vanishing gradient were the reason, the plain network's would have to be much smaller at the start. By
# chapter 5's rule it should not be. (And would it matter? Adam divides the gradient by its own size.)

# %%
data = {train: Digits(train=train) for train in (True, False)}
pictures, test_pictures = (data[train].data.float().flatten(1) / 255 for train in (True, False))
classes, test_classes = data[True].targets, data[False].targets


def network(layers, shortcut, width=64):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), *blocks(layers, shortcut, width), nn.Linear(width, 10))


def accuracy(model):
    with minidl.no_grad():
        return (model(test_pictures).argmax(1) == test_classes).float().mean().item()


def first_norms(model):
    """The norm of the gradient of each block's first weights."""
    model.zero_grad()
    F.cross_entropy(model(pictures), classes).backward()
    return [block.one.weight.grad.norm().item() for block in model if isinstance(block, Block)]


def experiment(layers, shortcut):
    """The trained network, its gradients' norms at the start, the training loss, and how far the first block moved a step."""
    minidl.manual_seed(0)
    model = network(layers, shortcut)
    norms = first_norms(model)
    loader = DataLoader(TensorDataset(pictures, classes), 50, shuffle=True)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    with inspect.gradient_flow(model, optimizer) as flow:
        Trainer(model, optimizer, loader).fit(choose(4, 12))
    moved = np.nanmedian(flow.update_ratios["2.one.weight"])
    with minidl.no_grad():
        return model, norms, F.cross_entropy(model(pictures), classes).item(), moved


results = {(layers, shortcut): experiment(layers, shortcut) for layers in (4, 20, 40) for shortcut in (False, True)}
for (layers, shortcut), (model, norms, loss, moved) in results.items():
    kind = "with shortcuts" if shortcut else "plain"
    print(
        f"{layers:2} layers, {kind:14}: gradient {norms[0]:.3f}, training loss {loss:.3f}, test {accuracy(model):.1%}"
    )
    print(f"{'':26}a step moved the first block's weights by {moved:.2%} of their length")
drawn = {s: np.median([first_norms(network(40, s))[0] for _ in range(5)]) for s in (False, True)}
print(f"40 layers drawn five times, the middle gradient: plain {drawn[False]:.3f}, with shortcuts {drawn[True]:.3f}")
assert max(results[4, shortcut][2] for shortcut in (False, True)) < 0.5
assert results[40, False][2] > 0.8 > 0.5 > results[40, True][2], (
    "forty layers: plain was expected to fail, shortcuts not to"
)
assert results[40, False][3] > 0.5 * results[40, True][3], "Adam's steps were expected to be as long"
assert drawn[False] > 0.25 * drawn[True], "the plain network's gradient was expected not to vanish"

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for shortcut, mark in ((False, "o-"), (True, "s-")):
    label = "with shortcuts" if shortcut else "plain"
    left.semilogy(range(1, 21), results[40, shortcut][1], mark, label=label)
    right.plot((4, 20, 40), [results[layers, shortcut][2] for layers in (4, 20, 40)], mark, label=label)
left.set(xlabel="block", ylabel="first gradient's norm", title="40 layers, before training", ylim=(1e-3, 1))
right.set(xlabel="layers", ylabel="training loss", title="after training")
left.legend()

# %% [markdown]
# *Left: the gradient did not vanish*; from the first block to the last it keeps its size, in both networks. *Right: and yet
# the plain network does not learn.* The gradient is there, but it says nearly the same for every picture, since the pictures
# look nearly the same up there. What was lost is not size but difference. Nor did the network stand still:
# `inspect.gradient_flow` notes how far each step moves the weights, and the plain network's first block walked as far as the
# other's, without arriving anywhere.
#
# One drawing of weights would not have been enough to say so, which is why the last line takes five. He's rule holds *on
# average*; in a narrow network a product of forty random matrices strays from its average by a factor that grows with depth
# over width. Change the width to 32 and look at several seeds: some lose nine tenths of their gradient.
#
# (There are networks whose gradients do vanish: with the wrong first weights, as in chapter 5, or along time, as in chapter
# 8. He et al. had batch normalisation in their plain networks and wrote, for the same reason, that vanishing was an unlikely
#   cause.)
#
# ## Taking layers out
#
# The sum over $2^n$ paths suggests a rude test. In a *trained* network remove one block. In the plain network every path
# leads through it. In the residual one half of the paths remain, just as they were. **Predict** the accuracy in both cases,
# without any retraining.


# %%
def without_each(model):
    """The test accuracy without block 1, without block 2, and so on."""
    layers = list(model)
    return [
        accuracy(nn.Sequential(*layers[:i], *layers[i + 1 :])) for i, b in enumerate(layers) if isinstance(b, Block)
    ]


whole_plain, whole_residual = results[20, False][0], results[40, True][0]
cut_plain, cut_residual = without_each(whole_plain), without_each(whole_residual)
print(f"plain, 20 layers:  {accuracy(whole_plain):.1%}; without one block", " ".join(f"{a:.0%}" for a in cut_plain))
print(
    f"shortcuts, 40:     {accuracy(whole_residual):.1%}; without one block", " ".join(f"{a:.0%}" for a in cut_residual)
)
assert np.median(cut_residual) > accuracy(whole_residual) - 0.1
assert np.median(cut_plain) < accuracy(whole_plain) - 0.3

# %% [markdown]
# A residual network does not fall apart. It behaves like a crowd of shallower networks that share their layers, and each
# block does a little more of what the others have begun (Veit et al. 2016).
#
# ## minidl's ResNet
#
# For pictures the blocks are convolutions, each followed by batch normalisation (next chapter), and some halve the picture
# and double the channels. There the input does not fit to be added, and a $1\times1$ convolution with stride 2 makes it fit.
# `resnet_small` begins with every block the identity: the last normalisation's weight is 0, so that $F = 0$ at first, which
# is our share $1/n$ taken to its end.

# %%
minidl.manual_seed(0)
model = resnet_small(image_size=8, widths=choose((16, 32, 64), (32, 64, 128)))
h = F.relu(minidl.randn(2, model.conv1.out_channels, 4, 4))
print("the first block begins as the identity:", minidl.equal(model.layer1(h), h))
as_pictures = TensorDataset(pictures.reshape(-1, 1, 8, 8), classes)
loader = DataLoader(as_pictures, 64, shuffle=True)
steps = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
Trainer(model, steps, loader).fit(choose(2, 15))
found = evaluate(model, DataLoader(TensorDataset(test_pictures.reshape(-1, 1, 8, 8), test_classes), 359))
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, test accuracy {found.accuracy:.1%}")

# %% [markdown]
# ## Exercises

# %% [markdown] tags=["exercise", "conv_cost"]
# ### Exercise 1: what a convolution costs
# `conv_cost(size, channels, filters, kernel, stride, padding, groups)` gives two ints for a square picture of size × size:
# the parameters (weights and biases) and the operations of a forward pass over one picture, where a multiplication with its
# addition counts two and biases do not count. With `groups`, channels and filters are cut into as many groups, and a filter
# sees the channels of its group alone. Example: `conv_cost(28, 192, 32, 5, 1, 2, 1)` is `(153632, 240844800)`.


# %% tags=["exercise", "conv_cost"]
def conv_cost(size, channels, filters, kernel, stride, padding, groups):
    """(parameters, operations)."""
    # --- solution
    weights = filters * (channels // groups) * kernel * kernel
    places = ((size + 2 * padding - kernel) // stride + 1) ** 2
    return weights + filters, 2 * weights * places
    # --- end


# %% [markdown] tags=["hint", "conv_cost"]
# How many numbers does one filter have? How many filters are there?
# %% [markdown] tags=["hint", "conv_cost"]
# Every weight is used once at every place of the output. Chapter 4 counts the places.


# %% tags=["wrong", "conv_cost"]
def without_bias(size, channels, filters, kernel, stride, padding, groups):
    """Leaves the biases out of the parameters."""
    parameters, operations = conv_cost(size, channels, filters, kernel, stride, padding, groups)
    return parameters - filters, operations


def places_of_the_input(size, channels, filters, kernel, stride, padding, groups):
    """Counts places of the input, as if stride were 1 and padding kept the size."""
    parameters, _ = conv_cost(size, channels, filters, kernel, stride, padding, groups)
    return parameters, 2 * (parameters - filters) * size**2


def every_filter_sees_all(size, channels, filters, kernel, stride, padding, groups):
    """Ignores the groups."""
    return conv_cost(size, channels, filters, kernel, stride, padding, 1)


def grouped_twice(size, channels, filters, kernel, stride, padding, groups):
    """Divides channels and filters by the groups: what one group costs."""
    return conv_cost(size, channels // groups, filters // groups, kernel, stride, padding, 1)


# %% tags=["check", "conv_cost"]
def check_conv_cost(conv_cost):
    """Parameters against nn.Conv2d's; operations against a convolution of ones, whose sum counts the multiplications."""
    draw = np.random.default_rng(0)
    for _ in range(30):
        groups, kernel, stride = (int(v) for v in draw.integers(1, 4, 3))
        channels, filters = (groups * int(v) for v in draw.integers(1, 4, 2))
        padding, size = int(draw.integers(0, kernel)), int(draw.integers(kernel, 10))
        layer = nn.Conv2d(channels, filters, kernel, stride, padding, groups=groups)
        parameters = sum(p.numel() for p in layer.parameters())
        framed = minidl.ones(1, channels, size + 2 * padding, size + 2 * padding)
        counted = F.conv2d(framed, minidl.ones(*layer.weight.shape), stride=stride, groups=groups).sum().item()
        got = tuple(conv_cost(size, channels, filters, kernel, stride, padding, groups))
        assert got == (parameters, 2 * int(counted)), (
            f"conv_cost({size=}, {channels=}, {filters=}, {kernel=}, {stride=}, {padding=}, {groups=}) gave {got}; Conv2d has "
            f"{parameters} parameters, and its forward pass takes {int(counted)} multiplications, so {2 * int(counted)}."
        )


# %% [markdown] tags=["exercise", "residual_backward"]
# ### Exercise 2: back through a block
# For $Y = H + \operatorname{relu}(H W_1^\top)\, W_2^\top$, write `residual_backward(h, w1, w2, g)`: NumPy arrays `h` and `g`
# (N, D), `w1` (M, D), `w2` (D, M), and the gradients of `h`, `w1` and `w2` returned.


# %% tags=["exercise", "residual_backward"]
def residual_backward(h, w1, w2, g):
    """The gradients of h, w1, w2, each of its shape."""
    # --- solution
    u = h @ w1.T
    dw2 = g.T @ np.maximum(u, 0)
    du = (g @ w2) * (u > 0)
    return g + du @ w1, du.T @ h, dw2
    # --- end


# %% [markdown] tags=["hint", "residual_backward"]
# Name the steps: $U = HW_1^\top$, $A = \operatorname{relu}(U)$, $Y = H + AW_2^\top$. Go back one after the other.
# %% [markdown] tags=["hint", "residual_backward"]
# The notation page has the rule of the linear layer. $H$ is used in two places, so two gradients arrive at it.


# %% tags=["wrong", "residual_backward"]
def shortcut_forgotten(h, w1, w2, g):
    """Goes back through the layers alone."""
    dh, dw1, dw2 = residual_backward(h, w1, w2, g)
    return dh - g, dw1, dw2


def through_the_shortcut_alone(h, w1, w2, g):
    """Hands the gradient on as it is, and calls that the point of a residual."""
    _, dw1, dw2 = residual_backward(h, w1, w2, g)
    return g, dw1, dw2


def relu_not_undone(h, w1, w2, g):
    """Lets the gradient through where the ReLU was shut."""
    du = g @ w2
    return g + du @ w1, du.T @ h, g.T @ np.maximum(h @ w1.T, 0)


def value_for_a_switch(h, w1, w2, g):
    """Multiplies with relu(u) where [u > 0] belongs."""
    a = np.maximum(h @ w1.T, 0)
    du = (g @ w2) * a
    return g + du @ w1, du.T @ h, g.T @ a


# %% tags=["check", "residual_backward"]
def check_residual_backward(residual_backward):
    """Against finite differences along random directions: the loss is the inner product of Y and g."""
    draw = np.random.default_rng(1)
    for n, d, m in ((1, 1, 3), (4, 3, 5), (7, 6, 2), (1, 8, 8)):
        values = [draw.normal(size=s) for s in ((n, d), (m, d), (d, m))]
        g = draw.normal(size=(n, d))

        def loss(h, w1, w2, g=g):
            return np.sum(g * (h + np.maximum(h @ w1.T, 0) @ w2.T))

        got = residual_backward(*(v.copy() for v in values), g.copy())
        for k, name in enumerate(("h", "w1", "w2")):
            gradient = np.asarray(got[k])
            assert gradient.shape == values[k].shape, f"the gradient of {name} has the shape {gradient.shape}"
            for _ in range(5):
                step = 1e-6 * draw.normal(size=values[k].shape)
                ends = [loss(*(v + s * step if i == k else v for i, v in enumerate(values))) for s in (1, -1)]
                expected, foretold = (ends[0] - ends[1]) / 2, np.sum(gradient * step)
                assert abs(expected - foretold) < 1e-9, (
                    f"N {n}, D {d}, M {m}: along a small step of {name} the loss changes by {expected:.3e}, the gradient "
                    f"foretells {foretold:.3e}. Follow every way by which {name} reaches Y."
                )


# %% [markdown] tags=["exercise", "ResidualBlock"]
# ### Exercise 3: a block that may change shape
# A module `ResidualBlock(channels, filters, stride)`: $Y = \operatorname{relu}(X' + F(X))$, where $F$ is a $3\times3$
# convolution with the stride, ReLU, and a second $3\times3$ with stride 1, all with padding 1 and without biases. $X' = X$
# if its shape fits; if not, a $1\times1$ convolution with the stride and without bias makes it fit. Call the convolutions
# `conv1`, `conv2` and `shortcut` (`None` where there is none).


# %% tags=["exercise", "ResidualBlock"]
class ResidualBlock(nn.Module):
    """(N, channels, H, W) → (N, filters, H / stride, W / stride), rounded up."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        # --- solution
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        same = channels == filters and stride == 1
        self.shortcut = None if same else nn.Conv2d(channels, filters, 1, stride, bias=False)
        # --- end

    def forward(self, x):
        # --- solution
        f = self.conv2(F.relu(self.conv1(x)))
        return F.relu(f + (x if self.shortcut is None else self.shortcut(x)))
        # --- end


# %% [markdown] tags=["hint", "ResidualBlock"]
# A shape does not fit for either of two reasons. Which?
# %% [markdown] tags=["hint", "ResidualBlock"]
# `nn.Conv2d(channels, filters, 1, stride, bias=False)` skips the same places as a 3 × 3 with padding 1 and this stride. The
# sum comes before the last ReLU.


# %% tags=["wrong", "ResidualBlock"]
class ReluBeforeTheSum(ResidualBlock):
    """Rectifies F before adding: such a block can only ever add."""

    def forward(self, x):
        f = F.relu(self.conv2(F.relu(self.conv1(x))))
        return f + (x if self.shortcut is None else self.shortcut(x))


class HiddenLayerAdded(ResidualBlock):
    """Adds what the first convolution made, not the input."""

    def forward(self, x):
        h = F.relu(self.conv1(x))
        return F.relu(self.conv2(h) + h)


class AlwaysConvolved(ResidualBlock):
    """Puts a convolution into every shortcut: nothing passes untouched."""

    def __init__(self, channels, filters, stride):
        super().__init__(channels, filters, stride)
        self.shortcut = nn.Conv2d(channels, filters, 1, stride, bias=False)


class ChannelsAlone(ResidualBlock):
    """Looks at the channels alone: with a stride and equal channels, the sum fails or broadcasts."""

    def __init__(self, channels, filters, stride):
        super().__init__(channels, filters, stride)
        if channels == filters:
            self.shortcut = None


# %% tags=["check", "ResidualBlock"]
def check_ResidualBlock(ResidualBlock):  # noqa: N802
    """Against the formula in functions, with the block's own weights; odd sizes; and its gradient."""
    cases = ((2, 3, 3, 1, 5, 4), (1, 2, 4, 1, 3, 3), (2, 3, 3, 2, 6, 5), (1, 2, 6, 3, 7, 1))
    for n, channels, filters, stride, h, w in cases:
        block, x = ResidualBlock(channels, filters, stride), minidl.randn(n, channels, h, w)
        where = f"ResidualBlock({channels}, {filters}, {stride}) on {tuple(x.shape)}"
        expected = block.conv2(F.relu(block.conv1(x)))
        assert expected.shape == (n, filters, -(-h // stride), -(-w // stride)), (
            f"{where}: F(X) has {tuple(expected.shape)}"
        )
        fits = tuple(expected.shape) == tuple(x.shape)
        rule = "fits, so X goes on untouched" if fits else "does not fit, so a convolution must make it fit"
        assert (block.shortcut is None) == fits, f"{where}: the shape {rule}, but shortcut is {block.shortcut}"
        count = sum(p.numel() for p in block.parameters())
        right = 9 * channels * filters + 9 * filters**2 + (0 if fits else channels * filters)
        assert count == right, f"{where}: {count} parameters, not {right}; are there biases?"
        expected = F.relu(expected + (x if fits else block.shortcut(x)))
        apart = (block(x) - expected).abs().max().item()
        assert apart < 1e-5, f"{where}: off by up to {apart:.3g}. First the sum, then the last ReLU."


# %% [markdown]
# ## What PyTorch does differently
#
# The networks are torchvision's, and minidl keeps its names, so trained weights go both ways. torchvision's ResNets do not
# begin as the identity unless asked (`zero_init_residual=True`); `resnet_small` always does. Its `GoogLeNet` has a
# $3\times3$ where the paper has a $5\times5$, because the weights that it offers were trained so; minidl follows.
#
# ## Sources
#
# - Krizhevsky, Sutskever & Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks"; Szegedy et al.
#   2015, "Going Deeper with Convolutions".
# - He, Zhang, Ren & Sun 2016, "Deep Residual Learning for Image Recognition", section 4.1 on why vanishing is unlikely; the
#   same year, "Identity Mappings in Deep Residual Networks".
# - Cho & Saul 2009, "Kernel Methods for Deep Learning": the formula for the angle. Poole et al. 2016, "Exponential
#   expressivity in deep neural networks through transient chaos", and Schoenholz et al. 2017, "Deep Information
#   Propagation": how depth loses inputs' differences.
# - Balduzzi et al. 2017, "The Shattered Gradients Problem"; Veit, Wilber & Belongie 2016, "Residual Networks Behave Like
#   Ensembles of Relatively Shallow Networks".
#
# We can now train networks far larger than a thousand pictures need. What keeps them from learning the pictures by heart is
# the next question.
