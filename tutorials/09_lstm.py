# %% [markdown]
# # 9. LSTM: gates, seen
#
# **The question.** A plain recurrent network of any width, as it comes out of the box, loses about 45 per cent of its
# gradient with every letter. The LSTM was invented to forget nothing. So let us take one out of the box and measure,
# as in the last chapter: it forgets 38 per cent. Is that all that four times as many weights buy? And if not, what
# must we do to get what was promised?
#
# Chapter 8 ended with the cause: the state is *multiplied* by the same matrix at each step. Here is a state that is
# *added to*.

# %% tags=["setup"]
import numpy as np

import minidl
from minidl import inspect, models, nn, optim
from minidl.nn import functional as F
from minidl.tutor import choose

# %%
import matplotlib.pyplot as plt

minidl.set_num_threads(1)  # the arrays are small: one thread is quickest

# %% [markdown]
# ## The mathematics: from a sum to gates
#
# Begin with the state that we wish for: $C_t = C_{t-1} + (\text{something new})$. Its Jacobian
# $\partial C_t / \partial C_{t-1}$ is the identity, a thousand steps back as well as one. Hochreiter and Schmidhuber
# called this the *constant error carousel*. It remembers everything, and that is its fault: what came in can never be
# told from what matters. So three questions are put at each step, and each is answered by a gate, a number between 0
# and 1 for each unit: is the new worth writing ($I$)? is the old worth keeping ($F$)? does it concern the others now
# ($O$)?
#
# A linear layer of the input $X_t$ and the last output $H_{t-1}$ gives four blocks of $D$ columns, in PyTorch's
# order:
#
# $$A_t = X_t W_\text{ih}^\top + H_{t-1} W_\text{hh}^\top + \mathbf{b} = [A^I, A^F, A^G, A^O],
# \qquad W_\text{ih}: (4D, D_\text{in}), \quad W_\text{hh}: (4D, D),$$
#
# $$I = \sigma(A^I), \quad F = \sigma(A^F), \quad G = \tanh(A^G), \quad O = \sigma(A^O),$$
#
# $$C_t = F \odot C_{t-1} + I \odot G, \qquad H_t = O \odot \tanh(C_t).$$
#
# **The gradients.** Two things come back from step $t+1$ and from whatever reads the output: $\bar{H}_t$ and
# $\bar{C}_t$. The output line is a product, so each factor receives $\bar{H}_t$ times the other; through the tanh,
# the cell receives a second share, which is added:
#
# $$\bar{O} = \bar{H}_t \odot \tanh(C_t), \qquad \bar{C}_t \leftarrow \bar{C}_t + \bar{H}_t \odot O \odot (1 - \tanh^2 C_t).$$
#
# The cell line is a sum of two products:
#
# $$\bar{F} = \bar{C}_t \odot C_{t-1}, \qquad \bar{I} = \bar{C}_t \odot G, \qquad \bar{G} = \bar{C}_t \odot I, \qquad
# \boxed{\;\bar{C}_{t-1} = \bar{C}_t \odot F\;}$$
#
# Then each block goes through its own slope, $\sigma' = \sigma(1 - \sigma)$ and $\tanh' = 1 - \tanh^2$:
#
# $$\bar{A}_t = [\,\bar{I} \odot I(1-I),\ \ \bar{F} \odot F(1-F),\ \ \bar{G} \odot (1-G^2),\ \ \bar{O} \odot O(1-O)\,],$$
#
# and from here it is chapter 8 again: $\bar{H}_{t-1} = \bar{A}_t W_\text{hh}$ and
# $\bar{W}_\text{hh} = \sum_t \bar{A}_t^\top H_{t-1}$.
#
# Look at the boxed line. No matrix stands in it. Along the cells a gradient is multiplied, unit by unit, by the
# forget gates it passes, $\prod_s F_s$, and by nothing else: no $W$, no slope of tanh. There are other ways back in
# time, through $H$ and the gates, and they vanish as before; but one way is enough.
#
# ## The code, by hand


# %% tags=["setup"]
def sigmoid(a):
    return 1 / (1 + np.exp(-a))


# %%
def forward(xs, h, c, w_ih, w_hh, b):
    """All steps of an LSTM in NumPy: states h and c, (T + 1, N, D), and gates i, f, g, o, (T, N, D) each."""
    hs, cs, gates = [h], [c], []
    for x in xs:
        a_i, a_f, a_g, a_o = np.split(x @ w_ih.T + h @ w_hh.T + b, 4, axis=1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        c = f * c + i * g
        h = o * np.tanh(c)
        hs.append(h)
        cs.append(c)
        gates.append((i, f, g, o))
    return np.stack(hs), np.stack(cs), gates


def backward(xs, hs, cs, gates, w_hh, gs):
    """Gradients of w_ih, w_hh and b, given those of the outputs, gs (T, N, D)."""
    h_bar, c_bar, grads = np.zeros_like(hs[0]), np.zeros_like(cs[0]), 0
    for t in range(len(xs) - 1, -1, -1):
        i, f, g, o = gates[t]
        h_bar = h_bar + gs[t]
        tanh_c = np.tanh(cs[t + 1])
        c_bar = c_bar + h_bar * o * (1 - tanh_c**2)
        bars = (
            c_bar * g * i * (1 - i),
            c_bar * cs[t] * f * (1 - f),
            c_bar * i * (1 - g**2),
            h_bar * tanh_c * o * (1 - o),
        )
        a_bar = np.concatenate(bars, axis=1)
        grads = np.concatenate([a_bar.T @ xs[t], a_bar.T @ hs[t], a_bar.sum(0)[:, None]], axis=1) + grads
        h_bar, c_bar = a_bar @ w_hh, c_bar * f
    return np.split(grads, [xs.shape[-1], xs.shape[-1] + w_hh.shape[1]], axis=1)


minidl.manual_seed(9)
layer = nn.LSTM(3, 5, dtype=minidl.float64)
x, g = minidl.randn(7, 2, 3, dtype=minidl.float64), minidl.randn(7, 2, 5, dtype=minidl.float64)
y, _ = layer(x)
(y * g).sum().backward()

w_ih, w_hh, b_ih, b_hh = (p.detach().numpy() for p in layer.parameters())
hs, cs, gates = forward(x.numpy(), np.zeros((2, 5)), np.zeros((2, 5)), w_ih, w_hh, b_ih + b_hh)
by_hand = backward(x.numpy(), hs, cs, gates, w_hh, g.numpy())
assert np.allclose(hs[1:], y.detach().numpy())
for name, ours, theirs in zip(("W_ih", "W_hh", "b"), by_hand, layer.parameters()):
    print(f"{name:5} largest difference from nn.LSTM {abs(ours.reshape(theirs.shape) - theirs.grad.numpy()).max():.1e}")
    assert np.allclose(ours.reshape(theirs.shape), theirs.grad.numpy())

# %% [markdown]
# ## An experiment that can fail: what one number decides
#
# Out of the box all weights and biases are near 0, so the forget gates are near $\sigma(0) = \tfrac12$. The boxed
# line then says: along the cells *half the gradient is lost at each step*, which is more than a plain network loses.
# The carousel is there, with a brake on it. The brake is the forget gate's bias $b$. **Prediction**, for an untrained
# LSTM: along the cells the gradient loses a factor of $\sigma(b)$ a step; the other paths add to that where it is
# small, so that we measure somewhat more, and near nothing is lost as $\sigma(b)$ nears 1.


# %%
def set_forget_bias(lstm, bias):
    """Set what is added to the forget gates of a one-layer LSTM: the second quarter of its two biases, whose sum counts."""
    d = lstm.hidden_size
    with minidl.no_grad():
        lstm.bias_ih_l0[d : 2 * d] = float(bias)
        lstm.bias_hh_l0[d : 2 * d] = 0.0


minidl.manual_seed(0)
V, D, T = 20, 128, 100
tokens = minidl.randint(0, V, (16, T + 1))
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
rates = {}
for bias in ("rnn", "default", 1.0, 3.0, 5.0):
    model = models.CharRNN(V, 32, D, kind="rnn" if bias == "rnn" else "lstm")
    if isinstance(bias, float):
        set_forget_bias(model.recurrent, bias)
    along = models.gradients_along_time(model, tokens).numpy()
    rates[bias] = (along[-61] / along[-1]) ** (1 / 60)
    expected = "" if bias == "rnn" else f", along the cells {sigmoid(bias if isinstance(bias, float) else 0.0):.3f}"
    print(f"{bias!s:8} measured {rates[bias]:.3f} a step{expected}")
    label = {"rnn": "plain RNN", "default": "LSTM, default"}.get(bias, f"LSTM, forget bias {bias}")
    ax.semilogy(np.arange(T, 0, -1), along, label=label)
ax.set(xlabel="steps before the loss", ylabel="gradient of the input")
ax.legend()
assert rates["rnn"] < rates["default"] < 0.7 < rates[1.0] < rates[3.0]
assert all(rates[b] > sigmoid(b) - 0.03 for b in (1.0, 3.0, 5.0))

# %% [markdown]
# The two lowest lines lie close together: out of the box, an LSTM forgets almost as fast as what it was to replace.
# One number, set before training, lifts it by twenty powers of ten. So does it *learn* what it could not? The task is
# that of chapter 8, name the first letter after the last, with more letters than the plain network could bear.
# **Prediction:** default at chance (25 %), bias 3 learns. The networks are otherwise the same.


# %%
def recall(length, bias=None, seed=0, steps=300):
    """Train an LSTM to name the first of ``length`` letters after the last; its accuracy over the last 25 batches."""
    minidl.manual_seed(seed)
    model = models.CharRNN(4, 8, 32, kind="lstm")
    if bias is not None:
        set_forget_bias(model.recurrent, bias)
    optimizer, right = optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(steps):
        tokens = minidl.randint(0, 4, (32, length))
        scores = model(tokens)[:, -1]
        loss = F.cross_entropy(scores, tokens[:, 0])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        right.append((scores.argmax(1) == tokens[:, 0]).float().mean().item())
    return float(np.mean(right[-25:]))


for length in choose((24,), (12, 24, 48, 96)):
    default, lifted = recall(length), recall(length, bias=3.0)
    print(f"{length} letters: default {default:.0%}, forget bias 3 {lifted:.0%}")
    if length == 24:
        assert default < 0.5 < 0.8 < lifted

# %% [markdown]
# A rule follows that one can work out (exercise 1): to keep half of a gradient over $T$ steps,
# $\sigma(b)^T = \tfrac12$, hence $b \approx \ln(T / \ln 2)$, the logarithm of the time over which we expect something
# to matter. This is the idea of *chrono initialisation*. Nothing else about an LSTM is as cheap to set or as often
# left alone.
#
# ## Gates, seen
#
# Now a task for which we can say beforehand what each gate ought to do. Two numbers come in at each step: a value in
# $[-1, 1]$, and a mark that is mostly 0. Wanted at each step is *the value at the latest mark*. A person would keep a
# slip of paper: at a mark, wipe and write, else leave it alone. **Prediction**, in the network's terms: in the units
# that carry the answer the forget gate falls at marks and is near 1 between them; the input gate does the opposite.


# %%
def latest_marked(n, length, share=0.12):
    """Inputs (N, T, 2), a value and a mark each, and the value at the latest mark, (N, T)."""
    values, marks = minidl.rand(n, length) * 2 - 1, (minidl.rand(n, length) < share).float()
    marks[:, 0] = 1.0
    at = np.maximum.accumulate(np.where(marks.numpy() > 0, np.arange(length), 0), axis=1)
    wanted = np.take_along_axis(values.numpy(), at, axis=1)
    return minidl.stack([values, marks], 2), minidl.tensor(wanted)


class Keeper(nn.Module):
    """An LSTM of few units, and a linear layer that reads its state at each step: (N, T, 2) to (N, T)."""

    def __init__(self, units):
        super().__init__()
        self.lstm = nn.LSTM(2, units, batch_first=True)
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0]).squeeze(-1)


minidl.manual_seed(1)
keeper = Keeper(units=3)
set_forget_bias(keeper.lstm, 1.0)
optimizer = optim.Adam(keeper.parameters(), lr=2e-2)
steps = choose(400, 2000)
for step in range(steps):
    x, wanted = latest_marked(32, 30)
    loss = F.mse_loss(keeper(x), wanted)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(keeper.parameters(), 1.0)
    optimizer.step()
    if (step + 1) % (steps // 4) == 0:
        print(f"step {step + 1}: mean squared error {loss.item():.4f} (the values' variance is {1 / 3:.3f})")

x, wanted = latest_marked(64, 60)
seen = inspect.gates(keeper, x)
marked = x.numpy()[:, :, 1].T > 0  # (T, N)
weight = abs(keeper.head.weight.detach().numpy()[0]) * np.std(seen["hidden"], axis=(0, 1))
unit = int(weight.argmax())
print(f"the answer is read mostly from unit {unit}: shares {np.round(weight / weight.sum(), 2)}")
for name in ("forget", "input"):
    gate = seen[name][:, :, unit]
    print(f"{name:6} gate: mean {gate[marked].mean():.2f} at marks, {gate[~marked].mean():.2f} between them")
forget, input_ = seen["forget"][:, :, unit], seen["input"][:, :, unit]
assert forget[marked].mean() < 0.6 < 0.9 < forget[~marked].mean()
assert input_[marked].mean() > input_[~marked].mean() + 0.3

# %%
fig, axes = plt.subplots(2, 1, figsize=(8, 4.6), sharex=True, layout="constrained")
axes[0].step(range(60), wanted.numpy()[0], where="mid", color="black", label="wanted")
axes[0].plot(keeper(x).detach().numpy()[0], color="tab:orange", label="said")
axes[1].plot(seen["forget"][:, 0, unit], label="forget gate")
axes[1].plot(seen["input"][:, 0, unit], label="input gate")
for panel in axes:
    for t in np.flatnonzero(marked[:, 0]):
        panel.axvline(t, color="grey", lw=0.6)
    panel.legend(loc="center right")
axes[1].set(xlabel="step (grey: marks)", ylabel=f"unit {unit}")

# %% [markdown]
# The sequence is twice as long as any seen in training, and the gates still open and close on their marks: what was
# learnt is a rule, not a length. `inspect.gates` reads the values out of the layer's own kernel; all units and gates
# at once look like this (rows are units, time runs to the right):

# %%
seen.plot()

# %% [markdown]
# A word on the GRU, which chapter 8's helper would also have made for us: it ties the two gates together,
# $F = 1 - I$, has no output gate and no separate cell. The picture above says why that often loses nothing: forget
# and input gate mirror each other here of their own accord.
#
# ## Exercises

# %% [markdown] tags=["exercise", "forget_bias"]
# ### Exercise 1: a bias for a memory
# Write `forget_bias(steps, share)`: the bias $b$ with which an untrained cell hands on `share` $\in (0, 1)$ of its
# gradient over `steps` steps, $\sigma(b)^{\text{steps}} = \text{share}$. `forget_bias(1, 0.5)` is `0.0`,
# `forget_bias(100, 0.5)` about 4.97. It should also hold for a million steps.


# %% tags=["exercise", "forget_bias"]
def forget_bias(steps, share):
    """The forget gate's bias for which ``share`` is left after ``steps`` steps."""
    # --- solution
    log_f = np.log(share) / steps
    return float(log_f - np.log(-np.expm1(log_f)))
    # --- end


# %% [markdown] tags=["hint", "forget_bias"]
# Solve in two steps: first for the gate $f$, with $f^{\text{steps}} = \text{share}$; then for $b$, with
# $\sigma(b) = f$.
# %% [markdown] tags=["hint", "forget_bias"]
# The inverse of the sigmoid is $b = \ln f - \ln(1 - f)$, and $\ln f = \ln(\text{share}) / \text{steps}$. For large
# `steps` compute $1 - f$ as `-np.expm1(log_f)`.


# %% tags=["wrong", "forget_bias"]
def takes_the_gate_for_the_bias(steps, share):
    """Gives the gate, not the bias behind its sigmoid."""
    return float(share ** (1 / steps))


def divides_the_share(steps, share):
    """Takes the losses of the steps to add up: 1 - steps (1 - f) = share."""
    f = 1 - (1 - share) / steps
    return float(np.log(f) - np.log(1 - f))


def one_step_only(steps, share):
    """Forgets that the gate acts at each step."""
    return float(np.log(share) - np.log(1 - share))


def wrong_sign(steps, share):
    """The bias for which the gate is 1 - f."""
    log_f = np.log(share) / steps
    return float(np.log(-np.expm1(log_f)) - log_f)


# %% tags=["check", "forget_bias"]
def check_forget_bias(forget_bias):
    """The share that is left is computed from the bias, in logarithms."""
    rng = np.random.default_rng()
    cases = [(1, 0.5), (2, 0.25), (1_000_000, 0.1)]
    cases += [(int(rng.integers(2, 500)), float(rng.uniform(0.05, 0.95))) for _ in range(20)]
    for steps, share in cases:
        b = float(forget_bias(steps, share))
        assert np.isfinite(b), f"forget_bias({steps}, {share:.3g}) is {b}"
        left = np.exp(-steps * np.logaddexp(0, -b))  # σ(b)^steps, since ln σ(b) = -ln(1 + e^-b)
        assert np.isclose(left, share, rtol=1e-4), (
            f"forget_bias({steps}, {share:.4g}) gave {b:.4f}, a gate of {sigmoid(b):.6f}, which leaves {left:.4g} after "
            f"{steps} steps, not {share:.4g}. Solve f^steps = share for f, then σ(b) = f for b."
        )


# %% [markdown] tags=["exercise", "lstm_step"]
# ### Exercise 2: one step
# Write `lstm_step(x, h, c, w_ih, w_hh, b)` in NumPy: `x` $(N, D_\text{in})$, `h` and `c` $(N, D)$, weights
# $(4D, D_\text{in})$ and $(4D, D)$, one bias $(4D,)$, gates in PyTorch's order $I, F, G, O$. It returns the new `h`
# and `c`.


# %% tags=["exercise", "lstm_step"]
def lstm_step(x, h, c, w_ih, w_hh, b):
    """One step of an LSTM: the new h and c, (N, D) each."""
    # --- solution
    a = x @ w_ih.T + h @ w_hh.T + b
    i, f, g, o = np.split(a, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c
    # --- end


# %% [markdown] tags=["hint", "lstm_step"]
# One matrix product for all gates, then `np.split(..., 4, axis=1)`.
# %% [markdown] tags=["hint", "lstm_step"]
# Three blocks go through the sigmoid and one through tanh. The output reads the *new* cell, through another tanh.


# %% tags=["wrong", "lstm_step"]
def gates_in_another_order(x, h, c, w_ih, w_hh, b):
    """Takes the blocks for I, F, O, G, as some papers have them."""
    i, f, o, g = np.split(x @ w_ih.T + h @ w_hh.T + b, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def output_of_the_old_cell(x, h, c, w_ih, w_hh, b):
    """Reads the cell before it is written."""
    i, f, g, o = np.split(x @ w_ih.T + h @ w_hh.T + b, 4, axis=1)
    return sigmoid(o) * np.tanh(c), sigmoid(f) * c + sigmoid(i) * np.tanh(g)


def candidate_through_sigmoid(x, h, c, w_ih, w_hh, b):
    """Makes the candidate a gate too: the cell can then only grow."""
    i, f, g, o = (sigmoid(a) for a in np.split(x @ w_ih.T + h @ w_hh.T + b, 4, axis=1))
    c = f * c + i * g
    return o * np.tanh(c), c


def output_without_tanh(x, h, c, w_ih, w_hh, b):
    """Hands the cell out as it is."""
    i, f, g, o = np.split(x @ w_ih.T + h @ w_hh.T + b, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * c, c


def gates_tied(x, h, c, w_ih, w_hh, b):
    """Takes 1 - F for the input gate: that is half a GRU."""
    _, f, g, o = np.split(x @ w_ih.T + h @ w_hh.T + b, 4, axis=1)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


# %% tags=["check", "lstm_step"]
def check_lstm_step(lstm_step):
    """Beside nn.LSTM, one step at a time."""
    for n, d_in, d in ((3, 2, 4), (1, 1, 1), (2, 5, 3), (4, 3, 3)):
        layer = nn.LSTM(d_in, d, dtype=minidl.float64)
        x, h, c = (2 * minidl.randn(1, n, size, dtype=minidl.float64) for size in (d_in, d, d))
        _, (h_new, c_new) = layer(x, (h, c))
        w_ih, w_hh, b_ih, b_hh = (p.detach().numpy().copy() for p in layer.parameters())
        got = lstm_step(x.numpy()[0], h.numpy()[0], c.numpy()[0], w_ih, w_hh, b_ih + b_hh)
        assert len(got) == 2, "lstm_step returns a pair: the new h and the new c"
        for name, ours, theirs in (("c", got[1], c_new), ("h", got[0], h_new)):
            theirs = theirs.detach().numpy()[0]
            assert np.shape(ours) == (n, d), f"{name} should have the shape {(n, d)}, but has {np.shape(ours)}"
            assert np.allclose(ours, theirs, atol=1e-6), (
                f"N = {n}, D = {d}: {name}[0] should be {theirs[0].round(4)}, but is {np.asarray(ours)[0].round(4)}. "
                + (
                    "Check the order of the blocks and which go through tanh."
                    if name == "c"
                    else "h = O ⊙ tanh(new c)."
                )
            )


# %% [markdown] tags=["exercise", "lstm_step_backward"]
# ### Exercise 3: one step back
# Write `lstm_step_backward(h_bar, c_bar, gates, c_old, c_new)`: `h_bar` and `c_bar` $(N, D)$ are all that arrives at
# $H_t$ and $C_t$ from outside the step, `gates` is the tuple $(I, F, G, O)$ after their sigmoids and tanh, `c_old`
# and `c_new` are $C_{t-1}$ and $C_t$. It returns $\bar{A}_t$ $(N, 4D)$ and $\bar{C}_{t-1}$ $(N, D)$.


# %% tags=["exercise", "lstm_step_backward"]
def lstm_step_backward(h_bar, c_bar, gates, c_old, c_new):
    """The gradients of the four blocks before sigmoid and tanh, (N, 4D), and of the old cell, (N, D)."""
    # --- solution
    i, f, g, o = gates
    tanh_c = np.tanh(c_new)
    total = c_bar + h_bar * o * (1 - tanh_c**2)
    a_i, a_f = total * g * i * (1 - i), total * c_old * f * (1 - f)
    a_g, a_o = total * i * (1 - g**2), h_bar * tanh_c * o * (1 - o)
    return np.concatenate([a_i, a_f, a_g, a_o], axis=1), total * f
    # --- end


# %% [markdown] tags=["hint", "lstm_step_backward"]
# Go backwards through $H_t = O \odot \tanh(C_t)$ first. It adds to `c_bar` before anything else uses it.
# %% [markdown] tags=["hint", "lstm_step_backward"]
# In a product each factor receives the incoming gradient times the other. Which gate is paired with $C_{t-1}$, which
# with $G$?
# %% [markdown] tags=["hint", "lstm_step_backward"]
# The slopes come from the values themselves: $I(1-I)$, $F(1-F)$, $1-G^2$, $O(1-O)$. The old cell receives the *total*
# $\bar{C}_t$ times $F$.


# %% tags=["wrong", "lstm_step_backward"]
def cell_share_forgotten(h_bar, c_bar, gates, c_old, c_new):
    """Leaves out what the output sends into the cell."""
    i, f, g, o = gates
    bars = c_bar * g * i * (1 - i), c_bar * c_old * f * (1 - f), c_bar * i * (1 - g**2)
    return np.concatenate([*bars, h_bar * np.tanh(c_new) * o * (1 - o)], axis=1), c_bar * f


def slopes_forgotten(h_bar, c_bar, gates, c_old, c_new):
    """Gives the gradients of the gates, not of what went into them."""
    i, f, g, o = gates
    total = c_bar + h_bar * o * (1 - np.tanh(c_new) ** 2)
    return np.concatenate([total * g, total * c_old, total * i, h_bar * np.tanh(c_new)], axis=1), total * f


def forget_gate_sees_the_new_cell(h_bar, c_bar, gates, c_old, c_new):
    """Pairs the forget gate with the cell after the step."""
    i, f, g, o = gates
    total = c_bar + h_bar * o * (1 - np.tanh(c_new) ** 2)
    bars = total * g * i * (1 - i), total * c_new * f * (1 - f), total * i * (1 - g**2)
    return np.concatenate([*bars, h_bar * np.tanh(c_new) * o * (1 - o)], axis=1), total * f


def old_cell_gets_everything(h_bar, c_bar, gates, c_old, c_new):
    """Hands the cell's gradient back without the forget gate: the carousel of 1997."""
    a_bar, _ = lstm_step_backward(h_bar, c_bar, gates, c_old, c_new)
    return a_bar, c_bar + h_bar * gates[3] * (1 - np.tanh(c_new) ** 2)


def candidate_treated_as_a_gate(h_bar, c_bar, gates, c_old, c_new):
    """Uses the sigmoid's slope for the tanh block."""
    a_bar, old = lstm_step_backward(h_bar, c_bar, gates, c_old, c_new)
    d, g = a_bar.shape[1] // 4, gates[2]
    a_bar[:, 2 * d : 3 * d] *= g * (1 - g) / (1 - g**2)
    return a_bar, old


# %% tags=["check", "lstm_step_backward"]
def check_lstm_step_backward(lstm_step_backward):
    """Beside minidl's tape, over one step written in its operators."""
    for n, d in ((3, 2), (1, 1), (2, 5)):
        a = minidl.randn(n, 4 * d, dtype=minidl.float64, requires_grad=True)
        old = minidl.randn(n, d, dtype=minidl.float64, requires_grad=True)
        h_bar, c_bar = (minidl.randn(n, d, dtype=minidl.float64) for _ in range(2))
        i, f, o = (a[:, k * d : (k + 1) * d].sigmoid() for k in (0, 1, 3))
        g = a[:, 2 * d : 3 * d].tanh()
        new = f * old + i * g
        ((o * new.tanh() * h_bar).sum() + (new * c_bar).sum()).backward()
        arrays = [v.detach().numpy().copy() for v in (h_bar, c_bar, i, f, g, o, old, new)]
        a_bar, old_bar = lstm_step_backward(arrays[0], arrays[1], tuple(arrays[2:6]), arrays[6], arrays[7])
        assert np.shape(a_bar) == (n, 4 * d), f"the blocks' gradient should be {(n, 4 * d)}, but is {np.shape(a_bar)}"
        wanted = a.grad.numpy()
        for k, block in enumerate("IFGO"):
            ours, theirs = np.asarray(a_bar)[:, k * d : (k + 1) * d], wanted[:, k * d : (k + 1) * d]
            assert np.allclose(ours, theirs, atol=1e-7), (
                f"N = {n}, D = {d}: the gradient of block {block} should be {theirs[0].round(4)} in row 0, but is "
                f"{ours[0].round(4)}. Follow the paths from H and C to {block}, slope included."
            )
        assert np.allclose(old_bar, old.grad.numpy(), atol=1e-7), (
            f"the old cell should receive {old.grad.numpy()[0].round(4)} in row 0, got {np.asarray(old_bar)[0].round(4)}: "
            "all that reaches the new cell, times F."
        )


# %% [markdown]
# ## What PyTorch does differently
#
# - `torch.nn.LSTM` has the same parameters in the same order of blocks $I, F, G, O$, two biases, and no setting for
#   the forget bias: one writes into the second quarter of `bias_ih_l0`, as we did. (TensorFlow's Keras sets it to 1
#   by default.)
# - It returns `output, (h_n, c_n)`; gates cannot be asked for. minidl's kernel keeps them for the gradient, which is
#   where `inspect.gates` finds them.
# - `proj_size` (a smaller output than cell) exists in both; peepholes, gates that look at the cell, in neither.
#
# ## Sources
#
# - Hochreiter and Schmidhuber 1997, "Long short-term memory": the carousel, without a forget gate. Gers, Schmidhuber
#   and Cummins 2000, "Learning to forget", adds it.
# - Jozefowicz, Zaremba and Sutskever 2015, "An empirical exploration of recurrent network architectures": the forget
#   bias of 1.
# - Tallec and Ollivier 2018, "Can recurrent neural networks warp time?": chrono initialisation.
# - Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder": the GRU. Greff et al. 2017, "LSTM: a
#   search space odyssey".
#
# The gates decide what to keep before they know what will be asked; the next chapter keeps everything, and decides
# when asked.
