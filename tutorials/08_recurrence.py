# %% [markdown]
# # 8. Recurrence and vanishing gradients
#
# **The question.** Show a network sixteen letters and ask it afterwards which was the first. A recurrent network
# reads letter after letter with the same few weights and carries a state along, so nothing forbids it to keep that
# letter: two bits, in thirty-two numbers. Eight letters it learns in a second. Sixteen it does not learn at all,
# however long we wait, and the loss gives no sign of why. Where does the learning stop, and can we say beforehand,
# with pen and paper, after how many letters?
#
# In the chapters before, depth was a number of layers that we chose, and chapter 6 showed that forty plain layers
# train worse than four. Here the depth is the length of the text, and all layers are the *same* layer. That makes
# the matter worse, and simple enough to be computed.

# %% tags=["setup"]
import numpy as np

import minidl
from minidl import models, nn, optim
from minidl.nn import functional as F
from minidl.nn import init
from minidl.tutor import choose

# %%
import matplotlib.pyplot as plt

minidl.set_num_threads(1)  # the arrays are small: one thread is quickest

# %% [markdown]
# ## The mathematics: one layer, unrolled
#
# At time $t$ the network sees $X_t$, of shape $(N, D_\text{in})$, and its own state $H_{t-1}$, of shape $(N, D)$:
#
# $$A_t = X_t W_\text{ih}^\top + H_{t-1} W_\text{hh}^\top + \mathbf{b}, \qquad H_t = \tanh(A_t), \qquad t = 1, \dots, T.$$
#
# There are $T$ steps and one set of weights. Write the steps one below the other and forget that the weights are
# shared: what we see is a feed-forward network of $T$ layers, and the rules of chapter 1 hold. Three of them are all
# that we need.
#
# **A value used twice receives two gradients.** $H_t$ goes to the loss (through whatever reads it at time $t$; call
# that share $G_t$) and into step $t+1$:
#
# $$\bar{H}_t = G_t + \bar{A}_{t+1} W_\text{hh}.$$
#
# **The tanh** multiplies by its slope, which its own output gives: $\bar{A}_t = \bar{H}_t \odot (1 - H_t \odot H_t)$.
#
# **Weights used $T$ times receive $T$ gradients**, each that of a linear layer:
#
# $$\bar{W}_\text{hh} = \sum_{t=1}^{T} \bar{A}_t^\top H_{t-1}, \qquad \bar{W}_\text{ih} = \sum_{t=1}^{T} \bar{A}_t^\top X_t,
# \qquad \bar{\mathbf{b}} = \sum_{t=1}^{T} \bar{A}_t^\top \mathbf{1}.$$
#
# The first line needs $\bar{A}_{t+1}$ to give $\bar{H}_t$, so it is computed from the last step to the first. This is
# *backpropagation through time*. It is no new algorithm, only the old one on an unrolled graph.
#
# ## The code, by hand


# %% tags=["setup"]
def run(xs, h, w_ih, w_hh, b):
    """States h_0 … h_T, (T + 1, N, D), of inputs (T, N, D_in), in NumPy."""
    hs = [h]
    for x in xs:
        hs.append(np.tanh(x @ w_ih.T + hs[-1] @ w_hh.T + b))
    return np.stack(hs)


# %%
def back(xs, hs, w_hh, gs):
    """Gradients of w_ih, w_hh, b and the inputs' shares a_t, given each state's own gradient gs (T, N, D)."""
    a_next, shares = np.zeros_like(hs[0]), []
    for t in range(len(xs), 0, -1):
        h_bar = gs[t - 1] + a_next @ w_hh  # what reads h_t, and what came back from step t + 1
        a_next = h_bar * (1 - hs[t] ** 2)
        shares.append(a_next)
    a = np.stack(shares[::-1])
    return np.einsum("tni,tnj->ij", a, xs), np.einsum("tni,tnj->ij", a, hs[:-1]), a.sum((0, 1)), a


minidl.manual_seed(8)
layer = nn.RNN(3, 5, dtype=minidl.float64)
x, g = minidl.randn(7, 2, 3, dtype=minidl.float64), minidl.randn(7, 2, 5, dtype=minidl.float64)
y, _ = layer(x)
(y * g).sum().backward()

w_ih, w_hh, b_ih, b_hh = (p.detach().numpy() for p in layer.parameters())
hs = run(x.numpy(), np.zeros((2, 5)), w_ih, w_hh, b_ih + b_hh)
by_hand = back(x.numpy(), hs, w_hh, g.numpy())
for name, ours, theirs in zip(("W_ih", "W_hh", "b"), by_hand, layer.parameters()):
    print(f"{name:5} largest difference from nn.RNN {abs(ours - theirs.grad.numpy()).max():.1e}")
    assert np.allclose(ours, theirs.grad.numpy())

# %% [markdown]
# ## The mathematics: a product of Jacobians
#
# Now follow one gradient alone. Suppose that only the last state is read, and ask what $\mathbf{h}_t$ receives. Going
# one step back means multiplying by the step's Jacobian, which for one sample is
#
# $$J_t = \frac{\partial \mathbf{h}_t}{\partial \mathbf{h}_{t-1}} = \operatorname{diag}(1 - \mathbf{h}_t^2)\, W_\text{hh},
# \qquad \bar{\mathbf{h}}_t = J_{t+1}^\top J_{t+2}^\top \cdots J_T^\top\, \bar{\mathbf{h}}_T.$$
#
# There are $T - t$ factors, and each contains the same matrix. For one unit it would be a number to a power. For a
# matrix we need to know by how much it stretches a vector: at most by its largest **singular value**
# $\sigma_\text{max}$. The slope of tanh is at most 1, so
#
# $$\lVert \bar{\mathbf{h}}_t \rVert \le \sigma_\text{max}^{\,T-t}\, \lVert \bar{\mathbf{h}}_T \rVert .$$
#
# If $\sigma_\text{max} < 1$, the gradient *must* vanish. If $\sigma_\text{max} > 1$ it may explode: the bound no
# longer forbids it. Nothing here says that it will. How much lies between "may" and "will"? Let us take a random
# matrix, as at the start of training: entries independent, with mean 0 and variance $g^2/D$. For any fixed vector
# $\mathbf{v}$
#
# $$\mathbb{E}\,\lVert W^\top \mathbf{v} \rVert^2 = \sum_j \mathbb{E}\Big(\sum_i W_{ij} v_i\Big)^2
# = \sum_j \frac{g^2}{D} \sum_i v_i^2 = g^2\, \lVert \mathbf{v} \rVert^2 ,$$
#
# so a vector that has nothing to do with the matrix is stretched by $g$, while theory (Marchenko and Pastur) puts
# $\sigma_\text{max}$ near $2g$. For $g$ between ½ and 1 the bound says that gradients may explode; the mean says that
# they vanish. **Prediction:** the mean is right, and $g = 0.9$ loses about a tenth of the norm a step, although
# $\sigma_\text{max}$ is near 1.8.


# %%
def powers(w, steps=60):
    """Norms of a unit vector after 0, 1, … multiplications by the transpose of w."""
    v = np.random.default_rng(0).standard_normal(len(w))
    v, norms = v / np.linalg.norm(v), []
    for _ in range(steps + 1):
        norms.append(np.linalg.norm(v))
        v = w.T @ v
    return np.array(norms)


rng = np.random.default_rng(1)
random = 0.9 * rng.standard_normal((400, 400)) / np.sqrt(400)
orthogonal = np.linalg.qr(rng.standard_normal((400, 400)))[0]
leaning = np.array([[0.8, 3.0], [0.0, 0.8]])
matrices = {
    "orthogonal": orthogonal,
    "orthogonal, times 1.1": 1.1 * orthogonal,
    "random, g = 0.9": random,
    "[[0.8, 3], [0, 0.8]]": leaning,
}
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for name, w in matrices.items():
    norms = powers(w)
    top, radius = np.linalg.svd(w)[1][0], abs(np.linalg.eigvals(w)).max()
    print(
        f"{name:22} largest singular value {top:.2f}, largest |eigenvalue| {radius:.2f}, norm after 60 steps {norms[-1]:.1e}"
    )
    ax.semilogy(norms, label=name)
ax.set(xlabel="steps back", ylabel="norm of the gradient")
ax.legend()
rate = (powers(random)[60] / powers(random)[20]) ** (1 / 40)
print(f"the random matrix: {rate:.3f} a step; its bound is {np.linalg.svd(random)[1][0]:.2f}")
assert 0.8 < rate < 1 < np.linalg.svd(random)[1][0], "the bound on σ would have let it explode"

# %% [markdown]
# Two matrices here have a largest singular value far above 1 and lose their gradients all the same. The fourth, which
# even begins by blowing the gradient up, shows why: one step is ruled by singular values, but many steps with one
# matrix by its *eigenvalues*, because $W^n$ has the eigenvalues $\lambda^n$. Those of a random matrix lie in a disc
# of radius $g$ (the circular law), with few stragglers; the largest, 0.95 here, is what the norm follows in the end,
# and so it loses a little less than a tenth. Only for an orthogonal matrix do singular values and eigenvalues agree
# in size, all of them 1; we shall use that below.
#
# Something else vanishes in a product, and is noticed less. Even where the norm survives, the singular values of
# $J_{t+1} \cdots J_T$ drift apart, so that what arrives lies in fewer and fewer directions:

# %%
critical = rng.standard_normal((64, 64)) / np.sqrt(64)  # g = 1: the mean norm stays
for steps in (1, 5, 20, 80):
    values = np.linalg.svd(np.linalg.matrix_power(critical, steps))[1]
    print(
        f"after {steps:2} steps {np.sum(values > values[0] / 100):2} of 64 directions arrive with 1 % of the strongest or more"
    )

# %% [markdown]
# ## An experiment that can fail: predicting the forgetting of nn.RNN
#
# PyTorch, and minidl with it, draws $W_\text{hh}$ evenly from $\pm 1/\sqrt{D}$. An even distribution on $\pm a$ has
# variance $a^2/3$, so here $g^2/D = 1/(3D)$ and
#
# $$g = 1/\sqrt{3} = 0.577\ldots$$
#
# whatever the width. The slopes of tanh take a little more away: on average the squared norm is also multiplied by
# the mean of $(1 - h^2)^2$. **Prediction**, made before any network is built: in every default `nn.RNN`, a gradient
# loses a factor of $\sqrt{\tfrac13\, \overline{(1 - h^2)^2}}$, a little below 0.577, with every step. After 10 steps
# half a per cent is left, after 160 it is below what float32 can hold. `models.gradients_along_time` measures
# $\lVert \partial L_T / \partial \mathbf{x}_t \rVert$ for each $t$.

# %%
minidl.manual_seed(0)
V, D, T = 20, 256, 200
tokens = minidl.randint(0, V, (16, T + 1))
model = models.CharRNN(V, 32, D, kind="rnn")
seen, _ = model.recurrent(model.embedding(tokens[:, :-1]))
predicted = float(((1 - seen.detach().numpy() ** 2) ** 2).mean() / 3) ** 0.5
along = models.gradients_along_time(model, tokens).numpy()
measured = (along[-61] / along[-1]) ** (1 / 60)  # from the loss 60 steps back
print(f"predicted {predicted:.3f} a step, measured {measured:.3f}")
assert abs(measured / predicted - 1) < 0.03

init.orthogonal_(model.recurrent.weight_hh_l0)
along_orthogonal = models.gradients_along_time(model, tokens).numpy()
back_in_time = np.arange(T, 0, -1)
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.semilogy(back_in_time, along, label="default")
ax.semilogy(back_in_time, along[-1] * predicted ** (back_in_time - 1), "k:", label=f"predicted, {predicted:.3f} a step")
ax.semilogy(back_in_time, along_orthogonal, label="orthogonal $W_{hh}$")
ax.axhline(2.0**-126, color="grey", lw=0.7)
ax.set(xlabel="steps before the loss", ylabel="gradient of the input")
ax.legend()
print(f"inputs of the default network whose gradient is exactly 0: {(along == 0).sum()} of {T}")
assert (along == 0).any()
assert along_orthogonal.min() > 0

# %% [markdown]
# The line was drawn before the curve, and the curve lies on it over forty powers of ten, down to where float32 ends
# (grey: below it numbers lose digits, and then become 0). The orthogonal matrix loses only what the tanh takes.
#
# ## Does it matter? The first letter of many
#
# A small gradient is not a missing one; Adam divides by its size anyway (chapter 3), so why should a factor of
# $0.55^{16} = 10^{-4}$ hurt? Because the weights are shared. $\bar{W}_\text{hh}$ is a sum over all steps, and the
# terms of the last steps, which carry the noise of fifteen letters that do not matter, are ten thousand times as
# large as the term of the one that does. Dividing the sum by its size does not separate them. **Prediction:** default
# weights learn 8 letters and stay at chance, 25 %, for 16; orthogonal ones learn both. Nothing else is changed,
# neither the learning rate nor the number of weights.


# %%
def recall(length, orthogonal=False, window=None, seed=0, steps=300):
    """Train a CharRNN to name the first of ``length`` letters after the last; its accuracy over the last 25 batches."""
    minidl.manual_seed(seed)
    model = models.CharRNN(4, 8, 32, kind="rnn")
    if orthogonal:
        init.orthogonal_(model.recurrent.weight_hh_l0)
    optimizer, right = optim.Adam(model.parameters(), lr=3e-3), []
    for _ in range(steps):
        tokens, state = minidl.randint(0, 4, (32, length)), None
        for begin in range(0, length, window or length):
            kept = None if state is None else state.detach()  # the state goes on, its gradient does not
            logits, state = model.run(tokens[:, begin : begin + (window or length)], kept)
        loss = F.cross_entropy(logits[:, -1], tokens[:, 0])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        right.append((logits[:, -1].argmax(1) == tokens[:, 0]).float().mean().item())
    return float(np.mean(right[-25:]))


results = {}
for length in choose((8, 16), (8, 12, 16, 24, 32)):
    results[length] = recall(length), recall(length, orthogonal=True)
    print(f"{length:2} letters: default {results[length][0]:4.0%}, orthogonal {results[length][1]:4.0%}")
assert results[8][0] > 0.9
assert results[16][0] < 0.5 < 0.8 < results[16][1]

# %% [markdown]
# ## Cutting the past: truncated backpropagation
#
# A text of a million letters cannot be unrolled as a whole. So one reads it in windows, hands the *state* on from
# each to the next, and lets gradients end at the window's edge, with one word: `detach`. That is what `CharRNN.carry`
# and `minidl.text.Streams` do. The gradient is then not the true one: each term that reaches further back than its
# window is left out. Of a gradient that falls by 0.55 a step, a window of 16 leaves out nearly nothing. What does it
# leave out of a network that *can* look back?
#
# The orthogonal network has just learnt 16 letters. Give it the same 16 in four windows of 4. The last state still
# depends on the first letter, and with an orthogonal matrix not weakly. **Prediction:** back to chance, since no
# gradient tells any weight to care.

# %%
for window in choose((4,), (8, 4, 2, 1)):
    cut = recall(16, orthogonal=True, window=window)
    print(f"whole: {results[16][1]:.0%}; in windows of {window}, state handed on: {cut:.0%}; chance: 25%")
    assert cut < 0.8 < results[16][1]

# %% [markdown]
# The prediction is half wrong, and that half teaches more. The task is not learnt, but about half the answers are
# right, and no gradient has ever reached the first letter. An orthogonal matrix carries that letter to the end
# without having been taught to, turned about and mixed with the others, and the last window's gradient suffices to
# learn *reading* it there. (Networks that rely on this entirely, with a recurrence that is never trained, are called
# echo state networks.) What a gradient that ends at the window cannot do is teach the state *what to keep*. That is
# why truncation works on texts, better than it should, and why the window's length is still a decision about what can
# be learnt.
#
# ## The other side: a wall in the loss
#
# When factors are above 1, gradients explode, and one step of descent undoes an hour. One unit is enough to see how
# that looks: $h_t = \tanh(w h_{t-1} + b)$, fifty times from $h_0 = -\tfrac12$, and the loss $(h_{50} + 0.4)^2$. For
# $w > 1$ such a unit has two states in which it can rest, one negative and one positive. As $b$ grows the negative
# one rises toward $-0.4$, the loss falls, and all is well, until the negative state ceases to exist: the unit tips
# over to the positive one. Fifty steps make that a cliff.


# %%
def unit(w, b, steps=50):
    h = w * 0 - 0.5
    for _ in range(steps):
        h = (w * h + b).tanh()
    return (h + 0.4) ** 2


def descend(clip, start=(1.9, 0.0), lr=0.05, steps=80):
    w, b = (minidl.tensor(v, dtype=minidl.float64, requires_grad=True) for v in start)
    optimizer, path = optim.SGD([w, b], lr=lr), []
    for _ in range(steps):
        loss = unit(w, b)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_([w, b], clip if clip else np.inf).item()
        path.append((w.item(), b.item(), loss.item(), norm))
        optimizer.step()
    return np.array(path)


free, clipped = descend(None), descend(1.0)
for name, path in (("without clipping", free), ("clipped to 1", clipped)):
    print(f"{name}: largest gradient {path[:, 3].max():.0f}, final loss {path[-1, 2]:.4f}, b = {path[-1, 1]:.1f}")
assert clipped[-1, 2] < 0.1 < 0.3 < free[-1, 2]

ws, bs = minidl.linspace(0.6, 2.0, 141), minidl.linspace(-0.2, 0.6, 161)
surface = unit(ws.reshape(1, -1), bs.reshape(-1, 1)).numpy()
fig, ax = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
shown = ax.pcolormesh(ws.numpy(), bs.numpy(), surface, shading="auto", cmap="Blues")
fig.colorbar(shown, label="loss")
for path, colour, name in ((free, "tab:red", "free"), (clipped, "tab:orange", "clipped to norm 1")):
    ax.plot(path[:, 0], path[:, 1], ".-", color=colour, lw=0.8, label=name)
ax.set(xlabel="w", ylabel="b", xlim=(0.6, 2.0), ylim=(-0.2, 0.6))
ax.legend()

# %% [markdown]
# Both go down the same valley from the right. At the edge of the dark plateau the loss jumps, and so does its slope.
# One free step off the wall leads out of the picture, to a place where tanh is flat and the gradient with it: from
# there the unit does not return. The clipped one takes a step of the usual length away from the wall and tries again.
# Clipping by the norm,
#
# $$\bar{\theta} \leftarrow \bar{\theta} \cdot \min\!\left(1, \frac{c}{\lVert \bar{\theta} \rVert}\right),$$
#
# keeps the direction, which is why the norm is taken over *all* parameters together. It mends exploding gradients.
# For vanishing ones it does nothing: no factor brings back what float32 has rounded to 0.
#
# ## Exercises

# %% [markdown] tags=["exercise", "clip_by_norm"]
# ### Exercise 1: clipping
# Write `clip_by_norm(gradients, limit)`: a list of NumPy arrays of any shapes in, a pair out: the list of clipped
# arrays, and the norm that all of them had together before. `clip_by_norm([np.array([3.0]), np.array([[4.0]])], 1.0)`
# gives `([[0.6]], [[[0.8]]]), 5.0`.


# %% tags=["exercise", "clip_by_norm"]
def clip_by_norm(gradients, limit):
    """The gradients scaled so that their common norm is at most ``limit``, and the norm that they had."""
    # --- solution
    norm = float(np.sqrt(sum((g**2).sum() for g in gradients)))
    factor = min(1.0, limit / norm) if norm > 0 else 1.0
    return [g * factor for g in gradients], norm
    # --- end


# %% [markdown] tags=["hint", "clip_by_norm"]
# The norm of a list of arrays is that of one long vector with all their elements in it.
# %% [markdown] tags=["hint", "clip_by_norm"]
# One factor for all arrays, at most 1. What happens to it when every gradient is 0?


# %% tags=["wrong", "clip_by_norm"]
def clips_each_by_itself(gradients, limit):
    """Takes each array's own norm: the direction of the whole gradient changes."""
    norm = float(np.sqrt(sum((g**2).sum() for g in gradients)))
    return [g * min(1.0, limit / max(np.linalg.norm(g), 1e-12)) for g in gradients], norm


def clips_each_element(gradients, limit):
    """Clamps elements: that is clipping by value."""
    norm = float(np.sqrt(sum((g**2).sum() for g in gradients)))
    return [np.clip(g, -limit, limit) for g in gradients], norm


def always_scales(gradients, limit):
    """Scales small gradients up to the limit: that is normalising."""
    norm = float(np.sqrt(sum((g**2).sum() for g in gradients)))
    return [g * limit / max(norm, 1e-12) for g in gradients], norm


def forgets_the_root(gradients, limit):
    """Compares with the squared norm."""
    norm = float(sum((g**2).sum() for g in gradients))
    return [g * min(1.0, limit / max(norm, 1e-12)) for g in gradients], norm


def adds_up_norms(gradients, limit):
    """Adds the arrays' norms; lengths of perpendicular parts do not add."""
    norm = float(sum(np.linalg.norm(g) for g in gradients))
    return [g * min(1.0, limit / max(norm, 1e-12)) for g in gradients], norm


# %% tags=["check", "clip_by_norm"]
def check_clip_by_norm(clip_by_norm):
    """Random lists of arrays, large and small, and one of zeros."""
    rng = np.random.default_rng()
    for scale in (0.01, 1.0, 100.0, 0.0):
        shapes = [(3,), (), (2, 5), (1, 1, 4), (0,)][: rng.integers(2, 6)]
        gradients = [np.asarray(scale * rng.standard_normal(s)) for s in shapes]
        limit = float(rng.uniform(0.5, 2))
        whole = np.concatenate([g.ravel() for g in gradients])
        norm = np.linalg.norm(whole)
        got, had = clip_by_norm([g.copy() for g in gradients], limit)
        assert np.isclose(had, norm), f"arrays of shapes {shapes} have the norm {norm:.4g} together, not {had:.4g}"
        wanted = whole * min(1.0, limit / norm) if norm else whole
        assert [np.shape(g) for g in got] == shapes, (
            f"shapes should stay {shapes}, but are {[np.shape(g) for g in got]}"
        )
        flat = np.concatenate([np.ravel(g) for g in got])
        assert np.isfinite(flat).all(), f"gradients of norm {norm:.4g} became {flat[:3]}: what is limit / 0?"
        assert np.allclose(flat, wanted, rtol=1e-5), (
            f"norm {norm:.4g}, limit {limit:.4g}: the clipped gradient should begin {wanted[:3]}, but begins {flat[:3]}. "
            f"One factor for all arrays, {min(1.0, limit / norm) if norm else 1.0:.4g} here, keeps the direction."
        )


# %% [markdown] tags=["exercise", "sensitivity"]
# ### Exercise 2: the product of Jacobians
# For $\mathbf{h}_t = \tanh(W \mathbf{h}_{t-1} + \mathbf{u}_t)$ write `sensitivity(w, hs)`, with `w` $(D, D)$ and `hs`
# $(T + 1, D)$ the states $\mathbf{h}_0 \dots \mathbf{h}_T$ of one sample: the matrix $(D, D)$ of
# $\partial h_{T,i} / \partial h_{0,j}$. With $T = 0$ it is the identity.


# %% tags=["exercise", "sensitivity"]
def sensitivity(w, hs):
    """∂h_T / ∂h_0, (D, D)."""
    # --- solution
    product = np.eye(len(w))
    for h in hs[1:]:
        product = ((1 - h**2)[:, None] * w) @ product
    return product
    # --- end


# %% [markdown] tags=["hint", "sensitivity"]
# Write the Jacobian of one step first. Its row $i$ belongs to $h_{t,i}$; by what is row $i$ of $W$ multiplied?
# %% [markdown] tags=["hint", "sensitivity"]
# The chain rule puts later steps to the left: $J_T J_{T-1} \cdots J_1$. The slope of tanh at step $t$ is $1 - h_t^2$,
# from the state *after* the step.


# %% tags=["wrong", "sensitivity"]
def sensitivity_turned_round(w, hs):
    """Puts the first step to the left of the product."""
    product = np.eye(len(w))
    for h in hs[1:]:
        product = product @ ((1 - h**2)[:, None] * w)
    return product


def sensitivity_without_slopes(w, hs):
    """Forgets the slope of tanh: W to a power."""
    return np.linalg.matrix_power(w, len(hs) - 1)


def sensitivity_at_the_old_state(w, hs):
    """Takes the slopes at the state before each step."""
    product = np.eye(len(w))
    for h in hs[:-1]:
        product = ((1 - h**2)[:, None] * w) @ product
    return product


def sensitivity_of_columns(w, hs):
    """Multiplies columns of W, not rows, by the slopes."""
    product = np.eye(len(w))
    for h in hs[1:]:
        product = ((1 - h**2) * w) @ product
    return product


def sensitivity_transposed(w, hs):
    """Gives the transpose, which is what backward multiplies with."""
    product = np.eye(len(w))
    for h in hs[1:]:
        product = ((1 - h**2)[:, None] * w) @ product
    return product.T


# %% tags=["check", "sensitivity"]
def check_sensitivity(sensitivity):
    """Beside central differences, for several widths and lengths."""
    rng = np.random.default_rng()
    for d, steps in ((3, 1), (1, 4), (4, 2), (5, 6), (2, 0)):
        w, inputs = 1.5 * rng.standard_normal((d, d)) / np.sqrt(d), rng.standard_normal((steps, d))

        def states(h, w=w, inputs=inputs):
            hs = [h]
            for u in inputs:
                hs.append(np.tanh(w @ hs[-1] + u))
            return np.stack(hs)

        h0, tiny = rng.uniform(-0.9, 0.9, d), 1e-6
        columns = [(states(h0 + tiny * e)[-1] - states(h0 - tiny * e)[-1]) / (2 * tiny) for e in np.eye(d)]
        wanted, got = np.stack(columns, 1), np.asarray(sensitivity(w, states(h0)))
        assert got.shape == (d, d), f"D = {d}: the shape should be {(d, d)}, but is {got.shape}"
        worst = np.unravel_index(abs(got - wanted).argmax(), got.shape)
        assert np.allclose(got, wanted, atol=1e-6), (
            f"D = {d}, T = {steps}: ∂h_T[{worst[0]}]/∂h_0[{worst[1]}] is {wanted[worst]:.5f} by finite differences, but you "
            f"gave {got[worst]:.5f}. Mind the slopes, the side they stand on, the transpose and, where T > 1, the order."
        )


# %% [markdown] tags=["exercise", "truncated"]
# ### Exercise 3: truncated backpropagation
# Write `truncated(hs, gs, w, window)`: $\bar{W}_\text{hh}$, shape $(D, D)$, when gradients end at the edges of
# windows. `hs` $(T + 1, N, D)$ are the states $H_0 \dots H_T$, `gs` $(T, N, D)$ each state's own gradient
# $G_1 \dots G_T$, `w` is $W_\text{hh}$. Steps $1 \dots$ `window` are the first window, and so on; the last may be
# shorter. States are handed on over the edges, gradients are not.


# %% tags=["exercise", "truncated"]
def truncated(hs, gs, w, window):
    """The gradient (D, D) of the recurrent weights, cut after every ``window`` steps."""
    # --- solution
    total, a_next = np.zeros_like(w), np.zeros_like(hs[0])
    for t in range(len(gs), 0, -1):
        if t % window == 0:  # the last step of its window: nothing comes from the next
            a_next = np.zeros_like(hs[0])
        a_next = (gs[t - 1] + a_next @ w) * (1 - hs[t] ** 2)
        total += a_next.T @ hs[t - 1]
    return total
    # --- end


# %% [markdown] tags=["hint", "truncated"]
# Begin with the loop of `back` above, and change one line.
# %% [markdown] tags=["hint", "truncated"]
# Which steps are the last of their windows? What comes back to them from the step after?
# %% [markdown] tags=["hint", "truncated"]
# Set $\bar{A}_{t+1}$ to zero where $t$ is a multiple of the window. Leave $H_{t-1}$ in $\bar{A}_t^\top H_{t-1}$
# alone: it is a value, not a gradient.


# %% tags=["wrong", "truncated"]
def never_cut(hs, gs, w, window):
    """Goes back through all of time."""
    return truncated(hs, gs, w, len(gs) + 1)


def state_dropped_too(hs, gs, w, window):
    """Begins each window from a state of zeros: the state is not handed on."""
    hs = hs.copy()
    hs[0 : len(gs) : window] = 0.0
    return truncated(hs, gs, w, window)


def cut_one_step_late(hs, gs, w, window):
    """Cuts after the first step of the next window."""
    total, a_next = np.zeros_like(w), np.zeros_like(hs[0])
    for t in range(len(gs), 0, -1):
        if (t - 1) % window == 0:
            a_next = np.zeros_like(hs[0])
        a_next = (gs[t - 1] + a_next @ w) * (1 - hs[t] ** 2)
        total += a_next.T @ hs[t - 1]
    return total


def windows_counted_from_the_end(hs, gs, w, window):
    """Counts windows backwards from the last step, so that the first is the short one."""
    total, a_next = np.zeros_like(w), np.zeros_like(hs[0])
    for back, t in enumerate(range(len(gs), 0, -1)):
        if back % window == 0:
            a_next = np.zeros_like(hs[0])
        a_next = (gs[t - 1] + a_next @ w) * (1 - hs[t] ** 2)
        total += a_next.T @ hs[t - 1]
    return total


def last_window_only(hs, gs, w, window):
    """Throws the losses of all windows but the last away."""
    first = (len(gs) - 1) // window * window
    return truncated(hs[first:], gs[first:], w, window)


# %% tags=["check", "truncated"]
def check_truncated(truncated):
    """Beside minidl's own gradient, with the state detached at every edge."""
    rng = np.random.default_rng()
    for steps, n, d, window in ((6, 2, 3, 2), (7, 1, 4, 3), (5, 3, 2, 1), (4, 2, 3, 9), (8, 2, 1, 5)):
        w = minidl.tensor(rng.standard_normal((d, d)), requires_grad=True)
        inputs, gs = (minidl.tensor(rng.standard_normal((steps, n, d))) for _ in range(2))
        h, loss = minidl.tensor(rng.uniform(-0.9, 0.9, (n, d))), 0.0
        hs = [h.numpy()]
        for t in range(steps):
            before = h.detach() if t % window == 0 else h
            h = (inputs[t] + before @ w.T).tanh()
            loss = loss + (h * gs[t]).sum()
            hs.append(h.detach().numpy())
        loss.backward()
        wanted = w.grad.numpy()
        got = np.asarray(truncated(np.stack(hs), gs.numpy().copy(), w.detach().numpy().copy(), window))
        assert got.shape == (d, d), f"the gradient should have the shape {(d, d)}, but has {got.shape}"
        assert np.allclose(got, wanted, atol=1e-8), (
            f"T = {steps}, window = {window}: the gradient should begin {wanted.ravel()[:3]}, but begins {got.ravel()[:3]}. "
            f"Gradients pass from step t + 1 to t unless t is a multiple of {window}; every step's own gradient counts."
        )


# %% [markdown]
# ## What PyTorch does differently
#
# - `torch.nn.RNN` keeps two biases, `bias_ih` and `bias_hh`, though only their sum matters (cuDNN wants them so), and
#   draws all weights from $\pm 1/\sqrt{D}$. minidl does both the same, so our $1/\sqrt3$ is PyTorch's too.
#   `torch.nn.init.orthogonal_` exists there under the same name.
# - By default `torch.nn.RNN` puts time first, $(T, N, D)$, and with `batch_first=True` the batch; the final state is
#   $(1, N, D)$ either way. So here.
# - On a GPU PyTorch hands the whole layer to cuDNN. minidl's layer is one operator too (step by step in a kernel),
#   and falls back to single steps on the tape where second derivatives are asked for.
#
# ## Sources
#
# - Werbos 1990, "Backpropagation through time: what it does and how to do it".
# - Hochreiter 1991, diploma thesis, chapter 4; Bengio, Simard and Frasconi 1994, "Learning long-term dependencies
#   with gradient descent is difficult".
# - Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks": the bound, the wall,
#   clipping.
# - Williams and Peng 1990, on truncation; Saxe, McClelland and Ganguli 2014, on orthogonal weights.
# - Goodfellow, Bengio and Courville 2016, *Deep Learning*, sections 10.2 and 10.7.
#
# An orthogonal start postpones forgetting, but nothing holds the matrix there while it learns; the next chapter
# builds a state that is handed on by *adding*, and lets the network itself decide what to forget.
