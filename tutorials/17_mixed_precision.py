# %% [markdown]
# # 17. Mixed precision
#
# **The question.** A processor for graphics multiplies matrices of 16-bit numbers about sixteen times as fast as matrices
# of 32-bit numbers (its matrix units take nothing else), and a 16-bit number is half as long to fetch. So let us train in
# 16 bits: change one word, `float16`. The loss goes down for a while, and then nothing moves any more. No error, no NaN;
# the gradients look reasonable. Where did the learning go?
#
# Chapter 16 kept attention's numbers on the chip, because bytes are what costs. Here we make the bytes themselves fewer,
# and this chapter is about what the missing ones were good for.

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.data import Digits
from minidl.tutor import choose

minidl.manual_seed(0)


# %% [markdown]
# ## What a floating-point number is
#
# A sign, an exponent $e$ and a fraction of $m$ bits:
#
# $$x = \pm\, 1.f_1 f_2 \dots f_m \cdot 2^{e}.$$
#
# Between $2^e$ and $2^{e+1}$ there are $2^m$ numbers at equal distances, $2^{e-m}$; in the next such stretch there are as
# many, twice as far apart. So the *relative* distance is about the same everywhere, and rounding to the nearest errs by
# a factor of at most
#
# $$\mathrm{fl}(x) = x\,(1 + \delta), \qquad |\delta| \le u = 2^{-(m+1)}.$$
#
# Below the least exponent the leading 1 goes, and distances stay what they are: *subnormal* numbers, down to a last one, and
# then 0.
#
# | | bits of exponent | $m$ | $u$ | largest | least normal | least of all |
# |---|---|---|---|---|---|---|
# | float32 | 8 | 23 | $6.0\cdot10^{-8}$ | $3.4\cdot10^{38}$ | $1.2\cdot10^{-38}$ | $1.4\cdot10^{-45}$ |
# | float16 | 5 | 10 | $4.9\cdot10^{-4}$ | 65,504 | $6.1\cdot10^{-5}$ | $6.0\cdot10^{-8}$ |
# | bfloat16 | 8 | 7 | $3.9\cdot10^{-3}$ | $3.4\cdot10^{38}$ | $1.2\cdot10^{-38}$ | $9.2\cdot10^{-41}$ |
#
# The two short ones spend their 16 bits differently. float16 has three decimal digits in a narrow window; bfloat16 is a
# float32 with the last 16 bits cut off: the whole range, and hardly more than two digits.
#
# There are only 65,536 float16 numbers. We can look at all of them.

# %%
every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
finite = np.unique(every[np.isfinite(every)].astype(np.float64))
positive = finite[finite > 0]
gap = np.diff(positive)
print(f"{len(finite)} different values; largest {positive[-1]:,.0f}, least {positive[0]:.3g}")
print("the neighbours of 1:", 1 - gap[positive[:-1] < 1][-1], 1 + gap[positive[:-1] == 1][0])
print("the neighbour of 2048 above is", 2048 + gap[positive[:-1] == 2048][0])
assert positive[-1] == 65504
assert positive[0] == 2.0**-24

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.loglog(positive[:-1], gap / positive[:-1], lw=1)
ax.axhline(2.0**-11, color="0.7", lw=1)
ax.axvline(2.0**-14, color="0.7", lw=1)
ax.set(xlabel="x", ylabel="distance to the next / x", title="float16: how coarse it is, and where")

# %% [markdown]
# *Saw teeth of equal height, and a slope.* Right of the vertical line, at $2^{-14}$, the relative distance stays between
# $2^{-11}$ and $2^{-10}$ however large the number is. Left of it precision fades, until at $6\cdot10^{-8}$ a number is as
# far from the next as from 0. To the right the picture ends: 65,504, then infinity.
#
# ## Three ways to lose
#
# **Swamping.** Add a small number to a large one, $a + b$ with $|b| < u\,|a|$: the sum lies nearer to $a$ than to any other
# number, and is rounded to $a$. Whatever $b$ was, it is gone. In float16 that happens when $b$ is 2,000 times smaller.
#
# Where do we add small numbers to large ones? In every step of an optimiser: $w \leftarrow w - \eta\,\bar{w}$. An update is
# lost altogether if
#
# $$|\eta\,\bar{w}| < 2^{-12}\,|w|$$
#
# (half of the distance to the next number, at worst). For $\eta = 10^{-3}$ and a weight of 0.1 the gradient must exceed 0.02
# to have any effect. And in every long sum: a row of a matrix product adds thousands of products into one number.
#
# **Underflow.** A number below $3\cdot10^{-8}$ becomes 0. Gradients are small: the loss is a mean over everything that was
# predicted, so each prediction's gradient has a factor $1/(N T)$ or $1/(N H W)$ in it, before anything has happened.
#
# **Overflow.** $e^{12}$ does not fit, nor does the square of 300. A softmax over scores, a variance, a norm are sums of such.
#
# First a sum. **Predict**: we add 1 ten thousand times, in float16. What is the result?

# %%
total, history = np.float16(0), []
for _ in range(10_000):
    total = np.float16(total + np.float16(1))
    history.append(float(total))
print("ten thousand ones make", total)
assert total == 2048

# %% [markdown]
# It stops at 2048, where the next number is 2050 and 2049 is rounded back (a tie, and ties go to the even fraction). Every
# one after it is swamped. Nothing overflowed and nothing was inaccurate about any single step: each result is the nearest
# number that there is.
#
# A matrix product that kept its sums in float16 would do that to every row of length 10,000. Matrix units therefore
# multiply 16-bit numbers and **add in float32**: the product of two numbers with 11 significant bits has 22, so it is exact in
# float32, and only the sum is rounded, with $u = 6\cdot10^{-8}$. Let us compare errors of an inner product as it grows.

# %%
draw = np.random.default_rng(0)
lengths = [2**k for k in range(4, 13)]
errors = {"sum in float16": [], "sum in float32, inputs in float16": []}
for n in lengths:
    a, b = (draw.random((50, n)).astype(np.float16) for _ in range(2))
    exact = (a.astype(np.float64) * b).sum(1)
    short, long = np.zeros(50, np.float16), np.zeros(50, np.float32)
    for i in range(n):
        short = (short + a[:, i] * b[:, i]).astype(np.float16)
        long += a[:, i].astype(np.float32) * b[:, i]
    for name, got in zip(errors, (short, long)):
        errors[name].append(np.abs(got - exact).mean() / exact.mean())

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
for name, values in errors.items():
    ax.loglog(lengths, values, "o-", label=name)
ax.set(xlabel="terms", ylabel="relative error")
ax.legend()
assert errors["sum in float16"][-1] > 1000 * errors["sum in float32, inputs in float16"][-1]

# %% [markdown]
# *The inputs are the same; what differs is where the sum is kept.* The upper line climbs with the number of terms, as the
# sum outgrows what is added to it. The lower one stays four to five digits below. So the speed of 16 bits is to be had in
# products at the price of rounding the *inputs*, once.
#
# ## Updates that change nothing
#
# Swamping again, this time of weights. Here are the digits and a small network, trained for 200 steps in float32. From
# there we go on for 300 steps, twice: in float32, and with weights, activations, gradients and updates in float16. We
# count how many of the updates that are not zero change the weight that they are added to.
#
# **Predict** from $|\eta\,\bar{w}| < 2^{-12}\,|w|$: weights are around 0.1, gradients around 0.01. At which learning rate
# do most updates vanish?

# %% tags=["setup"]
digits = Digits(train=True)
pixels, classes = digits.data.float().flatten(1) / 255, digits.targets


def network():
    """64 pixels, 32 hidden values, 10 scores; the same weights each time."""
    minidl.manual_seed(1)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def batches(steps, seed=0):
    """32 digits at a time, drawn with a seed of their own: each way of training sees the same."""
    draw = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = minidl.tensor(draw.integers(0, len(classes), 32))
        yield pixels[chosen], classes[chosen]


# %%
start = network()
optimizer = optim.SGD(start.parameters(), lr=0.1)
for x, y in batches(200):
    optimizer.zero_grad()
    F.cross_entropy(start(x), y).backward()
    optimizer.step()
with minidl.no_grad():
    began = F.cross_entropy(start(pixels), classes).item()


def go_on(dtype, lr):
    """300 more steps in a type: how far the loss of all digits falls, and the share of updates that changed a weight."""
    model, changed, meant = network(), 0, 0
    model.load_state_dict(start.state_dict())
    model.to(dtype)
    for x, y in batches(300, seed=1):
        model.zero_grad()
        F.cross_entropy(model(x.to(dtype)), y).backward()
        with minidl.no_grad():
            for p in model.parameters():
                before = p.clone()
                p -= lr * p.grad
                changed += (p != before).sum().item()
                meant += (p.grad != 0).sum().item()
    with minidl.no_grad():
        return began - F.cross_entropy(model.float()(pixels), classes).item(), changed / meant


progress = {}
print("lr        float32: loss falls by, updates felt    float16")
for lr in (1e-1, 1e-2, 1e-3, 3e-4):
    progress[lr] = full, short = go_on(minidl.float32, lr), go_on(minidl.float16, lr)
    print(f"{lr:<8.4g}  {full[0]:18.4f} {full[1]:14.1%} {short[0]:16.4f} {short[1]:8.1%}")
assert progress[1e-1][1][0] > 0.9 * progress[1e-1][0][0], "large steps were expected to survive"
assert progress[3e-4][1][0] < 0.5 * progress[3e-4][0][0], "small ones were expected to be swamped"

# %% [markdown]
# With large steps, float16 is as good as float32 although one update in ten is lost. As the learning rate falls, the
# network stops: not because the gradient is gone, but because the weight is too coarse to take it. That is the worst
# moment for it to happen, since every schedule *ends* with small steps. And it is half of the answer to the question we
# began with.
#
# The remedy: keep the weights in float32, a **master copy**. Updates are added there, and what the forward pass uses is
# rounded from it anew in each step. It costs memory (for the weights, which in training are a small part of it), and no
# time to speak of.
#
# ## Gradients, and the window
#
# Now underflow. We take every gradient that flows backward in the network, the inner ones too, and ask where float16
# would have them.

# %%
model, kept = network(), []
model.load_state_dict(start.state_dict())
for layer in model:
    layer.register_full_backward_hook(lambda module, into, out: kept.extend(g for g in out if g is not None))
F.cross_entropy(model(pixels), classes).backward()
inner = np.abs(np.concatenate([g.numpy().ravel() for g in kept]))
inner = inner[inner > 0]
weights = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])


def lost(values, scale=1.0):
    """The share of values that float16 takes for zero."""
    return (np.float16(values * np.float32(scale)) == 0).mean()


print(
    f"inner gradients: {lost(inner):.1%} are zero in float16, {(inner < 2.0**-14).mean():.1%} below its normal numbers"
)

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.hist(np.log2(inner), 80, color="tab:blue")
ax.axvspan(-14, 16, color="tab:green", alpha=0.15)
ax.axvspan(-24, -14, color="tab:orange", alpha=0.15)
ax.set(xlabel="log2 of a gradient's size", yticks=[], xlim=(-40, 17), title="where gradients lie, and float16's window")

# %% [markdown]
# *Most of the window is empty.* Green is where float16 has all its digits, orange where it loses them one by one, white
# where it has nothing. The gradients sit at the lower end, and above them are some twenty powers of two that nobody uses.
#
# The remedy costs one multiplication. Backward is **linear** in what comes in: every rule is
# $\bar{\mathbf{x}} = J^\top \bar{\mathbf{y}}$, and $J^\top (S\bar{\mathbf{y}}) = S\,J^\top\bar{\mathbf{y}}$. Multiply the
# *loss* by $S$, and every gradient in the network is multiplied by $S$, without a line changed in any rule. If $S$ is a
# power of two, not one digit changes either, as multiplying by it touches exponents alone. Divide by $S$ at the end, in
# float32.

# %%
scale = 2.0**14
model.zero_grad()
(F.cross_entropy(model(pixels), classes) * scale).backward()
scaled = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
assert (scaled / np.float32(scale) == weights).all(), "a power of two should not change a digit in float32"
print(f"inner gradients that are zero: {lost(inner):.2%} without scaling, {lost(inner, scale):.4%} with")
print(f"the largest of them becomes {inner.max() * scale:.3g}, and 65,504 is allowed")
assert lost(inner) > 10 * lost(inner, scale)
assert inner.max() * scale < 65504

# %% [markdown]
# How large should $S$ be? As large as nothing overflows, which nobody knows beforehand and which changes as training goes
# on. So it is found by trying. If any gradient is infinite or NaN, **leave out the step** and halve $S$; after some
# number of steps without accident, double it. An overflow costs one step; that is cheap, and nothing has been damaged,
# because the weights have not been touched. This is `minidl.amp.GradScaler`, and an exercise below.
#
# ## An experiment that can fail: four ways to train
#
# 1. float32 everywhere.
# 2. float16 everywhere: weights, activations, gradients, updates.
# 3. float16 with a float32 master copy of the weights. No scaling.
# 4. As 3, with a scaled loss: mixed precision as it is done. In minidl: `autocast`, which runs matrix products in 16 bits
#    and keeps what would suffer (the loss, softmax, norms) in 32, and `GradScaler`.
#
# The optimiser is plain SGD, which takes gradients as they are. (Adam divides by their size and so undoes a common
# factor, but what has become 0 stays 0.) A small network on small batches does not have small gradients. One that
# predicts a picture of $256 \times 256$ has: its loss is a mean over 65,536 predictions. We put that factor in by hand,
# `share`, and multiply the learning rate by its inverse, so that in exact arithmetic nothing changes at all.
#
# **Prediction.** 2 and 3 learn at first, while the network is wrong and gradients are large; as it gets better, its
# gradients sink below the window and learning ends, at about the same place for both, since a master copy cannot keep
# what never arrives. 4 cannot be told from 1.

# %%
share, lr, steps = 2.0**-16, 0.1 * 2.0**16, choose(500, 5000)


def in_float16(master):
    """All in float16; with ``master``, updates are added to float32 weights."""
    model, losses = network().half(), []
    masters = [p.detach().float() for p in network().parameters()]
    for x, y in batches(steps):
        model.zero_grad()
        loss = F.cross_entropy(model(x.half()), y)
        (loss * share).backward()
        with minidl.no_grad():
            for p, w in zip(model.parameters(), masters):
                if master:
                    w -= lr * p.grad.float()
                    p.copy_(w)
                else:
                    p -= lr * p.grad
        losses.append(loss.item())
    return losses


def with_scaler(enabled):
    """Mixed precision; with ``enabled=False`` the same loop is float32 throughout."""
    model, losses, scales = network(), [], []
    optimizer = optim.SGD(model.parameters(), lr=lr)
    scaler = minidl.amp.GradScaler("cpu", growth_interval=15, enabled=enabled)
    for x, y in batches(steps):
        optimizer.zero_grad()
        with minidl.autocast("cpu", minidl.float16, enabled=enabled):
            loss = F.cross_entropy(model(x).float(), y)
        scaler.scale(loss * share).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
        scales.append(scaler.get_scale())
    return losses, scales


runs = {"float32": with_scaler(False)[0], "float16": in_float16(False), "float16, master copy": in_float16(True)}
runs["mixed"], scales = with_scaler(True)
final = {name: np.mean(losses[-50:]) for name, losses in runs.items()}
for name, value in final.items():
    print(f"{name:22} {value:.4f}")
assert final["float16"] > 1.2 * final["float32"], "float16 was expected to stop early"
assert final["float16, master copy"] > 1.2 * final["float32"], "a master copy alone was not expected to help"
assert abs(final["mixed"] / final["float32"] - 1) < 0.05, "mixed precision was expected to be float32's equal"

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for name, losses in runs.items():
    left.semilogy(np.convolve(losses, np.ones(25) / 25, "valid"), label=name, ls="--" if name == "mixed" else "-")
left.set(xlabel="step", ylabel="loss")
left.legend(fontsize=8)
right.semilogy(scales, base=2)
right.set(xlabel="step", title="the scaler's S")

# %% [markdown]
# *Left: float32 and mixed precision lie on each other, the other two end above. Right: the scale finds its own height*,
# climbing until a gradient overflows, then a step back, and up again. Note what did *not* happen in 2 and 3: no NaN, no
# warning, gradients that look reasonable where they are not zero. That is the other half of the answer.
#
# ## bfloat16, the other bargain
#
# bfloat16 has float32's exponents, so nothing underflows and nothing overflows: no scaler, one thing less that can go
# wrong. It pays with precision, $u = 2^{-8}$: an update is lost if it is 500 times smaller than its weight, so the master
# copy is needed even more. What survives of a gradient in each? We count, and measure the error of what is left.


# %%
def as_bfloat16(values):
    """float32 values with the fraction cut to 7 bits, towards zero."""
    return (np.asarray(values, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


tiny, up = inner.astype(np.float32) * np.float32(share), np.float32(2**26)
rows = {
    "float16": np.float16(tiny).astype(np.float32),
    "float16, scaled": np.float16(tiny * up).astype(np.float32) / up,
    "bfloat16": as_bfloat16(tiny),
}
for name, got in rows.items():
    alive = got != 0
    error = (
        f"mean error of the others {np.abs(got[alive] / tiny[alive] - 1).mean():.1e}" if alive.any() else "none is left"
    )
    print(f"{name:16} {1 - alive.mean():6.1%} lost, {error}")
assert (rows["bfloat16"] != 0).all()
assert (rows["float16"] == 0).mean() > 0.5

# %% [markdown]
# ## What stays in 32 bits, and why
#
# | | why |
# |---|---|
# | weights, and the optimiser's averages | swamping: small updates must be felt |
# | sums inside matrix products | swamping; the hardware does it |
# | exponentials, softmax, cross-entropy | overflow: $e^{12}$ is too much; and probabilities near 0 matter |
# | variances and norms | squares overflow, and their difference loses digits |
# | everything else | 16 bits: it is most of the time, and most of the bytes |
#
# `autocast` is this table as code. Which function is of which kind stands at its definition in minidl: `@in_half` on
# `linear`, `matmul` and the convolutions, `@in_float32` on those that suffer (as in PyTorch, more of them on a GPU than on
# the CPU), and nothing on the rest, which computes in what it is given.

# %%
layer, x = nn.Linear(64, 10), pixels[:8]
with minidl.autocast("cpu", minidl.float16):
    scores = layer(x)
    positive, chances = scores.relu(), F.softmax(scores.float(), 1)
print("linear gives", scores.dtype, "; relu gives", positive.dtype, "; softmax, asked in float32, gives", chances.dtype)
scores.float().sum().backward()
print("the weight's gradient is", layer.weight.grad.dtype)
assert scores.dtype == positive.dtype == minidl.float16
assert layer.weight.grad.dtype == minidl.float32

# %% [markdown]
# A word on speed. On this processor float16 is *slower*: NumPy has no 16-bit arithmetic, converts each value, and has no
# fast matrix product for it. What this chapter showed is what the numbers do, and that is the same on a GPU; the gain is
# there, where matrix units exist. `minidl bench matmul` measures it wherever you are.
#
# ## Exercises

# %% [markdown] tags=["exercise", "round_to_bfloat16"]
# ### Exercise 1: rounding to bfloat16
# `as_bfloat16` above cuts bits off, which is rounding towards zero and twice as bad as need be. Write
# `round_to_bfloat16(x)` for a NumPy array of float32: the nearest bfloat16 of each value, as float32; in a tie, the one
# whose last bit is 0. Infinities stay, and NaN stays NaN. Example: 1.01171875 lies half-way between 1.0078125 and
# 1.015625, and becomes 1.015625, whose fraction is even.


# %% tags=["exercise", "round_to_bfloat16"]
def round_to_bfloat16(x):
    """The nearest bfloat16 values, as a float32 array of the same shape."""
    # --- solution
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32).astype(np.uint64)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    rounded = (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.isfinite(x), rounded, x)
    # --- end


# %% [markdown] tags=["hint", "round_to_bfloat16"]
# The bits of a positive float, read as an integer, are in the order of the floats: adding to the integer moves to larger
# numbers, and carries go into the exponent as they should.
# %% [markdown] tags=["hint", "round_to_bfloat16"]
# To round an integer to a multiple of 65,536, add half of it, 32,768, and cut. That rounds ties up; adding one less
# rounds them down. Which of the two is wanted depends on the bit that becomes the last one.
# %% [markdown] tags=["hint", "round_to_bfloat16"]
# Add `0x7FFF + ((bits >> 16) & 1)`. NaN needs care: the addition may turn it into something else.


# %% tags=["wrong", "round_to_bfloat16"]
def cut_off(x):
    """Rounds towards zero."""
    return (np.asarray(x, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def ties_up(x):
    """Rounds ties away from zero: a long sum of such results drifts."""
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32).astype(np.uint64) + 0x8000
    return np.where(np.isfinite(x), (bits & 0xFFFF0000).astype(np.uint32).view(np.float32), x)


def by_way_of_float16(x):
    """Takes any 16 bits for the same: float16 has another range."""
    with np.errstate(over="ignore"):
        return np.asarray(x, np.float32).astype(np.float16).astype(np.float32)


def nan_forgotten(x):
    """Lets the addition run over NaN's bits, which can make it a number."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)


# %% tags=["check", "round_to_bfloat16"]
def check_round_to_bfloat16(round_to_bfloat16):
    """Against both neighbours, found by cutting bits off and adding one unit in the last place."""
    draw = np.random.default_rng(0)
    x = np.concatenate([draw.normal(size=500), 10.0 ** draw.uniform(-37, 37, 500) * draw.choice([-1, 1], 500)])
    ties = ((draw.integers(0x0080, 0x7F7F, 200).astype(np.uint32) << 16) | 0x8000).view(np.float32)
    for values in (x.astype(np.float32), ties, -ties, np.zeros((0, 3), np.float32), np.ones((1, 1), np.float32)):
        got = np.asarray(round_to_bfloat16(values.copy()))
        assert got.shape == values.shape, f"the shape {values.shape} became {got.shape}"
        assert got.dtype == np.float32, f"the result should be float32, not {got.dtype}"
        low_bits = values.view(np.uint32) & np.uint32(0xFFFF0000)
        low, high = low_bits.view(np.float32), (low_bits + np.uint32(0x10000)).view(np.float32)
        wide = values.astype(np.float64)
        below, above = np.abs(wide - low), np.abs(high - wide)
        even = (low_bits >> 16) % 2 == 0
        expected = np.where((below < above) | ((below == above) & even), low, high)
        if (wrong := np.flatnonzero(got != expected)).size:
            value, a, b, right, given = (v.ravel()[wrong[0]] for v in (values, low, high, expected, got))
            raise AssertionError(
                f"{value!r} lies between {a!r} and {b!r}. The nearest, or of two at the same distance the one with an even "
                f"fraction, is {right!r}, and you gave {given!r}."
            )
    special = np.array([np.inf, -np.inf, np.nan, -np.nan, 0.0], np.float32)
    special = np.append(special, np.array([0x7FFFFFFF, 0x7F800001], np.uint32).view(np.float32))
    got = np.asarray(round_to_bfloat16(special.copy()))
    assert np.array_equal(got, special, equal_nan=True), f"{special} should stay what they are, but became {got}"


# %% [markdown] tags=["exercise", "compensated"]
# ### Exercise 2: a sum that remembers what it lost
# Kahan's trick: beside the sum, keep what the last addition lost, and add it to the next term. Write
# `compensated(total, lost, x)`, one step of it in float16: all three are `np.float16`, and so are both results, the new
# total and the new `lost`. Whoever has both knows the sum better than any one float16 can say it: the sum so far is about
# `total + lost`. Adding 1 ten thousand times must give 10,000.


# %% tags=["exercise", "compensated"]
def compensated(total, lost, x):
    """(total, lost) after adding x; float16 throughout."""
    # --- solution
    x = np.float16(x + lost)
    after = np.float16(total + x)
    felt = np.float16(after - total)
    return after, np.float16(x - felt)
    # --- end


# %% [markdown] tags=["hint", "compensated"]
# First put right what was lost before: the term to add is x + lost. Then add it to the total. How much of it has the
# total really felt?
# %% [markdown] tags=["hint", "compensated"]
# The total has felt `after - total`, which is exact in float16, as the two are near each other. The rest of the term is
# lost.


# %% tags=["wrong", "compensated"]
def forgets(total, lost, x):
    """Never fills ``lost``: the plain sum."""
    return np.float16(total + x), np.float16(0)


def wrong_sign(total, lost, x):
    """Keeps what was felt too little as if it had been too much."""
    x = np.float16(x + lost)
    after = np.float16(total + x)
    return after, np.float16(np.float16(after - total) - x)


def not_added_again(total, lost, x):
    """Computes what is lost and does not add it to the next term."""
    after = np.float16(total + x)
    return after, np.float16(x - np.float16(after - total))


def in_float32_inside(total, lost, x):
    """Keeps the sum in float32, which is what we wanted to do without."""
    return np.float32(total) + np.float32(x), np.float16(0)


# %% tags=["check", "compensated"]
def check_compensated(compensated):
    """Sums of ones and of random terms, against float64."""
    draw = np.random.default_rng(0)
    cases = {
        "10,000 ones": np.ones(10_000, np.float16),
        "3,000 random numbers": draw.random(3_000).astype(np.float16),
        "random numbers of both signs": draw.normal(size=3_000).astype(np.float16),
        "a single number": np.float16([0.1]),
    }
    for name, terms in cases.items():
        total, lost = np.float16(0), np.float16(0)
        for x in terms:
            total, lost = compensated(total, lost, x)
            kinds = getattr(total, "dtype", type(total)), getattr(lost, "dtype", type(lost))
            assert kinds == (np.float16, np.float16), f"both results should be float16, not {kinds}"
        exact = terms.astype(np.float64).sum()
        error, allowed = abs(float(total) - exact), 2.0**-10 * max(abs(exact), 1.0)
        assert error <= allowed, (
            f"the sum of {name} is {exact:.6g}, and you come to {float(total):.6g} (lost: {float(lost):.3g}). Follow a step "
            "at 2048 + 1 by hand: the total does not move, so all of the 1 must be in lost, and the next term is then 2."
        )


# %% [markdown] tags=["exercise", "Scaler"]
# ### Exercise 3: a scale that finds itself
# Write a class `Scaler(scale, interval)` with the attribute `scale` and one method, `unscale(gradients)`: it takes a list
# of float32 NumPy arrays, gradients of the loss times `scale`, and returns the list of true gradients, or None if any
# number in any of them is infinite or NaN (the step is to be left out then). Then it adjusts: after such an accident the
# scale is halved; after `interval` steps *in a row* without one it is doubled, and counting begins anew.


# %% tags=["exercise", "Scaler"]
class Scaler:
    """Loss scaling by trial."""

    def __init__(self, scale, interval):
        self.scale = scale
        # --- solution
        self.interval, self.good = interval, 0
        # --- end

    def unscale(self, gradients):
        # --- solution
        if not all(np.isfinite(g).all() for g in gradients):
            self.scale, self.good = self.scale / 2, 0
            return None
        found = [g / np.float32(self.scale) for g in gradients]
        self.good += 1
        if self.good == self.interval:
            self.scale, self.good = self.scale * 2, 0
        return found
        # --- end


# %% [markdown] tags=["hint", "Scaler"]
# The gradients belong to the scale that the loss was multiplied by. When, in your method, does the scale change?
# %% [markdown] tags=["hint", "Scaler"]
# Count good steps. Two things set the counter back to 0: an accident, and a doubling.


# %% tags=["wrong", "Scaler"]
class AdjustsFirst:
    """Divides by the scale of the next step."""

    def __init__(self, scale, interval):
        self.scale, self.interval, self.good = scale, interval, 0

    def unscale(self, gradients):
        if not all(np.isfinite(g).all() for g in gradients):
            self.scale, self.good = self.scale / 2, 0
            return None
        self.good += 1
        if self.good == self.interval:
            self.scale, self.good = self.scale * 2, 0
        return [g / np.float32(self.scale) for g in gradients]


class CountsAllGoodSteps:
    """Does not begin to count anew after an accident."""

    def __init__(self, scale, interval):
        self.scale, self.interval, self.good = scale, interval, 0

    def unscale(self, gradients):
        if not all(np.isfinite(g).all() for g in gradients):
            self.scale /= 2
            return None
        found = [g / np.float32(self.scale) for g in gradients]
        self.good += 1
        if self.good % self.interval == 0:
            self.scale *= 2
        return found


class LooksForNaNAlone:
    """Lets infinities through, into the weights."""

    def __init__(self, scale, interval):
        self.scale, self.interval, self.good = scale, interval, 0

    def unscale(self, gradients):
        if any(np.isnan(g).any() for g in gradients):
            self.scale, self.good = self.scale / 2, 0
            return None
        found = [g / np.float32(self.scale) for g in gradients]
        self.good += 1
        if self.good == self.interval:
            self.scale, self.good = self.scale * 2, 0
        return found


class LooksAtTheFirst:
    """Looks for an accident in the first array alone."""

    def __init__(self, scale, interval):
        self.scale, self.interval, self.good = scale, interval, 0

    def unscale(self, gradients):
        if gradients and not np.isfinite(gradients[0]).all():
            self.scale, self.good = self.scale / 2, 0
            return None
        found = [g / np.float32(self.scale) for g in gradients]
        self.good += 1
        if self.good == self.interval:
            self.scale, self.good = self.scale * 2, 0
        return found


# %% tags=["check", "Scaler"]
def check_Scaler(Scaler):  # noqa: N802
    """Beside minidl's own, step by step, with accidents; arrays of several shapes, an empty one among them."""
    draw = np.random.default_rng(0)
    for interval in (1, 2, 5):
        weight = minidl.zeros(1, requires_grad=True)
        optimizer = optim.SGD([weight], lr=0.0)
        theirs = minidl.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=interval)
        ours = Scaler(1024.0, interval)
        for step in range(60):
            true = [draw.normal(size=shape).astype(np.float32) for shape in ((3,), (2, 1), (0,), ())]
            gradients = [np.asarray(g * np.float32(ours.scale), np.float32) for g in true]
            accident = bool(draw.random() < 0.25)
            if accident:
                bad = gradients[int(draw.integers(0, 2))]
                bad[(0,) * bad.ndim] = draw.choice([np.inf, -np.inf, np.nan])
            got = ours.unscale([g.copy() for g in gradients])
            where = f"interval {interval}, step {step}"
            said = "an infinity or NaN was among the gradients" if accident else "all gradients were finite"
            assert (got is None) == accident, (
                f"{where}: {said}, and unscale gave {'None' if got is None else 'gradients'}"
            )
            for g, t in zip(got or (), true):
                assert np.allclose(g, t, rtol=1e-5), (
                    f"{where}: a gradient begins with {np.ravel(g)[:1]} and should with {np.ravel(t)[:1]}. By which scale was "
                    "the loss multiplied?"
                )
            weight.grad = minidl.tensor([np.inf if accident else 1.0])
            theirs.step(optimizer)
            theirs.update()
            assert ours.scale == theirs.get_scale(), (
                f"{where}: the scale is {ours.scale} and should be {theirs.get_scale()}. Only good steps in a row count."
            )


# %% [markdown]
# ## What PyTorch does differently
#
# `torch.autocast` and `torch.amp.GradScaler` have the same names, arguments and defaults (a scale of 65,536 at first,
# doubled after 2,000 good steps), and the lists of functions from which minidl's were made. PyTorch's checks for
# infinities run on the GPU and the scale stays there, so that the processor need not wait to know it. On the CPU both
# take bfloat16 by default. PyTorch has fast 16-bit products there where the processor has them; NumPy has none.
#
# ## Sources
#
# - Micikevicius, Narang, Alben et al. 2018, "Mixed Precision Training": the master copy, loss scaling, sums in float32.
# - Kalamkar, Mudigere, Mellempudi et al. 2019, "A Study of BFLOAT16 for Deep Learning Training".
# - Goldberg 1991, "What Every Computer Scientist Should Know About Floating-Point Arithmetic"; Higham 2002, *Accuracy and
#   Stability of Numerical Algorithms*, chapters 2 to 4.
# - Kahan 1965, "Further Remarks on Reducing Truncation Errors".
#
# We know now what a byte costs and how many of them a number needs. The last chapter goes back to the network that
# chapter 12 built, and asks what became of it since: some of the changes are about nothing but bytes.
