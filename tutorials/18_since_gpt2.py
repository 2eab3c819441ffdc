# %% [markdown]
# # 18. From GPT-2 to LLaMA
#
# **The question.** Lay the network of GPT-2, of 2019, beside that of LLaMA, of 2023. Four years and thousands of papers
# on better networks lie between them; one expects to recognise nothing. But the residual road is there, the causal
# attention, the feed-forward network, the loss. Five small things are different, a few lines each. What does each of
# them buy, and can one see it in a network that learns in a few seconds?
#
# [Chapter 12](12_pretraining.py) built the first of the two; chapters 15 and 17 counted bytes, which we shall do again.

# %% tags=["setup"]
from math import log
from time import process_time

import os
from pathlib import Path
import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import models, nn, optim
from minidl.nn import functional as F
from minidl.tutor import choose

minidl.set_num_threads(1)  # the arrays are small: one thread is quickest

# %% [markdown]
# ## Positions as rotations
#
# Attention does not know where a token stands (chapter 10). GPT-2 has a learned vector for each place and adds it to the
# token's. What a query at place $p$ makes of a key at place $s$ is then anything: "seven before" is one fact for places
# 20 and 13, and another one for 21 and 14. We would like a score that depends on the *distance* alone.
#
# Take a query and a key of two numbers each, and read them as complex numbers, $q = q_1 + i q_2$ and $k = k_1 + i k_2$.
# Their inner product is $q_1 k_1 + q_2 k_2 = \operatorname{Re}(q k^*)$, where $k^* = k_1 - i k_2$. Now turn each by an angle
# that grows with its place:
#
# $$\operatorname{Re}\left(q\, e^{i p \omega} \left(k\, e^{i s \omega}\right)^*\right)
# = \operatorname{Re}\left(q k^*\, e^{i (p - s)\, \omega}\right).$$
#
# That is all: $p$ and $s$ have gone, $p - s$ is left, and no length has changed. A head of width $d$ has $d/2$ such pairs,
# each with its own speed, $\omega_i = 10000^{-2i/d}$, from one radian a token down to nearly nothing: clock hands, fast and
# slow. `F.rotary_embedding` turns values $i$ and $i + d/2$ together, as LLaMA's files do.

# %%
minidl.manual_seed(18)
q, k = (minidl.randn(1, 16, dtype=minidl.float64) for _ in range(2))
at = F.rotary_embedding
turned = (q.numpy()[0, :8] + 1j * q.numpy()[0, 8:]) * np.exp(1j * 5 * 10000.0 ** (-np.arange(8) / 8))
assert np.allclose(at(q, 5).numpy()[0], np.concatenate([turned.real, turned.imag]))
scores = [(at(q, p) * at(k, s)).sum().item() for p, s in ((7, 0), (20, 13), (5007, 5000), (8, 0))]
print("seven apart, three times:", scores[:3], "eight apart:", scores[3])
assert max(scores[:3]) - min(scores[:3]) < 1e-9
assert abs(scores[3] - scores[0]) > 0.1

# %% [markdown]
# ## An experiment that can fail: seven before, anywhere
#
# The language of chapter 12: six letters, a colon, the same six letters, a full stop. But now a text begins *anywhere* in
# such a record, so that a letter and its twin may stand at any two places seven apart. Two networks see texts of 48
# tokens; they differ in nothing but the positions. (The rest of them is LLaMA's, to which we come below.)
#
# **Prediction.** (1) With rotations copying is one fact, to be learnt once; with learned vectors it is one fact for each
# place, so this network needs several times as many steps. (2) Shown 96 tokens, the network with vectors fails
# from place 48 on, where its vectors are those that it began with. The one with rotations copies as well there as before.


# %%
class Layer(nn.Module):
    """Attention, then a gated feed-forward network."""

    def __init__(self, width, heads, kv_heads, rotary):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.self_attn = nn.GroupedQueryAttention(width, heads, kv_heads, rotary=rotary)
        self.mlp = nn.SwiGLU(width)

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Writer(nn.Module):
    """LLaMA in a few lines; with ``places``, learned vectors for so many of them in place of rotations."""

    def __init__(self, vocab_size, width, layers, heads, kv_heads=None, places=0, std=None):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, width)
        self.positions = nn.LearnedPositions(places, width, batch_first=True) if places else nn.Identity()
        self.layers = nn.Sequential(*(Layer(width, heads, kv_heads, not places) for _ in range(layers)))
        self.norm = nn.RMSNorm(width, 1e-5)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=std or 0.02 * (768 / width) ** 0.5)

    def forward(self, tokens):
        x = self.layers(self.positions(self.embed_tokens(tokens)))
        return self.norm(x) @ self.embed_tokens.weight.T


def stream(n, length):
    """Texts (n, length + 1) that begin anywhere in a record, and which of their tokens after the first are copies."""
    name, one = minidl.randint(0, 16, (n, length // 14 + 2, 6)), minidl.ones(n, length // 14 + 2, 1, dtype=minidl.int64)
    where = minidl.randint(0, 14, (n, 1)) + minidl.arange(length + 1)
    place = (where % 14).numpy()[:, 1:]
    copies = (place > 6) & (place < 13) & (np.arange(length) > 5)
    return minidl.cat([name, 16 * one, name, 17 * one], 2).flatten(1).gather(1, where), copies


def learn(model, steps, lr=3e-3, draw=lambda: stream(20, 48)[0]):
    """Train, all on the same texts, as ``draw`` gives them; returns the losses in bits."""
    minidl.manual_seed(2)
    optimizer, losses = optim.AdamW(model.parameters(), lr=lr), []
    for _ in range(steps):
        x = draw()
        loss = F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item() / log(2))
    return losses


# %%
steps, by_place = {}, {}
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for name, places in (("rotary", 0), ("learned", 96)):
    minidl.manual_seed(1)
    model = Writer(18, 64, 1, 2, places=places)
    steps[name] = np.argmax(np.less(learn(model, choose(120, 1000)), 2.6))
    x, copies = stream(300, 96)
    with minidl.no_grad():
        right = (model(x[:, :-1]).argmax(2) == x[:, 1:]).numpy() & copies
        alone = (model(x[:, 48:-1]).argmax(2) == x[:, 49:]).numpy()[:, 7:][copies[:, 55:]].mean()
    by_place[name] = right.reshape(300, 12, 8).sum((0, 2)) / copies.reshape(300, 12, 8).sum((0, 2))
    print(f"{name:7}: 2.6 bits after {steps[name]} steps; copied, by place {by_place[name].round(2)}")
    print(f"         the last 48 tokens again, without the 48 before them: {alone:.2f}")
    assert alone > 0.95
    ax.plot(range(4, 96, 8), by_place[name], "o-", label=name)
ax.axvline(48, color="grey", linestyle="--", linewidth=1)
ax.set(xlabel="place (training ended at the line)", ylabel="copies foretold")
ax.legend()
assert 0 < steps["learned"] < 2 * steps["rotary"]
assert min(by_place["learned"][2:6]) > 0.9 > 0.3 > max(by_place["learned"][6:])
assert min(by_place["rotary"][2:6]) > 0.9
assert min(by_place["rotary"]) > 0.5

# %% [markdown]
# The first prediction is refuted: both need about as many steps. There *are* 41 facts in place of one, but they need not
# wait for each other: the texts of one step hold examples of all, and each place's vector has a gradient of its own. The
# second is half true. With vectors copying ends at place 48 as if cut off; 6 % is guessing. With rotations it goes on,
# but not as well: four in five. No *place* is new to this network; *distances* are. A query far out must pass over tokens
# further back than any it ever saw. Take them away, and all is well again (the last figure). So rotations alone do not
# make a context longer; slower hands, afterwards, do (Chen et al. 2023).
#
# ## RMSNorm: half of a norm
#
# LayerNorm takes the mean off, divides by the standard deviation, scales and shifts. RMSNorm leaves out the first and the
# last. With $D$ numbers and $r = \sqrt{\frac1D \sum_j x_j^2 + \epsilon}$, so that $\partial r / \partial x_j = x_j / (D r)$,
#
# $$\mathbf{n} = \frac{\mathbf{x}}{r}, \quad \mathbf{y} = \mathbf{w} \odot \mathbf{n}, \quad
# \frac{\partial n_i}{\partial x_j} = \frac{1}{r}\left([\,i = j\,] - \frac{n_i n_j}{D}\right), \quad
# \bar{\mathbf{x}} = \frac{1}{r}\left(\bar{\mathbf{n}} - \mathbf{n}\, \frac{\mathbf{n}^\top \bar{\mathbf{n}}}{D}\right)
# \ \text{with}\ \bar{\mathbf{n}} = \mathbf{w} \odot \bar{\mathbf{y}},$$
#
# and $\bar{\mathbf{w}} = \mathbf{n} \odot \bar{\mathbf{y}}$, summed over rows. The gradient has no part along $\mathbf{n}$
# (for $\epsilon = 0$): the length of $\mathbf{x}$ is nothing to what follows. That is what keeps a deep network's numbers in
# bounds, and the mean has no part in it. LayerNorm removes one more of $D$ directions, and learns $\mathbf{b}$ to put it back.

# %%
x, w, g = (minidl.randn(*n, dtype=minidl.float64, requires_grad=True) for n in ((4, 6), (6,), (4, 6)))
loss = (F.rms_norm(x, (6,), w, 1e-5) * g.detach()).sum()
loss.backward()
X, W, G = (t.detach().numpy() for t in (x, w, g))
r = np.sqrt((X**2).mean(1, keepdims=True) + 1e-5)
n, n_bar = X / r, G * W
by_hand = (n_bar - n * (n * n_bar).mean(1, keepdims=True)) / r
assert np.allclose(by_hand, x.grad.numpy())
assert np.allclose((n * G).sum(0), w.grad.numpy())
moved = x.detach().clone()
moved[2, 3] += 1e-6
slope = ((F.rms_norm(moved, (6,), w, 1e-5) * g).sum() - loss).item() / 1e-6
print(f"one element: by hand {by_hand[2, 3]:.6f}, finite difference {slope:.6f}")
assert abs(slope - by_hand[2, 3]) < 1e-4
centred = F.rms_norm(x - x.mean(1, keepdim=True), (6,), None, 1e-5)
assert np.allclose(F.layer_norm(x, (6,)).detach().numpy(), centred.detach().numpy())

# %% [markdown]
# The last line says it in code: LayerNorm is RMSNorm of the centred vector.
#
# ## SwiGLU: a gate again
#
# GPT-2's feed-forward network is $W_2\, \mathrm{gelu}(W_1 \mathbf{x})$, four times as wide inside. LLaMA's has a third matrix:
#
# $$\mathbf{a} = W_g \mathbf{x}, \quad \mathbf{u} = W_u \mathbf{x}, \quad
# \mathbf{y} = W_d \left(\mathrm{silu}(\mathbf{a}) \odot \mathbf{u}\right), \qquad
# \mathrm{silu}(a) = \frac{a}{1 + e^{-a}} .$$
#
# One half decides how much of the other passes, as an LSTM's gates do (chapter 9); the gradients are exercise 2. Three
# matrices of $D \cdot h$ in place of two of $D \cdot 4D$: as many parameters need $3h = 8D$, so $h = \frac23 \cdot 4D$. What
# has one bought? **Products** of what is known. Since $\mathrm{silu}(a) - \mathrm{silu}(-a) = a$, two inner values compute
# $x_1 x_2$ *exactly*; a network of bends only comes near to it.

# %%
layer = nn.SwiGLU(2, 2, 1)
with minidl.no_grad():
    for matrix, values in zip(layer.parameters(), ([[1, 0], [-1, 0]], [[0, 1], [0, -1]], [[1, 1]])):
        matrix.copy_(minidl.tensor(values))
x = 5 * minidl.randn(1000, 2)
print("x₁ · x₂, largest error:", (layer(x)[:, 0] - x[:, 0] * x[:, 1]).abs().max().item())
assert minidl.allclose(layer(x)[:, 0], x[:, 0] * x[:, 1], atol=1e-4)
assert minidl.allclose(F.silu(x) - F.silu(-x), x, atol=1e-5)
assert sum(p.numel() for p in nn.SwiGLU(288).parameters()) == 2 * 288 * (4 * 288)  # ⅔ · 4 · 288 = 768

# %% [markdown]
# ## Fewer keys: what a text costs while it is written
#
# Who writes token after token keeps the keys and values of all tokens so far. With $\ell$ layers, $G$ heads of keys and
# values, each $d$ wide, and $b$ bytes a number, one token leaves behind
#
# $$2\, \ell\, G\, d\, b \ \text{bytes}.$$
#
# Nothing says that each head of queries needs keys of its own. With **grouped queries** $H$ heads of queries share $G$
# heads of keys, $H/G$ each; $G = H$ is what we had. Published shapes, in 16 bits, and a small network of our own:

# %%
shapes = {  # layers, heads of queries, of keys, width of a head
    "GPT-2, the smallest": (12, 12, 12, 64),
    "LLaMA 2, 7 billion": (32, 32, 32, 128),
    "LLaMA 2, 70 billion": (80, 64, 8, 128),
    "LLaMA 3, 8 billion": (32, 32, 8, 128),
}
for name, (layers, heads, groups, d) in shapes.items():
    size, ungrouped = 2 * layers * groups * d * 2, 2 * layers * heads * d * 2
    print(f"{name:19}: {size:9,} bytes a token, {size * 4096 / 2**30:.2f} GiB for 4,096; with G = H {ungrouped:9,}")

small = models.Llama(100, 256, 128, layers=4, heads=4, kv_heads=2)
caches = small.make_caches()
with minidl.no_grad():
    small(minidl.randint(0, 100, (1, 50)), caches)
    kept = [t for cache in caches for t in cache.append(*[minidl.zeros(1, 2, 0, 32)] * 2)]  # nothing more; gives all
assert sum(t.numel() * 4 for t in kept) == 50 * (2 * 4 * 2 * 32 * 4)

# %% [markdown]
# Each new token needs *every* weight and the *whole* cache once, for two operations a number: far below the roofline's ridge
# (chapter 15), so bytes decide. LLaMA 2 of 7 billion has 13.5 GB of weights, read once for all texts written side by side;
# but each text reads its own cache, 2.1 GB at 4,096 tokens. With seven texts the caches are more than the weights. That is
# why the larger networks have $G = 8$, at hardly a loss in quality (Ainslie et al. 2023).
#
# **Prediction**, for our small network: without a cache token $t$ computes all $t$ again, so a text of 240 tokens is 120
# times the work. It will be nowhere near 120 times slower: a step for one token has hardly any work but Python's.

# %%
text = prompt = minidl.randint(0, 100, (1, 2))
small.generate(prompt, 3)  # what has to be compiled is compiled
start = process_time()
with minidl.no_grad():
    for _ in range(240):
        text = minidl.cat([text, small(text)[:, -1:].argmax(2)], 1)
without, start = process_time() - start, process_time()
assert minidl.equal(small.generate(prompt, 240, temperature=0), text)
cached = process_time() - start
print(f"tokens a second of processor time: {240 / without:.0f}, with a cache {240 / cached:.0f}")
assert 1 < without / cached < 120

# %% [markdown]
# About twice. The larger the network, the less Python counts, and the nearer one comes to the ratio of the work.
#
# ## How large at first
#
# GPT-2's initial weights have $\sigma = 0.02$, and many have copied the number for networks of any width. What does it
# mean? Behind a norm the $D$ entries of a vector have the size 1. A matrix of $\sigma$ makes of them entries of size
# $\sigma\sqrt{D}$. A score, $d$ products of two such numbers over $\sqrt{d}$, has the size $\sigma^2 D$; and the values of
# $t$ tokens, averaged with nearly equal weights and multiplied by one more matrix, bring
#
# $$\frac{\sigma\sqrt{D}}{\sqrt{t}} \cdot \sigma\sqrt{D} = \frac{\sigma^2 D}{\sqrt{t}} .$$
#
# (GPT-2 and LLaMA divide by $\sqrt{2\ell}$ as well, since $2\ell$ such parts are added.) Only $\sigma^2 D$ stands there: 0.31
# for 0.02 and GPT-2's width of 768, but 0.026 for a width of 64. To keep the proportion, $\sigma = 0.02 \sqrt{768 / D}$, as
# minidl/models/initial.py has it.
#
# **Prediction**, for program text and a width of 64. With 0.02 all scores are nearly 0: each token gets the mean of all, and
# little of it, so the network learns later. It is the layers' $\sigma$ that counts; the embedding's does not, since a norm
# comes right behind it.

# %%
minidl.manual_seed(4)
print("width      σ   scores  predicted   from others  predicted")
for width, std in ((64, 0.02), (64, 0.0693), (768, 0.02)):
    model = Writer(1000, width, 1, width // 32, std=std)
    attention, tokens = model.layers[0].self_attn, minidl.randint(0, 1000, (16, 32))
    with minidl.no_grad():
        x = model.layers[0].input_layernorm(model.embed_tokens(tokens))
        q, k = (f(x).reshape(16, 32, -1, 32).transpose(1, 2) for f in (attention.q_proj, attention.k_proj))
        sizes = ((q @ k.mT).std() / 32**0.5).item(), attention(x)[:, -1].std().item()
    wanted = std**2 * width, std**2 * width / 32**0.5
    print(f"{width:5}  {std:.3f}  {sizes[0]:7.3f}  {wanted[0]:9.3f}  {sizes[1]:12.4f}  {wanted[1]:9.4f}")
    assert np.allclose(sizes, wanted, rtol=0.25)

# %%
code = [Path(os.__file__).with_name(name).read_bytes() for name in ("argparse.py", "inspect.py")]
code, after = minidl.tensor(list(b"".join(code))), {}


def windows():
    return code[minidl.randint(0, len(code) - 65, (12, 1)) + minidl.arange(65)]


for parts in ((), ("layers",), ("embed",), ("layers", "embed")):
    minidl.manual_seed(5)
    model = Writer(256, 64, 2, 2)
    with minidl.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and name.startswith(parts):
                parameter.mul_(0.02 / 0.0693)
    after[parts] = np.reshape(learn(model, 100, 1e-3, windows), (5, 20)).mean(1)
    print(f"σ = 0.02 in {' and '.join(parts) or 'nothing':16}: bits in steps 1 to 20, to 40, … {after[parts].round(2)}")
assert after[()][-1] < after["layers", "embed"][-1] - 0.1
assert after["layers",][-1] < after["embed",][-1]

# %% [markdown]
# The first half is true, after a hundred steps; the reason given for it is refuted. Large layers do *not* help here, a large
# embedding does, alone. What did we overlook? The norm comes behind the embedding in the layer, but not on the residual road,
# where a token's own vector must hold its ground against what layers add; and the same matrix makes the scores at the
# end, of size $\sigma\sqrt{D}$. (Which of the two it is, is not tested here.) Nor is the rule a law for layers: copying, in
# `models.Llama` of this width and two layers, came sooner with 0.069 for one seed (2.2 bits against 2.7 after 100 steps at
# the same rate) and later for another (3.5 against 2.6). With a width of 160, three layers and 865 steps of program text
# (docs/results.md) both count: 2.517 bits a byte with 0.02 throughout, 2.453 with larger layers, 2.403 with a larger
# embedding, 2.332 with both.
#
# ## All of it together
#
# `models.Llama` is made of these parts under the names of the published files; our `Writer` is, too. A state dict of the
# one must fit the other, and then both must say the same:

# %%
minidl.manual_seed(7)
llama, by_hand = models.Llama(100, 32, 64, layers=2, heads=4, kv_heads=2), Writer(100, 64, 2, 4, kv_heads=2)
state = llama.state_dict()
by_hand.load_state_dict({name.removeprefix("model."): state[name] for name in state if name.startswith("model.")})
tokens = minidl.randint(0, 100, (3, 32))
with minidl.no_grad():
    apart = (by_hand(tokens) - llama(tokens)).abs().max().item()
print("largest difference:", apart)
assert apart < 1e-5
whole = models.Llama()  # as it stands, the network of llama2.c's "stories15M"
print(f"{sum(p.numel() for p in whole.parameters()):,} parameters:", *list(whole.state_dict())[:3], "…")
assert sum(p.numel() for p in whole.parameters()) == 15_191_712

# %% [markdown]
# Published weights are read by `models.Llama.from_pretrained(folder)`. On program text, networks of about a million
# parameters (`minidl train charlm`, docs/results.md):
#
# | model | bits a byte |
# |---|---|
# | LSTM | 1.937 |
# | GRU, which carries its state from window to window | 1.848 |
# | GPT | 1.907 |
# | LLaMA | 1.861 |
#
# None of the five is a discovery of what language is. Two set the size of numbers, one saves bytes, one makes products
# cheap, one lets a score know a distance. Most of the rest is more text, more parameters, more time.
#
# ## Exercises

# %% [markdown] tags=["exercise", "rotate"]
# ### Exercise 1: clock hands
# Write `rotate(x, first, base)` in NumPy: `x` $(T, d)$, $d$ even, holds queries (or keys) of places `first`, `first` $+ 1$,
# …; values $i$ and $i + d/2$ of place $p$ are turned together by the angle $p \cdot \text{base}^{-2i/d}$. The result has
# the shape of `x`. `rotate(np.array([[1.0, 0.0]]), np.pi / 2, 100)` is [[0, 1]], up to rounding.


# %% tags=["exercise", "rotate"]
def rotate(x, first, base):
    """The rows of x, each turned by its place."""
    # --- solution
    half = x.shape[1] // 2
    angle = (first + np.arange(len(x)))[:, None] * base ** (-np.arange(half) / half)
    a, b = x[:, :half], x[:, half:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], 1)
    # --- end


# %% [markdown] tags=["hint", "rotate"]
# The angles are an array $(T, d/2)$: places down, speeds across.
# %% [markdown] tags=["hint", "rotate"]
# $(a + ib)(\cos\varphi + i \sin\varphi)$ has the real part $a\cos\varphi - b\sin\varphi$. And the imaginary one?


# %% tags=["wrong", "rotate"]
def neighbours_turned(x, first, base):
    """Turns neighbours, as the paper does, not values half a head apart."""
    order = np.r_[0 : x.shape[1] : 2, 1 : x.shape[1] : 2]
    return rotate(x[:, order], first, base)[:, np.argsort(order)]


def always_from_the_beginning(x, first, base):
    """Forgets where the rows begin: right until a cache is used."""
    return rotate(x, 0, base)


def speeds_over_the_whole_width(x, first, base):
    """Divides i, not 2i, by d: the slowest hand is far too fast."""
    return rotate(x, first, base**0.5)


# %% tags=["check", "rotate"]
def check_rotate(rotate):
    """Beside minidl's, for several widths, bases and first places."""
    for t, d, first, base in ((1, 2, 3, 100.0), (5, 2, 0, 10.0), (4, 8, 7, 1e4), (3, 6, 1000, 500.0)):
        x = minidl.randn(t, d, dtype=minidl.float64)
        wanted = F.rotary_embedding(x, positions=minidl.arange(first, first + t), base=base).numpy()
        got = np.asarray(rotate(x.numpy().copy(), first, base))
        assert got.shape == wanted.shape, f"the result should have the shape {wanted.shape}, but has {got.shape}"
        assert np.allclose(got, wanted, atol=1e-6), (
            f"T = {t}, d = {d}, first = {first}, base = {base}: the last row should begin {wanted[-1, :4].round(4)}, but "
            f"begins {got[-1, :4].round(4)}. Which values are a pair, which way do they turn, and how fast is pair i?"
        )


# %% [markdown] tags=["exercise", "gate_backward"]
# ### Exercise 2: back through a gate
# Write `gate_backward(a, u, g)`: for $\mathbf{h} = \mathrm{silu}(\mathbf{a}) \odot \mathbf{u}$, arrays of any shape,
# and `g` $= \bar{\mathbf{h}}$ it returns $\bar{\mathbf{a}}$ and $\bar{\mathbf{u}}$.


# %% tags=["exercise", "gate_backward"]
def gate_backward(a, u, g):
    """The gradients of a and u."""
    # --- solution
    s = 1 / (1 + np.exp(-a))
    return g * u * s * (1 + a * (1 - s)), g * a * s
    # --- end


# %% [markdown] tags=["hint", "gate_backward"]
# $\mathbf{u}$ is multiplied by $\mathrm{silu}(\mathbf{a})$, so its gradient is too; and the other way round.
# %% [markdown] tags=["hint", "gate_backward"]
# $a\, \sigma(a)$ is a product. With $\sigma' = \sigma (1 - \sigma)$ its derivative has two terms.


# %% tags=["wrong", "gate_backward"]
def gate_taken_for_a_sigmoid(a, u, g):
    """Uses an LSTM's gate, σ(a), without the factor a."""
    s = 1 / (1 + np.exp(-a))
    return g * u * s * (1 - s), g * s


def product_rule_forgotten(a, u, g):
    """Takes σ(a) in a·σ(a) for a constant."""
    return g * u / (1 + np.exp(-a)), gate_backward(a, u, g)[1]


def gate_takes_all(a, u, g):
    """Sends the gradient to the gate as if it multiplied nothing."""
    return gate_backward(a, np.ones_like(u), g)[0], gate_backward(a, u, g)[1]


# %% tags=["check", "gate_backward"]
def check_gate_backward(gate_backward):
    """Beside minidl's tape."""
    for shape in ((5,), (2, 3), (1, 4, 2)):
        a, u = (minidl.randn(*shape, dtype=minidl.float64, requires_grad=True) for _ in range(2))
        g = minidl.randn(*shape, dtype=minidl.float64)
        (F.silu(a) * u * g).sum().backward()
        got = gate_backward(*(t.detach().numpy().copy() for t in (a, u, g)))
        for name, ours, theirs in zip("au", got, (a.grad.numpy(), u.grad.numpy())):
            assert np.shape(ours) == shape, f"the gradient of {name} should be {shape}, but is {np.shape(ours)}"
            assert np.allclose(ours, theirs, atol=1e-7), (
                f"shape {shape}: the gradient of {name} should begin {theirs.ravel()[:3].round(4)}, but begins "
                f"{np.ravel(ours)[:3].round(4)}. What is the other factor, and what is the derivative of a·σ(a)?"
            )


# %% [markdown] tags=["exercise", "next_output"]
# ### Exercise 3: one token, with a cache
# Write `next_output(q, keys, values)` in NumPy, what one layer does for a new token: `q` $(H, d)$ has its $H$ queries, `keys`
# and `values` $(G, S, d)$ are those of all $S$ tokens, the new one among them, and $H$ is a multiple of $G$. The first
# $H/G$ heads of queries belong to the first head of keys, the next ones to the next. Scores are divided by $\sqrt{d}$.
# The result is $(H, d)$. Repeat no key in memory if you can.


# %% tags=["exercise", "next_output"]
def next_output(q, keys, values):
    """The attention's output for one token, (H, d)."""
    # --- solution
    groups, _, d = keys.shape
    scores = q.reshape(groups, -1, d) @ keys.transpose(0, 2, 1) / np.sqrt(d)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ values).reshape(q.shape)
    # --- end


# %% [markdown] tags=["hint", "next_output"]
# `q.reshape(G, H // G, d)` puts the heads that share keys beside each other. Then a product sees the last two axes.
# %% [markdown] tags=["hint", "next_output"]
# Scores are $(G, H/G, S)$. The softmax goes over $S$; nothing need be masked, since the new token may see all.


# %% tags=["wrong", "next_output"]
def heads_dealt_in_turn(q, keys, values):
    """Deals heads out like cards: head 0 to group 0, head 1 to group 1."""
    order = np.argsort(np.arange(len(q)) % len(keys), kind="stable")
    return next_output(q[order], keys, values)[np.argsort(order)]


def one_head_of_keys_for_all(q, keys, values):
    """Lets all queries look at the first head of keys."""
    return next_output(q, keys[:1], values[:1])


def scale_forgotten(q, keys, values):
    """Leaves out 1/√d."""
    return next_output(q * np.sqrt(q.shape[1]), keys, values)


# %% tags=["check", "next_output"]
def check_next_output(next_output):
    """Beside minidl's operator, whose last query is the new token's."""
    for heads, groups, s, d in ((4, 2, 5, 3), (6, 2, 1, 4), (3, 3, 7, 2), (8, 1, 4, 2), (6, 3, 9, 5)):
        q, k, v = (minidl.randn(1, *n, d, dtype=minidl.float64) for n in ((heads, 1), (groups, s), (groups, s)))
        wanted = F.scaled_dot_product_attention(q, k, v, enable_gqa=True).numpy()[0, :, 0]
        got = np.asarray(next_output(q.numpy()[0, :, 0].copy(), k.numpy()[0].copy(), v.numpy()[0].copy()))
        assert got.shape == wanted.shape, f"the output should have the shape {wanted.shape}, but has {got.shape}"
        wrong = [h for h in range(heads) if not np.allclose(got[h], wanted[h], atol=1e-7)]
        assert not wrong, (
            f"H = {heads}, G = {groups}, S = {s}, d = {d}: heads {wrong} are wrong; head {wrong[0]} should give "
            f"{wanted[wrong[0]].round(4)}, but gave {got[wrong[0]].round(4)}. Which head of keys is its own?"
        )


# %% [markdown]
# ## What PyTorch does differently
#
# PyTorch has `nn.RMSNorm`, and `enable_gqa=True` in `scaled_dot_product_attention`, with the same meaning. The rest is left
# to libraries such as Hugging Face's transformers, whose names of parameters `models.Llama` keeps. Whether pairs are
# neighbours or half a head apart is no matter for a new network and all for a published one: Meta's own files have the
# first, those of Hugging Face the second, with rows of the weights in another order.
#
# ## Sources
#
# - Touvron et al. 2023, "LLaMA: Open and efficient foundation language models"; Radford et al. 2019 (GPT-2).
# - Su et al. 2021, "RoFormer: Enhanced transformer with rotary position embedding"; Chen et al. 2023, "Extending context
#   window of large language models via positional interpolation".
# - Zhang and Sennrich 2019, "Root mean square layer normalization".
# - Shazeer 2020, "GLU variants improve transformer"; and 2019, "Fast transformer decoding", the case $G = 1$.
# - Ainslie et al. 2023, "GQA: Training generalized multi-query transformer models from multi-head checkpoints".
# - Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks": the width's root.
#
# This is the last chapter. We began with a line of numbers and a way to walk it, and have come to the networks of today.
# What lies beyond, several machines, pruning, quantisation, serving, is made of the same parts; you have seen them all.
