"""Word vectors, dependency parsing, attentional seq2seq and transformers from scratch, on PyTorch Lightning.

Importing this package is light, and makes exported models known to transformers' Auto classes.

Dimension names in the annotations of tensors, the same everywhere:

    batch     sentences or documents that are worked on together
    length    places of a padded sentence
    tokens    places of running text, without padding
    vocab     words or subwords that a model knows
    dim       numbers in a vector; query_dim, value_dim, hidden_dim where there are several
    pairs     centre and context words of skip-gram;  negatives: noise words drawn for each
    source, target    places of a sentence and of its translation;  beam: hypotheses kept
    heads     parts of an attention that look on their own
    labels    arc relations, tags or classes
"""

from lightning_nlp.auto import register_when_needed

__version__ = "0.1.0"

register_when_needed()
