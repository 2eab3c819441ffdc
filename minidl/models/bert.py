"""BERT: a Transformer that reads (Devlin et al. 2019, "BERT: Pre-training of deep bidirectional Transformers")."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from minidl import creation, nn, ops, serialization
from minidl.models.generation import evaluating
from minidl.models.initial import usual_std
from minidl.nn import functional as F
from minidl.nn import init
from minidl.text import pad


class BertEmbeddings(nn.Module):
    """The sum of a token's, its place's and its sentence's vector, normalised."""

    def __init__(self, vocab_size: int, width: int, context: int, types: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, width)
        self.position_embeddings = nn.Embedding(context, width)
        self.token_type_embeddings = nn.Embedding(types, width)
        self.LayerNorm = nn.LayerNorm(width, eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Any, types: Any) -> Any:
        places = creation.arange(tokens.shape[1], device=tokens.device)
        types = creation.zeros_like(tokens) if types is None else types
        x = self.word_embeddings(tokens) + self.position_embeddings(places) + self.token_type_embeddings(types)
        return self.dropout(self.LayerNorm(x))


class BertSelfAttention(nn.Module):
    """Every token looks at every token that ``mask`` (N, 1, 1, T) shows."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.heads, self.p = heads, dropout

    def forward(self, x: Any, mask: Any) -> Any:
        n, t, width = x.shape
        q, k, v = (
            layer(x).reshape((n, t, self.heads, width // self.heads)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        y = F.scaled_dot_product_attention(q, k, v, mask, self.p if self.training else 0.0)
        return y.transpose(1, 2).reshape((n, t, width))


class BertAdd(nn.Module):
    """A linear layer, dropout, the residual connection and layer norm."""

    def __init__(self, inputs: int, width: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.dense, self.LayerNorm, self.dropout = (
            nn.Linear(inputs, width),
            nn.LayerNorm(width, eps),
            nn.Dropout(dropout),
        )

    def forward(self, x: Any, beside: Any) -> Any:
        return self.LayerNorm(beside + self.dropout(self.dense(x)))


class BertAttention(nn.Module):
    """Attention, projected and added."""

    def __init__(self, width: int, heads: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.add_module("self", BertSelfAttention(width, heads, dropout))
        self.output = BertAdd(width, width, dropout, eps)

    def forward(self, x: Any, mask: Any) -> Any:
        return self.output(self.self(x, mask), x)


class BertIntermediate(nn.Module):
    """The wide layer, with GELU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)

    def forward(self, x: Any) -> Any:
        return F.gelu(self.dense(x))


class BertLayer(nn.Module):
    """Attention, then a feed-forward network; norms after the sums."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.attention = BertAttention(width, heads, dropout, eps)
        self.intermediate = BertIntermediate(width, inner)
        self.output = BertAdd(inner, width, dropout, eps)

    def forward(self, x: Any, mask: Any) -> Any:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class BertEncoder(nn.Module):
    """The layers, one after another."""

    def __init__(self, layers: int, *settings: Any) -> None:
        super().__init__()
        self.layer = nn.ModuleList([BertLayer(*settings) for _ in range(layers)])

    def forward(self, x: Any, mask: Any) -> Any:
        for layer in self.layer:
            x = layer(x, mask)
        return x


class BertPooler(nn.Module):
    """The first token's state, through a linear layer and tanh."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        return self.dense(x[:, 0]).tanh()


class BERT(nn.Module):
    """BERT's encoder under the names of the published files; as it stands here, BERT-base (109,482,240 parameters).

    (N, T) tokens → (N, T, width) states.

    Args:
        vocab_size: how many tokens there are.
        width: of the states, a multiple of ``heads``.
        layers, heads: how many.
        inner: the width inside the feed-forward networks; four times ``width`` if None.
        context: how many tokens a text may have.
        types: how many sentences a text may have.
        dropout: of embeddings, attention weights, and what each part adds.
        eps: ε of the norms.
    """

    def __init__(
        self,
        vocab_size: int = 30522,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        inner: int | None = None,
        context: int = 512,
        types: int = 2,
        dropout: float = 0.1,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"width ({width}) must be a multiple of heads ({heads})")
        self.width, self.context = width, context
        self.embeddings = BertEmbeddings(vocab_size, width, context, types, dropout, eps)
        self.encoder = BertEncoder(layers, width, heads, inner or 4 * width, dropout, eps)
        self.pooler = BertPooler(width)
        for module in self.modules():
            _begin(module, usual_std(width))

    def forward(self, tokens: Any, mask: Any = None, types: Any = None) -> Any:
        """States (N, T, width).

        Args:
            tokens: (N, T), int64.
            mask: (N, T), 1 or True for tokens, 0 for padding; None: no padding.
            types: (N, T), which sentence a token is of; None: the first.

        Raises:
            RuntimeError: more tokens than ``context``, or not (N, T).
        """
        if tokens.ndim != 2:
            raise RuntimeError(f"BERT: tokens are (N, T), not of shape {list(tokens.shape)}")
        if tokens.shape[1] > self.context:
            raise RuntimeError(
                f"BERT: {tokens.shape[1]} tokens are more than its context of {self.context}; cut them off"
            )
        shown = None if mask is None else (mask != 0)[:, None, None, :]
        return self.encoder(self.embeddings(tokens, types), shown)

    def embed(self, tokens: Any, mask: Any = None) -> Any:
        """Sentence embeddings (N, width): the mean of the states of the tokens, divided by its norm (Reimers & Gurevych
        2019, "Sentence-BERT"). Not in training mode, but on the tape."""
        return F.normalize(mean_of_tokens(self(tokens, mask), mask), dim=1)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike) -> BERT:
        """The network of a folder with ``config.json`` and ``model.safetensors`` as Hugging Face keeps BERT's, in
        evaluation mode.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a network that is not BERT's.
            RuntimeError: weights that do not fit the configuration.
        """
        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = (config.get("model_type"), config.get("hidden_act"), config.get("position_embedding_type", "absolute"))
        if kind != ("bert", "gelu", "absolute"):
            raise ValueError(
                f"{folder}: BERT has model_type, hidden_act and position_embedding_type 'bert', 'gelu', "
                f"'absolute', not {kind}"
            )
        model = cls(
            config["vocab_size"],
            config["hidden_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["intermediate_size"],
            config["max_position_embeddings"],
            config["type_vocab_size"],
            config["hidden_dropout_prob"],
            config["layer_norm_eps"],
        )
        saved = serialization.load_file(folder / "model.safetensors")
        named = {name.removeprefix("bert."): tensor for name, tensor in saved.items()}
        ours = model.state_dict()
        kept = {k: v for k, v in named.items() if not (k.startswith("cls.") or k.endswith(".position_ids"))}
        for name in ours:  # a network may come without the pooler, which sentence embeddings do not use
            if name.startswith("pooler.") and name not in kept:
                kept[name] = ours[name]
        model.load_state_dict(kept)
        model.eval()
        return model


class BertForMaskedLM(nn.Module):
    """BERT with the head that guesses hidden tokens: (N, T) → (N, T, vocab_size). The scores come from the embedding's
    own matrix. Names as in the published files."""

    def __init__(self, bert: BERT) -> None:
        super().__init__()
        self.bert = bert
        words = bert.embeddings.word_embeddings
        self.cls = nn.ModuleDict({"predictions": _Predictions(bert.width, words)})

    def forward(self, tokens: Any, mask: Any = None) -> Any:
        return self.cls["predictions"](self.bert(tokens, mask))


class _Predictions(nn.Module):
    def __init__(self, width: int, words: nn.Embedding) -> None:
        super().__init__()
        self.transform = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, 1e-12)})
        self.decoder = nn.Linear(width, words.num_embeddings)
        self.decoder.weight = words.weight
        self.bias = self.decoder.bias  # both names stand in the files
        for module in self.transform.values():
            _begin(module, usual_std(width))
        init.zeros_(self.decoder.bias)

    def forward(self, x: Any) -> Any:
        return self.decoder(self.transform["LayerNorm"](F.gelu(self.transform["dense"](x))))


class BertClassifier(nn.Module):
    """BERT, the mean of its states, dropout and a linear layer: (N, T) tokens, padded with ``padding`` → (N, classes)."""

    def __init__(self, bert: BERT, classes: int, dropout: float = 0.1, padding: int = 0) -> None:
        super().__init__()
        self.bert, self.padding = bert, padding
        self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(bert.width, classes)
        _begin(self.classifier, 0.02)

    def forward(self, tokens: Any) -> Any:
        return self.classifier(self.dropout(self.vectors(tokens)))

    def vectors(self, tokens: Any) -> Any:
        """What the encoder makes of texts, (N, width): all that the head is told."""
        mask = tokens != self.padding
        return mean_of_tokens(self.bert(tokens, mask), mask)


def mean_of_tokens(states: Any, mask: Any = None) -> Any:
    """The mean of the states (N, T, width) of tokens that are not padding: (N, width)."""
    if mask is None:
        return states.mean(1)
    weights = (mask != 0).to(states.dtype).unsqueeze(2)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def embed_texts(model: BERT, tokenizer: Any, texts: list[str], batch_size: int = 32, max_length: int = 256) -> Any:
    """Sentence embeddings (len(texts), width) of texts, batch by batch, those of like length together."""
    rows = [tokenizer.encode(text, max_length) for text in texts]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))

    found = []
    with evaluating(model):
        for begin in range(0, len(order), batch_size):
            tokens, _ = pad([rows[i] for i in order[begin : begin + batch_size]], tokenizer.pad)
            found.append(model.embed(tokens, tokens != tokenizer.pad))
    places = creation.tensor(sorted(range(len(order)), key=lambda i: order[i]))
    return ops.index_select(ops.cat(found, 0), 0, places) if found else creation.zeros(0, model.width)


def _begin(module: Any, std: float) -> None:
    """Initial values: normal, biases 0."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear):
        init.zeros_(module.bias)
