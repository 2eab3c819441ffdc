# %% [markdown]
# # 5. MNIST to 99 %
#
# **The question.** A network of two convolutions and two linear layers reads 99 of 100 digits that it has never seen. Two
# things about this sentence are worth a chapter. What must be right *before* the first step, so that the steps lead
# anywhere? And what is the 99 worth: when one run ends at 99.14 % and another, which differs in nothing but its seed, at
# 98.97 %, is the first the better network?
#
# [Chapter 4](04_convolution.py) left us with a layer and its gradient. We put the layers together, start them well, train,
# look at what went wrong, and learn to doubt a number. The small settings use Digits ($8\times8$, nothing to download); with
# `MINIDL_FULL=1` the same cells train on MNIST.

# %% tags=["setup"]
import math

import matplotlib.pyplot as plt
import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import inspect, optim
from minidl.data import MNIST, DataLoader, Digits, transforms
from minidl.models import MLP, ConvNet
from minidl.train import Trainer, warmup_cosine
from minidl.tutor import choose

minidl.manual_seed(0)

# %% [markdown]
# ## The network, counted by hand
#
# | layer | shape after it, for MNIST | parameters |
# |---|---|---|
# | picture | $(N, 1, 28, 28)$ | |
# | convolution $3\times3$, 32 filters, $P = 1$; ReLU | $(N, 32, 28, 28)$ | $32 \cdot (1 \cdot 9 + 1) = 320$ |
# | the largest of each $2\times2$ | $(N, 32, 14, 14)$ | 0 |
# | convolution $3\times3$, 64 filters, $P = 1$; ReLU | $(N, 64, 14, 14)$ | $64 \cdot (32 \cdot 9 + 1) = 18{,}496$ |
# | the largest of each $2\times2$ | $(N, 64, 7, 7)$ | 0 |
# | linear; ReLU | $(N, 128)$ | $128 \cdot (3136 + 1) = 401{,}536$ |
# | linear | $(N, 10)$ | $10 \cdot (128 + 1) = 1{,}290$ |
#
# Where are most parameters, and where is most of the work? The two are not the same place. A weight of a convolution is used
# at every place, so the second convolution costs $2 \cdot 14^2 \cdot 18{,}432 \approx 7.2$ million operations a picture, and
# the large linear layer, with 22 times as many parameters, 0.8 million.

# %%
model = ConvNet(image_size=28)
for name, parameter in model.named_parameters():
    print(f"{name:14} {tuple(parameter.shape)!s:18} {parameter.numel():8,}")
assert sum(p.numel() for p in model.parameters()) == 320 + 18_496 + 401_536 + 1_290 == 421_642

# %% [markdown]
# ## The gradient of a maximum
#
# Pooling has no weights, but it has a gradient. Of a window only the largest value, say that of place $m$, matters: move it
# a little and $y = \max_i x_i$ moves as much; move another and nothing happens. So
#
# $$\frac{\partial y}{\partial x_i} = [\,i = m\,], \qquad \bar{x}_i = [\,i = m\,]\; \bar{y}.$$
#
# The whole gradient goes to the winner. It is a switch that the forward pass has set, as in ReLU, which is the maximum of
# $x$ and 0. Where two are equal, the derivative does not exist (chapter 2 met such a kink); a library picks one of them, and
# must not pay both.

# %%
x = minidl.tensor([[1.0, 5.0, 2.0, 2.0], [3.0, 4.0, 2.0, 1.0]], requires_grad=True)
y = F.max_pool2d(x[None, None], 2)
(y * minidl.tensor([10.0, 100.0])).sum().backward()
print("maxima", y.tolist(), "\ngradient", x.grad.tolist())

# %% [markdown]
# ## How to begin
#
# All weights zero would never move: every unit of a layer would compute the same and get the same gradient. So they begin
# random. How large? Take one output of a linear layer, $y = \sum_{i=1}^{n} w_i x_i$, with weights that are independent of
# each other and of $\mathbf{x}$, with mean 0 and variance $\sigma^2$. The mixed terms of the square vanish,
# $\mathbb{E}[w_i w_j] = 0$, and
#
# $$\mathbb{E}[y^2] = \sum_i \mathbb{E}[w_i^2]\, \mathbb{E}[x_i^2] = n\,\sigma^2\, \mathbb{E}[x^2].$$
#
# $y$ is as likely positive as negative, so ReLU removes half of this:
# $\mathbb{E}[\operatorname{relu}(y)^2] = \tfrac12\, n\,\sigma^2\, \mathbb{E}[x^2]$. A layer multiplies the mean square by
# $\tfrac12 n \sigma^2$, and $l$ layers by its $l$-th power. Backward it is the same game with $W^\top$: the same factor,
# with the number of outputs for $n$. Only $\sigma^2 = 2/n$ neither swells nor fades (He et al. 2015).
#
# And what does `nn.Linear` do, in PyTorch and here? It draws uniformly from $\pm 1/\sqrt{n}$. The variance of a uniform
# number in $\pm a$ is $a^2/3$, so $\sigma^2 = 1/(3n)$ and the factor is $\tfrac16$.
#
# **Prediction.** After 12 layers of width 256: He's weights, about 1. `nn.Linear`'s: $6^{-12} \approx 5 \cdot 10^{-10}$
# without the bias. With $\sigma^2 = 4/n$: $2^{12} = 4096$.


# %%
def mean_squares(gain, depth=12, width=256):
    """The mean of h² after each of ``depth`` layers with weights of variance gain / width."""
    h, found = minidl.randn(400, width), []
    for _ in range(depth):
        h = F.relu(F.linear(h, minidl.randn(width, width) * math.sqrt(gain / width)))
        found.append(h.square().mean().item())
    return found


minidl.manual_seed(1)
gains = {"2/n (He)": 2, "1/(3n), as nn.Linear": 1 / 3, "4/n": 4}
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, gain in gains.items():
    found = mean_squares(gain)
    foretold = (gain / 2) ** 12
    print(f"{name:22} after 12 layers: {found[-1]:.2e}, foretold {foretold:.2e}")
    assert foretold / 2.5 < found[-1] < 2.5 * foretold
    ax.semilogy(range(1, 13), found, "o-", label=name)
ax.set(xlabel="layer", ylabel="mean square")
ax.legend()

# %% [markdown]
# *Straight lines on a logarithmic axis*: the factor is the same in every layer. Two layers forgive any of the three starts,
# and four, as we have, still do, with Adam's help. Twelve do not; that is the next chapter's matter.
#
# There is one more number to foretell. At the start the scores are small, so all ten classes are about as likely, and the
# loss must be close to $-\ln \tfrac{1}{10} = 2.303$. If a fresh network says 5, something is wrong with the scale of the
# pictures or the weights; if it says 0.3, the labels have leaked into the pictures. It is the cheapest test there is.

# %%
Data = choose(Digits, MNIST)
training, test = (Data(train=train, transform=transforms.ToTensor()) for train in (True, False))
size = training.data.shape[1]
minidl.manual_seed(0)
model = ConvNet(image_size=size)
pictures, classes = next(iter(DataLoader(training, 256, shuffle=True)))
first = F.cross_entropy(model(pictures), classes).item()
print(f"{len(training)} pictures of {size} x {size}; the loss before training: {first:.3f}, ln 10 = {math.log(10):.3f}")
assert abs(first - math.log(10)) < 0.1

# %% [markdown]
# The second cheapest: **can it learn one batch by heart?** A network that cannot fit 32 pictures in 60 steps has a mistake
# in it, and it is better to know before the hour of training than after. This is the whole of training, too, and everything
# else is comfort.

# %%
optimizer = optim.Adam(model.parameters(), lr=1e-3)
for _ in range(60):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(pictures[:32]), classes[:32])
    loss.backward()
    optimizer.step()
print(f"one batch after 60 steps: {loss.item():.4f}")
assert loss.item() < 0.1

# %% [markdown]
# ## Training
#
# `Trainer` is that loop, with an evaluation after every epoch and checkpoints if it is given a folder. The learning rate
# rises for a moment and then falls as half a cosine: towards the end the noise of the batches is averaged away instead of
# being kicked about.

# %%
epochs = choose(8, 10)
minidl.manual_seed(0)
model = ConvNet(image_size=size)
loader, test_loader = DataLoader(training, choose(32, 64), shuffle=True), DataLoader(test, 500)
optimizer = optim.Adam(model.parameters(), lr=choose(2e-3, 1e-3))
steps = epochs * len(loader)
schedule = warmup_cosine(optimizer, steps, warmup=steps // 20)
trainer = Trainer(model, optimizer, loader, test_loader, scheduler=schedule, schedule_every="step")
for row in trainer.fit(epochs):
    print(f"epoch {row['epoch']:2}: training loss {row['train_loss']:.4f}, test accuracy {row['test_accuracy']:.2%}")
evaluation = trainer.evaluation
assert evaluation.accuracy > choose(0.93, 0.99)

# %% [markdown]
# Under full settings this is MNIST. What the command `minidl train mnist` reached, from `docs/results.md`:
#
# | | epochs | seed | test accuracy |
# |---|---|---|---|
# | two-layer ConvNet | 3 | 0, 1, 2 | 98.64 %, 98.77 %, 98.83 % |
# | the same | 10 | 0 | 99.14 % |
# | the same | 10 | 1 | 98.97 % |
# | the same, cosine schedule | 10 | 1 | 99.15 % |
# | multilayer perceptron | 3 | 0 | 97.51 % |
#
# ## Look at the mistakes
#
# Before any number is believed, one looks. What did the network do wrong, and what was it looking at? The second can be
# asked of the tape: the gradient of a score with respect to the *picture*, $\bar{X} = \partial\,\text{score}/\partial X$,
# says which pixels would change it most.

# %%
shown = evaluation.mistakes[:6]
fig, axes = plt.subplots(2, 6, figsize=(9, 3.4), layout="constrained", squeeze=False)
for ax in axes.flat:
    ax.axis("off")
for (above, below), place, mistake in zip(axes.T, evaluation.wrong, shown):
    x = minidl.tensor(mistake[None], requires_grad=True)
    scores = model(x)
    truth, guess = int(evaluation.targets[place]), int(evaluation.predictions[place])
    (scores[0, guess] - scores[0, truth]).backward()
    above.imshow(mistake[0], cmap="gray")
    above.set_title(f"{truth}, read as {guess}", fontsize=9)
    limit = float(x.grad.abs().max())
    below.imshow(x.grad[0, 0].numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)

# %% [markdown]
# *Above: digits that were misread. Below: what speaks for the wrong class (red: more ink here would) and against it (blue).*
# One reads such a row from left to right and asks of each: would I have known? If most are of the kind that we would misread
# too, there is little left to gain by training; if a whole class is missing, there is. (`inspect.saliency` does the same for
# the score of one class.)

# %%
inspect.filters(model, "conv1").plot()

# %% [markdown]
# *The 32 filters of the first layer*, light where a pixel speaks for what the filter looks for. Most look as random as they
# began; some have a light and a dark side and answer to the edge of a stroke in one direction. A filter of nine pixels has
# little to show: the famous pictures of filters are AlexNet's, whose first layer has windows of $11 \times 11$.
#
# ## What is 99 % worth?
#
# Each of the $N$ test pictures is right or wrong. If each is right with probability $p$, independently, then the number of
# right ones is a sum of $N$ independent zeros and ones; each has variance $p(1-p)$, variances of independent numbers add up,
# and the mean's is $1/N^2$ of the sum's:
#
# $$\operatorname{std}[\text{accuracy}] = \sqrt{p\,(1-p)/N}.$$
#
# For MNIST, $p = 0.99$ and $N = 10{,}000$: 0.1 %. So 99.14 % against 98.97 % is less than two such steps: had the test set
# been drawn anew, they might stand the other way round. For Digits, with 359 test pictures, one step is a whole per cent.
#
# Now the part that can surprise. The formula assumed that every picture is as hard as every other. **Prediction, if that
# were so:** train ten networks from ten seeds, each wrong on about 6 % of the pictures. That a given picture is wrong in
# eight or more of the ten has the probability $\binom{10}{8}\, 0.06^8 \cdot 0.94^2 + \dots \approx 10^{-8}$: among 359 there
# should be none.

# %%
x, y = test.data.float().unsqueeze(1) / 255, test.targets
predictions = []
for seed in range(10):
    minidl.manual_seed(seed)
    small = MLP(image_size=size, hidden=(32,))
    optimizer = optim.Adam(small.parameters(), lr=1e-2)
    Trainer(small, optimizer, DataLoader(training, 64, shuffle=True)).fit(4)
    with minidl.no_grad():
        predictions.append(small(x).argmax(1).numpy())
right = np.array(predictions) == y.numpy()  # (networks, pictures)

accuracies, count = right.mean(1), right.shape[1]
p = accuracies.mean()
print("accuracies:", " ".join(f"{a:.3f}" for a in accuracies))
print(f"their spread: {accuracies.std(ddof=1):.4f};  the formula's: {math.sqrt(p * (1 - p) / count):.4f}")
wrongs = np.bincount((~right).sum(0), minlength=11)
foretold = np.array([math.comb(10, k) * (1 - p) ** k * p ** (10 - k) * count for k in range(11)])
print("pictures misread by 8 networks or more:", wrongs[8:].sum(), f" foretold: {foretold[8:].sum():.1e}")
assert wrongs[8:].sum() >= 3

# %%
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.bar(np.arange(11) - 0.2, wrongs, 0.4, label="measured")
ax.bar(np.arange(11) + 0.2, foretold, 0.4, label="if all pictures were alike")
ax.set(yscale="log", ylim=(0.3, None), xlabel="networks that misread a picture", ylabel="pictures")
ax.legend()

# %% [markdown]
# *How many of ten networks misread a picture.* The foretold bars fall off at once; the measured ones have a long tail. A
# handful of pictures is misread by nearly every network, and most are misread by none: pictures are not alike, and networks
# agree about which are hard.
#
# (The spread of the accuracies over seeds, printed above, is another matter than the formula's: the one speaks of another
# training run, the other of another test set. A single number carries both.)
#
# It has a practical consequence. Two networks that are tested on the same pictures share their luck: both meet the same hard
# ones. To compare them by two separate error bars throws this away. Look only at the pictures where **exactly one** of them
# is right, say $b$ for the first and $c$ for the second. If neither is better, each such picture is a toss of a coin, and
# how surprising a split is can be counted exactly (McNemar 1947). With $b = 9$ and $c = 1$, a split as uneven or more has
# the probability $2\,(1 + 10)/2^{10} = 0.02$, however large the test set.

# %%
first, second = evaluation.predictions == evaluation.targets, right[0]
b, c = int((first & ~second).sum()), int((second & ~first).sum())
print(f"convolutional {first.mean():.2%}, linear {second.mean():.2%}; right where the other is wrong: {b} against {c}")

# %% [markdown]
# Exercise 3 makes a test of it. The rules of thumb: report several seeds; say how many test pictures there were; do not
# choose the best epoch by the test set (the best of ten looks at the test set ten times); compare on the same pictures.
#
# ## Exercises

# %% [markdown] tags=["exercise", "confusion"]
# ### Exercise 1: who is taken for whom
# `confusion(targets, predictions, classes)`, from two NumPy arrays of ints (N,), gives an array of counts (classes,
# classes): in row $i$ and column $j$ the samples of class $i$ that were taken for $j$. Example:
# `confusion(np.array([0, 1, 1]), np.array([0, 0, 0]), 2)` is `[[1, 0], [2, 0]]`.


# %% tags=["exercise", "confusion"]
def confusion(targets, predictions, classes):
    """Counts (classes, classes): rows are what it is, columns what it was taken for."""
    # --- solution
    return np.bincount(targets * classes + predictions, minlength=classes * classes).reshape(classes, classes)
    # --- end


# %% [markdown] tags=["hint", "confusion"]
# A loop over the samples is a right answer. How would one number say both row and column?
# %% [markdown] tags=["hint", "confusion"]
# If you index with arrays and add 1: what does NumPy do with a pair that occurs twice in the index?


# %% tags=["wrong", "confusion"]
def repeats_lost(targets, predictions, classes):
    """Lets counts[i, j] += 1 with arrays as indices count a pair that occurs often only once."""
    counts = np.zeros((classes, classes), int)
    counts[targets, predictions] += 1
    return counts


def transposed(targets, predictions, classes):
    """Rows and columns exchanged."""
    return confusion(predictions, targets, classes)


def only_what_occurs(targets, predictions, classes):
    """As many classes as were met, not as many as there are."""
    return confusion(targets, predictions, int(max(targets.max(initial=0), predictions.max(initial=0))) + 1)


def fractions(targets, predictions, classes):
    """Fractions of the row instead of counts."""
    counts = confusion(targets, predictions, classes)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


# %% tags=["check", "confusion"]
def check_confusion(confusion):
    """Against counting one pair after the other; also no sample, and classes that do not occur."""
    draw = np.random.default_rng(0)
    for samples, classes in ((0, 2), (1, 3), (5, 2), (40, 3), (200, 10), (7, 12)):
        targets, predictions = draw.integers(0, classes, (2, samples))
        got = np.asarray(confusion(targets, predictions, classes))
        assert got.shape == (classes, classes), f"with {classes} classes the counts have the shape {got.shape}"
        pairs = list(zip(targets.tolist(), predictions.tolist()))
        for i in range(classes):
            for j in range(classes):
                assert got[i, j] == pairs.count((i, j)), (
                    f"{samples} samples, {classes} classes: {pairs.count((i, j))} samples of class {i} were taken for {j}, "
                    f"but row {i}, column {j} says {got[i, j]}. Rows are what it is; every sample counts once."
                )


# %% [markdown] tags=["exercise", "max_pool_backward"]
# ### Exercise 2: back through the largest
# `max_pool_backward(x, g, size)`, for NumPy arrays `x` (N, C, H, W) and `g` (N, C, H // size, W // size): the gradient of
# `x` for the maximum over windows of size × size that do not overlap. Rows and columns at the end that fill no window take
# no part. Of equal values one gets all.


# %% tags=["exercise", "max_pool_backward"]
def max_pool_backward(x, g, size):
    """The gradient (N, C, H, W) of the input."""
    # --- solution
    dx = np.zeros_like(x)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            place = (..., slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
            winner = x[place].reshape(*x.shape[:2], size * size).argmax(-1)
            chosen = np.eye(size * size, dtype=x.dtype)[winner].reshape(x[place].shape)
            dx[place] = chosen * g[:, :, i, j, None, None]
    return dx
    # --- end


# %% [markdown] tags=["hint", "max_pool_backward"]
# For one window: which place has won? `argmax` of the flattened window says it for all samples and channels at once.
# %% [markdown] tags=["hint", "max_pool_backward"]
# A row of the identity matrix is a window with a 1 at one place: `np.eye(size * size)[winner]`, then back to size × size,
# times the incoming gradient.


# %% tags=["wrong", "max_pool_backward"]
def shared_evenly(x, g, size):
    """The gradient of the average: everyone gets a share."""
    dx = np.zeros_like(x)
    spread = g.repeat(size, 2).repeat(size, 3) / size**2
    dx[:, :, : spread.shape[2], : spread.shape[3]] = spread
    return dx


def all_equals_paid(x, g, size):
    """Compares with the maximum, so that equal values all get the whole gradient."""
    dx, (n, c, h, w) = np.zeros_like(x), g.shape
    covered = x[:, :, : h * size, : w * size]
    most = covered.reshape(n, c, h, size, w, size).max((3, 5))
    most, g = (a.repeat(size, 2).repeat(size, 3) for a in (most, g))
    dx[:, :, : h * size, : w * size] = (covered == most) * g
    return dx


def largest_by_size(x, g, size):
    """Takes the value that is farthest from zero for the largest."""
    return max_pool_backward(np.abs(x), g, size)


def first_of_window(x, g, size):
    """Sends the gradient to a window's first place."""
    dx = np.zeros_like(x)
    dx[:, :, : g.shape[2] * size : size, : g.shape[3] * size : size] = g
    return dx


# %% tags=["check", "max_pool_backward"]
def check_max_pool_backward(max_pool_backward):
    """Against minidl's tape; then with equal values, where a window's gradient must go to one place, whole."""
    draw = np.random.default_rng(1)
    for shape, size in (((1, 1, 2, 2), 2), ((2, 3, 4, 6), 2), ((1, 2, 5, 7), 2), ((3, 1, 7, 9), 3), ((2, 2, 3, 4), 1)):
        x = minidl.tensor(draw.normal(size=shape), requires_grad=True)
        y = F.max_pool2d(x, size)
        g = draw.normal(size=tuple(y.shape))
        y.backward(minidl.tensor(g))
        got = np.asarray(max_pool_backward(x.detach().numpy().copy(), g.copy(), size))
        assert got.shape == shape, f"x {shape}, size {size}: the gradient has the shape {got.shape}"
        apart = np.abs(got - x.grad.numpy()).max()
        assert apart < 1e-6, (
            f"x {shape}, size {size}: off by up to {apart:.3g}. Only the winner's place of each window has a gradient."
        )
    got = np.asarray(max_pool_backward(np.zeros((1, 1, 2, 4)), np.array([[[[1.0, 5.0]]]]), 2))
    sums = got[0, 0, :, :2].sum(), got[0, 0, :, 2:].sum()
    assert sums == (1, 5), f"of equal values one gets all: windows whose gradients are 1 and 5 handed on {sums}"
    assert np.count_nonzero(got) == 2, f"of equal values one gets all, but {np.count_nonzero(got)} places got something"


# %% [markdown] tags=["exercise", "paired_test"]
# ### Exercise 3: is it better?
# `paired_test(targets, first, second)`, from the true classes and two networks' predictions (NumPy arrays of ints (N,)),
# gives the probability that coins would split as unevenly as this or more, to either side, between the pictures that the
# first alone and the second alone got right. If there is none, or the split is even, it is 1. Exact, not approximate.
# Example: with 9 against 1 it is $22/1024$.


# %% tags=["exercise", "paired_test"]
def paired_test(targets, first, second):
    """The two-sided probability of so uneven a split by chance."""
    # --- solution
    b = int(np.sum((first == targets) & (second != targets)))
    c = int(np.sum((first != targets) & (second == targets)))
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1))
    return min(1.0, 2 * tail / 2 ** (b + c))
    # --- end


# %% [markdown] tags=["hint", "paired_test"]
# Count $b$ and $c$. Pictures that both read rightly, or both wrongly, say nothing about which is better.
# %% [markdown] tags=["hint", "paired_test"]
# Of $2^{b+c}$ sequences of tosses, how many have at most $\min(b, c)$ heads? `math.comb` counts those with exactly $k$.
# %% [markdown] tags=["hint", "paired_test"]
# The other side is as long, so twice that; at an even split both sides share the middle, and the sum must not pass 1.


# %% tags=["wrong", "paired_test"]
def one_sided(targets, first, second):
    """Asks for one side alone, having looked which one it is."""
    p = paired_test(targets, first, second)
    return p / 2 if p < 1 else p


def more_extreme_only(targets, first, second):
    """Leaves out the split that was seen, and counts those beyond it."""
    b, c = np.sum((first == targets) & (second != targets)), np.sum((first != targets) & (second == targets))
    return min(1.0, 2 * sum(math.comb(int(b + c), k) for k in range(int(min(b, c)))) / 2 ** int(b + c))


def all_errors_count(targets, first, second):
    """Counts the errors of each, with the pictures that both got wrong."""
    b, c = int(np.sum(second != targets)), int(np.sum(first != targets))
    return min(1.0, 2 * sum(math.comb(b + c, k) for k in range(min(b, c) + 1)) / 2 ** (b + c))


def beyond_certainty(targets, first, second):
    """Lets an even split have a probability above 1."""
    b, c = np.sum((first == targets) & (second != targets)), np.sum((first != targets) & (second == targets))
    return 2 * sum(math.comb(int(b + c), k) for k in range(int(min(b, c)) + 1)) / 2 ** int(b + c)


# %% tags=["check", "paired_test"]
def check_paired_test(paired_test):
    """Against all sequences of tosses, written out one by one."""
    draw = np.random.default_rng(2)
    for b, c, others in ((0, 0, 3), (1, 0, 0), (9, 1, 5), (2, 2, 4), (3, 4, 20), (0, 6, 1), (7, 3, 0), (5, 5, 2)):
        targets = draw.integers(0, 10, b + c + others)
        wrong = (targets + draw.integers(1, 10, len(targets))) % 10
        first, second = targets.copy(), targets.copy()
        second[:b], first[b : b + c] = wrong[:b], wrong[b : b + c]
        first[b + c :: 2] = second[b + c :: 2] = wrong[b + c :: 2]  # both wrong, in the same way
        heads = np.array([bin(tosses).count("1") for tosses in range(2 ** (b + c))])
        expected = np.mean(np.abs(2 * heads - (b + c)) >= abs(b - c))
        order = draw.permutation(len(targets))
        got = paired_test(targets[order], first[order], second[order])
        assert abs(got - expected) < 1e-9, (
            f"{b} pictures right by the first alone, {c} by the second alone, {others} by both or neither: the probability is "
            f"{expected:.6f} by writing out all tosses, and paired_test gave {got:.6f}."
        )


# %% [markdown]
# ## What PyTorch does differently
#
# The names are the same as far as `torch` goes: `nn.Conv2d`, `DataLoader`, `CrossEntropyLoss`, `lr_scheduler`. The data sets
# are those of the package torchvision, and PyTorch has no `Trainer`: one writes the loop, or takes a further library
# (Lightning, Accelerate). Its `nn.Linear` and `nn.Conv2d` start with the same factor $\tfrac16$, for historical reasons;
# torchvision's deep networks draw He's weights instead. Of equal values in a pooling window both libraries choose the first.
#
# ## Sources
#
# - LeCun, Bottou, Bengio & Haffner 1998, "Gradient-Based Learning Applied to Document Recognition": the data, and the
#   network that read cheques.
# - He, Zhang, Ren & Sun 2015, "Delving Deep into Rectifiers", section 2.2: the variance, forward and backward.
# - McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages"; Dietterich
#   1998, "Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms": which tests to trust.
# - Simonyan, Vedaldi & Zisserman 2013, "Deep Inside Convolutional Networks", section 3: the gradient with respect to the
#   picture.
#
# Four layers forgive a careless start; with a hundred everything that here was a factor becomes a power, and that is the
# next chapter.
