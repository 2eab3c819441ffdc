# %% [markdown]
# # 13. Fine-tuning and LoRA
#
# **The question.** Four texts with labels, and we want a classifier. From scratch that is hopeless: most words of the
# language do not even occur in four texts. A network that has read the language without labels knows which words go
# together, and might need no more than those four. But what should we train then: a new last layer, everything, or
# something between? And what happens meanwhile to what it knew?
#
# [Chapter 12](12_pretraining.py) left us with networks that can foresee a language. Now they get something to do.

# %% tags=["setup"]
import numpy as np

import minidl
from minidl import models, optim
from minidl.models import lora
from minidl.nn import functional as F
from minidl.tutor import choose

# %%
import matplotlib.pyplot as plt

minidl.set_num_threads(1)  # the arrays are small: one thread is quickest

# %% [markdown]
# ## The mathematics: why a low rank?
#
# A linear layer $Y = XW^\top + \mathbf{b}$ has the gradient $G = \bar{W} = \bar{Y}^\top X$, a sum of outer products,
# one a sample:
#
# $$G = \sum_{n=1}^{N} \bar{\mathbf{y}}_n \mathbf{x}_n^\top, \qquad \operatorname{rank} G \le N .$$
#
# Four samples (of one vector each) change $W$ by a matrix of rank 4 at most, however large it is, and gradient
# descent adds up such matrices. If a task needs few directions, say "is this a good word", then the sum has a low
# rank too, whatever the number of samples. That is the bet of LoRA: keep $W$ frozen and learn only a correction that
# *cannot* have a higher rank than $r$,
#
# $$Y = XW^\top + \mathbf{b} + s\,(XA^\top)B^\top, \qquad \Delta W = s\,BA, \qquad
# A: (r, D_\text{in}), \quad B: (D_\text{out}, r), \quad s = \alpha/r .$$
#
# With $H = XA^\top$ $(N, r)$ both parts are linear layers, whose rules we know. From $Y = \dots + sHB^\top$:
#
# $$\bar{B} = s\,\bar{Y}^\top H = s\,G A^\top, \qquad \bar{H} = s\,\bar{Y}B, \qquad
# \bar{A} = \bar{H}^\top X = s\,B^\top G, \qquad \bar{X} = \bar{Y}W + s\,\bar{Y}BA .$$
#
# $A$ begins random and $B$ at zero, so that nothing changes at first. Then $\bar{A} = 0$ in the first step and
# $\bar{B} = sGA^\top$ is not. After it
#
# $$\Delta W = -\eta s^2\, G\, A^\top A :$$
#
# the full gradient, seen through a random projection on $r$ directions. Were both zero, both gradients would be zero,
# and it would never start. Were both random, the network would be damaged before it has learnt anything.

# %%
minidl.manual_seed(13)
x = minidl.randn(5, 6, dtype=minidl.float64, requires_grad=True)
w, a, b = (minidl.randn(*shape, dtype=minidl.float64, requires_grad=True) for shape in ((4, 6), (2, 6), (4, 2)))
y_bar, s = minidl.randn(5, 4, dtype=minidl.float64), 0.5
((x @ w.t() + s * (x @ a.t()) @ b.t()) * y_bar).sum().backward()
with minidl.no_grad():
    g = y_bar.t() @ x
    assert minidl.allclose(w.grad, g)
    assert minidl.allclose(b.grad, s * g @ a.t())
    assert minidl.allclose(a.grad, s * b.t() @ g)
    assert minidl.allclose(x.grad, y_bar @ w + s * y_bar @ b @ a)
    merged = w + s * b @ a
    gap = (x @ merged.t() - (x @ w.t() + s * (x @ a.t()) @ b.t())).abs().max().item()
print(f"merged or beside: the outputs differ by {gap:.0e}")
assert gap < 1e-13

# %% [markdown]
# **Merging is exact**, since the correction is linear in $X$: $XW^\top + sXA^\top B^\top = X(W + sBA)^\top$. Once
# trained, a LoRA costs nothing. (Only the rounding differs.) And it can be taken off again, which is exact as well if
# one keeps $W$.
#
# ## What it saves, and what not
#
# A layer has $D_\text{out}D_\text{in}$ weights, its adapter $r(D_\text{in} + D_\text{out})$. Adam keeps for each
# number that is trained a gradient and two means, so in float32 16 bytes, against 4 for a frozen one. For MiniLM, a
# BERT with 6 layers of width 384, with adapters of rank 8 beside the queries and values:

# %%
width, inner, layers = 384, 1536, 6
embeddings = (30522 + 512 + 2) * width + 2 * width
block = 4 * (width * width + width) + 2 * width * inner + inner + width + 4 * width
total = embeddings + layers * block + width * width + width
adapters = layers * 2 * 8 * (width + width)
print(
    f"all: {total:,} numbers, {16 * total / 1e6:.0f} MB; adapters: {adapters:,}, {(4 * total + 16 * adapters) / 1e6:.0f} MB"
)
small = models.BERT(50, 16, 2, 2, context=8, types=1)
before = sum(p.numel() for p in small.parameters())
lora.add_adapters(small, rank=3)
trained = sum(p.numel() for p in small.parameters() if p.requires_grad)
assert trained == 2 * 2 * 3 * (16 + 16)
assert sum(p.numel() for p in small.parameters()) == before + trained

# %% [markdown]
# A third of a percent is trained, but the memory falls to a quarter only, not to a three-hundredth: the frozen
# weights have to lie there. Nor do the activations become fewer, nor does the pass forward, nor $\bar{X}$ through the
# frozen layers, which the adapters below need. What is saved in time is $\bar{W} = \bar{Y}^\top X$, about a third.
#
# ## A language and a task
#
# The language has 30 good words, 30 bad and 20 neutral ones; a text of 12 words takes its opinions from one side.
# Nothing else tells the sides apart. First a small BERT reads texts *without* labels and guesses hidden words.


# %%
def texts(n):
    """Texts (n, 12): 0 pads, 1 hides, 2 to 31 are good words, 32 to 61 bad, 62 to 81 neutral; and their sides (n,)."""
    side = minidl.arange(n) % 2
    opinion = 2 + 30 * side[:, None] + minidl.randint(0, 30, (n, 12))
    return minidl.where(minidl.rand(n, 12) < 0.6, opinion, 62 + minidl.randint(0, 20, (n, 12))), side


def hide(x):
    """A quarter of the words chosen: 80 % of them hidden, 10 % replaced, 10 % kept."""
    chosen, fate = minidl.rand(*x.shape) < 0.25, minidl.rand(*x.shape)
    shown = minidl.where(chosen & (fate < 0.8), 1, x)
    shown = minidl.where(chosen & (fate >= 0.9), minidl.randint(2, 82, tuple(x.shape)), shown)
    return shown, minidl.where(chosen, x, -100)


def masked_model():
    return models.BertForMaskedLM(models.BERT(82, 32, 1, 2, context=12, types=1, dropout=0.0))


def masked_loss(model, x):
    shown, wanted = hide(x)
    return F.cross_entropy(model(shown).flatten(0, 1), wanted.flatten())


minidl.manual_seed(0)
reader = masked_model()
optimizer = optim.AdamW(reader.parameters(), lr=1e-2)
for _ in range(choose(200, 1000)):
    loss = masked_loss(reader, texts(96)[0])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
known = {name: value.clone() for name, value in reader.state_dict().items()}
with minidl.no_grad():
    before = masked_loss(reader, texts(2000)[0]).item()
blind = -(0.6 * np.log(0.6 / 60) + 0.4 * np.log(0.4 / 20))
sided = -(0.6 * np.log(0.6 / 30) + 0.4 * np.log(0.4 / 20))
print(f"loss {before:.3f} nats; who does not know the side needs {blind:.3f}, who knows it {sided:.3f}")
assert before < (blind + sided) / 2

# %% [markdown]
# The two bounds can be had by hand: a reader who knows the frequencies alone guesses among 60 opinions, one who has
# understood the text among 30, and the difference is $0.6 \ln 2 = 0.416$ nats. The model is even a little below the
# lower one, since a tenth of the words asked for are kept in sight. It knows the sides; no one has told it their
# names.
#
# ## An experiment that can fail: four labels, five ways
#
# **Prediction.** From scratch, four texts with about 28 opinions say something of less than half of the words, and
# the rest is a guess: below 95 %. After pre-training every way is nearly perfect, the head alone included: which side
# a word is on lies in the vectors already, and the labels are needed only to name it.
#
# And forgetting: afterwards the old head guesses hidden words again, with the encoder as it is by then. The head
# alone cannot forget. Training everything does; and LoRA? Its matrices are few, which sounds gentle. Decide before
# you run.


# %%
def tune(method, seed, count=4, steps=60):
    """Fine-tune with ``count`` labels; accuracy, the loss on hidden words after it, the classifier, numbers trained."""
    minidl.manual_seed(seed)
    language = masked_model()
    if method != "scratch":
        language.load_state_dict(known)
    model = models.BertClassifier(language.bert, 2, dropout=0.0)
    allocator = None
    if method == "head":
        model.bert.requires_grad_(False)
    elif method == "LoRA":
        lora.add_adapters(model, rank=4, alpha=8.0)
    elif method == "AdaLoRA":
        lora.add_adapters(model, lora.AdaLoRALinear, rank=4, alpha=8.0)
        allocator = lora.RankAllocator(model, target=2, total=steps)
    lr = {"scratch": 3e-3, "head": 3e-2, "all": 3e-3}.get(method, 1e-2)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = optim.AdamW(trained, lr=lr)
    x, side = texts(count)
    for _ in range(steps):
        loss = F.cross_entropy(model(x), side)
        optimizer.zero_grad()
        loss.backward()
        if allocator:
            (0.1 * lora.orthogonality(model)).backward()
            allocator.observe()
        optimizer.step()
        if allocator:
            allocator.prune()
    with minidl.no_grad():
        x, side = texts(1000)
        accuracy = (model(x).argmax(1) == side).float().mean().item()
        after = masked_loss(language, x).item()
    return accuracy, after, model, sum(p.numel() for p in trained), allocator


results = {}
for method in ("scratch", "head", "all", "LoRA", "AdaLoRA"):
    runs = [tune(method, seed) for seed in range(choose(3, 10))]
    results[method] = np.mean([run[0] for run in runs]), np.mean([run[1] for run in runs]), runs[0]
    print(
        f"{method:8} {runs[0][3]:6,} numbers: {results[method][0]:.1%} right; hidden words {results[method][1]:.3f} nats"
    )
assert results["scratch"][0] < 0.95
assert min(results[method][0] for method in ("head", "all", "LoRA", "AdaLoRA")) > 0.97
assert results["head"][1] < before + 0.1
assert min(results["all"][1], results["LoRA"][1]) > before + 0.15
assert results["AdaLoRA"][1] < min(results["all"][1], results["LoRA"][1])

# %%
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
tuned = [method for method in results if method != "scratch"]
ax.barh(tuned, [results[method][1] - before for method in tuned])
ax.axvline(blind - before, linestyle="--", color="black", linewidth=1)
ax.set(xlabel="forgotten: nats more on hidden words")

# %% [markdown]
# *Alike in what they can do, unlike in what it cost.* The longer the bar, the more is forgotten; at the dashed line
# nothing would be left but how frequent each word is, and beyond it the old head is misled with confidence; the few
# hundredths below zero are chance, since other words are hidden each time. Training everything on four texts loses
# most of what understanding the text had gained, with a better accuracy than from scratch and nothing in it to warn
# us. The plain LoRA forgets no less: few numbers need not mean a small change, since a low rank bounds the
# *directions* of $\Delta W$, not their size. AdaLoRA moved least of those that touch the encoder, with hardly more
# numbers. How much is forgotten also depends on learning rate and steps, which are our choice: 0.003
# for everything, 0.01 for adapters, 60 steps each. But what an adapter changed can be taken off:

# %%
_, after, (_, _, adapted, _, _) = results["LoRA"]
for adapter in lora.adapters(adapted).values():
    adapter.scaling = 0.0
x = texts(50)[0]
reader.load_state_dict(known)
with minidl.no_grad():
    states, original = adapted.bert(x), reader.bert(x)
print("adapters off, largest difference from the encoder as it was:", (states - original).abs().max().item())
assert minidl.equal(states, original)

# %% [markdown]
# Zero, to the last bit. One frozen encoder can serve a hundred tasks, each with its own adapter in a file of
# kilobytes.
#
# And was the bet right, that what fine-tuning changes has a low rank? Nothing forced "all" to it. Singular values
# tell: what share of $\lVert \Delta W \rVert^2$ is in the first four of 32 directions? **Prediction:** clearly more
# than of $\lVert W \rVert^2$ itself.

# %%
shares = []
for name, value in results["all"][2][2].bert.encoder.named_parameters():
    if value.ndim == 2:
        old = known[f"bert.encoder.{name}"].numpy()
        squares = [np.linalg.svd(m, compute_uv=False) ** 2 for m in (value.detach().numpy() - old, old)]
        shares.append([(q[:4].sum() / q.sum()) for q in squares])
        print(f"{name:40} of the change {shares[-1][0]:.0%}, of the weights {shares[-1][1]:.0%}")
assert all(change > weight for change, weight in shares)

# %% [markdown]
# ## AdaLoRA: which directions earn their keep
#
# Why the same rank everywhere? AdaLoRA writes $\Delta W = s\,P \operatorname{diag}(\boldsymbol\lambda)\, Q$, with a
# penalty $\lVert P^\top P - I\rVert^2 + \lVert QQ^\top - I\rVert^2$ that keeps $P$ and $Q$ near orthogonal, so that
# it is nearly a singular value decomposition, and a direction is given up by $\lambda_i = 0$. Which one? To first
# order, making a number $w$ zero changes the loss by
#
# $$L(0) - L(w) \approx -w\,\bar{w},$$
#
# so $|w\,\bar{w}|$ is its **sensitivity**, known after every backward pass for nothing. One batch is noisy, so one
# keeps a running mean $I$, and a running mean $U$ of how far single batches are from it:
#
# $$I \leftarrow \beta_1 I + (1-\beta_1)\,|w\bar{w}|, \qquad U \leftarrow \beta_2 U + (1-\beta_2)\,\bigl||w\bar{w}| - I\bigr|,
# \qquad \text{importance } I \cdot U .$$
#
# (The product favours what varies: about that one is least certain.) A triplet's importance is that of $\lambda_i$,
# plus the mean over $P$'s column and $Q$'s row. All triplets of all layers compete for one budget, which falls along
# a cubic.

# %%
allocator = results["AdaLoRA"][2][4]
print("budget:", [allocator.budget(step) for step in range(0, 61, 6)])
print("ranks of query and value at the end:", allocator.ranks())
assert sum(allocator.ranks()) == 4

# %% [markdown]
# Four directions were to be shared by two layers, and the layer that decides *what* is passed on, the value, can get
# more than the one that decides where to look. In a text whose words all say the same, where to look matters little.
#
# ## In earnest
#
# `minidl finetune` did it with MiniLM, an encoder of 22.7 million parameters, and 8,013 sentences of film reviews; none of
# the methods had seen a review of a product before the last column's test (docs/results.md, means of three seeds):
#
# | method | trained | MB | film reviews | product reviews |
# |---|---|---|---|---|
# | an LSTM from scratch | 542,594 | 9 | 74.3 ± 0.5 % | 56.6 ± 0.5 % |
# | the head alone | 770 | 91 | 80.5 ± 0.4 % | 76.0 ± 0.7 % |
# | the whole network | 22,713,986 | 362 | 86.5 ± 0.3 % | 78.9 ± 2.1 % |
# | LoRA | 74,498 | 92 | 84.6 ± 0.1 % | 80.3 ± 0.6 % |
# | AdaLoRA | 111,506 | 93 | 82.4 ± 0.9 % | 79.4 ± 0.8 % |
#
# Cover the last column, and the whole network has won. Look at it, and the LSTM has learnt cinema, not sentiment: always
# saying "positive" would be right in 58.6 % of product reviews. What LoRA gives up at home it gets back abroad, for a
# quarter of the memory. With MINIDL_FULL=1 the next cell downloads the same and tunes the head and a LoRA.

# %%
if choose(False, True):
    from minidl.data import text
    from minidl.models import BERT
    from minidl.text import WordPiece
    from minidl.train import classification

    folder = text.minilm()
    training, test = (text.movie_reviews(split).to_labels() for split in ("train", "test"))
    elsewhere, pieces = text.amazon_reviews("all").to_labels(), WordPiece.from_file(folder)
    for method in ("head", "lora"):
        tuned = classification.tune(method, 0, training, test, elsewhere, lambda: BERT.from_pretrained(folder), pieces)
        print(
            f"{method}: {tuned.accuracy:.1%} of film reviews, {tuned.elsewhere:.1%} of others, {tuned.trained:,} numbers"
        )

# %% [markdown]
# ## Exercises

# %% [markdown] tags=["exercise", "merge"]
# ### Exercise 1: merge
# Write `merge(w, a, b, alpha)` in NumPy: `w` $(D_\text{out}, D_\text{in})$, `a` $(r, D_\text{in})$, `b`
# $(D_\text{out}, r)$. It returns the weight of the one layer that does what both did, with $s = \alpha/r$, and leaves
# `w` as it was.


# %% tags=["exercise", "merge"]
def merge(w, a, b, alpha):
    """W + s B A, a new array."""
    # --- solution
    return w + alpha / len(a) * b @ a
    # --- end


# %% [markdown] tags=["hint", "merge"]
# Which order of A and B gives a matrix of W's shape?
# %% [markdown] tags=["hint", "merge"]
# The rank stands in A's shape. Make a new array: `w += …` would change the caller's.


# %% tags=["wrong", "merge"]
def unscaled(w, a, b, alpha):
    """Forgets the scale."""
    return w + b @ a


def scaled_by_alpha(w, a, b, alpha):
    """Forgets to divide by the rank."""
    return w + alpha * b @ a


def divided_by_width(w, a, b, alpha):
    """Takes the width of the input for the rank."""
    return w + alpha / a.shape[1] * b @ a


def in_place(w, a, b, alpha):
    """Changes the caller's weight, so that the adapter cannot be taken off."""
    w += alpha / len(a) * b @ a
    return w


# %% tags=["check", "merge"]
def check_merge(merge):
    """Random layers: the outputs of the merged one beside both paths."""
    rng = np.random.default_rng()
    for n_out, n_in, r, alpha in ((4, 6, 2, 8.0), (3, 3, 1, 0.5), (1, 5, 4, 16.0), (7, 2, 3, 1.0)):
        w, a, b = (rng.standard_normal(shape) for shape in ((n_out, n_in), (r, n_in), (n_out, r)))
        x, kept = rng.standard_normal((5, n_in)), w.copy()
        wanted = x @ w.T + alpha / r * (x @ a.T) @ b.T
        got = np.asarray(merge(w, a, b, alpha))
        assert got.shape == w.shape, f"the merged weight should have the shape {w.shape}, but has {got.shape}"
        assert np.array_equal(w, kept), "the weight that was handed in has changed: return a new array"
        assert np.allclose(x @ got.T, wanted), (
            f"rank {r}, alpha {alpha}: the merged layer gives {(x @ got.T)[0].round(3)}, both paths {wanted[0].round(3)}. "
            "Look at the scale s."
        )


# %% [markdown] tags=["exercise", "lora_backward"]
# ### Exercise 2: LoRA's gradients
# Write `lora_backward(x, w, a, b, s, g)` for $Y = XW^\top + s\,(XA^\top)B^\top$ in NumPy: `x` $(N, D_\text{in})$, `g`
# $= \bar{Y}$ $(N, D_\text{out})$. It returns $\bar{X}, \bar{A}, \bar{B}$; $W$ is frozen.


# %% tags=["exercise", "lora_backward"]
def lora_backward(x, w, a, b, s, g):
    """The gradients of x, a and b, each of its array's shape."""
    # --- solution
    h_bar = s * g @ b
    return g @ w + h_bar @ a, h_bar.T @ x, s * g.T @ (x @ a.T)
    # --- end


# %% [markdown] tags=["hint", "lora_backward"]
# Two linear layers, one behind the other: $H = XA^\top$, then $sHB^\top$. Go back through the second first.
# %% [markdown] tags=["hint", "lora_backward"]
# $\bar{H} = s\bar{Y}B$. Then $\bar{A} = \bar{H}^\top X$, and $X$ receives from both paths.


# %% tags=["wrong", "lora_backward"]
def frozen_path_forgotten(x, w, a, b, s, g):
    """Takes a frozen weight for one through which no gradient passes."""
    return s * g @ b @ a, s * (g @ b).T @ x, s * g.T @ (x @ a.T)


def scale_forgotten(x, w, a, b, s, g):
    """Leaves the scale out on the way back."""
    return g @ w + g @ b @ a, (g @ b).T @ x, g.T @ (x @ a.T)


def adapter_path_forgotten(x, w, a, b, s, g):
    """Sends back to x through W alone."""
    return g @ w, s * (g @ b).T @ x, s * g.T @ (x @ a.T)


def scale_squared(x, w, a, b, s, g):
    """Applies the scale in both layers."""
    return g @ w + s * s * g @ b @ a, s * s * (g @ b).T @ x, s * g.T @ (x @ a.T)


# %% tags=["check", "lora_backward"]
def check_lora_backward(lora_backward):
    """Beside minidl's tape, with all sizes different."""
    for n, n_in, n_out, r, s in ((5, 6, 4, 2, 0.5), (1, 3, 2, 1, 2.0), (7, 2, 5, 3, -1.5)):
        shapes = ((n, n_in), (n_out, n_in), (r, n_in), (n_out, r))
        x, w, a, b = (minidl.randn(*shape, dtype=minidl.float64, requires_grad=True) for shape in shapes)
        g = minidl.randn(n, n_out, dtype=minidl.float64)
        ((x @ w.t() + s * (x @ a.t()) @ b.t()) * g).sum().backward()
        got = lora_backward(*(t.detach().numpy().copy() for t in (x, w, a, b)), s, g.numpy().copy())
        assert len(got) == 3, "three gradients are wanted: of x, a and b"
        for name, ours, theirs in zip("XAB", got, (x, a, b)):
            wanted = theirs.grad.numpy()
            assert np.shape(ours) == wanted.shape, (
                f"the gradient of {name} should be {wanted.shape}, but is {np.shape(ours)}"
            )
            assert np.allclose(ours, wanted), (
                f"s = {s}: the gradient of {name} should begin {wanted[0].round(4)}, but begins "
                f"{np.asarray(ours)[0].round(4)}. "
                "Mind the scale, and that X stands in both paths."
            )


# %% [markdown] tags=["exercise", "importance"]
# ### Exercise 3: which triplet matters
# Write `importance(steps, beta)`. `steps` lists, for each step of training, a pair `(values, grads)`; both are tuples
# of $P$ $(D_\text{out}, r)$, $\boldsymbol\lambda$ $(r,)$ and $Q$ $(r, D_\text{in})$. Running means begin at zero,
# with $\beta_1 = \beta_2 =$ `beta`, and $U$ uses the new $I$. It returns the $r$ triplets' importances after the last
# step.


# %% tags=["exercise", "importance"]
def importance(steps, beta):
    """The importance (r,) of each triplet."""
    # --- solution
    scores = []
    for part in range(3):
        mean = varies = 0.0
        for values, grads in steps:
            now = np.abs(values[part] * grads[part])
            mean = beta * mean + (1 - beta) * now
            varies = beta * varies + (1 - beta) * np.abs(now - mean)
        scores.append(mean * varies)
    return scores[1] + scores[0].mean(0) + scores[2].mean(1)
    # --- end


# %% [markdown] tags=["hint", "importance"]
# First make arrays of importances as large as $P$, $\boldsymbol\lambda$ and $Q$; only at the end reduce them to $r$
# numbers.
# %% [markdown] tags=["hint", "importance"]
# $P$ has a column for each triplet, `mean(0)`, and $Q$ a row, `mean(1)`.


# %% tags=["wrong", "importance"]
def size_alone(steps, beta):
    """Takes the largest singular values, as if the loss had no say."""
    return np.abs(steps[-1][0][1])


def last_step_alone(steps, beta):
    """Trusts a single batch."""
    return importance(steps[-1:], beta)


def only_lambda(steps, beta):
    """Looks at lambda and leaves out P and Q."""
    bare = [(tuple(v * (i == 1) for i, v in enumerate(values)), grads) for values, grads in steps]
    return importance(bare, beta)


def sums_for_means(steps, beta):
    """Adds up columns and rows, so that wide layers win."""
    n_out, n_in = len(steps[0][0][0]), steps[0][0][2].shape[1]
    both = [((v[0] * n_out**0.5, v[1], v[2] * n_in**0.5), g) for v, g in steps]
    return importance(both, beta)


# %% tags=["check", "importance"]
def check_importance(importance):
    """Beside the running means written out as weighted sums, triplet by triplet."""
    rng = np.random.default_rng()
    for n_out, n_in, r, count, beta in ((4, 6, 2, 3, 0.85), (3, 5, 3, 1, 0.5), (6, 4, 1, 5, 0.9)):
        shapes = ((n_out, r), (r,), (r, n_in))
        steps = [tuple(tuple(rng.standard_normal(shape) for shape in shapes) for _ in range(2)) for _ in range(count)]
        wanted = np.zeros(r)
        for i in range(r):
            mine = []
            for part, place in enumerate(((slice(None), i), i, i)):
                seen = [np.abs(values[part][place] * grads[part][place]) for values, grads in steps]
                decay = [(1 - beta) * beta ** np.arange(t, -1, -1) for t in range(count)]
                means = [sum(c * v for c, v in zip(decay[t], seen)) for t in range(count)]
                varies = sum(c * np.abs(v - m) for c, v, m in zip(decay[-1], seen, means))
                mine.append(np.mean(means[-1] * varies))
            wanted[i] = np.sum(mine)
        got = np.asarray(importance(steps, beta))
        assert got.shape == (r,), f"one importance a triplet is wanted, ({r},), but the shape is {got.shape}"
        assert np.allclose(got, wanted, rtol=1e-6), (
            f"{count} steps, beta {beta}, P {shapes[0]}, Q {shapes[2]}: should be {wanted.round(5)}, but is {got.round(5)}. "
            "Means over P's column and Q's row, each with its own running means."
        )


# %% [markdown]
# ## What PyTorch does differently
#
# - PyTorch has no adapters; the library peft (Hugging Face) has LoRA and AdaLoRA, with the names `lora_A` and
#   `lora_B` that `models.lora` keeps.
# - Freezing is the same: `requires_grad_(False)`, and the optimiser is given what is left.
#
# ## Sources
#
# - Hu et al. 2022, "LoRA: Low-rank adaptation of large language models", sections 4 and 7.
# - Zhang et al. 2023, "Adaptive budget allocation for parameter-efficient fine-tuning" (AdaLoRA), equations 4 to 12.
# - Aghajanyan, Zettlemoyer and Gupta 2021, "Intrinsic dimensionality explains the effectiveness of language model
#   fine-tuning".
# - McCloskey and Cohen 1989 on catastrophic interference; Biderman et al. 2024, "LoRA learns less and forgets less".
#
# So far we asked what is computed; the next chapter asks how a machine computes it, in kernels.
