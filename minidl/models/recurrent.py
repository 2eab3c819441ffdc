"""Recurrent networks that read texts: one that writes on, one that judges."""

from __future__ import annotations

from typing import Any

from minidl import nn
from minidl.autograd import grad
from minidl.models.generation import evaluating, generate
from minidl.nn import functional as F
from minidl.nn.utils.rnn import pack_padded_sequence

KINDS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def _layers(kind: str, width: int, hidden: int, layers: int, dropout: float, **settings: Any) -> Any:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    return KINDS[kind](width, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0, **settings)


class CharRNN(nn.Module):
    """A recurrent language model: embedding, recurrent layers, scores of the next token.

    (N, T) → (N, T, vocab_size). Mikolov et al. 2010, "Recurrent neural network based language model"; Graves 2013,
    "Generating sequences with recurrent neural networks".

    Args:
        vocab_size: how many tokens there are.
        width: of the embedding.
        hidden: of the recurrent layers.
        layers: how many.
        kind: "rnn", "gru" or "lstm".
        dropout: of what the embedding and each layer give.

    Attributes
    ----------
    carry    whether training goes on from the state in which the last batch ended (its rows must continue that batch's:
             :class:`minidl.text.Streams`); gradients end at the batch: truncated backpropagation through time
    state    that state, of tensors off the tape; None: zeros
    """

    def __init__(
        self,
        vocab_size: int,
        width: int = 64,
        hidden: int = 448,
        layers: int = 1,
        kind: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.recurrent = _layers(kind, width, hidden, layers, dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, vocab_size)
        self.carry, self.state = False, None

    def forward(self, tokens: Any) -> Any:
        """Scores (N, T, vocab_size) of what follows each token."""
        if not self.carry:
            return self.run(tokens)[0]
        logits, state = self.run(tokens, self._fitting(tokens))
        self.state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        return logits

    def _fitting(self, tokens: Any) -> Any:
        """The state kept, if it is of as many rows."""
        first = self.state[0] if isinstance(self.state, tuple) else self.state
        return self.state if first is not None and first.shape[1] == tokens.shape[0] else None

    def run(self, tokens: Any, state: Any = None) -> tuple[Any, Any]:
        """Scores, and the state after the last token, to go on from."""
        seen, state = self.recurrent(self.dropout(self.embedding(tokens)), state)
        return self.head(self.dropout(seen)), state

    def generate(self, prompt: Any, max_new_tokens: int, **settings: Any) -> Any:
        """A prompt (N, L) continued; settings as those of :func:`minidl.models.generate`."""
        memory: list[Any] = [None]

        def step(tokens: Any) -> Any:
            logits, memory[0] = self.run(tokens, memory[0])
            return logits[:, -1]

        with evaluating(self):
            return generate(step, prompt, max_new_tokens, **settings)


class TextClassifier(nn.Module):
    """A recurrent network that reads a text both ways, and judges by the mean of its states.

    (N, T) tokens, padded at the end with ``padding`` → (N, classes).

    Args:
        vocab_size, width, hidden, layers, kind, dropout: as for :class:`CharRNN`; ``hidden`` of each direction.
        classes: how many scores come out.
        padding: the token that fills up.
    """

    def __init__(
        self,
        vocab_size: int,
        classes: int,
        width: int = 64,
        hidden: int = 64,
        layers: int = 1,
        kind: str = "lstm",
        dropout: float = 0.5,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.embedding = nn.Embedding(vocab_size, width, padding_idx=padding)
        self.recurrent = _layers(kind, width, hidden, layers, dropout, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, tokens: Any) -> Any:
        """Scores (N, classes); a text of nothing but padding counts as one token."""
        there = tokens != self.padding
        lengths = there.sum(1).clamp(min=1)
        packed = pack_padded_sequence(
            self.dropout(self.embedding(tokens)), lengths, batch_first=True, enforce_sorted=False
        )
        seen, _ = nn.utils.rnn.pad_packed_sequence(
            self.recurrent(packed)[0], batch_first=True, total_length=tokens.shape[1]
        )
        return self.head(self.dropout(seen.sum(1) / lengths.unsqueeze(1).to(seen.dtype)))


def gradients_along_time(model: Any, tokens: Any) -> Any:
    """How much the loss at the last step feels of each step before it: |∂loss_T/∂x_t| for t = 1 … T, (T,).

    x_t is the embedding of token t. In a plain recurrence the norm shrinks (or grows) by about the same factor a step
    (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013); an LSTM's cell can hand it on.

    Args:
        model: a :class:`CharRNN`.
        tokens: (N, T + 1); the mean over the N rows is taken.
    """
    inputs = model.embedding(tokens[:, :-1]).detach().requires_grad_()
    seen, _ = model.recurrent(inputs)
    loss = F.cross_entropy(model.head(seen[:, -1]), tokens[:, -1], reduction="sum")
    slopes: Any = grad(loss, inputs)[0]
    return slopes.norm(dim=2).mean(0)
