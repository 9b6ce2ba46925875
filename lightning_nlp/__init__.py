"""Word vectors, dependency parsing, attentional seq2seq and transformers from scratch, on PyTorch Lightning."""
