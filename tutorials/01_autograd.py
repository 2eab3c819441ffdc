# %% [markdown]
# # 1. Autograd from nothing
#
# **The question.** A small language model has a hundred million parameters, and to train it we must know how the loss
# answers to each of them. The obvious way is to move one parameter a little, compute the loss again, and write down
# the difference: a hundred million runs of the network for one step of training. The gradient that libraries compute
# costs about as much as *two* more runs, and it is not an approximation. Where do a hundred million runs go?
#
# In [chapter 0](00_tensors.py) we found the gradient of a stretched array by asking who depends on whom. Now we ask
# it of every operation, and let the machine keep the account. At the end of this chapter stands an engine of some
# sixty lines, which trains a network; minidl's own is the same idea with the corners finished.

# %% tags=["setup"]
import math

import numpy as np

import minidl

# %%
import time

import matplotlib.pyplot as plt

from minidl.tutor import choose

minidl.manual_seed(0)

# %% [markdown]
# ## The mathematics: one expression, both ways
#
# Take $L = (xy + \sin x)^2$ at $x = 1.5$ and $y = -0.5$, and write it as a machine would, one operation a line. Next
# to each line we write its **local derivatives**, those of its result by its own arguments. Each is school calculus,
# and none needs to know what the rest of the expression is.
#
# $$\begin{aligned}
# a &= x y        &\qquad \partial a/\partial x &= y, \quad \partial a/\partial y = x\\
# b &= \sin x     &\qquad \partial b/\partial x &= \cos x\\
# c &= a + b      &\qquad \partial c/\partial a &= 1, \quad \partial c/\partial b = 1\\
# L &= c^2        &\qquad \partial L/\partial c &= 2c
# \end{aligned}$$
#
# Now from the bottom up. Let a bar say "the derivative of $L$ with respect to"; it is how much $L$ changes for each
# unit of that number. Certainly $\bar{L} = 1$. If $c$ moves by $\delta$, then $L$ moves by $2c\,\delta$, so
# $\bar{c} = 2c\,\bar{L}$. If $a$ moves by $\delta$, then $c$ moves by $1 \cdot \delta$, so
# $\bar{a} = 1 \cdot \bar{c}$, and likewise $\bar{b} = \bar{c}$. The number $x$ is used twice. If it moves, $L$ moves
# for two reasons, and to first order the two add up:
#
# $$\bar{x} = \underbrace{y\,\bar{a}}_{\text{through } a} + \underbrace{\cos x\;\bar{b}}_{\text{through } b},
# \qquad \bar{y} = x\,\bar{a}.$$
#
# That is the whole method. Each operation takes the bar of its result, multiplies it by its local derivatives, and
# **adds** the products to the bars of its arguments. Let us do it by hand once, so that we know what we want from the
# machine.

# %%
x, y = 1.5, -0.5
a, b = x * y, math.sin(x)
c = a + b
L = c**2

L_bar = 1.0
c_bar = 2 * c * L_bar
a_bar, b_bar = c_bar, c_bar
x_bar = y * a_bar + math.cos(x) * b_bar
y_bar = x * a_bar
print(f"L = {L:.6f}   x_bar = {x_bar:.6f}   y_bar = {y_bar:.6f}")


def f(x, y):
    return (x * y + math.sin(x)) ** 2


assert abs(x_bar - (f(x + 1e-6, y) - f(x - 1e-6, y)) / 2e-6) < 1e-8
assert abs(y_bar - (f(x, y + 1e-6) - f(x, y - 1e-6)) / 2e-6) < 1e-8

# %% [markdown]
# In the picture values go up, in black, and bars come down, in red. See the two red arrows that meet at $x$: one
# brings $-0.247$, the other $+0.035$, and their sum is $\bar{x} = -0.212$.

# %%
spots = {"x": (0, 0), "y": (2, 0), "b": (-0.6, 1), "a": (1.4, 1), "c": (0.4, 2), "L": (0.4, 3)}
written = {"x": "x", "y": "y", "a": "a = x y", "b": "b = sin x", "c": "c = a + b", "L": "L = c²"}
values = {"x": (x, x_bar), "y": (y, y_bar), "a": (a, a_bar), "b": (b, b_bar), "c": (c, c_bar), "L": (L, L_bar)}
sent = {
    ("x", "b"): math.cos(x) * b_bar,
    ("x", "a"): y * a_bar,
    ("y", "a"): x * a_bar,
    ("a", "c"): c_bar,
    ("b", "c"): c_bar,
    ("c", "L"): 2 * c,
}
fig, ax = plt.subplots(figsize=(6.5, 5))
for (low, high), amount in sent.items():
    (x0, y0), (x1, y1) = spots[low], spots[high]
    ax.annotate("", (x0, y0 + 0.17), (x1, y1 - 0.17), arrowprops={"arrowstyle": "->", "color": "tab:red"})
    label = {"ha": "center", "va": "center", "bbox": {"fc": "white", "ec": "none", "pad": 1}}
    ax.text((x0 + x1) / 2, (y0 + y1) / 2, f"{amount:+.3f}", color="tab:red", fontsize=9, **label)
for name, (px, py) in spots.items():
    value, bar = values[name]
    ax.text(px, py + 0.07, f"{written[name]} = {value:.3f}", ha="center", va="center", fontsize=10)
    ax.text(px, py - 0.09, f"bar {bar:+.3f}", ha="center", va="center", fontsize=9, color="tab:red")
ax.set_xlim(-1.5, 2.8)
ax.set_ylim(-0.3, 3.3)
ax.axis("off")
fig.tight_layout()

# %% [markdown]
# ### Why from the end?
#
# The chain rule does not care for the direction. Think of a network as a chain
# $\mathbf{x} \to \mathbf{u} \to \mathbf{v} \to L$ with $n_0, n_1, n_2$ and 1 numbers. Its derivative is a product of
# three Jacobians,
#
# $$\bar{\mathbf{x}}^\top = J_3\, J_2\, J_1, \qquad J_3: (1, n_2), \quad J_2: (n_2, n_1), \quad J_1: (n_1, n_0).$$
#
# Multiply from the right, with the inputs first, and we carry matrices with $n_0$ columns: $n_2 n_1 n_0$
# multiplications for $J_2 J_1$ alone. Multiply from the left, with the loss first, and there is only ever **one row**
# to carry: $n_2 n_1 + n_1 n_0$. The result is the same, because matrix products are associative; the cost is smaller
# by about $n_0$, and $n_0$ is the hundred million. That is where they went: a loss is *one* number, so start there.
# (With many outputs and one input it would be the other way round, which is called forward mode.)
#
# And $J$ itself is never written down. For the product of matrices $Y = AB$, with $Y_{ij} = \sum_k A_{ik} B_{kj}$,
# the number $A_{ik}$ enters every $Y_{ij}$ of row $i$, each with the local derivative $B_{kj}$. So
#
# $$\bar{A}_{ik} = \sum_j \bar{Y}_{ij} B_{kj}, \qquad\text{that is}\qquad \bar{A} = \bar{Y} B^\top,
# \qquad\text{and in the same way}\qquad \bar{B} = A^\top \bar{Y}.$$
#
# The Jacobian of $Y$ by $A$ would have $(mn)(mk)$ elements, almost all zero. The rule needs one matrix product of the
# same size as the one forward. For the linear layer $Y = XW^\top + \mathbf{b}$ it says $\bar{X} = \bar{Y} W$,
# $\bar{W} = \bar{Y}^\top X$, and $\bar{\mathbf{b}}$ is the sum of $\bar{Y}$ over the rows, as chapter 0 found. The
# shapes leave no other choice, which is a good way to remember it.
#
# ## The code: an engine
#
# A value must remember where it came from (its *parents*) and how to send a bar back (its *rule*). Going backwards we
# must not touch a value before all who use it have sent their share. Is there an order that guarantees this? There
# is, and it is free: **a value is born after its parents**. So the youngest first is always right.


# %%
def sum_to(g, shape):
    """Undo broadcasting: sum over the axes that were stretched (chapter 0)."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1 and g.shape[k] != 1), keepdims=True)


multiplications = 0  # counted for an experiment at the end


def product(a, b):
    """The product of two matrices."""
    global multiplications
    multiplications += a.shape[0] * a.shape[1] * b.shape[1]
    return a @ b


class Value:
    """An array that remembers how it was computed."""

    births = 0

    def __init__(self, data, parents=(), rule=None):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self.parents, self.rule = parents, rule
        Value.births += 1
        self.born = Value.births

    def __add__(self, other):
        other = lift(other)
        return Value(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other):
        other = lift(other)
        return Value(self.data * other.data, (self, other), lambda g: (g * other.data, g * self.data))

    def __pow__(self, n):
        return Value(self.data**n, (self,), lambda g: (g * n * self.data ** (n - 1),))

    def __matmul__(self, other):
        y = product(self.data, other.data)
        return Value(y, (self, other), lambda g: (product(g, other.data.T), product(self.data.T, g)))

    def transpose(self):
        return Value(self.data.T, (self,), lambda g: (g.T,))

    def sin(self):
        return Value(np.sin(self.data), (self,), lambda g: (g * np.cos(self.data),))

    def tanh(self):
        y = np.tanh(self.data)
        return Value(y, (self,), lambda g: (g * (1 - y**2),))

    def mean(self):
        return Value(self.data.mean(), (self,), lambda g: (np.full(self.data.shape, g / self.data.size),))

    def backward(self):
        found, stack = {self}, [self]
        while stack:  # everything that this value was computed from
            new = [parent for parent in stack.pop().parents if parent not in found]
            found.update(new)
            stack += new
        self.grad = np.ones_like(self.data)
        for value in sorted(found, key=lambda value: value.born, reverse=True):
            if value.rule is not None:
                for parent, g in zip(value.parents, value.rule(value.grad)):
                    parent.grad = parent.grad + sum_to(g, parent.data.shape)


def lift(x):
    return x if isinstance(x, Value) else Value(x)


x, y = Value(1.5), Value(-0.5)
L = (x * y + x.sin()) ** 2
L.backward()
print(f"L = {L.data:.6f}   x_bar = {x.grad:.6f}   y_bar = {y.grad:.6f}")
assert math.isclose(x.grad, x_bar)
assert math.isclose(y.grad, y_bar)

# %% [markdown]
# That is all of it. No rule knows the expression it stands in; no rule mentions broadcasting, which is undone in one
# place; and the depth is limited by nothing but memory, since there is no recursion. Let us train something: two
# layers with 16 hidden units are to become the function $\sin 3x$, given 64 samples.

# %%
rng = np.random.default_rng(0)
X = np.linspace(-1, 1, 64)[:, None]
target = np.sin(3 * X)
W1, b1 = Value(rng.standard_normal((16, 1))), Value(np.zeros(16))
W2, b2 = Value(rng.standard_normal((1, 16)) / 4), Value(np.zeros(1))
parameters = [W1, b1, W2, b2]


def network(X, W1, b1, W2, b2):
    h = (X @ W1.transpose() + b1).tanh()
    return h @ W2.transpose() + b2


losses = []
for _ in range(choose(1000, 10_000)):
    loss = ((network(Value(X), *parameters) + (-target)) ** 2).mean()
    for p in parameters:
        p.grad = np.zeros_like(p.data)
    loss.backward()
    for p in parameters:
        p.data = p.data - 0.2 * p.grad
    losses.append(float(loss.data))
print(f"the loss fell from {losses[0]:.4f} to {losses[-1]:.5f}")
assert losses[-1] < 0.01

# %% [markdown]
# ### The same in minidl
#
# minidl's engine (`minidl/autograd/tape.py`) is built on these decisions: one object for each application of an
# operator, its rule beside it, broadcasting undone centrally, the youngest first. The differences are for speed and
# safety. Only what takes part in a gradient is recorded. What an operator has saved is freed behind us. And the bars
# of inner values live in a table of the pass, so that only leaves keep `.grad`: ours stay on the values, and a second
# backward through the same values would count them again.
#
# The same parameters must give the same gradients.

# %%
names = ["W1", "b1", "W2", "b2"]
ours = [minidl.tensor(p.data, requires_grad=True) for p in parameters]
h = (minidl.tensor(X) @ ours[0].t() + ours[1]).tanh()
loss = ((h @ ours[2].t() + ours[3] - minidl.tensor(target)) ** 2).mean()
loss.backward()

mine = ((network(Value(X), *parameters) + (-target)) ** 2).mean()
for p in parameters:
    p.grad = np.zeros_like(p.data)
mine.backward()
for name, p, q in zip(names, parameters, ours):
    print(f"{name}: shape {p.grad.shape!s:8}  largest difference {abs(p.grad - q.grad.numpy()).max():.1e}")
    assert np.allclose(p.grad, q.grad.numpy(), rtol=1e-12, atol=1e-14)
mean = loss.grad_fn
power = mean.next_functions[0][0]
print("the graph, from its end:", mean, "←", power, "←", power.next_functions[0][0], "← …")

# %% [markdown]
# Two things that catch everybody once. Bars are *added* to `.grad`, so a second backward without clearing doubles it;
# that is the sum of the two arrows at $x$, carried over several losses. And what was saved for backward must not be
# changed before it runs: minidl counts changes and says so.

# %%
w = minidl.tensor([0.5, 2.0], requires_grad=True)
for _ in range(2):
    (w**2).sum().backward()
print("2w would be [1, 4]; after two backwards it is", w.grad.tolist())
y = w.exp()
loss = y.sum()
y += 1  # exp has saved y, because its derivative is y
try:
    loss.backward()
except RuntimeError as error:
    print(error)

# %% [markdown]
# ### The gradient's gradient
#
# Our rules compute on arrays, so what they compute is not on any tape. minidl's rules are written so that the same
# line works on arrays and on tensors, and with `create_graph=True` the gradient is recorded like anything else.
# Differentiating $\tanh$ again and again needs no new mathematics. The picture shows it: each curve is zero where the
# one before it is flat.

# %%
x = minidl.linspace(-3, 3, 200, dtype=minidl.float64).requires_grad_()
curve = minidl.tanh(x)
fig, ax = plt.subplots(figsize=(6, 3.2))
for order in range(4):
    ax.plot(x.tolist(), curve.tolist(), label=["tanh", "first derivative", "second", "third"][order])
    if order == 2:
        y = minidl.tanh(x.detach())
        assert minidl.allclose(curve, -2 * y * (1 - y**2))  # as by hand
    (curve,) = minidl.autograd.grad(curve.sum(), x, create_graph=True)
ax.axhline(0, color="grey", lw=0.6)
ax.legend(fontsize=8)
ax.set_xlabel("$x$")
fig.tight_layout()

# %% [markdown]
# An operator of one's own needs its value and its rule. `minidl.autograd.Function` is PyTorch's door for it: what
# forward saves in `ctx`, backward finds there. The function $\operatorname{sign}(x)\sqrt{|x|}$ has the derivative
# $1 / (2\sqrt{|x|})$, which is $1/(2|y|)$:


# %%
class SignedRoot(minidl.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = minidl.sign(x) * minidl.sqrt(minidl.abs(x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g / (2 * minidl.abs(y))


w = minidl.tensor([4.0, -9.0], requires_grad=True)
SignedRoot.apply(w).sum().backward()
print("derivative at 4 and -9:", w.grad.tolist())

# %% [markdown]
# ## Experiments that can fail
#
# **The order.** "Send the bar on as soon as it arrives" is the shortest way to write backward, and it is even right,
# since the paths' contributions add up. But it walks every *path*. Take $x_{k+1} = x_k + x_k$, repeated $n$ times:
# from the end to $x_0$ there are $2^n$ paths, and only $n$ operations. **Prediction 1:** the eager walk sends exactly
# $2 + 4 + \dots + 2^n = 2^{n+1} - 2$ bars, where ours sends $2n$.
#
# And "level by level from the loss" is the second idea that people have. **Prediction 2:** for $L = u + u^2$ with
# $u = 3x$ it is wrong. $u$ is one step from $L$, so its rule runs when only the short path has arrived, and the share
# of $u^2$ comes too late.

# %%
sent_on = 0


def eager(value, g):
    """Send on what arrives, at once."""
    global sent_on
    value.grad = value.grad + g
    if value.rule is not None:
        for parent, share in zip(value.parents, value.rule(g)):
            sent_on += 1
            eager(parent, share)


def level_by_level(root):
    root.grad, level, seen = np.ones_like(root.data), [root], {root}
    while level:
        following = []
        for value in level:
            for parent, g in zip(value.parents, value.rule(value.grad) if value.rule else ()):
                parent.grad = parent.grad + g
                if parent not in seen:
                    seen.add(parent)
                    following.append(parent)
        level = following


n = 14
x0 = top = Value(1.0)
for _ in range(n):
    top = top + top
eager(top, np.ones(()))
print(f"eager: d top / d x0 = {x0.grad:.0f} with {sent_on} bars sent; there are {n} operations with two arguments each")
assert x0.grad == 2**n
assert sent_on == 2 ** (n + 1) - 2

gradients = []
for walk in (level_by_level, Value.backward):
    x = Value(2.0)
    u = x * 3
    walk(u + u**2)
    gradients.append(float(x.grad))
print(f"level by level {gradients[0]}, youngest first {gradients[1]}, by hand 3 (1 + 2u) = {3 * (1 + 2 * 6)}")
assert gradients == [3, 39]

# %% [markdown]
# **The price.** A matrix product forward is answered by two backward, of the same size. **Prediction 3:** in a
# network of linear layers backward costs exactly twice what forward costs, counted in multiplications, *however many
# parameters there are*, while finite differences need two forward passes a parameter. We count by watching our own
# engine's products, and we look at the clock with minidl's.

# %%
sizes, prices = [], []
for width in (4, 16, 64, 256):
    h = Value(rng.standard_normal((32, width)))
    weights = [Value(rng.standard_normal((width, width))) for _ in range(3)]
    multiplications = 0
    for w in weights:
        h = h @ w
    forward = multiplications
    multiplications = 0
    h.mean().backward()
    sizes.append(sum(w.data.size for w in weights))
    prices.append(multiplications / forward)
    print(f"{sizes[-1]:7} parameters: backward costs {prices[-1]} forwards, finite differences {2 * sizes[-1]}")
    assert multiplications == 2 * forward

model = minidl.nn.Sequential(*[minidl.nn.Linear(256, 256) for _ in range(3)])
batch = minidl.randn(256, 256)


def seconds(function):
    times = []
    for _ in range(9):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


with minidl.no_grad():
    once = seconds(lambda: model(batch))
both = seconds(lambda: model(batch).sum().backward())
print(
    f"by the clock, minidl: forward {1e3 * once:.2f} ms, forward and backward {1e3 * both:.2f} ms, {both / once:.1f} times"
)

# %%
fig, ax = plt.subplots(figsize=(6, 3.2))
ax.loglog(sizes, [2 * size for size in sizes], "o-", label="finite differences")
ax.loglog(sizes, prices, "o-", label="backward")
ax.set_xlabel("parameters")
ax.set_ylabel("price of one gradient,\nin forward passes")
ax.legend()
fig.tight_layout()

# %% [markdown]
# The two lines say why deep learning exists. The lower one is flat.
#
# ## Exercises

# %% [markdown] tags=["exercise", "divide_rule"]
# ### Exercise 1: the rule of division
#
# For $y = a / b$, element by element, write the gradient rule: given the arrays $a$, $b$ and the incoming gradient
# $\bar{y}$ (`g`), all NumPy arrays of one shape, return the pair $(\bar{a}, \bar{b})$. With $a = 6$, $b = 2$,
# $\bar{y} = 1$ it is $(0.5, -1.5)$.


# %% tags=["exercise", "divide_rule"]
def divide_rule(a, b, g):
    """The gradients (of a, of b) for y = a / b, where g is the gradient of y; arrays of one shape."""
    # --- solution
    return g / b, -g * a / b**2
    # --- end


# %% [markdown] tags=["hint", "divide_rule"]
# First the two local derivatives, $\partial y/\partial a$ and $\partial y/\partial b$. Write $y = a\, b^{-1}$.

# %% [markdown] tags=["hint", "divide_rule"]
# The derivative of $b^{-1}$ is $-b^{-2}$. Each local derivative is then multiplied by the incoming gradient.


# %% tags=["wrong", "divide_rule"]
def divide_rule_sign(a, b, g):
    """Forgets that the quotient falls as the denominator grows."""
    return g / b, g * a / b**2


def divide_rule_local_only(a, b, g):
    """Gives the local derivatives and forgets the incoming gradient."""
    return 1 / b, -a / b**2


def divide_rule_first_power(a, b, g):
    """Takes the derivative of 1 / b for -1 / b."""
    return g / b, -g * a / b


def divide_rule_as_product(a, b, g):
    """Uses the rule of the product."""
    return g * b, g * a


# %% tags=["check", "divide_rule"]
def check_divide_rule(divide_rule):
    """Random arrays of several shapes, against central differences of the sum of g * (a / b)."""
    rng = np.random.default_rng(1)
    for shape in [(), (1,), (7,), (3, 4), (0, 2), (2, 1, 3)]:
        a, g = rng.standard_normal(shape), rng.standard_normal(shape)
        b = rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape)
        h = 1e-6
        expected = g * ((a + h) / b - (a - h) / b) / (2 * h), g * (a / (b + h) - a / (b - h)) / (2 * h)
        got = divide_rule(a, b, g)
        assert len(got) == 2, f"two gradients are wanted, that of a and that of b; got {len(got)}"
        for name, given, wanted in zip("ab", got, expected):
            given = np.asarray(given)
            assert given.shape == shape, f"the gradient of {name} has the shape {given.shape}, and {name} {shape}"
            off = np.abs(given - wanted).max(initial=0)
            at = np.abs(given - wanted).argmax() if off else 0
            numbers = [float(np.ravel(v)[at]) for v in (a, b, g, given, wanted)] if given.size else []
            assert np.allclose(given, wanted, rtol=1e-5, atol=1e-6), (
                "for a = {:.3f}, b = {:.3f}, g = {:.3f} the gradient of ".format(*numbers)
                + name
                + " is {:.4f}; the difference quotient says {:.4f}".format(*numbers[3:])
            )


# %% [markdown] tags=["exercise", "backward_order"]
# ### Exercise 2: an order without birthdays
#
# Suppose that values did not know when they were born. Then the order must be found from the graph alone.
# `backward_order(root, parents)` gets the root and a dict that has, for each node, the tuple of its parents (leaves
# have an empty one; a node may be the parent twice, as in $x + x$). Return a list that begins with the root and holds
# every node that the root depends on exactly once, and none other, each **after all nodes that use it**. Where
# several orders are right, any will do. Graphs may be a hundred thousand nodes deep, so no recursion.
#
# For `parents = {"L": ("a", "b"), "a": ("b",), "b": (), "other": ("b",)}` and the root `"L"` the only answer is
# `["L", "a", "b"]`.


# %% tags=["exercise", "backward_order"]
def backward_order(root, parents):
    """The nodes that `root` depends on, a list from the root to the leaves, each after all that use it."""
    # --- solution
    uses, found, stack = {}, {root}, [root]
    while stack:
        for parent in parents[stack.pop()]:
            uses[parent] = uses.get(parent, 0) + 1
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    order, ready = [], [root]
    while ready:
        node = ready.pop()
        order.append(node)
        for parent in parents[node]:
            uses[parent] -= 1
            if uses[parent] == 0:
                ready.append(parent)
    return order
    # --- end


# %% [markdown] tags=["hint", "backward_order"]
# When may a node come? When all uses of it are behind us. So each node needs a count.

# %% [markdown] tags=["hint", "backward_order"]
# Two walks. The first finds what can be reached and counts for each node how often it is used by a reachable one.
# What does the second do with the counts?

# %% [markdown] tags=["hint", "backward_order"]
# In the second, a node that comes gives each of its parents one use less. A parent whose count falls to zero is
# ready. (This is Kahn's algorithm.)


# %% tags=["wrong", "backward_order"]
def backward_order_level_by_level(root, parents):
    """Breadth first: a node one step from the root comes early, though a longer path leads to it as well."""
    order, seen = [root], {root}
    for node in order:
        for parent in parents[node]:
            if parent not in seen:
                seen.add(parent)
                order.append(parent)
    return order


def backward_order_depth_first(root, parents):
    """Depth first, each node noted on arrival."""
    order, stack, seen = [], [root], set()
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            order.append(node)
            stack += parents[node]
    return order


def backward_order_every_path(root, parents):
    """Walks every path, and names a node as often as paths lead to it."""
    order = [root]
    for node in order:
        if len(order) < 10_000:
            order += parents[node]
    return order


def backward_order_whole_graph(root, parents):
    """Orders the whole graph, also what the root does not depend on."""
    uses = dict.fromkeys(parents, 0)
    for node in parents:
        for parent in parents[node]:
            uses[parent] += 1
    ready, order = [node for node in parents if uses[node] == 0], []
    while ready:
        order.append(ready.pop())
        for parent in parents[order[-1]]:
            uses[parent] -= 1
            if uses[parent] == 0:
                ready.append(parent)
    return order


def backward_order_recursive(root, parents):
    """Right, but recursive: Python gives up at a thousand levels."""
    order, seen = [], set()

    def visit(node):
        if node not in seen:
            seen.add(node)
            for parent in parents[node]:
                visit(parent)
            order.append(node)

    visit(root)
    return order[::-1]


# %% tags=["check", "backward_order"]
def check_backward_order(backward_order):
    """Random graphs of 1 to 12 nodes with shuffled names, then one that is 50,000 nodes deep."""
    rng = np.random.default_rng(2)
    graphs = [{0: ()}, {1: (0, 0), 0: ()}]
    for _ in range(200):
        size = int(rng.integers(1, 13))
        label = rng.permutation(size).tolist()
        graph = {}
        for node in range(size):
            chosen = rng.integers(0, node, rng.integers(0, 3)) if node else []
            graph[label[node]] = tuple(label[p] for p in chosen)
        graphs.append({label[node]: graph[label[node]] for node in rng.permutation(size).tolist()})
    deep = {node: (node - 1, max(node - 2, 0)) for node in range(1, 50_000)}
    for graph in [*graphs, {0: (), **deep}]:
        root = 49_999 if len(graph) == 50_000 else next(iter(graph))
        reached, stack = {root}, [root]
        while stack:
            for parent in graph[stack.pop()]:
                if parent not in reached:
                    reached.add(parent)
                    stack.append(parent)
        said = f"for the root {root} of {graph}" if len(graph) < 20 else "for a graph 50,000 nodes deep"
        try:
            order = list(backward_order(root, dict(graph)))
        except RecursionError:
            order = None
        assert order is not None, f"{said} Python's recursion limit was reached: keep a stack in a list instead"
        shown = order if len(graph) < 20 else "an order"
        assert len(order) == len(set(order)), f"{said} got {shown}, which names a node twice"
        assert set(order) == reached, f"{said} got {shown}; the root depends on {sorted(reached)[:20]}"
        place = {node: k for k, node in enumerate(order)}
        for node in order:
            for parent in graph[node]:
                assert place[node] < place[parent], f"{said} got {shown}: {node} uses {parent} and so comes before it"


# %% [markdown] tags=["exercise", "LogSumExp"]
# ### Exercise 3: an operator of one's own, that does not overflow
#
# Write $y_i = \log \sum_j e^{x_{ij}}$, over the last axis of a tensor of any number of axes (at least one), as a
# `minidl.autograd.Function` named `LogSumExp` with `forward(ctx, x)` and `backward(ctx, g)`. It is in every
# classifier's loss, and it must work for $x = (1000, 1000)$, where $e^{1000}$ is infinite and the answer is
# $1000 + \log 2$. In the rule, $g$ has one axis less than $x$. Derive it first: what is $\partial y / \partial x_j$?


# %% tags=["exercise", "LogSumExp"]
class LogSumExp(minidl.autograd.Function):
    """y = log Σⱼ exp(xⱼ) over the last axis, for numbers of any size."""

    @staticmethod
    def forward(ctx, x):
        # --- solution
        largest = x.amax(-1, keepdim=True)
        y = largest + minidl.log(minidl.exp(x - largest).sum(-1, keepdim=True))
        ctx.save_for_backward(x, y)
        return y.squeeze(-1)
        # --- end

    @staticmethod
    def backward(ctx, g):
        # --- solution
        x, y = ctx.saved_tensors
        return g.unsqueeze(-1) * minidl.exp(x - y)
        # --- end


# %% [markdown] tags=["hint", "LogSumExp"]
# With $m$ the largest $x_j$: $\log \sum_j e^{x_j} = m + \log \sum_j e^{x_j - m}$. Now no exponent is above 0, and one
# of them is 0.

# %% [markdown] tags=["hint", "LogSumExp"]
# By the chain rule $\partial y/\partial x_j = e^{x_j} / \sum_k e^{x_k}$, a share of the whole. It can be had without
# dividing: since $\sum_k e^{x_k} = e^y$, it is $e^{x_j - y}$.

# %% [markdown] tags=["hint", "LogSumExp"]
# `x.amax(-1, keepdim=True)` is the maximum with its axis kept at size 1. Keep the axis in $y$ as well until the end,
# save $x$ and $y$, and return `y.squeeze(-1)`. In backward `g.unsqueeze(-1)` gives the axis back, so that it
# broadcasts.


# %% tags=["wrong", "LogSumExp"]
class LogSumExpOverflows(LogSumExp):
    """Exponentiates before subtracting the largest."""

    @staticmethod
    def forward(ctx, x):
        y = minidl.log(minidl.exp(x).sum(-1, keepdim=True))
        ctx.save_for_backward(x, y)
        return y.squeeze(-1)


class LogSumExpOneMaximum(LogSumExp):
    """Subtracts one maximum of the whole tensor, so that rows of small numbers underflow."""

    @staticmethod
    def forward(ctx, x):
        largest = x.amax() if x.numel() else 0.0
        y = largest + minidl.log(minidl.exp(x - largest).sum(-1, keepdim=True))
        ctx.save_for_backward(x, y)
        return y.squeeze(-1)


class LogSumExpForgetsG(LogSumExp):
    """Returns the local derivative alone."""

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return minidl.exp(x - y)


class LogSumExpNotNormalised(LogSumExp):
    """Takes the derivative of the sum of exponentials and forgets that of the logarithm."""

    @staticmethod
    def backward(ctx, g):
        x, _ = ctx.saved_tensors
        return g.unsqueeze(-1) * minidl.exp(x - x.amax(-1, keepdim=True))


# %% tags=["check", "LogSumExp"]
def check_LogSumExp(LogSumExp):  # noqa: N802
    """Values against NumPy's logaddexp, gradients against its central differences; small, large, and one-element rows."""
    rng = np.random.default_rng(3)
    cases = [rng.standard_normal(shape) for shape in [(5,), (3, 4), (2, 3, 4), (4, 1), (1, 1), (0, 3)]]
    cases += [np.array([[1000.0, 1000.0], [-1000.0, -1001.0]]), np.array([700.0, -700.0, 720.0])]
    for array in cases:
        x = minidl.tensor(array, requires_grad=True)
        y = LogSumExp.apply(x)
        wanted = np.logaddexp.reduce(array, axis=-1)
        shown = f"x = {array.round(2).tolist()}" if array.size < 13 else f"x of shape {array.shape}"
        assert tuple(y.shape) == wanted.shape, f"{shown}: the result has the shape {tuple(y.shape)}, not {wanted.shape}"
        assert np.allclose(y.tolist(), wanted), f"{shown}: got {y.tolist()}, it should be {wanted.tolist()}"
        g = rng.standard_normal(wanted.shape)
        y.backward(minidl.tensor(g))
        h = 1e-5
        slopes = np.empty(array.shape)
        for j in range(array.shape[-1]):
            up, down = array.copy(), array.copy()
            up[..., j] += h
            down[..., j] -= h
            slopes[..., j] = g * (np.logaddexp.reduce(up, axis=-1) - np.logaddexp.reduce(down, axis=-1)) / (2 * h)
        got = x.grad.numpy()
        assert np.allclose(got, slopes, atol=1e-5, rtol=1e-4), (
            f"{shown}, g = {g.round(3).tolist()}: the gradient is {got.round(4).tolist()}; "
            f"difference quotients say {slopes.round(4).tolist()}"
        )


# %% [markdown]
# ## What PyTorch does differently
#
# - Its engine is C++; on the CPU it runs in the thread that called backward, and each GPU has a thread of its own.
#   The order is the same, the youngest first, by a number that each node gets at birth.
# - minidl's rules are Python functions beside their forward. PyTorch's stand in a table, `derivatives.yaml`, from
#   which C++ is generated.
# - `loss.grad_fn` prints as `<MeanBackward0 object at 0x…>` there and as `<Mean>` here. The leaves are ends of the
#   graph here; PyTorch puts a node `AccumulateGrad` in front of each.
# - In both, `.grad` adds up, a second backward needs `retain_graph=True`, and changes in place to what was saved are
#   found by a version counter.
#
# ## Sources
#
# - S. Linnainmaa, *Taylor expansion of the accumulated rounding error*, BIT 16 (1976): reverse mode, first in a
#   thesis of 1970.
# - W. Baur, V. Strassen, *The complexity of partial derivatives*, Theoretical Computer Science 22 (1983): the
#   gradient of any program costs a small constant times the program.
# - A. Griewank, A. Walther, *Evaluating Derivatives* (2nd ed. 2008), chapters 3 and 4.
# - D. E. Rumelhart, G. E. Hinton, R. J. Williams, *Learning representations by back-propagating errors*, Nature 323
#   (1986).
# - A. Karpathy, *micrograd* (2020): scalar backward on one screen; and D. Maclaurin, D. Duvenaud, M. Johnson,
#   *Autograd* (2015), for arrays.
#
# An engine that computes what nobody has seen must be believed; in the next chapter we walk through backward one
# operator at a time, and put every gradient to the test.
