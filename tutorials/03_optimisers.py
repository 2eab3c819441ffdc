# %% [markdown]
# # 3. Losses and optimisers
#
# **The question.** With the learning rate 0.0199 a model learns; with 0.0201 its loss grows past all bounds. Nothing
# in between is gradual. Another optimiser does not even notice when somebody multiplies the loss by a thousand. All
# of them see the same thing, the slope under their feet. What sets the edge, what does the slope not say, and what do
# momentum and Adam know that plain descent does not?
#
# [Chapter 2](02_backward.py) left us with gradients that we have reason to believe. A gradient says which way is down
# *here*. This chapter is about the other two things that training needs: what to go down on, and how far to go.

# %% tags=["setup"]
import math

import numpy as np

import minidl
from minidl.nn import functional as F

# %%
import matplotlib.pyplot as plt

from minidl import nn
from minidl.data import Digits
from minidl.tutor import choose

minidl.manual_seed(0)

# %% [markdown]
# ## The mathematics of losses: say what you believe
#
# A loss is not a matter of taste. Say how the data come about, and the loss follows: it is minus the logarithm of the
# probability that the model gives to what was seen. If targets are predictions plus normal noise,
# $y \sim \mathcal{N}(\hat{y}, \sigma^2)$, then
#
# $$-\log p(y) = \frac{(y - \hat{y})^2}{2\sigma^2} + \text{const},$$
#
# and minimising it is minimising the mean square. If the target is one of $V$ classes and the model gives a
# probability $p_k$ to each, then $-\log p(y) = -\log p_y$: the **cross-entropy**. A network gives any numbers $z_k$,
# the logits; $p_k = e^{z_k} / \sum_j e^{z_j}$ makes probabilities of them. Together
#
# $$L = -\log p_y = \log \sum_j e^{z_j} - z_y .$$
#
# Its gradient needs one line. The first term's derivative by $z_k$ is $e^{z_k} / \sum_j e^{z_j} = p_k$ (the last
# exercise of chapter 1), the second's is 1 at the target:
#
# $$\bar{z}_k = p_k - [\,k = y\,].$$
#
# What was said, minus what was true. We check it.

# %%
logits = minidl.randn(5, 3, requires_grad=True)
targets = minidl.tensor([0, 2, 1, 1, 0])
F.cross_entropy(logits, targets).backward()
p = F.softmax(logits.detach(), dim=-1)
assert minidl.allclose(logits.grad, (p - F.one_hot(targets, 3)) / 5, atol=1e-6)  # the mean over 5 samples

# %% [markdown]
# Why not the square, $(1 - p_y)^2$? Take two classes, so that $p = 1/(1 + e^{-u})$ for the target with $u$ the
# difference of the logits, and let the model be confidently wrong, $u = -8$. Since $\partial p/\partial u = p(1-p)$,
#
# $$\frac{\partial}{\partial u}(-\log p) = -(1 - p) \approx -1,
# \qquad \frac{\partial}{\partial u}(1-p)^2 = -2\,(1-p)\,p\,(1-p) \approx -2p \approx -0.0007 .$$
#
# The square punishes the error and hides the way out: where the model is most wrong the ground is flat.
# **Prediction:** gradient descent with $\eta = 1$ needs about 8 steps from $u = -8$ to $u = 0$ with the
# cross-entropy, and with the square, integrating $\dot{u} = 2e^{u}$, about $e^8/2 \approx 1500$.


# %%
def steps_to_zero(loss):
    u = minidl.tensor(-8.0, dtype=minidl.float64, requires_grad=True)
    for step in range(10_000):
        if u.item() >= 0:
            return step
        u.grad = None
        loss(minidl.sigmoid(u)).backward()
        with minidl.no_grad():
            u -= u.grad
    return math.inf


entropy, square = steps_to_zero(lambda p: -minidl.log(p)), steps_to_zero(lambda p: (1 - p) ** 2)
print(f"cross-entropy {entropy} steps, square {square} steps")
assert 8 <= entropy <= 11
assert 1300 < square < 1700

# %% [markdown]
# ## The mathematics of descent: the sharp edge
#
# Near a minimum every smooth loss is a bowl, $L = \frac12 \theta^\top \mathcal{H}\, \theta$ with the minimum put at 0
# and the second derivatives in $\mathcal{H}$. Its gradient is $\mathcal{H}\theta$. Look along one eigenvector, where
# $\mathcal{H}$ is just a number $\lambda$, the curvature. A step of gradient descent is
#
# $$\theta \leftarrow \theta - \eta\, \lambda\, \theta = (1 - \eta\lambda)\,\theta .$$
#
# Every step multiplies by the same number. It shrinks $\theta$ exactly if $|1 - \eta\lambda| < 1$, that is
# $\eta < 2/\lambda$. With several directions the **steepest** one sets the edge, $\eta < 2/\lambda_\text{max}$, and
# the **flattest** one sets the pace: along it each step gains only the factor $1 - \eta\lambda_\text{min}$. Taking
# $\eta$ at the edge, the pace is about $1 - 2/\kappa$, with the condition number
# $\kappa = \lambda_\text{max}/\lambda_\text{min}$. So descent needs steps in proportion to $\kappa$. Deep networks
# have $\kappa$ in the thousands and more.
#
# ### Momentum
#
# A ball would not stop to ask for directions at every step. Let $\mathbf{b}$ remember the gradients:
#
# $$\mathbf{b} \leftarrow \mu\, \mathbf{b} + \bar{\theta}, \qquad \theta \leftarrow \theta - \eta\, \mathbf{b}.$$
#
# Since $\eta\,\mathbf{b}_t = \theta_{t} - \theta_{t+1}$, we can get rid of $\mathbf{b}$. Along an eigenvector, with
# $\bar{\theta} = \lambda\theta$,
#
# $$\theta_{t+1} = \theta_t - \eta\lambda\,\theta_t + \mu\,(\theta_t - \theta_{t-1})
# = (1 + \mu - \eta\lambda)\,\theta_t - \mu\,\theta_{t-1}.$$
#
# Try $\theta_t = z^t$. It is a solution if $z^2 - (1 + \mu - \eta\lambda) z + \mu = 0$. The product of the two roots
# is $\mu$. Now the surprise: if the roots are a complex pair, they have the same size, so $|z|^2 = \mu$, and
#
# $$|z| = \sqrt{\mu}, \quad\text{whatever the curvature is, as long as}\quad
# (1 - \sqrt{\mu})^2 < \eta\lambda < (1 + \sqrt{\mu})^2 .$$
#
# Within this band the flat directions converge as fast as the steep ones. To fit all of $\lambda_\text{min}$ to
# $\lambda_\text{max}$ into it, we need $(1 + \sqrt\mu)/(1 - \sqrt\mu) = \sqrt{\kappa}$, hence
# $\sqrt{\mu} = (\sqrt\kappa - 1)/(\sqrt\kappa + 1) \approx 1 - 2/\sqrt\kappa$. The number of steps grows with
# $\sqrt\kappa$ instead of $\kappa$.
#
# In the picture each point is a choice of step and momentum, and its colour the factor gained per step: blue is fast,
# white is the edge beyond which all is lost. See that plain descent (the bottom line) is fast only near
# $\eta\lambda = 1$, that higher up a whole band is equally fast, and that the edge moves out to
# $\eta\lambda = 2(1 + \mu)$.

# %%
reach, memory = np.meshgrid(np.linspace(0.005, 4, 300), np.linspace(0, 0.99, 200))
root = np.sqrt((1 + memory - reach) ** 2 - 4 * memory + 0j)
factor = np.maximum(abs(1 + memory - reach + root), abs(1 + memory - reach - root)) / 2
fig, ax = plt.subplots(figsize=(6.5, 3.4))
picture = ax.pcolormesh(reach, memory, np.where(factor < 1, factor, np.nan), cmap="viridis", rasterized=True)
ax.plot((1 - np.sqrt(memory[:, 0])) ** 2, memory[:, 0], "w--", lw=1)
ax.plot((1 + np.sqrt(memory[:, 0])) ** 2, memory[:, 0], "w--", lw=1)
ax.set_xlim(0, 4)
ax.set_xlabel(r"step times curvature, $\eta\lambda$")
ax.set_ylabel(r"momentum $\mu$")
fig.colorbar(picture, label="factor per step")
fig.tight_layout()

# %% [markdown]
# ## The code, and the first experiment
#
# **Predictions** for a bowl with curvatures 1 and 100, so $\kappa = 100$ and the edge is at $\eta = 0.02$. With
# 0.0199 the steep direction shrinks by $|1 - 1.99| = 0.99$ a step, with 0.0201 it grows by 1.01: the same words as in
# the question. With the best momentum the length of $\theta$ shrinks by $\sqrt\mu = 9/11 = 0.818$ a step. We write
# descent by hand and then take minidl's.

# %%
curvature = minidl.tensor([1.0, 100.0], dtype=minidl.float64)


def descend(lr, mu=0.0, steps=200):
    """Momentum by hand; the path, one row a step."""
    theta, b, path = minidl.ones(2, dtype=minidl.float64), 0.0, []
    for _ in range(steps):
        g = curvature * theta  # the gradient of 0.5 (curvature θ²).sum()
        b = mu * b + g
        theta = theta - lr * b
        path.append(theta.tolist())
    return np.array(path)


def descend_minidl(optimizer, theta, steps=200):
    path = []
    for _ in range(steps):
        loss = 0.5 * (curvature * theta**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        path.append(theta.tolist())
    return np.array(path)


below, above = descend(0.0199), descend(0.0201)
print(f"steep direction after 200 steps: η = 0.0199 {abs(below[-1, 1]):.3f}, η = 0.0201 {abs(above[-1, 1]):.3f}")
assert math.isclose(abs(below[-1, 1]), 0.99**200, rel_tol=1e-6)
assert math.isclose(abs(above[-1, 1]), 1.01**200, rel_tol=1e-6)

mu, lr = (9 / 11) ** 2, (2 / 11) ** 2
theta = minidl.ones(2, dtype=minidl.float64, requires_grad=True)
theirs = descend_minidl(minidl.optim.SGD([theta], lr=lr, momentum=mu), theta)
assert np.allclose(theirs, descend(lr, mu))
length = np.linalg.norm(theirs, axis=1)
measured = (length[150] / length[50]) ** (1 / 100)
print(f"momentum: factor per step {measured:.3f}, predicted {math.sqrt(mu):.3f}")
assert abs(measured - math.sqrt(mu)) < 0.01


def needed(path):
    return int(np.argmax(np.linalg.norm(path, axis=1) < 1e-3))


plain, ball = needed(descend(2 / 101, steps=2000)), needed(descend(lr, mu, steps=2000))
print(f"steps to one thousandth: descent at its best {plain}, momentum at its best {ball}")
assert plain > 5 * ball

# %% [markdown]
# ### Noise: why learning rates are turned down
#
# Nobody computes the gradient of the whole training set for each step. A batch of $N$ samples gives the right
# gradient plus noise $\xi$ of variance $\sigma^2$, so along a direction with curvature $\lambda$ it is
# $\theta \leftarrow (1 - \eta\lambda)\theta - \eta\xi$. Noise and $\theta$ are independent, so variances add, and
# when they have settled
#
# $$v = (1 - \eta\lambda)^2\, v + \eta^2 \sigma^2 \quad\Longrightarrow\quad
# v = \frac{\eta\, \sigma^2}{\lambda\,(2 - \eta\lambda)} .$$
#
# With a constant learning rate, $\theta$ does not converge; it trembles around the minimum, and for small $\eta$ the
# variance is in proportion to $\eta$. **Prediction:** 4000 walkers with $\eta = 0.1$ settle at the variance of the
# formula, and turning $\eta$ down to 0.01 divides it by ten, nearly. This is the reason for schedules: walk fast,
# then turn down and settle.

# %%
walkers = minidl.full((4000,), 3.0, dtype=minidl.float64)
for lr in (0.1, 0.01):
    for _ in range(int(30 / lr)):
        walkers = walkers - lr * (walkers + 0.5 * minidl.randn(4000, dtype=minidl.float64))
    expected = lr * 0.25 / (2 - lr)
    print(f"η = {lr}: variance {walkers.var().item():.5f}, predicted {expected:.5f}")
    assert abs(walkers.var().item() / expected - 1) < 0.12

# %% [markdown]
# ## Adam: a ruler for every parameter
#
# Momentum needs one $\eta$ that suits all directions. But in a network some gradients are a thousand times larger
# than others, for no better reason than where they stand. The idea of Adagrad, RMSprop and Adam is to measure each
# parameter's step in units of its own gradient's usual size:
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \qquad
# \theta \leftarrow \theta - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon},$$
#
# all element by element. What are the hats? The averages start from 0, and after $t$ steps they have not filled up.
# Written out,
#
# $$m_t = (1 - \beta_1) \sum_{i=1}^{t} \beta_1^{\,t-i}\, g_i,
# \qquad\text{whose weights sum to}\qquad (1 - \beta_1)\,\frac{1 - \beta_1^{\,t}}{1 - \beta_1} = 1 - \beta_1^{\,t}.$$
#
# Dividing by that sum makes an average of it: $\hat m = m_t / (1 - \beta_1^t)$, $\hat v = v_t / (1 - \beta_2^t)$. At
# the first step $\hat m = g$ and $\hat v = g^2$, so the step is $\eta\, g/|g|$. **The first step of Adam is $\pm\eta$
# for every parameter, whatever its gradient.** And if the whole loss is multiplied by 1000, $m$ grows by 1000 and so
# does $\sqrt{v}$: the path stays the same, but for $\epsilon$.
#
# We test both on handwritten digits with a small network.

# %%
digits, held_out = Digits(train=True), Digits(train=False)


def arrays(pictures):
    return minidl.tensor(pictures.data.reshape(-1, 64) / 255, dtype=minidl.float32), minidl.tensor(pictures.targets)


inputs, labels = arrays(digits)
test_inputs, test_labels = arrays(held_out)


def fresh():
    minidl.manual_seed(1)
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def train(make, epochs=1, scale=1.0):
    """The trained model and its loss at each step; batches of 64."""
    model, losses = fresh(), []
    optimizer = make(model.parameters())
    for _ in range(epochs):
        for rows in minidl.randperm(len(labels)).split(64):
            loss = scale * F.cross_entropy(model(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item() / scale)
    return model, losses


model, before = fresh(), fresh()
optimizer = minidl.optim.Adam(model.parameters(), lr=1e-3)
F.cross_entropy(model(inputs), labels).backward()
optimizer.step()
w = model[0].weight
moved, slope = (w - before[0].weight).detach().abs(), w.grad.abs()
seen = slope > 1e-5  # pixels that are never inked have no gradient
print(f"gradients from {slope[seen].min().item():.1e} to {slope.max().item():.1e}")
print(f"steps     from {moved[seen].min().item():.6f} to {moved.max().item():.6f}")
assert minidl.allclose(moved[seen], minidl.full_like(moved[seen], 1e-3), rtol=2e-3)

paths = {}
for name, make in {
    "SGD": lambda p: minidl.optim.SGD(p, lr=0.1),
    "Adam": lambda p: minidl.optim.Adam(p, lr=0.003),
}.items():
    paths[name] = [train(make, scale=scale)[1] for scale in (1.0, 1000.0)]
    print(f"{name}: loss after an epoch {paths[name][0][-1]:.3f}, with the loss times 1000 {paths[name][1][-1]:.3g}")
assert abs(paths["Adam"][0][-1] - paths["Adam"][1][-1]) < 0.01
assert paths["SGD"][1][-1] > 10 * paths["SGD"][0][-1]

# %% [markdown]
# ### What Adam cannot see
#
# A ruler for every *parameter* is not a ruler for every *direction*. In a valley along an axis, Adam divides the
# curvatures away. Turn the valley by 45° and every parameter sees the same mixture of steep and flat; there is
# nothing left to divide by. Gradient descent does not care: its formula has no axes in it. **Predictions** for
# $\kappa = 1000$: turning changes the number of steps of plain descent by at most a few, and makes Adam several times
# slower.


# %%
def valley(angle, kappa=1000.0):
    """The Hessian of a valley whose flat direction is turned by an angle, and a start off its axis."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return minidl.tensor(turn @ np.diag([1.0, kappa]) @ turn.T), turn @ np.array([1.0, kappa**-0.5])


def walk(make, angle, tolerance=1e-3, most=5000):
    """Where it went, until the loss is a thousandth of the first."""
    hessian, start = valley(angle)
    theta = minidl.tensor(start, requires_grad=True)
    optimizer, path = make([theta]), []
    for _ in range(most):
        loss = 0.5 * theta @ hessian @ theta
        path.append((*theta.tolist(), loss.item()))
        if path[-1][-1] < tolerance * path[0][-1]:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.array(path)


makes = {
    "SGD": lambda p: minidl.optim.SGD(p, lr=1.8e-3),
    "momentum": lambda p: minidl.optim.SGD(p, lr=3e-3, momentum=0.9),
    "Adam": lambda p: minidl.optim.Adam(p, lr=0.05),
}
walks = {name: [walk(make, angle) for angle in (0.0, math.pi / 4)] for name, make in makes.items()}
steps = {name: [len(path) - 1 for path in pair] for name, pair in walks.items()}
for name, (along, turned) in steps.items():
    print(f"{name:9} along the axis {along:5} steps, turned by 45° {turned:5}")
assert abs(steps["SGD"][0] - steps["SGD"][1]) <= 3
assert steps["Adam"][1] > 3 * steps["Adam"][0]

# %% [markdown]
# On the left the first twenty steps in the valley along the axis, with the height stretched, from the dot to the
# cross: descent creeps along the floor, momentum swings across it and Adam, with equal steps in both directions, is
# soon there. On the right the loss, dashed in the turned valley. See that the blue lines lie on one another and so do
# the orange ones, while the two green ones part.

# %%
fig, (ax, curve) = plt.subplots(1, 2, figsize=(10, 3.6))
a, b = np.meshgrid(np.linspace(-0.1, 1.1, 120), np.linspace(-0.08, 0.06, 120))
ax.contour(a, b, np.log10(0.5 * (a**2 + 1000 * b**2) + 1e-2), levels=10, colors="lightgrey", linewidths=0.7)
for color, (name, (along, turned)) in zip(("tab:blue", "tab:orange", "tab:green"), walks.items()):
    ax.plot(along[:20, 0], along[:20, 1], ".-", lw=1, ms=4, color=color, label=name)
    curve.loglog(np.arange(1, len(along) + 1), along[:, 2], color=color, label=name)
    curve.loglog(np.arange(1, len(turned) + 1), turned[:, 2], "--", color=color)
ax.plot(*walks["SGD"][0][0, :2], "ko")
ax.plot(0, 0, "k+", ms=9)
ax.legend(fontsize=8, loc="lower left")
curve.set_xlabel("step")
curve.set_ylabel("loss")
curve.legend(fontsize=8)
fig.tight_layout()

# %% [markdown]
# ## The edge in a real network
#
# A network's loss is no bowl. Does $2/\lambda_\text{max}$ mean anything there? The Hessian of our network has
# $2410^2$ elements, but its largest eigenvalue can be had without writing it down: `minidl.inspect.hessian_spectrum`
# needs only products of the Hessian with vectors, which are the gradient's gradient of chapter 1. We train with Adam,
# measure $\lambda_\text{max}$ where it ends, and go on from there with plain descent on all of the data.
# **Prediction:** with $\eta = 1.9/\lambda_\text{max}$ the loss falls at every single step; with
# $2.4/\lambda_\text{max}$ it is thrown out.


# %%
def descent_from(model, lr, steps=80):
    """The losses of plain descent on all samples, on a copy of the model; and the sharpness where it ends."""
    copy, losses = fresh(), []
    copy.load_state_dict(model.state_dict())
    optimizer = minidl.optim.SGD(copy.parameters(), lr=lr)
    for _ in range(steps):
        loss = F.cross_entropy(copy(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses), sharpness(copy)


def sharpness(model):
    """The largest eigenvalue of the Hessian of the loss on all samples."""
    loss = lambda: F.cross_entropy(model(inputs), labels)
    return minidl.inspect.hessian_spectrum(loss, model, iterations=12, samples=1).largest


model, _ = train(lambda p: minidl.optim.Adam(p, lr=0.01), epochs=8)
with minidl.no_grad():
    right = (model(test_inputs).argmax(-1) == test_labels).float().mean().item()
steepest = sharpness(model)
print(f"trained: test accuracy {100 * right:.1f} %, largest curvature {steepest:.3f}, edge at {2 / steepest:.2f}")
inside, flat_inside = descent_from(model, 1.9 / steepest)
outside, flat_outside = descent_from(model, 2.4 / steepest)
for name, losses, flat, part in (("1.9/λ", inside, flat_inside, 1.9), ("2.4/λ", outside, flat_outside, 2.4)):
    print(f"{name}: loss {losses[0]:.3f}, highest {losses.max():.3f}, at the end {losses[-1]:.3f}; ", end="")
    print(f"curvature there {flat:.3f}, allowed {2 * steepest / part:.3f}")
assert (np.diff(inside) < 0).all()
assert outside.max() > 5 * outside[0]

# %% [markdown]
# The number that we derived for a parabola tells on which side of the edge a network stands. And then comes something
# that a parabola cannot do: the run that was thrown out comes back. It has landed where the ground is *flatter*,
# below the curvature $2/\eta$ that its learning rate allows. A large learning rate does not only walk faster, it
# decides where one can stay.
#
# In the left picture see the orange line leave, fly, and come down. On the right is the loss on a plane through the
# trained weights, in two random directions, each filter's as long as the filter itself (Li et al. 2018). It is a wide
# bowl; but these are two of 2410 directions, and most of those are flat.

# %%
surface = minidl.inspect.loss_surface(
    model, lambda m: F.cross_entropy(m(inputs[:300]), labels[:300]), steps=choose(13, 41)
)
fig, (ax, plane) = plt.subplots(1, 2, figsize=(10, 3.6))
ax.semilogy(inside, label=r"$\eta = 1.9/\lambda_{\max}$")
ax.semilogy(outside, label=r"$\eta = 2.4/\lambda_{\max}$")
ax.set_xlabel("step of plain descent")
ax.set_ylabel("loss")
ax.legend()
surface.plot(plane)
fig.tight_layout()

# %% [markdown]
# An optimiser of minidl's is a starting state and an update on arrays, which it changes in place. This is momentum
# again, as a class:


# %%
class Momentum(minidl.optim.Optimizer):
    def __init__(self, params, lr=0.1, mu=0.9):
        super().__init__(params, {"lr": lr, "mu": mu})

    def start(self, x, group):
        return {"b": np.zeros_like(x)}

    def update(self, x, g, state, group):
        state["b"] *= group["mu"]
        state["b"] += g
        x -= group["lr"] * state["b"]


theta = minidl.ones(2, dtype=minidl.float64, requires_grad=True)
assert np.allclose(descend_minidl(Momentum([theta], lr=(2 / 11) ** 2, mu=(9 / 11) ** 2), theta), theirs)

# %% [markdown]
# ## Exercises

# %% [markdown] tags=["exercise", "cross_entropy_gradient"]
# ### Exercise 1: what was said minus what was true
#
# `cross_entropy_gradient(logits, targets)` gets a NumPy array of shape $(N, V)$ and $N$ integers. Return the
# gradient, of the shape of the logits, of the **mean** over the samples of the cross-entropy. Logits may be as large
# as 1000. For logits `[[0, 0]]` and target `[1]` it is `[[0.5, -0.5]]`.


# %% tags=["exercise", "cross_entropy_gradient"]
def cross_entropy_gradient(logits, targets):
    """The gradient of the mean cross-entropy, (N, V), of logits (N, V) and targets (N,), by the logits."""
    # --- solution
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(targets)), targets] -= 1
    return p / len(targets)
    # --- end


# %% [markdown] tags=["hint", "cross_entropy_gradient"]
# The mathematics of losses has it for one sample. What does the mean do to it?

# %% [markdown] tags=["hint", "cross_entropy_gradient"]
# Subtract each row's largest logit before taking exponentials; the probabilities do not change.
# `p[np.arange(N), targets]` picks one element a row.


# %% tags=["wrong", "cross_entropy_gradient"]
def cross_entropy_gradient_of_sum(logits, targets):
    """Forgets that the loss is a mean over the samples."""
    return len(targets) * cross_entropy_gradient(logits, targets)


def cross_entropy_gradient_mean_of_all(logits, targets):
    """Takes the mean over all elements, classes too."""
    return cross_entropy_gradient(logits, targets) / logits.shape[1]


def cross_entropy_gradient_sign(logits, targets):
    """Gives what was true minus what was said, which climbs."""
    return -cross_entropy_gradient(logits, targets)


def cross_entropy_gradient_target_only(logits, targets):
    """Believes that only the target's logit matters, and leaves out the other classes."""
    g = cross_entropy_gradient(logits, targets)
    return np.where(np.arange(logits.shape[1]) == np.asarray(targets)[:, None], g, 0.0)


def cross_entropy_gradient_overflows(logits, targets):
    """Takes exponentials of the logits as they are."""
    with np.errstate(all="ignore"):
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (p - (np.arange(logits.shape[1]) == np.asarray(targets)[:, None])) / len(targets)


def cross_entropy_gradient_wrong_axis(logits, targets):
    """Normalises over the samples of the batch instead of the classes."""
    p = np.exp(logits - logits.max(axis=0))
    p = p / p.sum(axis=0)
    return (p - (np.arange(logits.shape[1]) == np.asarray(targets)[:, None])) / len(targets)


# %% tags=["check", "cross_entropy_gradient"]
def check_cross_entropy_gradient(cross_entropy_gradient):
    """Random logits, small and large, against the gradient of minidl's cross_entropy."""
    rng = np.random.default_rng(1)
    for n, v, size in [(1, 2, 1), (3, 4, 1), (5, 3, 5), (1, 1, 1), (7, 10, 2), (4, 3, 1000)]:
        array = size * rng.standard_normal((n, v))
        targets = rng.integers(0, v, n)
        x = minidl.tensor(array, requires_grad=True)
        F.cross_entropy(x, minidl.tensor(targets)).backward()
        wanted = x.grad.numpy()
        got = np.asarray(cross_entropy_gradient(array.copy(), targets.copy()))
        said = f"for logits {array.round(2).tolist()} and targets {targets.tolist()}"
        assert got.shape == (n, v), f"{said} the gradient has the shape {got.shape}; it should be {(n, v)}"
        assert np.isfinite(got).all(), f"{said} the gradient is {got.tolist()}: an exponential was too large"
        assert np.allclose(got, wanted, atol=1e-6), (
            f"{said} got {got.round(4).tolist()}, not {wanted.round(4).tolist()}"
        )


# %% [markdown] tags=["exercise", "adam"]
# ### Exercise 2: Adam by hand
#
# `adam(theta, gradients, lr, betas, eps)` gets a NumPy array and a list of gradients of its shape, one a step, and
# returns the array after these steps of Adam, by the formulas above. Leave the given arrays as they are. With
# $\theta = 1$, one gradient of $-5$ and $\eta = 0.1$ the result is $1.1$.


# %% tags=["exercise", "adam"]
def adam(theta, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """`theta` after one step of Adam for each of `gradients`."""
    # --- solution
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        theta = theta - lr * m_hat / (np.sqrt(v_hat) + eps)
    return theta
    # --- end


# %% [markdown] tags=["hint", "adam"]
# Two arrays of zeros, $m$ and $v$, live through the loop. $t$ begins at 1.

# %% [markdown] tags=["hint", "adam"]
# The hats are for this step only: do not write them back into $m$ and $v$. And $\epsilon$ is added after the root.


# %% tags=["wrong", "adam"]
def adam_no_correction(theta, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """Leaves out the hats, so that the first steps are too large."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for g in gradients:
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        theta = theta - lr * m / (np.sqrt(v) + eps)
    return theta


def adam_keeps_the_hats(theta, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """Writes the corrected averages back, and corrects them again in the next step."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = (betas[0] * m + (1 - betas[0]) * g) / (1 - betas[0] ** t)
        v = (betas[1] * v + (1 - betas[1]) * g**2) / (1 - betas[1] ** t)
        theta = theta - lr * m / (np.sqrt(v) + eps)
    return theta


def adam_eps_under_the_root(theta, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """Adds ε under the root."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        theta = theta - lr * m / (1 - betas[0] ** t) / np.sqrt(v / (1 - betas[1] ** t) + eps)
    return theta


def adam_variance(theta, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """Takes v for the variance, the mean square of the distance from m, instead of the mean square."""
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * (g - m) ** 2
        theta = theta - lr * m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return theta


def adam_in_place(theta, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """Right numbers, but written into the array that was given."""
    theta -= theta - adam(theta, gradients, lr, betas, eps)
    return theta


# %% tags=["check", "adam"]
def check_adam(adam):
    """Random gradients of several shapes and settings, against minidl's Adam in float64."""
    rng = np.random.default_rng(2)
    for shape, steps, lr, betas, eps in [
        ((), 1, 0.1, (0.9, 0.999), 1e-8),
        ((3,), 2, 0.1, (0.9, 0.999), 1e-8),
        ((2, 3), 7, 0.01, (0.5, 0.9), 1e-3),
        ((4, 1), 30, 0.001, (0.0, 0.99), 0.1),
        ((0,), 2, 0.1, (0.9, 0.999), 1e-8),
        ((5,), 0, 0.1, (0.9, 0.999), 1e-8),
    ]:
        start = rng.standard_normal(shape)
        gradients = [rng.standard_normal(shape) for _ in range(steps)]
        x = minidl.tensor(start, requires_grad=True)
        optimizer = minidl.optim.Adam([x], lr=lr, betas=betas, eps=eps)
        for g in gradients:
            x.grad = minidl.tensor(g)
            optimizer.step()
        given = np.array(start)
        got = np.asarray(adam(given, [g.copy() for g in gradients], lr, betas, eps))
        settings = f"shape {shape}, {steps} steps, lr={lr}, betas={betas}, eps={eps}"
        assert np.array_equal(given, start), f"{settings}: the array that was given was changed; make a new one"
        assert got.shape == shape, f"{settings}: the result has the shape {got.shape}"
        wanted = x.detach().numpy()
        off = np.abs(got - wanted).max(initial=0)
        assert np.allclose(got, wanted, rtol=1e-6, atol=1e-9), f"{settings}: off by up to {off:.3g} from minidl's Adam"


# %% [markdown] tags=["exercise", "Lion"]
# ### Exercise 3: an optimiser that a machine found
#
# In 2023 a program that searched through programs came up with Lion, which keeps one average and steps by signs only.
# Write it as a `minidl.optim.Optimizer` with the settings `lr`, `betas` and `decay`:
#
# $$u = \operatorname{sign}\big(\beta_1 m + (1 - \beta_1)\, g\big), \qquad
# \theta \leftarrow \theta - \eta\,(u + \lambda\theta),
# \qquad m \leftarrow \beta_2 m + (1 - \beta_2)\, g,$$
#
# from $m = 0$, in this order, where `decay` is $\lambda$ and $\theta$ on the right is always the one before the step.
# The class `Momentum` above shows the form; `update` must change `x` and the arrays in `state` in place.


# %% tags=["exercise", "Lion"]
class Lion(minidl.optim.Optimizer):
    """Sign steps along a mixture of the mean gradient and the newest (Chen et al. 2023)."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "decay": decay})

    def start(self, x, group):
        # --- solution
        return {"m": np.zeros_like(x)}
        # --- end

    def update(self, x, g, state, group):
        # --- solution
        m, (beta1, beta2) = state["m"], group["betas"]
        u = np.sign(beta1 * m + (1 - beta1) * g)
        x -= group["lr"] * (u + group["decay"] * x)
        m += (1 - beta2) * (g - m)
        # --- end


# %% [markdown] tags=["hint", "Lion"]
# `start` returns a dict with one array of zeros like `x`; it is what `update` finds in `state`.

# %% [markdown] tags=["hint", "Lion"]
# `m = beta2 * m + …` makes a new array, and the state keeps the old one. `m *= beta2` and then `m += …` write into
# it. Which of the two averages does the sign see, the one before or the one after this step?


# %% tags=["wrong", "Lion"]
class LionMeanFirst(Lion):
    """Updates the mean first, so that the sign sees the gradient twice."""

    def update(self, x, g, state, group):
        m, (beta1, beta2) = state["m"], group["betas"]
        m += (1 - beta2) * (g - m)
        x -= group["lr"] * (np.sign(beta1 * m + (1 - beta1) * g) + group["decay"] * x)


class LionOneBeta(Lion):
    """Uses the first decay rate for both averages."""

    def update(self, x, g, state, group):
        m, beta = state["m"], group["betas"][0]
        x -= group["lr"] * (np.sign(beta * m + (1 - beta) * g) + group["decay"] * x)
        m += (1 - beta) * (g - m)


class LionForgets(Lion):
    """Makes a new mean instead of changing the one in the state, which stays 0 for ever."""

    def update(self, x, g, state, group):
        m, (beta1, beta2) = state["m"], group["betas"]
        x -= group["lr"] * (np.sign(beta1 * m + (1 - beta1) * g) + group["decay"] * x)
        m = beta2 * m + (1 - beta2) * g


class LionPenalty(Lion):
    """Puts the decay into the gradient, as an L2 penalty, where the sign swallows its size."""

    def update(self, x, g, state, group):
        g = g + group["decay"] * x
        m, (beta1, beta2) = state["m"], group["betas"]
        x -= group["lr"] * np.sign(beta1 * m + (1 - beta1) * g)
        m += (1 - beta2) * (g - m)


class LionNewArray(Lion):
    """Computes the new parameter into an array of its own, and the parameter never moves."""

    def update(self, x, g, state, group):
        m, (beta1, beta2) = state["m"], group["betas"]
        x = x - group["lr"] * (np.sign(beta1 * m + (1 - beta1) * g) + group["decay"] * x)
        m += (1 - beta2) * (g - m)


# %% tags=["check", "Lion"]
def check_Lion(Lion):  # noqa: N802
    """Two parameters in groups with settings of their own, random gradients, against the formulas in NumPy."""
    rng = np.random.default_rng(3)
    for shapes, steps in [(((3,), (2, 2)), 1), (((), (4, 1)), 2), (((5,), (0,)), 12), (((7,), (1, 3)), 40)]:
        starts = [rng.standard_normal(shape) for shape in shapes]
        tensors = [minidl.tensor(start, requires_grad=True) for start in starts]
        settings = [
            {"lr": 0.1, "betas": (0.9, 0.99), "decay": 0.0},
            {"lr": 0.03, "betas": (0.6, 0.8), "decay": 0.5},
        ]
        optimizer = Lion([{"params": [t], **given} for t, given in zip(tensors, settings)])
        expected, means = [np.array(start) for start in starts], [np.zeros(shape) for shape in shapes]
        for step in range(1, steps + 1):
            for k, given in enumerate(settings):
                g = rng.standard_normal(shapes[k])
                tensors[k].grad = minidl.tensor(g)
                b1, b2 = given["betas"]
                direction = np.sign(b1 * means[k] + (1 - b1) * g)
                expected[k] = expected[k] - given["lr"] * (direction + given["decay"] * expected[k])
                means[k] = b2 * means[k] + (1 - b2) * g
            optimizer.step()
            for k, given in enumerate(settings):
                off = np.abs(tensors[k].detach().numpy() - expected[k]).max(initial=0)
                assert off < 1e-6, (
                    f"after step {step} with {given} and shape {shapes[k]} the parameter is off by up to {off:.3g}"
                    + (": it has not moved" if np.array_equal(tensors[k].detach().numpy(), starts[k]) else "")
                )


# %% [markdown]
# ## What PyTorch does differently
#
# - Update rules and defaults are the same, and so are the state dicts: a training run saved there goes on here.
#   PyTorch's SGD, too, multiplies the *sum* $\mathbf{b}$ by $\eta$; Polyak's and Sutskever's form has $\eta$ inside
#   the sum, which differs as soon as a schedule changes $\eta$.
# - PyTorch has three implementations of each optimiser, chosen by `foreach=` and `fused=`; minidl takes these
#   arguments and has one kernel for each backend.
# - An optimiser of one's own overrides `step` there and walks over groups and parameters itself. `start` and `update`
#   are minidl's.
# - `CrossEntropyLoss` takes logits and targets as integers or as probabilities in both; neither applies a softmax of
#   yours first, and applying one before it is a common mistake that still trains, slowly.
#
# ## Sources
#
# - B. T. Polyak, *Some methods of speeding up the convergence of iteration methods*, USSR Computational Mathematics
#   and Mathematical Physics 4 (1964): momentum and its best values.
# - G. Goh, *Why momentum really works*, Distill (2017): the phases of the second-order equation, in pictures that
#   move.
# - J. Duchi, E. Hazan, Y. Singer, *Adaptive subgradient methods*, JMLR 12 (2011); D. P. Kingma, J. Ba, *Adam*, ICLR
#   2015, section 3 for the correction; I. Loshchilov, F. Hutter, *Decoupled weight decay regularization*, ICLR 2019.
# - I. Sutskever et al., *On the importance of initialization and momentum in deep learning*, ICML 2013.
# - J. Cohen et al., *Gradient descent on neural networks typically occurs at the edge of stability*, ICLR 2021; A.
#   Lewkowycz et al., *The large learning rate phase of deep learning: the catapult mechanism* (2020).
# - H. Li et al., *Visualizing the loss landscape of neural nets*, NeurIPS 2018; X. Chen et al., *Symbolic discovery
#   of optimization algorithms*, NeurIPS 2023.
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning* (2016), sections 6.2 (losses) and 8.3 to 8.5 (optimisers).
#
# We can now train whatever we can write down; the next chapter writes down the first layer that knows something about
# its data, the convolution.
