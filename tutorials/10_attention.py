# %% [markdown]
# # 10. Attention from scratch
#
# **The question.** Read sixty-four pairs, a name and a number each, and then be asked for the number of one name. An
# LSTM has to press all sixty-four pairs into its state before it knows which will be asked for. Why not keep the
# pairs as they are, and look the name up *when asked*? A dictionary does that, but a dictionary has no gradient: one
# does not learn from "key not found". How do we make a lookup that can be differentiated, and what will go wrong with
# it?
#
# The last chapter's gates decided what to keep before they knew the question. Here nothing is thrown away, and the
# decision is made at the end.

# %% tags=["setup"]
import numpy as np

import minidl
from minidl import inspect, nn, optim
from minidl.nn import functional as F
from minidl.tutor import choose

# %%
import matplotlib.pyplot as plt

minidl.set_num_threads(1)  # the arrays are small: one thread is quickest

# %% [markdown]
# ## The mathematics: a soft lookup
#
# A dictionary has keys and values. Let both be vectors: $S$ keys, the rows of $K$ $(S, d)$, and $S$ values, the rows
# of $V$ $(S, d_v)$. (In this chapter $V$ is not a vocabulary, nor $K$ a kernel, nor $S$ a stride; these three letters
# are everybody's for attention.) A query $\mathbf{q}$ is compared with each key by an inner product. A hard lookup
# takes the value whose key fits best. A soft one takes all of them, each with a weight, and the weights come from the
# softmax that has made probabilities of scores since chapter 3:
#
# $$\mathbf{s} = \alpha K\mathbf{q}, \qquad p_j = \frac{e^{s_j}}{\sum_k e^{s_k}},
# \qquad \mathbf{o} = \sum_j p_j \mathbf{v}_j,$$
#
# and for $T$ queries at once, the rows of $Q$ $(T, d)$, with a softmax over each row:
#
# $$S = \alpha\, Q K^\top \ (T, S), \qquad P = \operatorname{softmax}(S), \qquad O = P V \ (T, d_v).$$
#
# As the scale $\alpha$ grows the soft lookup becomes the hard one:


# %% tags=["setup"]
def softmax(s):
    """Softmax of the rows, in NumPy; the largest score is taken off first, which changes nothing but overflow."""
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# %%
keys = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])  # cat, stone, lion
values = np.array([[4.0], [0.0], [4.5]])  # legs, or so
query = np.array([[0.9, 0.3]])
for alpha in (0.0, 1.0, 10.0, 1000.0):
    p = softmax(alpha * query @ keys.T)
    print(f"scale {alpha:6}: weights {p.round(3)[0]}, value {(p @ values).item():.3f}")

# %% [markdown]
# ## The mathematics: the Jacobian of softmax
#
# With scale 1000 the lookup is exact and cannot learn; to see why, we need the softmax's derivative. From
# $\ln p_i = s_i - \ln \sum_k e^{s_k}$
#
# $$\frac{\partial \ln p_i}{\partial s_j} = [\,i = j\,] - p_j \quad\Longrightarrow\quad
# J_{ij} = \frac{\partial p_i}{\partial s_j} = p_i \left([\,i = j\,] - p_j\right),
# \qquad J = \operatorname{diag}(\mathbf{p}) - \mathbf{p}\mathbf{p}^\top,$$
#
# $$\bar{\mathbf{s}} = J^\top \bar{\mathbf{p}}
# = \mathbf{p} \odot \left(\bar{\mathbf{p}} - \mathbf{p}^\top \bar{\mathbf{p}}\right).$$
#
# In words: a score is pushed up if its weight would do better than the average under the present weights. If one
# weight is 1 and the rest are 0, then it *is* the average, and every entry of $J$ is 0. A lookup that is sure of
# itself learns nothing, right or wrong.
#
# **How sure is it at the start?** Let the entries of $\mathbf{q}$ and $\mathbf{k}$ be independent, with mean 0 and
# variance 1. Their product has mean 0 and variance 1 for each of the $d$ summands, so
#
# $$\operatorname{Var}[\mathbf{q}^\top \mathbf{k}] = d .$$
#
# With $d = 64$ scores scatter with a standard deviation of 8; the largest of sixteen is typically about 4 above the
# second, and $e^4 = 55$. So we choose $\alpha = 1/\sqrt{d}$, which makes the variance 1 for every $d$. That is all
# there is to the famous scale.
#
# ## An experiment that can fail: with and without the scale
#
# **Prediction:** with the scale, the size of the softmax's Jacobian $\lVert J \rVert$ does not depend on $d$ from
# $d = 16$ on. Without it, it falls toward 0; since what matters is how often two scores lie within about 1 of each
# other while they scatter with $\sqrt{d}$, it should fall like $1/\sqrt{d}$, so by 2 for each factor of 4 in $d$.

# %%
rng = np.random.default_rng(10)
widths, sizes = (1, 4, 16, 64, 256, 1024, 4096), {"scaled": [], "not scaled": []}
for d in widths:
    q, k = rng.standard_normal((2000, 1, d), dtype=np.float32), rng.standard_normal((16, d), dtype=np.float32)
    scores = (q @ k.T)[:, 0]
    for name, alpha in (("scaled", d**-0.5), ("not scaled", 1.0)):
        p = softmax(scores.astype(np.float64) * alpha)
        jacobians = p[:, :, None] * (np.eye(16) - p[:, None, :])
        sizes[name].append(np.linalg.norm(jacobians, axis=(1, 2)).mean())
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, size in sizes.items():
    print(f"{name:10}", "  ".join(f"d={d}: {s:.3f}" for d, s in zip(widths, size)))
    ax.loglog(widths, size, "o-", label=name)
ax.set(xlabel="d", ylabel="mean size of the softmax's Jacobian")
ax.legend()
assert max(sizes["scaled"][2:]) / min(sizes["scaled"][2:]) < 1.2
fall = sizes["not scaled"][-3] / sizes["not scaled"][-1]
print(f"not scaled, from d = 256 to 4096: {fall:.1f} times smaller; predicted 4")
assert 3 < fall < 5.5

# %% [markdown]
# ## The mathematics: all gradients
#
# Three products and a softmax. $O = PV$ and $S = \alpha QK^\top$ are matrix products, whose rules are those of a
# linear layer, and the middle is the line derived above, row by row:
#
# $$\bar{V} = P^\top \bar{O}, \qquad \bar{P} = \bar{O} V^\top, \qquad
# \bar{S} = P \odot \left(\bar{P} - \operatorname{rowsum}(P \odot \bar{P})\right),
# \qquad \bar{Q} = \alpha \bar{S} K, \qquad \bar{K} = \alpha \bar{S}^\top Q .$$
#
# One observation for later: $\operatorname{rowsum}(P \odot \bar{P}) = \operatorname{rowsum}(O \odot \bar{O})$, since
# $\sum_j p_j\, \bar{\mathbf{o}}^\top \mathbf{v}_j = \bar{\mathbf{o}}^\top \mathbf{o}$. It needs no $T \times S$
# matrix; chapter 16 lives on that.

# %%
minidl.manual_seed(10)
q, k, v = (minidl.randn(n, d, dtype=minidl.float64, requires_grad=True) for n, d in ((5, 8), (7, 8), (7, 3)))
g = minidl.randn(5, 3, dtype=minidl.float64)
o = F.scaled_dot_product_attention(q, k, v)
(o * g).sum().backward()

Q, K, V, G = (t.detach().numpy() for t in (q, k, v, g))
alpha = 8**-0.5
P = softmax(alpha * Q @ K.T)
S_bar = P * (G @ V.T - ((P @ V) * G).sum(1, keepdims=True))
by_hand = {"Q": alpha * S_bar @ K, "K": alpha * S_bar.T @ Q, "V": P.T @ G}
assert np.allclose(P @ V, o.detach().numpy())
for (name, ours), theirs in zip(by_hand.items(), (q, k, v)):
    print(f"{name} largest difference from minidl's operator {abs(ours - theirs.grad.numpy()).max():.1e}")
    assert np.allclose(ours, theirs.grad.numpy())

# %% [markdown]
# ## Not looking ahead
#
# In *self*-attention queries, keys and values all come from the same sequence, $T = S$: each place asks all places. A
# model that is to predict the next letter must not see it, so a query at $t$ may look at keys $s \le t$ only. The
# usual recipe sets forbidden scores to $-\infty$ *before* the softmax. Would it not be simpler to set forbidden
# weights to 0 *after* it? The outputs contain no forbidden value either way. **Prediction:** the simple way leaks all
# the same: the future's scores stand in the denominator, and the gradient will find them.

# %%
T = 6
x = minidl.randn(T, 8, dtype=minidl.float64, requires_grad=True)
future = minidl.ones(T, T, dtype=minidl.float64).triu(1) > 0  # True where the key comes after the query
scores = x @ x.mT / 8**0.5
before = scores.masked_fill(future, -np.inf).softmax(-1)
after = scores.softmax(-1).masked_fill(future, 0.0)
for name, weights in (("-inf before", before), ("0 after", after)):
    reach = []
    for t in range(T):
        (slope,) = minidl.autograd.grad((weights @ x)[t].sum(), x, retain_graph=True)
        reach.append(slope[t + 1 :].abs().sum().item())
    print(f"{name:12}: gradient of output t that reaches later inputs {np.round(reach, 4)}")
    assert (max(reach) == 0) == (name == "-inf before")
assert np.allclose(
    (before @ x).detach().numpy(), F.scaled_dot_product_attention(x, x, x, is_causal=True).detach().numpy()
)

# %% [markdown]
# A model with such a leak trains to a wonderful loss and writes nonsense. The test above, a gradient that must be
# *exactly* zero, finds it in a line.
#
# ## Several heads
#
# One softmax gives one average. A word that needs its verb *and* its subject gets a blend of both. So the width $D$
# is cut into heads of $d = D/H$ each, and every head makes its own queries, keys and values:
#
# $$O^{(h)} = \operatorname{softmax}\!\left(\frac{Q^{(h)} K^{(h)\top}}{\sqrt{d}}\right) V^{(h)}, \qquad
# Y = [O^{(1)}, \dots, O^{(H)}]\, W_\text{out}^\top + \mathbf{b}_\text{out}.$$
#
# In code heads are an axis: $(N, T, D) \to (N, T, H, d) \to (N, H, T, d)$, and matrix products see the last two. The
# products cost the same as with one head.


# %%
def multi_head(x, w_in, b_in, w_out, b_out, heads):
    """Self-attention with several heads, (N, T, D) → (N, T, D)."""
    n, t, width = x.shape
    q, k, v = (x @ w_in.T + b_in).reshape(n, t, 3, heads, width // heads).permute(2, 0, 3, 1, 4)  # each (N, H, T, d)
    weights = (q @ k.mT / (width // heads) ** 0.5).softmax(-1)
    return (weights @ v).permute(0, 2, 1, 3).reshape(n, t, width) @ w_out.T + b_out, weights


layer = nn.MultiheadAttention(12, 3, batch_first=True, dtype=minidl.float64)
x = minidl.randn(2, 5, 12, dtype=minidl.float64)
ours, our_weights = multi_head(
    x, layer.in_proj_weight, layer.in_proj_bias, layer.out_proj.weight, layer.out_proj.bias, 3
)
theirs, their_weights = layer(x, x, x, average_attn_weights=False)
assert np.allclose(ours.detach().numpy(), theirs.detach().numpy())
assert np.allclose(our_weights.detach().numpy(), their_weights.detach().numpy())

order = [3, 0, 4, 2, 1]
shuffled = layer(x[:, order], x[:, order], x[:, order])[0]
assert np.allclose(shuffled.detach().numpy(), theirs[:, order].detach().numpy())
print("shuffled in, shuffled out: attention does not know what comes first")

# %% [markdown]
# Did you expect the last line? Nothing in attention knows where a token stands; "dog bites man" and "man bites dog"
# are one to it. The next chapter has to mend that. For a dictionary it is right as it is, and so we come back to the
# question.
#
# ## An experiment that can fail: names and numbers
#
# Each sample has pairs of a name (one of 64, all different) and a number (one of 8), drawn afresh, and then a name
# from among them. The number is wanted. Both models see the same embeddings. An LSTM with 64 units reads the pairs
# and then the question; a single attention, one head of width 64, looks from the question to the pairs.
# **Prediction:** with eight pairs attention is right nearly always after a few hundred steps and the LSTM is not; and
# attention answers among *thirty-two* pairs, which it has never seen, since a lookup does not care how long the
# dictionary is.


# %%
def pairs(n, count):
    """Names (N, count), numbers (N, count), the name asked for (N,), and its number (N,)."""
    names = minidl.rand(n, 64).argsort(1)[:, :count]
    numbers, which = minidl.randint(0, 8, (n, count)), minidl.randint(0, count, (n, 1))
    return names, numbers, names.gather(1, which).squeeze(1), numbers.gather(1, which).squeeze(1)


class Recaller(nn.Module):
    """Reads pairs and a question: by an LSTM, or by one attention."""

    def __init__(self, kind):
        super().__init__()
        self.names, self.numbers = nn.Embedding(64, 32), nn.Embedding(9, 32)  # number 8 means "asked"
        self.lstm = nn.LSTM(64, 64, batch_first=True) if kind == "lstm" else None
        self.attention = nn.MultiheadAttention(64, 1, batch_first=True) if kind == "attention" else None
        self.head = nn.Linear(64, 8)

    def forward(self, names, numbers, asked):
        told = minidl.cat([self.names(names), self.numbers(numbers)], 2)
        question = minidl.cat([self.names(asked), self.numbers(asked * 0 + 8)], 1).unsqueeze(1)
        if self.lstm is not None:
            return self.head(self.lstm(minidl.cat([told, question], 1))[0][:, -1])
        return self.head(self.attention(question, told, told)[0].squeeze(1))


def accuracy(model, count):
    *given, wanted = pairs(500, count)
    with minidl.no_grad():
        return (model(*given).argmax(1) == wanted).float().mean().item()


def train(kind, steps, count=8):
    minidl.manual_seed(3)
    model = Recaller(kind)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        *given, wanted = pairs(64, count)
        loss = F.cross_entropy(model(*given), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


trained = {kind: train(kind, choose(600, 4000)) for kind in ("lstm", "attention")}
found = {(kind, count): accuracy(model, count) for kind, model in trained.items() for count in (8, 32)}
for kind in trained:
    print(f"{kind:9}: {found[kind, 8]:.0%} of 8 pairs, {found[kind, 32]:.0%} of 32 (chance 12%)")
assert found["attention", 8] > 0.95
assert found["attention", 32] > 0.8
assert found["lstm", 8] < found["attention", 8] - 0.2

# %% [markdown]
# What does it look at? `inspect.attention_maps` notes the weights of every attention that runs. We ask one sample for
# each of its eight names in turn, so that a perfect lookup is a diagonal.

# %%
names, numbers, _, _ = pairs(1, 8)
everything = (names.expand(8, 8), numbers.expand(8, 8), names.flatten())
weights = inspect.attention_maps(trained["attention"], everything)[0].weights[:, 0, 0]  # (8 questions, 8 pairs)
print(f"weight on the pair that was asked for: {np.diag(weights).mean():.2f} on average")
fig, ax = plt.subplots(figsize=(4, 3.4), layout="constrained")
shown = ax.imshow(weights, vmin=0, vmax=1, cmap="Blues")
ax.set(xlabel="pair", ylabel="name asked for")
fig.colorbar(shown)
assert np.diag(weights).mean() > 0.5

# %% [markdown]
# No one told the network that the first 32 numbers of a vector are the name and decide where to look. It found its
# keys by gradient, because at the start, with the scale, it was unsure enough to learn.
#
# The price: $T$ queries and $S$ keys make $T \cdot S$ scores, so that twice the length costs four times the work, and
# stored naively four times the memory. An LSTM's cost grows with the length alone, but its steps must wait for one
# another, while attention computes all at once.
#
# ## Exercises

# %% [markdown] tags=["exercise", "softmax_backward"]
# ### Exercise 1: back through softmax
# Write `softmax_backward(p, g)`: `p` $(\dots, S)$ are the outputs of a softmax over the last axis, `g` the gradient
# that arrives at them. It returns the gradient of the scores, of the same shape, without ever making a Jacobian.


# %% tags=["exercise", "softmax_backward"]
def softmax_backward(p, g):
    """The gradient of the scores, given the weights p and their gradient g, all (…, S)."""
    # --- solution
    return p * (g - (p * g).sum(-1, keepdims=True))
    # --- end


# %% [markdown] tags=["hint", "softmax_backward"]
# Every score moves every weight of its row: what arrives at one weight concerns them all.
# %% [markdown] tags=["hint", "softmax_backward"]
# $\bar{\mathbf{s}} = \mathbf{p} \odot (\bar{\mathbf{p}} - c)$ with one number $c$ a row, the mean of
# $\bar{\mathbf{p}}$ under the weights. Keep the axis when you sum.


# %% tags=["wrong", "softmax_backward"]
def diagonal_only(p, g):
    """Takes softmax for a sigmoid of each element: only the diagonal of the Jacobian."""
    return g * p * (1 - p)


def plain_mean_subtracted(p, g):
    """Subtracts the plain mean of the gradient, not the mean under the weights."""
    return p * (g - g.mean(-1, keepdims=True))


def sum_over_everything(p, g):
    """Sums over all rows, as if the whole array were one softmax."""
    return p * (g - (p * g).sum())


def cross_entropy_shortcut(p, g):
    """Uses p - y, which holds for softmax and cross-entropy together, with g for the target."""
    return p - g


def weights_left_out(p, g):
    """Forgets the factor p in front."""
    return g - (p * g).sum(-1, keepdims=True)


# %% tags=["check", "softmax_backward"]
def check_softmax_backward(softmax_backward):
    """Beside central differences, for one row and for several, and for a single score."""
    rng = np.random.default_rng()
    for shape in ((4,), (3, 5), (2, 3, 4), (2, 1)):
        s, g = 2 * rng.standard_normal(shape), rng.standard_normal(shape)
        wanted, tiny = np.zeros(shape), 1e-6
        for place in np.ndindex(shape):
            step = np.zeros(shape)
            step[place] = tiny
            wanted[place] = ((softmax(s + step) - softmax(s - step)) * g).sum() / (2 * tiny)
        got = np.asarray(softmax_backward(softmax(s), g.copy()))
        assert got.shape == shape, f"the gradient should have the shape {shape}, but has {got.shape}"
        assert np.allclose(got, wanted, atol=1e-6), (
            f"weights of shape {shape}: finite differences begin {wanted.ravel()[:4].round(5)}, yours "
            f"{got.ravel()[:4].round(5)}. Each row should sum to 0, since adding a number to all scores changes nothing; "
            f"yours sums to {got.sum(-1).ravel()[0]:.2g}."
        )


# %% [markdown] tags=["exercise", "causal_attention"]
# ### Exercise 2: causal attention
# Write `causal_attention(q, k, v)` in NumPy, for `q` and `k` $(N, T, d)$ and `v` $(N, T, d_v)$: scaled dot-product
# attention in which place $t$ sees places $0 \dots t$. The result is $(N, T, d_v)$. It should stand scores of 1000,
# and a future that holds infinities.


# %% tags=["exercise", "causal_attention"]
def causal_attention(q, k, v):
    """Attention, (N, T, d_v), in which no place sees a later one."""
    # --- solution
    t = q.shape[1]
    with np.errstate(invalid="ignore"):
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])
    seen = np.tri(t, dtype=bool)
    p = softmax(np.where(seen, scores, -np.inf))
    return np.stack([(p[:, i, : i + 1, None] * v[:, : i + 1]).sum(1) for i in range(t)], axis=1)
    # --- end


# %% [markdown] tags=["hint", "causal_attention"]
# `np.tri(T, dtype=bool)` is True where the key is not later than the query. Use it before the softmax.
# %% [markdown] tags=["hint", "causal_attention"]
# `np.where(seen, scores, -np.inf)` throws forbidden scores away whatever they are; adding or multiplying does not.
# The same goes for values: $0 \cdot \infty$ is not 0, so give each place only the values that it may see.


# %% tags=["wrong", "causal_attention"]
def looks_ahead(q, k, v):
    """Sets no mask."""
    return softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2])) @ v


def masks_after_softmax(q, k, v):
    """Sets forbidden weights to 0 after the softmax: rows no longer sum to 1."""
    p = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2]))
    return (p * np.tri(q.shape[1])) @ v


def scale_forgotten(q, k, v):
    """Leaves out 1/√d."""
    return softmax(np.where(np.tri(q.shape[1], dtype=bool), q @ k.transpose(0, 2, 1), -np.inf)) @ v


def sees_only_the_past(q, k, v):
    """Hides the place itself as well."""
    t = q.shape[1]
    seen = np.tri(t, k=-1, dtype=bool)
    seen[0, 0] = True
    return softmax(np.where(seen, q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2]), -np.inf)) @ v


def zeros_for_hidden_scores(q, k, v):
    """Sets forbidden scores to 0, not to -∞: e⁰ is 1."""
    return softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[2]) * np.tri(q.shape[1])) @ v


# %% tags=["check", "causal_attention"]
def check_causal_attention(causal_attention):
    """Beside minidl's operator; then with large scores, and with a future that no output may notice."""
    rng = np.random.default_rng()
    for n, t, d, e in ((2, 5, 4, 3), (1, 1, 3, 2), (3, 6, 1, 1), (1, 7, 16, 5)):
        q, k, v = (rng.standard_normal((n, t, width)) for width in (d, d, e))
        wanted = F.scaled_dot_product_attention(*(minidl.tensor(a) for a in (q, k, v)), is_causal=True).numpy()
        got = np.asarray(causal_attention(q.copy(), k.copy(), v.copy()))
        assert got.shape == wanted.shape, f"the output should have the shape {wanted.shape}, but has {got.shape}"
        first = v[:, 0]
        assert np.allclose(got[:, 0], first, atol=1e-6), (
            f"the first place sees itself alone and should give its own value {first[0].round(3)}, not {got[0, 0].round(3)}"
        )
        assert np.allclose(got, wanted, atol=1e-6), (
            f"N = {n}, T = {t}, d = {d}: the last place should give {wanted[0, -1].round(4)}, but gave {got[0, -1].round(4)}. "
            "It sees all places, so look at the scale; if only earlier places are wrong, at the mask."
        )
    q, k, v = (rng.standard_normal((1, 4, 3)) for _ in range(3))
    with np.errstate(all="ignore"):
        calm, loud = (causal_attention(100 * q, 100 * k, v), causal_attention(q, k, v))
        assert np.isfinite(calm).all(), "scores in the thousands gave NaN: take the row's largest score off before exp"
        k[0, 3], v[0, 3] = np.inf, np.inf
        assert np.allclose(causal_attention(q, k, v)[0, :3], loud[0, :3]), (
            "infinities at the last place changed earlier outputs"
        )


# %% [markdown] tags=["exercise", "attention_backward"]
# ### Exercise 3: attention's gradients
# Write `attention_backward(q, k, v, g)`: for $O = \operatorname{softmax}(QK^\top/\sqrt{d})\,V$ without a mask and one
# head, `q` $(T, d)$, `k` $(S, d)$, `v` $(S, d_v)$, `g` $= \bar{O}$ $(T, d_v)$. It returns
# $\bar{Q}, \bar{K}, \bar{V}$, each of its array's shape.


# %% tags=["exercise", "attention_backward"]
def attention_backward(q, k, v, g):
    """The gradients of q, k and v."""
    # --- solution
    alpha = q.shape[1] ** -0.5
    p = softmax(alpha * q @ k.T)
    s_bar = p * (g @ v.T - ((p @ v) * g).sum(1, keepdims=True))
    return alpha * s_bar @ k, alpha * s_bar.T @ q, p.T @ g
    # --- end


# %% [markdown] tags=["hint", "attention_backward"]
# Compute $P$ again first. Then $\bar{V}$ needs only $P$ and $\bar{O}$.
# %% [markdown] tags=["hint", "attention_backward"]
# $\bar{P} = \bar{O}V^\top$, then exercise 1 turns it into $\bar{S}$.
# %% [markdown] tags=["hint", "attention_backward"]
# $\bar{Q} = \alpha\bar{S}K$ and $\bar{K} = \alpha\bar{S}^\top Q$: the scale comes back in both. Shapes tell you where
# the transpose belongs.


# %% tags=["wrong", "attention_backward"]
def scale_lost_on_the_way_back(q, k, v, g):
    """Uses the scale forwards only."""
    q_bar, k_bar, v_bar = attention_backward(q, k, v, g)
    return q_bar * q.shape[1] ** 0.5, k_bar * q.shape[1] ** 0.5, v_bar


def weights_taken_for_constants(q, k, v, g):
    """Lets gradients reach the values alone."""
    p = softmax(q @ k.T * q.shape[1] ** -0.5)
    return np.zeros_like(q), np.zeros_like(k), p.T @ g


def softmax_of_the_gradient(q, k, v, g):
    """Takes the softmax's Jacobian for its diagonal."""
    alpha = q.shape[1] ** -0.5
    p = softmax(alpha * q @ k.T)
    s_bar = p * (1 - p) * (g @ v.T)
    return alpha * s_bar @ k, alpha * s_bar.T @ q, p.T @ g


def softmax_over_queries(q, k, v, g):
    """Sums over the wrong axis in the softmax's gradient."""
    alpha = q.shape[1] ** -0.5
    p = softmax(alpha * q @ k.T)
    p_bar = g @ v.T
    s_bar = p * (p_bar - (p * p_bar).sum(0, keepdims=True))
    return alpha * s_bar @ k, alpha * s_bar.T @ q, p.T @ g


def scale_by_the_number_of_keys(q, k, v, g):
    """Divides by √S, not by √d."""
    alpha = k.shape[0] ** -0.5
    p = softmax(alpha * q @ k.T)
    s_bar = p * (g @ v.T - ((p @ v) * g).sum(1, keepdims=True))
    return alpha * s_bar @ k, alpha * s_bar.T @ q, p.T @ g


# %% tags=["check", "attention_backward"]
def check_attention_backward(attention_backward):
    """Beside minidl's tape, with different numbers of queries and keys, and different widths."""
    for t, s, d, e in ((3, 5, 4, 2), (1, 4, 2, 3), (6, 2, 3, 1), (4, 1, 2, 2)):
        q, k, v = (minidl.randn(*shape, dtype=minidl.float64, requires_grad=True) for shape in ((t, d), (s, d), (s, e)))
        g = minidl.randn(t, e, dtype=minidl.float64)
        (F.scaled_dot_product_attention(q, k, v) * g).sum().backward()
        got = attention_backward(*(a.detach().numpy().copy() for a in (q, k, v, g)))
        assert len(got) == 3, "three gradients are wanted: of q, k and v"
        for name, ours, theirs in zip("QKV", got, (q, k, v)):
            wanted = theirs.grad.numpy()
            assert np.shape(ours) == wanted.shape, (
                f"the gradient of {name} should be {wanted.shape}, but is {np.shape(ours)}"
            )
            assert np.allclose(ours, wanted, atol=1e-7), (
                f"T = {t}, S = {s}, d = {d}: the gradient of {name} should begin {wanted[0].round(4)}, but begins "
                f"{np.asarray(ours)[0].round(4)}. Check the steps in order: V, then P, S and last Q and K, with the scale."
            )


# %% [markdown]
# ## What PyTorch does differently
#
# - `torch.nn.functional.scaled_dot_product_attention` and `nn.MultiheadAttention` have the same arguments and the
#   same trap: a boolean mask says "may be seen" in the first and "is hidden" in the second.
# - For a query that may see nothing at all PyTorch's `nn.MultiheadAttention` gives NaN where the weights are asked
#   for and a finite result where they are not; minidl's operator gives 0.
# - PyTorch chooses among several fused kernels, which never store the $T \times S$ weights. So does minidl's
#   operator, which computes in blocks; `need_weights=True` is slower in both, since the weights have to be made.
#
# ## Sources
#
# - Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and translate": attention
#   for an RNN.
# - Vaswani et al. 2017, "Attention is all you need", sections 3.2.1 (with the argument for the scale in a footnote)
#   and 3.2.2.
# - Nadaraya 1964 and Watson 1964: averages weighted by similarity, half a century before. Zhang et al., *Dive into
#   Deep Learning*, chapter 11.
# - Graves, Wayne and Danihelka 2014, "Neural Turing machines": soft lookups in a memory.
#
# Attention knows what, but not where; with positions, a second layer and a residual road it becomes the network of
# the next chapter, the Transformer.
