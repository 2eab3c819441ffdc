# %% [markdown]
# # 2. Stepping through backward
#
# **The question.** A wrong forward pass shows: the numbers look odd, the shapes clash, the picture is upside down. A
# wrong *gradient* shows nothing. Below, a network is trained to read digits although the rule of its last layer was
# replaced by multiplication with random numbers, and it reads more than nine of ten. If training that goes well is no
# evidence for a gradient, what is?
#
# [Chapter 1](01_autograd.py) built an engine and compared it with minidl's; two engines by one hand may share a
# mistake. We now do two things: look at every operator's turn in a backward pass, with the real arrays, and put
# gradients to a test that knows nothing of rules.

# %% tags=["setup"]
import math

import numpy as np

import minidl

# %%
import matplotlib.pyplot as plt

from minidl.data import Digits
from minidl.nn import functional as F
from minidl.tutor import choose

minidl.manual_seed(0)

# %% [markdown]
# ## The code first: one operator at a time
#
# Here is a network of two layers, small enough to print: three samples of two numbers, four hidden units, one output.
# Inside `inspect.trace()` minidl notes what the forward pass saw; `inspect.backward` then runs the real backward pass
# once and keeps every step.

# %%
x = minidl.tensor([[1.0, -1.0], [0.5, 2.0], [-1.5, 0.5]])
y = minidl.tensor([[1.0], [-1.0], [0.5]])
w1, b1 = minidl.randn(4, 2, requires_grad=True), minidl.zeros(4, requires_grad=True)
w2 = minidl.randn(1, 4, requires_grad=True)

with minidl.inspect.trace():
    h = minidl.relu(x @ w1.t() + b1)
    e = h @ w2.t() - y
    loss = (e**2).mean()
recording = minidl.inspect.backward(loss)
for step in recording:
    print(f"{step.index + 1}. {step.op.label:8} adds to", ", ".join(f"{added.value.name:9}" for added in step.added))

# %% [markdown]
# Nine steps, from the mean back to the weights: the forward program read from its end. Before you look at the next
# cell, **predict**: what shape has the gradient that the rule of the addition $XW_1^\top + \mathbf{b}_1$ gives for
# $\mathbf{b}_1$, and what must happen to it before it is added to `b1.grad`?

# %%
step = recording.to("b1")  # the step that completes the gradient of b1
print(step.explain())

# %% [markdown]
# The rule itself returned a matrix, $\bar{Y}$ unchanged, and the engine summed it over the samples: chapter 0's
# gradient of stretching, at work. `recording.next()` and `.back()` go through the rest, `.first(norm_above=1)` stops
# at a condition, and in a terminal `minidl step script.py` does it with keys, while
# `inspect.export(loss, "trace.html")` writes a page that plays it in a browser. `inspect.quiz` asks before it shows,
# which is the quickest way to find out what one has not understood:

# %%
quiz = minidl.inspect.quiz(recording)
for guess in ("1", "positive"):
    print("asked:   ", quiz.question.prompt)
    print("answered:", guess, "-", quiz.answer(guess))
print(quiz.score)

# %% [markdown]
# The same recording drawn: in each box values on the left and gradients on the right, shapes on the edges. See that
# wherever the ReLU gave 0, the gradient of what it was given is empty too: those units learn nothing from these
# samples.

# %%
minidl.inspect.graph(recording)

# %% [markdown]
# ### Where a number comes from
#
# Backward adds up what arrives, so a finished gradient has forgotten its parts. `inspect.provenance` takes one number
# apart again, into the paths that lead from it to the loss, each with the product of its local derivatives, and puts
# the difference quotient beside their sum. These are the two red arrows of chapter 1:

# %%
x = minidl.tensor(1.5, dtype=minidl.float64, requires_grad=True)
y = minidl.tensor(-0.5, dtype=minidl.float64, requires_grad=True)
with minidl.inspect.trace():
    loss = (x * y + minidl.sin(x)) ** 2
parts = minidl.inspect.provenance(loss, x)
print(parts)
assert parts.count == 2
assert math.isclose(sum(path.contribution for path in parts.paths), -0.212481, rel_tol=1e-5)

# %% [markdown]
# ### A NaN that was not there
#
# Take the square root where $x$ is positive, and 0 elsewhere. The forward pass is spotless, and one gradient is not a
# number:

# %%
x = minidl.tensor([4.0, 0.0, -1.0], requires_grad=True)
with minidl.inspect.trace():
    root = minidl.sqrt(x)
    loss = minidl.where(x > 0, root, minidl.zeros(3)).sum()
print("loss", loss.item())
recording = minidl.inspect.backward(loss)
print("gradient", x.grad.tolist())
print(recording.first(nan=True).explain())

# %% [markdown]
# The debugger stops where the first NaN arises. What came in was 0, rightly: the element was not chosen. But the rule
# multiplies it by $1/(2\sqrt{x})$, which is infinite at 0 and NaN at $-1$, and $0 \cdot \infty$ is not 0. *Choosing
# afterwards does not undo computing.* The remedy is to choose twice, before and after, so that the dangerous operator
# never sees the dangerous number:

# %%
x = minidl.tensor([4.0, 0.0, -1.0], requires_grad=True)
safe = minidl.where(x > 0, x, minidl.ones(3))
minidl.where(x > 0, minidl.sqrt(safe), minidl.zeros(3)).sum().backward()
print("gradient", x.grad.tolist())
assert x.grad.tolist() == [0.25, 0.0, 0.0]

# %% [markdown]
# ## The mathematics of checking: how small a step?
#
# The test that knows nothing of rules is the definition: $f'(x) \approx (f(x + h) - f(x))/h$. Smaller $h$ is better,
# until it is not. Two errors pull in opposite directions. The **truncation** error comes from Taylor's series,
#
# $$\frac{f(x + h) - f(x)}{h} = f'(x) + \frac{h}{2} f''(x) + \dots, \qquad
# \frac{f(x + h) - f(x - h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots,$$
#
# where in the second, *central* difference all even terms cancel. The **rounding** error comes from the machine: each
# value of $f$ is off by about $u\,|f|$, with $u \approx 10^{-16}$ in float64 and $6 \cdot 10^{-8}$ in float32, and
# the division by $h$ makes $u/h$ of it. Take all derivatives for about 1. The sum of the two is least where its
# derivative by $h$ is zero:
#
# $$\text{forward: } \frac{h}{2} + \frac{u}{h} \;\Rightarrow\; h \approx \sqrt{u}, \text{ error} \approx \sqrt{u}; \qquad
# \text{central: } \frac{h^2}{6} + \frac{u}{h} \;\Rightarrow\; h \approx u^{1/3}, \text{ error} \approx u^{2/3}.$$
#
# **Prediction.** In float64 the best central step is near $u^{1/3} \approx 5 \cdot 10^{-6}$ and leaves an error near
# $u^{2/3} \approx 2 \cdot 10^{-11}$; the best forward step is near $10^{-8}$ and leaves about $10^{-8}$. In float32
# even the best central difference has about 5 digits, which cannot tell a subtle mistake from rounding. Checks are
# therefore made in float64. We measure it on $e^{\sin x}$ at $x = 1$.

# %%
steps = np.logspace(-13, 0, 80)


def errors(dtype, central):
    """The error of the difference quotient, for each step: the median over some points close by, against luck."""
    found = []
    for h in steps:
        around = []
        for x in np.linspace(0.99, 1.01, 9).astype(dtype):
            h = dtype(h)
            f = lambda x: np.exp(np.sin(x))
            up, down = f(x + h), f(x - h) if central else f(x)
            quotient = float(up - down) / (2 * float(h) if central else float(h))
            around.append(abs(quotient - math.cos(float(x)) * math.exp(math.sin(float(x)))))
        found.append(np.median(around))
    return np.array(found)


measured = {
    "forward, float64": errors(np.float64, central=False),
    "central, float64": errors(np.float64, central=True),
    "central, float32": errors(np.float32, central=True),
}
for name, found in measured.items():
    print(f"{name}: best step {steps[found.argmin()]:.0e}, error {found.min():.0e}")
central = measured["central, float64"]
assert 5e-7 < steps[central.argmin()] < 5e-5
assert central.min() < 1e-9
assert 1e-9 < measured["forward, float64"].min() < 1e-7
assert measured["central, float32"].min() > 1e-6

# %% [markdown]
# In the picture every curve is a V: on its right arm the truncation error falls with slope 1 or 2, on its left arm
# the rounding error rises with slope $-1$. See that the central V is deeper, and that float32's stands high above
# both.

# %%
fig, ax = plt.subplots(figsize=(6, 3.4))
for name, found in measured.items():
    ax.loglog(steps, found, label=name)
ax.set_xlabel("step $h$")
ax.set_ylabel("error of the derivative")
ax.legend(fontsize=8)
fig.tight_layout()

# %% [markdown]
# ### All parameters at once
#
# A check of $n$ parameters by their definition costs $2n$ forward passes. But any one direction $\mathbf{v}$ costs
# two:
#
# $$\frac{L(\theta + h\mathbf{v}) - L(\theta - h\mathbf{v})}{2h} \approx \mathbf{v}^\top \bar{\theta}.$$
#
# If $\bar{\theta}$ is wrong by a vector $\mathbf{d}$, the two sides differ by $\mathbf{v}^\top\mathbf{d}$, which for
# a random $\mathbf{v}$ is zero with probability zero. So one random direction tells *whether* a gradient is right,
# and the slow check then tells *where*. And if $f$ has many outputs, multiply it by random weights and sum. Why not
# just sum it? The softmax says why: its outputs sum to 1 whatever the input is, so the gradient of the sum is 0, and
# a rule that always returns 0 would pass.
#
# minidl's `gradcheck` does the slow check for each input and each output, and `fast_mode=True` the quick one. It
# names the element:


# %%
class Forgetful(minidl.autograd.Function):
    """tanh, with a gradient that forgets the square."""

    @staticmethod
    def forward(ctx, x):
        y = minidl.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * (1 - y)


z = minidl.tensor([[0.3, -1.2], [2.0, 0.0]], dtype=minidl.float64, requires_grad=True)
assert minidl.autograd.gradcheck(minidl.tanh, z)
assert minidl.autograd.gradcheck(lambda z: F.softmax(z, dim=-1), z)
try:
    minidl.autograd.gradcheck(Forgetful.apply, z)
except minidl.autograd.GradcheckError as error:
    print(error)

# %% [markdown]
# (At $x = 0$ the wrong rule is right, $1 - 0 = 1 - 0^2$. Test points should be random.)
#
# A check can also refuse a gradient that is right. The difference quotient looks $h$ to both sides, and if there is a
# kink between, it averages two slopes. At $x = 0$ the ReLU's left slope is 0 and its right slope 1, so the central
# difference says ½ for whatever $h$, while the rule says 0. Neither is wrong; there is no derivative. One moves the
# point.

# %%
kink = minidl.zeros(1, dtype=minidl.float64, requires_grad=True)
print("gradcheck at the kink:", minidl.autograd.gradcheck(minidl.relu, kink, raise_exception=False))
print("gradcheck next to it: ", minidl.autograd.gradcheck(minidl.relu, (kink + 0.1).detach().requires_grad_()))
with minidl.inspect.trace():
    loss = (minidl.relu(kink) + 3 * kink).sum()
print(minidl.inspect.provenance(loss, kink, 0))

# %% [markdown]
# ## An experiment that can fail: learning with a random gradient
#
# We make the claim of the first paragraph. For the layer $Z = HW^\top + \mathbf{b}$ the right rule is
# $\bar{H} = \bar{Z} W$. Replace $W$, only there, by random numbers $B$ that never change: $\bar{H} = \bar{Z} B$.
# Everything that the first layer learns is then learnt from a direction that has nothing to do with the loss.
#
# Three networks with 8 hidden units read digits: one with the right rule, one with the random one, and, because a
# last layer alone can do something too, one whose first layer does not learn at all. **Predictions**, of which the
# second is the daring one:
#
# 1. `gradcheck` refuses the random rule.
# 2. The random rule is no handicap worth the name: far better than no learning in the first layer, and within some
#    per cent of the right rule.
# 3. If that is so, there must be a reason. At the start the false gradient of the first layer and the true one are
#    about at right angles, as random directions in many dimensions are. The angle must *fall* during training: $W$
#    learns to resemble $B$.


# %%
class Misled(minidl.autograd.Function):
    """h @ w.T + b, whose gradient for h goes through other weights."""

    @staticmethod
    def forward(ctx, h, w, b, other):
        ctx.save_for_backward(h, other)
        return h @ w.t() + b

    @staticmethod
    def backward(ctx, g):
        h, other = ctx.saved_tensors
        return g @ other, g.t() @ h, g.sum(0), None


def pictures(train):
    found = Digits(train=train)
    return minidl.tensor(found.data.reshape(-1, 64) / 255 - 0.2, dtype=minidl.float32), minidl.tensor(found.targets)


inputs, labels = pictures(train=True)
test_inputs, test_labels = pictures(train=False)


def degrees(a, b):
    return math.degrees(math.acos(((a * b).sum() / (a.norm() * b.norm())).item()))


def learn(rule, epochs, width=8):
    """The test accuracy after training with a rule, and after each epoch the angle between false and true gradient."""
    minidl.manual_seed(0)
    w1, b1 = minidl.randn(width, 64) / 8, minidl.zeros(width)
    w2, b2 = minidl.randn(10, width) / math.sqrt(width), minidl.zeros(10)
    other = minidl.randn(10, width) / math.sqrt(width)
    parameters = [p.requires_grad_() for p in (w1, b1, w2, b2)]

    def logits(x, rule):
        h = minidl.tanh(x @ w1.t() + b1)
        return Misled.apply(h, w2, b2, other) if rule == "random" else h @ w2.t() + b2

    def gradients(x, y, rule):
        return minidl.autograd.grad(F.cross_entropy(logits(x, rule), y), parameters)

    angles = []
    for _ in range(epochs):
        angles.append(degrees(gradients(inputs, labels, "random")[0], gradients(inputs, labels, "right")[0]))
        for rows in minidl.randperm(len(labels)).split(64):
            for p, g in zip(parameters, gradients(inputs[rows], labels[rows], rule)):
                if rule != "frozen" or p is w2 or p is b2:
                    p.data -= 0.3 * g
    with minidl.no_grad():
        right = (logits(test_inputs, rule).argmax(-1) == test_labels).float().mean().item()
    return right, angles


arguments = [minidl.randn(shape, dtype=minidl.float64) for shape in ((3, 4), (2, 4), (2,), (2, 4))]
for argument in arguments[:3]:
    argument.requires_grad_()
accepted = minidl.autograd.gradcheck(Misled.apply, arguments, raise_exception=False)
results = {rule: learn(rule, epochs=choose(15, 60)) for rule in ("right", "random", "frozen")}
for rule, (accuracy, _) in results.items():
    print(f"{rule:6} rule: {100 * accuracy:.1f} % of the test digits")
angles = results["random"][1]
print(f"angle between false and true gradient: {angles[0]:.0f}° at first, {angles[-1]:.0f}° at the end")
assert not accepted
assert results["random"][0] > results["frozen"][0] + 0.1
assert results["right"][0] - results["random"][0] < 0.08
assert abs(angles[0] - 90) < 20
assert min(angles[-5:]) < 65

# %% [markdown]
# Trained by a wrong gradient, the network reads digits. (T. Lillicrap and others found this in 2016 and called it
# feedback alignment.) The picture shows how: the weights bend until the false gradient points roughly the true way.
# Networks work around our mistakes. That is charming, and it is the reason why "it trains" proves nothing, and why
# each operator of minidl is put beside finite differences, to the second order.

# %%
fig, (bars, ax) = plt.subplots(1, 2, figsize=(9, 3.2))
bars.bar(list(results), [100 * accuracy for accuracy, _ in results.values()], color=["tab:blue", "tab:orange", "grey"])
bars.set_ylabel("test accuracy, %")
ax.plot(angles, "o-", color="tab:orange", ms=3)
ax.axhline(90, color="grey", lw=0.8, ls=":")
ax.set_ylim(0, 110)
ax.set_xlabel("epoch")
ax.set_ylabel("angle to the true gradient, °")
fig.tight_layout()

# %% [markdown]
# ## Exercises

# %% [markdown] tags=["exercise", "difference_gradient"]
# ### Exercise 1: the definition
#
# `difference_gradient(f, x, h)` gets a function from a NumPy array to a number, an array of floats of any shape, and
# a step. Return the array of central differences, of the shape of `x`. Leave `x` as it was. For
# $f(\mathbf{x}) = \sum x_i^2$ at $(1, 2)$ it is close to $(2, 4)$.


# %% tags=["exercise", "difference_gradient"]
def difference_gradient(f, x, h=1e-6):
    """The central differences of `f` at `x` by each element of `x`, an array of its shape."""
    # --- solution
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        e = np.zeros(x.shape)
        e[index] = h
        gradient[index] = (f(x + e) - f(x - e)) / (2 * h)
    return gradient
    # --- end


# %% [markdown] tags=["hint", "difference_gradient"]
# `np.ndindex(*x.shape)` gives every index of an array of any shape, also of one without axes. One element moves at a
# time.

# %% [markdown] tags=["hint", "difference_gradient"]
# Make an array of zeros with $h$ at one index; $f$ is wanted at `x` plus it and at `x` minus it, and the two are $2h$
# apart.


# %% tags=["wrong", "difference_gradient"]
def difference_gradient_forward(f, x, h=1e-6):
    """Looks to one side only, so that the error is as large as the step."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        e = np.zeros(x.shape)
        e[index] = h
        gradient[index] = (f(x + e) - f(x)) / h
    return gradient


def difference_gradient_half(f, x, h=1e-6):
    """Looks to both sides and divides by one step."""
    return 2 * difference_gradient(f, x, h)


def difference_gradient_all_move(f, x, h=1e-6):
    """Moves all elements together, and gives each the change that all have made."""
    return np.full(x.shape, (f(x + h) - f(x - h)) / (2 * h))


def difference_gradient_does_not_step_back(f, x, h=1e-6):
    """Moves the elements of the array that was given, and does not move them back."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        x[index] += h
        up = f(x)
        x[index] -= 2 * h
        gradient[index] = (up - f(x)) / (2 * h)
    return gradient


# %% tags=["check", "difference_gradient"]
def check_difference_gradient(difference_gradient):
    """Functions with known gradients, arrays of 0 to 3 axes, and steps so large that one-sided differences show."""
    rng = np.random.default_rng(1)
    for shape in [(), (1,), (4,), (2, 3), (2, 1, 2), (0,)]:
        a, x = rng.standard_normal(shape), rng.standard_normal(shape)
        for name, f, wanted in [
            ("sum(a x²)", lambda x, a=a: float((a * x**2).sum()), 2 * a * x),
            ("sum(a sin x)", lambda x, a=a: float((a * np.sin(x)).sum()), a * np.cos(x)),
            ("sum(x)²", lambda x: float(x.sum() ** 2), np.full(shape, 2 * x.sum())),
        ]:
            for h in (1e-5, 1e-2):
                given = np.array(x)
                got = np.asarray(difference_gradient(f, given, h))
                said = f"f = {name}, x of shape {shape}, h = {h}"
                assert np.array_equal(given, x), f"{said}: x was changed; it should be as it was"
                assert got.shape == shape, f"{said}: the result has the shape {got.shape}"
                off = np.abs(got - wanted).max(initial=0)
                assert off < h**2 + 1e-8, (
                    f"{said}: off by up to {off:.2g}, where central differences are off by about h²"
                )


# %% [markdown] tags=["exercise", "safe_lengths"]
# ### Exercise 2: a length without a NaN
#
# `safe_lengths(x)` gets a tensor of shape $(N, D)$ and returns the $N$ lengths
# $\lVert \mathbf{x}_i \rVert = \sqrt{\sum_j x_{ij}^2}$, exactly, so that backward works. The gradient of a length is
# $\mathbf{x} / \lVert\mathbf{x}\rVert$; for a row of zeros, where there is none, it shall be zeros. Build it from
# `minidl.where`, `minidl.sqrt`, sums and products.


# %% tags=["exercise", "safe_lengths"]
def safe_lengths(x):
    """The length of each row of `x` (N, D), of shape (N,); rows of zeros get the gradient 0."""
    # --- solution
    squares = (x * x).sum(-1)
    nought = squares == 0
    safe = minidl.where(nought, minidl.ones_like(squares), squares)
    return minidl.where(nought, minidl.zeros_like(squares), minidl.sqrt(safe))
    # --- end


# %% [markdown] tags=["hint", "safe_lengths"]
# Where does the NaN come from? From the root's rule at 0, as in the NaN above. Which operator must not see which number?

# %% [markdown] tags=["hint", "safe_lengths"]
# Choose twice. Before the root, put 1 in the place of sums that are 0; after it, put 0 where they were.


# %% tags=["wrong", "safe_lengths"]
def safe_lengths_plain(x):
    """Takes the root of the sum as it is."""
    return minidl.sqrt((x * x).sum(-1))


def safe_lengths_chosen_once(x):
    """Chooses after the root only, so that the NaN comes back on the way."""
    squares = (x * x).sum(-1)
    return minidl.where(squares == 0, minidl.zeros_like(squares), minidl.sqrt(squares))


def safe_lengths_epsilon(x):
    """Adds a small number under the root, which changes every short length."""
    return minidl.sqrt((x * x).sum(-1) + 1e-6)


def safe_lengths_detached(x):
    """Makes the lengths constants in the gradient, and keeps it from all rows."""
    squares = (x * x).sum(-1).detach()
    return minidl.sqrt(squares) + 0 * x.sum(-1)


# %% tags=["check", "safe_lengths"]
def check_safe_lengths(safe_lengths):
    """Random rows, short rows and rows of zeros: values against NumPy, gradients against x / |x|."""
    rng = np.random.default_rng(2)
    for n, d in [(1, 1), (4, 3), (3, 1), (5, 2), (2, 7)]:
        rows = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-4, 3, (n, 1))
        rows[rng.integers(0, n)] = 0
        x = minidl.tensor(rows, requires_grad=True)
        lengths = safe_lengths(x)
        wanted, g = np.linalg.norm(rows, axis=1), rng.standard_normal(n)
        said = f"x = {rows.round(5).tolist()}"
        assert tuple(lengths.shape) == (n,), f"{said}: {n} lengths are wanted, the shape is {tuple(lengths.shape)}"
        assert np.allclose(lengths.tolist(), wanted, rtol=1e-9, atol=0), f"{said}: got the lengths {lengths.tolist()}"
        lengths.backward(minidl.tensor(g))
        got = x.grad.numpy()
        slopes = g[:, None] * rows / np.where(wanted == 0, 1, wanted)[:, None]
        assert np.isfinite(got).all(), f"{said}: the gradient is {got.tolist()}; where did the NaN arise?"
        assert np.allclose(got, slopes), f"{said}, g = {g.round(3).tolist()}: the gradient is {got.round(4).tolist()}"


# %% [markdown] tags=["exercise", "gradient_is_right"]
# ### Exercise 3: a checker that is not easily fooled
#
# `gradient_is_right(f, inputs)` gets a function of tensors that returns one tensor of any shape, and a list of
# float64 tensors that require a gradient. It returns `True` if backward's gradients of all inputs agree with finite
# differences to three digits, else `False`. Use `minidl.autograd.grad` for the one side and differences for the
# other, not `gradcheck`. The checker will put right operators and sly wrong ones to yours: one is wrong in a single
# element, one for its second input only, and one only when not all outputs weigh the same.


# %% tags=["exercise", "gradient_is_right"]
def gradient_is_right(f, inputs):
    """Whether backward through `f`, a function of the float64 tensors `inputs`, agrees with finite differences."""
    # --- solution
    y = f(*inputs)
    weights = minidl.randn(tuple(y.shape), dtype=minidl.float64)
    gradients = minidl.autograd.grad((y * weights).sum(), inputs)
    h = 1e-6
    for k, (x, gradient) in enumerate(zip(inputs, gradients)):
        for index in np.ndindex(*x.shape):
            values = []
            for sign in (1, -1):
                moved = x.detach().clone()
                moved[index] += sign * h
                values.append((f(*inputs[:k], moved, *inputs[k + 1 :]) * weights).sum().item())
            slope = (values[0] - values[1]) / (2 * h)
            if abs(gradient[index].item() - slope) > 1e-6 + 1e-3 * abs(slope):
                return False
    return True
    # --- end


# %% [markdown] tags=["hint", "gradient_is_right"]
# A gradient is of a number. Make one of the output: which sum is not fooled by the softmax?

# %% [markdown] tags=["hint", "gradient_is_right"]
# Multiply the output by random weights, drawn once and used for both sides, and sum. Then go through each input, and
# in each input through each element (or take random directions).

# %% [markdown] tags=["hint", "gradient_is_right"]
# For the differences use copies, `x.detach().clone()`, with one element moved. Compare with
# `abs(a - b) > 1e-6 + 1e-3 * abs(b)`.


# %% tags=["wrong", "gradient_is_right"]
def gradient_is_right_plain_sum(f, inputs):
    """Sums the outputs with equal weights, which hides all that the sum does not depend on."""
    gradients = minidl.autograd.grad(f(*inputs).sum(), inputs)
    for k, (x, gradient) in enumerate(zip(inputs, gradients)):
        for index in np.ndindex(*x.shape):
            up, down = x.detach().clone(), x.detach().clone()
            up[index] += 1e-6
            down[index] -= 1e-6
            change = f(*inputs[:k], up, *inputs[k + 1 :]).sum() - f(*inputs[:k], down, *inputs[k + 1 :]).sum()
            if abs(gradient[index].item() - change.item() / 2e-6) > 1e-5:
                return False
    return True


def gradient_is_right_first_input(f, inputs):
    """Checks the first input and believes the rest."""
    return gradient_is_right(lambda x: f(x, *[other.detach() for other in inputs[1:]]), inputs[:1])


def gradient_is_right_generous(f, inputs):
    """Accepts what has the right direction: a cosine above 0.9."""
    y = f(*inputs)
    weights = minidl.randn(tuple(y.shape), dtype=minidl.float64)
    for k, (x, gradient) in enumerate(zip(inputs, minidl.autograd.grad((y * weights).sum(), inputs))):
        slopes = np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            up, down = x.detach().clone(), x.detach().clone()
            up[index] += 1e-6
            down[index] -= 1e-6
            change = f(*inputs[:k], up, *inputs[k + 1 :]) - f(*inputs[:k], down, *inputs[k + 1 :])
            slopes[index] = (change * weights).sum().item() / 2e-6
        a, b = gradient.numpy(), slopes
        if (a * b).sum() < 0.9 * np.linalg.norm(a) * np.linalg.norm(b):
            return False
    return True


def gradient_is_right_suspicious(f, inputs):
    """Takes one-sided differences with a large step, and so refuses what is right."""
    y = f(*inputs)
    weights = minidl.randn(tuple(y.shape), dtype=minidl.float64)
    start = (y * weights).sum().item()
    for k, (x, gradient) in enumerate(zip(inputs, minidl.autograd.grad((y * weights).sum(), inputs))):
        for index in np.ndindex(*x.shape):
            up = x.detach().clone()
            up[index] += 0.1
            slope = ((f(*inputs[:k], up, *inputs[k + 1 :]) * weights).sum().item() - start) / 0.1
            if abs(gradient[index].item() - slope) > 1e-6 + 1e-3 * abs(slope):
                return False
    return True


# %% tags=["check", "gradient_is_right"]
def check_gradient_is_right(gradient_is_right):
    """Right operators of several shapes must be accepted; each of five wrong rules refused."""

    def spoilt(change):
        """The identity, which changes the gradient that passes through it."""

        class Spoilt(minidl.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, g):
                return change(g)

        return Spoilt.apply

    def one_element(g):
        g = g.clone()
        g[-1, -1] += 0.05
        return g

    def softmax(x):
        e = minidl.exp(x)
        return e / e.sum(-1, keepdim=True)

    product, shift = (lambda a, b: a @ b), (lambda a, b: a * b + b)
    right = [
        ("the matrix product", product, [(3, 2), (2, 4)]),
        ("a * b + b with broadcasting", shift, [(3, 2), (2,)]),
        ("the softmax", softmax, [(2, 3)]),
        ("exp, without axes", minidl.exp, [()]),
        ("a mean", lambda x: x.mean(), [(2, 2)]),
    ]
    larger, nought, turned = spoilt(lambda g: 1.01 * g), spoilt(lambda g: 0 * g), spoilt(lambda g: -g)
    last = spoilt(one_element)
    wrong = [
        ("a matrix product, 1 % off for its second input", lambda a, b: a @ larger(b), [(3, 2), (2, 4)]),
        ("a softmax whose gradient is always 0", lambda x: softmax(nought(x)), [(2, 3)]),
        ("exp with one wrong element", lambda x: minidl.exp(last(x)), [(3, 3)]),
        ("exp with a gradient 1 % too large", lambda x: minidl.exp(larger(x)), [(2, 2)]),
        ("a * b + b, a's gradient with the wrong sign", lambda a, b: shift(turned(a), b), [(3, 2), (2,)]),
    ]
    for trial in range(3):
        rng = np.random.default_rng(trial)
        for name, f, shapes in [*right, *wrong]:
            inputs = [minidl.tensor(rng.uniform(0.5, 1.5, shape), requires_grad=True) for shape in shapes]
            got = bool(gradient_is_right(f, inputs))
            is_right = name in [case[0] for case in right]
            verdict = "right" if is_right else "wrong"
            assert got == is_right, f"{name}, inputs of shapes {shapes}: got {got}, and the gradient is {verdict}"


# %% [markdown]
# ## What PyTorch does differently
#
# - `torch.autograd.gradcheck` has the same arguments and defaults and compares in the same way. Its message gives the
#   two Jacobians whole; minidl's names the worst element.
# - PyTorch has no stepping through backward. What comes nearest are hooks (`tensor.register_hook`, in both) and
#   `torch.autograd.set_detect_anomaly(True)`, in both as well, which names the forward line of the operator whose
#   gradient is NaN.
# - At ReLU's kink, of $|x|$ and of `max` both choose the same of the possible slopes: 0 for the first two, shares
#   among the winners for `amax`.
#
# ## Sources
#
# - W. H. Press et al., *Numerical Recipes* (3rd ed. 2007), section 5.7: the two errors and the best step.
# - T. P. Lillicrap, D. Cownden, D. B. Tweed, C. J. Akerman, *Random synaptic feedback weights support error
#   backpropagation for deep learning*, Nature Communications 7 (2016).
# - A. Griewank, A. Walther, *Evaluating Derivatives* (2nd ed. 2008), chapter 14, on kinks.
# - M. A. Nielsen, *Neural Networks and Deep Learning* (2015), chapter 2.
#
# We have gradients and a reason to believe them; the next chapter goes down them, and finds that the way is harder
# than the direction.
