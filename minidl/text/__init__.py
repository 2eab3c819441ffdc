"""Between texts and numbers: tokenisers, windows of text for language models, and the n-gram models to beat."""

from minidl.text.batches import EncodedTexts, LengthBatches, MaskedText, RandomWindows, Streams, Windows, collate, pad
from minidl.text.byte_pairs import ByteBPE
from minidl.text.characters import CharTokenizer
from minidl.text.ngrams import NGram
from minidl.text.word_pieces import WordPiece

__all__ = [
    "ByteBPE",
    "CharTokenizer",
    "EncodedTexts",
    "LengthBatches",
    "MaskedText",
    "NGram",
    "RandomWindows",
    "Streams",
    "Windows",
    "WordPiece",
    "collate",
    "pad",
]
