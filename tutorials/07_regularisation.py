# %% [markdown]
# # 7. Regularisation
#
# **The question.** Give 300 digits *random* labels and train a network of 85,000 weights on them. It learns all 300, though
# there is nothing to be learnt. So the network that we trained on true labels could have learnt them by heart as well. Why
# did it not, or did it? And what do the seven usual remedies do, each of them: what does it assume, and when does it do
# harm?
#
# [Chapter 6](06_deep_networks.py) left us with networks that can be made as deep as we like. Their training loss can be
# pushed to zero; from now on the question is what they do with pictures that they have not seen.

# %% tags=["setup"]
import math
import tempfile

import matplotlib.pyplot as plt
import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import nn, optim, serialization
from minidl.data import DataLoader, Digits, TensorDataset
from minidl.train import EarlyStopping, Trainer
from minidl.tutor import choose

minidl.manual_seed(0)

# %%
data = {train: Digits(train=train) for train in (True, False)}
pictures, test_pictures = (data[train].data.float().flatten(1) / 255 for train in (True, False))
classes, test_classes = data[True].targets, data[False].targets
few = TensorDataset(pictures[:150], classes[:150])  # so few that a remedy has something to do
test_loader = DataLoader(TensorDataset(test_pictures, test_classes), 359)


def network(dropout=0.0, width=256):
    """85,002 parameters, for 64 pixels."""
    hidden = [
        nn.Linear(64, width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(dropout),
    ]
    return nn.Sequential(*hidden, nn.Linear(width, 10))


def train(dataset, epochs, model=None, kind=optim.Adam, weight_decay=0.0, measured=test_loader, **settings):
    """A network trained with these settings, and the Trainer's history."""
    model = network() if model is None else model
    optimizer = kind(model.parameters(), lr=2e-3, weight_decay=weight_decay)
    trainer = Trainer(model, optimizer, DataLoader(dataset, 25, shuffle=True), measured, **settings)
    return model, trainer.fit(epochs)


def accuracy(model, x, y):
    model.eval()
    with minidl.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


# %% [markdown]
# ## What a network can hold
#
# **Prediction.** Random labels are learnt too, more slowly. Of test pictures the network then knows nothing: 10 %.

# %%
minidl.manual_seed(0)
x, true = pictures[:300], classes[:300]
for name, labels in (("true", true), ("random", minidl.randint(0, 10, (300,)))):
    model, _ = train(TensorDataset(x, labels), choose(60, 200), measured=None)
    known, unseen = accuracy(model, x, labels), accuracy(model, test_pictures, test_classes)
    print(f"{name:6} labels: {known:.1%} of the training pictures right, {unseen:.1%} of the test's")
    assert known > 0.95
    assert unseen > 0.8 if name == "true" else unseen < 0.25

# %% [markdown]
# Same network, same optimiser, same pictures. So no theory that only counts weights can explain why it generalises (Zhang et
# al. 2017). Regularisation is whatever makes the network prefer one way of fitting the data to another, and the remedies
# differ in *what they prefer*.
#
# ## Small weights: L2 and decoupled decay
#
# The old remedy adds $\frac{\lambda}{2}\lVert \theta \rVert^2$ to the loss, so the gradient becomes
# $\bar{\theta} + \lambda\theta$. For plain SGD,
#
# $$\theta \leftarrow \theta - \eta(\bar\theta + \lambda\theta) = (1 - \eta\lambda)\,\theta - \eta\,\bar\theta :$$
#
# each step shrinks every weight by the same fraction, hence the name weight decay. For Adam the two are **not** the same. It
# divides by $\sqrt{v}$, where $v$ is the mean square of the gradient, *with the penalty in it*. For a weight whose gradient
# is noise of size $\sigma$,
#
# $$\text{penalty in the gradient: shrinks by}\quad \eta\,\frac{\lambda\theta}{\sqrt{\sigma^2 + \lambda^2\theta^2}}
# \text{ a step}; \qquad \text{decay apart from it: by}\quad \eta\,\lambda\,\theta.$$
#
# The first is a strange regulariser: the weights that the data cares about (large $\sigma$) are hardly held, and where the
# data says little ($\sigma \ll \lambda\theta$) every weight shrinks by the full $\eta$ a step, whatever $\lambda$ is.
# Loshchilov and Hutter took the decay out of the gradient; that is AdamW.
#
# **Prediction** for $\theta = 1$, $\lambda = 0.1$, $\eta = 10^{-3}$, 100 steps: AdamW shrinks all by $1\%$. Adam shrinks by
# $1\%$ where $\sigma = 1$, by $10 \cdot 0.1/\sqrt{2} = 7\%$ where $\sigma = 0.1$, and by nearly the whole $100\,\eta = 10\%$
# where $\sigma = 0.01$.

# %%
minidl.manual_seed(0)
noise, decay = (1.0, 0.1, 0.01), 0.1
for kind in (optim.Adam, optim.AdamW):
    weights = [minidl.ones(5000, requires_grad=True) for _ in noise]
    optimizer = kind(weights, lr=1e-3, weight_decay=decay)
    for _ in range(100):
        for weight, sigma in zip(weights, noise):
            weight.grad = sigma * minidl.randn(5000)
        optimizer.step()
    shrunk = [1 - weight.mean().item() for weight in weights]
    foretold = [0.1 * (decay / math.hypot(sigma, decay) if kind is optim.Adam else decay) for sigma in noise]
    print(f"{kind.__name__:5} shrank", [f"{v:.2%}" for v in shrunk], "foretold", [f"{v:.2%}" for v in foretold])
    assert np.allclose(shrunk, foretold, rtol=0.15)

# %% [markdown]
# So one and the same number $\lambda$ means different things to the two. On 150 digits:

# %%
for kind, weight_decay in ((optim.Adam, 0.0), (optim.Adam, 0.1), (optim.AdamW, 0.1), (optim.AdamW, 1.0)):
    minidl.manual_seed(0)
    _, history = train(few, choose(25, 60), kind=kind, weight_decay=weight_decay)
    last = history[-1]
    print(
        f"{kind.__name__:5} {weight_decay:3}: test loss {last['test_loss']:.2f}, accuracy {last['test_accuracy']:.1%}"
    )

# %% [markdown]
# With $\lambda = 0.1$ Adam's penalty has destroyed the network, while AdamW's decay of the same $\lambda$ is barely felt,
# and ten times as much lowers the test loss.
#
# ## Dropout
#
# Each value is dropped with probability $p$ during training, and what remains is divided by $1 - p$, so that the mean stays:
# with $m_i \in \{0, 1\}$, $\mathbb{E}[m_i] = 1-p$, the layer hands on $x_i m_i/(1-p)$. In evaluation it does nothing. What
# is it good for? For one linear unit with squared loss it can be worked out. The prediction $z = \sum_i w_i x_i m_i/(1-p)$
# has the mean $\mathbf{w}^\top\mathbf{x}$ and, since a mask value has the variance $p(1-p)$, the variance
# $\frac{p}{1-p}\sum_i w_i^2 x_i^2$. The mean of a square is the square of the mean plus the variance:
#
# $$\mathbb{E}\left[(y - z)^2\right] = (y - \mathbf{w}^\top\mathbf{x})^2 + \frac{p}{1-p} \sum_i w_i^2\, x_i^2 .$$
#
# An L2 penalty, whose strength each input sets by its own size. A network that leans on one large input pays; one that
# spreads its trust over several pays less.

# %%
minidl.manual_seed(0)
x, w, y, p = minidl.randn(20), minidl.randn(20), 1.5, 0.3
z = F.dropout(x.expand(200_000, 20), p) @ w
measured = ((y - z) ** 2).mean().item()
foretold = ((y - x @ w) ** 2 + p / (1 - p) * (w * x).square().sum()).item()
without = (y - x @ w).item() ** 2
print(f"mean loss over 200,000 masks {measured:.3f}, by the formula {foretold:.3f}, without dropout {without:.3f}")
assert abs(measured / foretold - 1) < 0.02

# %% [markdown]
# ## Normalisation
#
# Batch normalisation takes one unit over a batch, $\mathbf{x}$ of $N$ values, subtracts the mean $\mu$, divides by
# $s = \sqrt{v + \epsilon}$ with the variance $v$, and lets the network choose scale and shift anew:
# $\hat{x}_i = (x_i - \mu)/s$, $y_i = \gamma\hat{x}_i + \beta$. Every $x_i$ acts on every output, through $\mu$ and $s$. From
# $\partial\mu/\partial x_i = 1/N$ and $\partial s/\partial x_i = (x_i - \mu)/(Ns) = \hat{x}_i/N$,
#
# $$\frac{\partial \hat{x}_j}{\partial x_i} = \frac{1}{s}\left([\,i = j\,] - \frac1N - \frac{\hat{x}_i\hat{x}_j}{N}\right)
# \quad\Longrightarrow\quad
# \bar{x}_i = \frac1s\left(\hat{g}_i - \operatorname{mean}(\hat{\mathbf{g}}) -
#   \hat{x}_i \operatorname{mean}(\hat{\mathbf{g}} \odot \hat{\mathbf{x}})\right), \quad
# \hat{\mathbf{g}} = \gamma\bar{\mathbf{y}} .$$
#
# It can be read: from the gradient, its mean is taken away and its part along $\hat{\mathbf{x}}$. To shift all values, or to
# stretch them, changes nothing in the output, so in these two directions there is no gradient. Layer normalisation is the
# same along the other axis: over the units of one sample.

# %%
x = minidl.randn(6, 4, dtype=minidl.float64, requires_grad=True)
g = minidl.randn(6, 4, dtype=minidl.float64)
F.batch_norm(x, None, None, training=True).backward(g)
with minidl.no_grad():
    s = (x.var(0, correction=0) + 1e-5).sqrt()
    hat = (x - x.mean(0)) / s
    by_hand = (g - g.mean(0) - hat * (g * hat).mean(0)) / s
assert minidl.allclose(x.grad, by_hand)
print("column sums of the gradient:", [f"{v:.0e}" for v in x.grad.sum(0).tolist()])
x.grad = None
F.layer_norm(x, (4,)).backward(g)
print("layer normalisation's row sums:", [f"{v:.0e}" for v in x.grad.sum(1).tolist()])

# %% [markdown]
# Now a consequence that few expect. Let a linear layer *without bias* stand before a batch normalisation. Multiply its
# weights by 10: the outputs become ten times as large, and the normalisation divides that out. The loss $L(\mathbf{w})$ of a
# unit depends on the direction of its weights alone, $L(a\mathbf{w}) = L(\mathbf{w})$. Differentiate this by $a$ at $a = 1$,
# and then by $\mathbf{w}$:
#
# $$\mathbf{w}^\top\bar{\mathbf{w}} = 0, \qquad \bar{\mathbf{w}}(a\mathbf{w}) = \tfrac1a\,\bar{\mathbf{w}}(\mathbf{w}).$$
#
# The gradient is at a right angle to the weights, so each step of SGD makes them longer (Pythagoras), and longer weights
# have smaller gradients. What does weight decay do here? It cannot make the function simpler, as the function does not see
# the length. It **keeps the learning rate up**, which is a different thing under the same name.

# %%
minidl.manual_seed(0)
layer, norm, last = nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.Linear(32, 10)
found = {}
for a in (1.0, 10.0):
    with minidl.no_grad():
        layer.weight.mul_(a)
    layer.zero_grad()
    loss = F.cross_entropy(last(F.relu(norm(layer(pictures[:200])))), classes[:200])
    loss.backward()
    weight, grad = layer.weight.detach(), layer.weight.grad
    cosine = ((weight * grad).sum() / (weight.norm() * grad.norm())).item()
    found[a] = loss.item(), grad.norm().item()
    print(f"weights x {a:4}: loss {found[a][0]:.5f}, gradient {found[a][1]:.5f}, cosine to the weights {cosine:.1e}")
    assert abs(cosine) < 1e-2
assert abs(found[1.0][0] - found[10.0][0]) < 1e-3
assert abs(found[1.0][1] / found[10.0][1] - 10) < 0.2

# %% [markdown]
# What does it regularise, then? In training a picture's output depends on the other pictures of its batch, which are drawn
# anew each time: noise. (Layer normalisation has none of it, and no difference between training and evaluation either; for
# texts it is what one wants.)
#
# ## Label smoothing
#
# Cross-entropy is never content: with the right class ahead, the scores can always be spread further. Smoothing gives the
# network another target, $q_k = (1 - \epsilon)[\,k = y\,] + \epsilon/V$. The gradient of $-\sum_k q_k \ln p_k$ with respect
# to the scores is $p - q$ (chapter 3), zero where $p = q$. Since a difference of scores is a log ratio of probabilities, a
# perfectly trained network has the gap
#
# $$z_y - z_k = \ln\frac{q_y}{q_k} = \ln\frac{1 - \epsilon + \epsilon/V}{\epsilon/V},$$
#
# for $\epsilon = 0.1$ and $V = 10$: $\ln 91 = 4.51$. Without smoothing it grows as long as one trains. A bold prediction:
# 4.51, whatever the network.


# %%
def gap(model):
    """The mean difference between the right class's score and the mean of the others', on the training pictures."""
    with minidl.no_grad():
        scores = model.eval()(few.tensors[0])
    right = scores.gather(1, few.tensors[1][:, None])[:, 0]
    return (right - (scores.sum(1) - right) / 9).mean().item()


smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
runs = {}
for name, loss_fn in (("cross-entropy", F.cross_entropy), ("smoothed", smoothed)):
    minidl.manual_seed(0)
    model, runs[name] = train(few, choose(60, 200), loss_fn=loss_fn, test_loss_fn=F.cross_entropy)
    last = runs[name][-1]
    print(f"{name:13}: gap {gap(model):.2f}, test loss {last['test_loss']:.3f}, accuracy {last['test_accuracy']:.1%}")
    if name == "smoothed":
        assert abs(gap(model) - math.log(91)) < 0.3
    else:
        assert gap(model) > 6

# %% [markdown]
# ## Early stopping
#
# The cheapest remedy: watch the loss on pictures that are not trained on, and keep the weights of the best epoch.
# **Predict** what the test loss and the test *accuracy* of the plain network did while it was trained. Both worse towards
# the end?

# %%
minidl.manual_seed(0)
runs["dropout 0.5"] = train(few, choose(60, 200), network(dropout=0.5))[1]
minidl.manual_seed(0)
runs["AdamW, 1.0"] = train(few, choose(60, 200), kind=optim.AdamW, weight_decay=1.0)[1]
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for name, history in runs.items():
    left.plot([row["test_loss"] for row in history], label=name)
    right.plot([100 * row["test_accuracy"] for row in history])
left.set(xlabel="epoch", title="test loss", ylim=(0.4, 1.2))
right.set(xlabel="epoch", title="test accuracy, %", ylim=(60, 90))
left.legend()

plain = runs["cross-entropy"]
best = min(range(len(plain)), key=lambda i: plain[i]["test_loss"])
print(
    f"least test loss {plain[best]['test_loss']:.3f} after epoch {best + 1}, accuracy there {plain[best]['test_accuracy']:.1%}"
)
print(
    f"at the end      {plain[-1]['test_loss']:.3f} after epoch {len(plain)}, accuracy there {plain[-1]['test_accuracy']:.1%}"
)
assert plain[-1]["test_loss"] > plain[best]["test_loss"] + 0.05
assert plain[-1]["test_accuracy"] > plain[best]["test_accuracy"] - 0.03

# %% [markdown]
# *The loss has its least value early and rises; the accuracy does not fall.* The network does not forget how to read. It
# becomes ever more sure, also where it is wrong, and cross-entropy makes one pay for being sure and wrong. Which of the two
# curves to stop by depends on whether one needs the class or the probability. Note also what is *not* there: with these 150
# pictures no remedy gains more than a per cent or two of accuracy, and dropout none, whose loss even ends the worst.
#
# The `Trainer` does it with a callback. The pictures that decide must not be those that are reported, or the reported number
# is the best of many looks: here the test set is cut in two.

# %%
watched, reported = (DataLoader(TensorDataset(test_pictures[i::2], test_classes[i::2]), 200) for i in (0, 1))
minidl.manual_seed(0)
with tempfile.TemporaryDirectory() as folder:
    stop = EarlyStopping(patience=5, monitor="test_loss")
    model, history = train(few, 60, measured=watched, callbacks=[stop], folder=folder)
    model.load_state_dict(serialization.load_file(f"{folder}/best.safetensors"))
loss = Trainer(model, optim.SGD(model.parameters(), lr=0.1), [], reported).evaluate().loss
print(f"stopped after {len(history)} epochs; loss of the kept weights on the other half {loss:.3f}")
assert len(history) < 60

# %% [markdown]
# ## Augmentation
#
# All remedies so far prefer something general: small weights, modest scores. Augmentation says something about *digits*:
# that one which is moved by a pixel is still the same. So it is the strongest, if it is true of the pictures that will come,
# and an error if it is not. **Predict** both columns: the network trained on moved digits, tested on digits in the middle,
# where all of Digits stand, and on moved ones.


# %%
def moved(x, down, right):
    """Pictures (N, 64) moved by -1, 0 or 1 pixels each way; the edge is filled with darkness."""
    framed = F.pad(x.reshape(-1, 8, 8), (1, 1, 1, 1))
    return framed[:, 1 - down : 9 - down, 1 - right : 9 - right].flatten(1)


places = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
everywhere = TensorDataset(
    minidl.cat([moved(few.tensors[0], *place) for place in places]), minidl.cat([few.tensors[1]] * len(places))
)
table = {}
for name, dataset, epochs in (("as they are", few, 45), ("moved", everywhere, 5)):  # as many steps
    minidl.manual_seed(0)
    model, _ = train(dataset, epochs * choose(1, 4), measured=None)
    elsewhere = np.mean([accuracy(model, moved(test_pictures, *place), test_classes) for place in places])
    table[name] = accuracy(model, test_pictures, test_classes), elsewhere
    print(f"trained on digits {name:11}: {table[name][0]:.1%} in the middle, {table[name][1]:.1%} moved")
assert table["moved"][1] > table["as they are"][1] + 0.1
assert table["moved"][0] < table["as they are"][0]

# %% [markdown]
# On moved digits the gain is large. In the middle there is a loss: the network has spent some of what it has on pictures
# that never come there. **Every regulariser is a belief about the data**, and is worth as much as the belief is true.
#
# ## Exercises

# %% [markdown] tags=["exercise", "smoothed_cross_entropy"]
# ### Exercise 1: smoothed cross-entropy
# `smoothed_cross_entropy(scores, targets, smoothing)`, in NumPy: `scores` (N, V), `targets` ints (N,); the mean of
# $-\sum_k q_k \ln p_k$ with $q_k = (1 - \epsilon)[\,k = y\,] + \epsilon/V$. Scores may be as large as 1000.


# %% tags=["exercise", "smoothed_cross_entropy"]
def smoothed_cross_entropy(scores, targets, smoothing):
    """The mean loss, a number."""
    # --- solution
    shifted = scores - scores.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    right = logs[np.arange(len(targets)), targets]
    return -np.mean((1 - smoothing) * right + smoothing * logs.mean(1))
    # --- end


# %% [markdown] tags=["hint", "smoothed_cross_entropy"]
# Compute the logarithms of the probabilities first, and never a logarithm of what may be 0: subtract the largest score.
# %% [markdown] tags=["hint", "smoothed_cross_entropy"]
# The $\epsilon/V$ goes to all $V$ classes, the right one too: $\epsilon$ times the mean of the logarithms.


# %% tags=["wrong", "smoothed_cross_entropy"]
def others_alone(scores, targets, smoothing):
    """Shares epsilon among the V - 1 other classes."""
    v = scores.shape[1]
    return smoothed_cross_entropy(scores, targets, smoothing * v / (v - 1))


def right_class_robbed(scores, targets, smoothing):
    """Only takes epsilon away from the right class: the targets no longer add up to 1."""
    return (1 - smoothing) * smoothed_cross_entropy(scores, targets, 0)


def summed(scores, targets, smoothing):
    """The sum over the batch."""
    return len(targets) * smoothed_cross_entropy(scores, targets, smoothing)


def overflowing(scores, targets, smoothing):
    """Exponentials of the scores as they are: infinite from about 710."""
    with np.errstate(all="ignore"):
        logs = np.log(np.exp(scores) / np.exp(scores).sum(1, keepdims=True))
        return -np.mean((1 - smoothing) * logs[np.arange(len(targets)), targets] + smoothing * logs.mean(1))


# %% tags=["check", "smoothed_cross_entropy"]
def check_smoothed_cross_entropy(smoothed_cross_entropy):
    """Against nn.CrossEntropyLoss."""
    draw = np.random.default_rng(0)
    for n, v, size, smoothing in (
        (1, 2, 1, 0.0),
        (4, 3, 1, 0.1),
        (7, 10, 3, 0.3),
        (5, 4, 1000, 0.2),
        (3, 1, 1, 0.5),
        (2, 6, 1, 1.0),
    ):
        scores, targets = size * draw.normal(size=(n, v)), draw.integers(0, v, n)
        expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(minidl.tensor(scores), minidl.tensor(targets)).item()
        got = float(smoothed_cross_entropy(scores, targets, smoothing))
        assert abs(got - expected) <= 1e-6 * max(1, abs(expected)), (
            f"{n} samples, {v} classes, scores of size {size}, {smoothing=}: got {got:.6f}, should be {expected:.6f}. "
            "Do the q of a sample add up to 1? Is the loss a mean? Are the logarithms safe?"
        )


# %% [markdown] tags=["exercise", "adamw_step"]
# ### Exercise 2: one step of AdamW
# `adamw_step(w, g, m, v, step, lr, betas, eps, weight_decay)`: NumPy arrays of one shape, `step` counts from 1; returns the
# new `(w, m, v)`. First the weights shrink by the factor $1 - \eta\lambda$, then comes Adam's step with the gradient as it
# is, corrected for the zeros that $m$ and $v$ began with: $w \leftarrow w - \eta\, \hat{m}/(\sqrt{\hat{v}} + \epsilon)$.


# %% tags=["exercise", "adamw_step"]
def adamw_step(w, g, m, v, step, lr, betas, eps, weight_decay):
    """The new w, m, v."""
    # --- solution
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g * g
    corrected = m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)
    w = (1 - lr * weight_decay) * w - lr * corrected[0] / (np.sqrt(corrected[1]) + eps)
    return w, m, v
    # --- end


# %% [markdown] tags=["hint", "adamw_step"]
# $m$ and $v$ see the gradient alone. Where does $\lambda$ stand, and where must it not?
# %% [markdown] tags=["hint", "adamw_step"]
# $\hat{m} = m/(1 - \beta_1^{t})$ and $\hat{v} = v/(1 - \beta_2^{t})$; what is returned, and goes into the next step, are $m$
# and $v$ themselves.


# %% tags=["wrong", "adamw_step"]
def penalty_in_gradient(w, g, m, v, step, lr, betas, eps, weight_decay):
    """Adam with an L2 penalty: the decay is divided by the root of v too."""
    return adamw_step(w, g + weight_decay * w, m, v, step, lr, betas, eps, 0)


def decay_without_rate(w, g, m, v, step, lr, betas, eps, weight_decay):
    """Shrinks by lambda, not by eta times lambda."""
    return adamw_step(w, g, m, v, step, lr, betas, eps, weight_decay / lr)


def uncorrected(w, g, m, v, step, lr, betas, eps, weight_decay):
    """Leaves out the correction for the beginning."""
    return adamw_step(w, g, m, v, 10**9, lr, betas, eps, weight_decay)


def corrected_kept(w, g, m, v, step, lr, betas, eps, weight_decay):
    """Hands the corrected means on to the next step."""
    w, m, v = adamw_step(w, g, m, v, step, lr, betas, eps, weight_decay)
    return w, m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)


# %% tags=["check", "adamw_step"]
def check_adamw_step(adamw_step):
    """Four steps, against optim.AdamW."""
    draw = np.random.default_rng(1)
    for shape, lr, betas, eps, decay in (
        ((3,), 0.1, (0.9, 0.999), 1e-8, 0.5),
        ((2, 4), 0.01, (0.5, 0.9), 1e-3, 2.0),
        ((1,), 1.0, (0.0, 0.9), 1e-8, 0.0),
    ):
        w = draw.normal(size=shape)
        weight = minidl.tensor(w, requires_grad=True)
        optimizer = optim.AdamW([weight], lr=lr, betas=betas, eps=eps, weight_decay=decay)
        m, v = np.zeros(shape), np.zeros(shape)
        for step in (1, 2, 3, 4):
            g = draw.normal(size=shape)
            weight.grad = minidl.tensor(g)
            optimizer.step()
            w, m, v = adamw_step(w, g, m, v, step, lr, betas, eps, decay)
            apart = np.abs(np.asarray(w) - weight.detach().numpy()).max()
            hint = "Look at the decay and at the correction." if step == 1 else "What is kept for the next step?"
            assert apart < 1e-7, (
                f"lr {lr}, betas {betas}, weight_decay {decay}: after step {step} the weights are off by {apart:.2e}. "
                f"{hint}"
            )


# %% [markdown] tags=["exercise", "layer_norm_backward"]
# ### Exercise 3: back through a layer normalisation
# $\mathbf{y} = \boldsymbol{\gamma} \odot \hat{\mathbf{x}} + \boldsymbol{\beta}$ for each row, where mean and variance
# (divided by $D$) are those of the row. `layer_norm_backward(x, weight, g, eps)`: NumPy arrays `x` and `g` (N, D), `weight`
# (D,); returns the gradients of `x`, `weight` and the bias.


# %% tags=["exercise", "layer_norm_backward"]
def layer_norm_backward(x, weight, g, eps):
    """The gradients of x (N, D), of the weight (D,) and of the bias (D,)."""
    # --- solution
    s = np.sqrt(x.var(1, keepdims=True) + eps)
    hat = (x - x.mean(1, keepdims=True)) / s
    scaled = g * weight
    along = (scaled * hat).mean(1, keepdims=True)
    return (scaled - scaled.mean(1, keepdims=True) - hat * along) / s, (g * hat).sum(0), g.sum(0)
    # --- end


# %% [markdown] tags=["hint", "layer_norm_backward"]
# The chapter's formula for the batch, along the other axis. What takes the place of $\hat{\mathbf{g}}$ when each unit has a
# weight of its own?
# %% [markdown] tags=["hint", "layer_norm_backward"]
# The weight multiplies $\bar{\mathbf{y}}$ *before* mean and projection are taken, since they are means over units with
# different weights. The gradients of weight and bias are sums over the rows.


# %% tags=["wrong", "layer_norm_backward"]
def constants(x, weight, g, eps):
    """Takes mean and variance for constants."""
    _, dweight, dbias = layer_norm_backward(x, weight, g, eps)
    return g * weight / np.sqrt(x.var(1, keepdims=True) + eps), dweight, dbias


def weight_last(x, weight, g, eps):
    """Multiplies with the weight at the end: right for a batch, wrong where units are averaged."""
    dx, dweight, dbias = layer_norm_backward(x, np.ones_like(weight), g, eps)
    return dx * weight, dweight, dbias


def along_the_batch(x, weight, g, eps):
    """Normalises over the samples."""
    s = np.sqrt(x.var(0) + eps)
    hat, scaled = (x - x.mean(0)) / s, g * weight
    return (scaled - scaled.mean(0) - hat * (scaled * hat).mean(0)) / s, (g * hat).sum(0), g.sum(0)


def variance_constant(x, weight, g, eps):
    """Follows the mean, but not the variance."""
    _, dweight, dbias = layer_norm_backward(x, weight, g, eps)
    scaled = g * weight
    return (scaled - scaled.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps), dweight, dbias


# %% tags=["check", "layer_norm_backward"]
def check_layer_norm_backward(layer_norm_backward):
    """Against minidl's tape, in double precision."""
    draw = np.random.default_rng(2)
    for n, d, eps in ((1, 3, 1e-5), (4, 6, 1e-5), (5, 2, 0.1), (3, 1, 1e-2), (2, 9, 1e-5)):
        values = draw.normal(size=(n, d)), draw.normal(size=d), draw.normal(size=d)
        g = draw.normal(size=(n, d))
        inputs = [minidl.tensor(v, requires_grad=True) for v in values]
        F.layer_norm(inputs[0], (d,), inputs[1], inputs[2], eps).backward(minidl.tensor(g))
        got = layer_norm_backward(values[0].copy(), values[1].copy(), g.copy(), eps)
        for name, gradient, tensor in zip(("x", "the weight", "the bias"), got, inputs):
            gradient, expected = np.asarray(gradient), tensor.grad.numpy()
            assert gradient.shape == expected.shape, f"the gradient of {name} has the shape {gradient.shape}"
            apart = np.abs(gradient - expected).max()
            assert apart < 1e-7, (
                f"N {n}, D {d}, eps {eps}: the gradient of {name} is off by up to {apart:.3g}. Along which axis are the "
                "means, and by how many ways does one x reach the outputs?"
            )


# %% [markdown]
# ## What PyTorch does differently
#
# In what is computed, nothing: `weight_decay` of `Adam` is the penalty in the gradient there too and that of `AdamW` is
# decoupled; `BatchNorm1d` divides by $N$ in training and keeps a running variance divided by $N - 1$; `label_smoothing`
# shares $\epsilon$ among all $V$ classes. PyTorch has no early stopping of its own. Random masks differ: the same seed drops
# other values.
#
# ## Sources
#
# - Zhang, Bengio, Hardt, Recht & Vinyals 2017, "Understanding deep learning requires rethinking generalization": random
#   labels.
# - Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", section 2.
# - Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov 2014, "Dropout", section 9.1: the penalty of the linear unit.
# - Ioffe & Szegedy 2015, "Batch Normalization"; Ba, Kiros & Hinton 2016, "Layer Normalization"; van Laarhoven 2017, "L2
#   Regularization versus Batch and Weight Normalization": decay as learning rate.
# - Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7: label smoothing; Müller,
#   Kornblith & Hinton 2019, "When Does Label Smoothing Help?"
# - Goodfellow, Bengio & Courville 2016, *Deep Learning*, chapter 7.
#
# So far every input had its size and its place; what of inputs that come one after the other, as many as they please? The
# next chapter gives a network a memory, and meets the vanishing gradient in earnest.
