"""A translator as a `PreTrainedModel`: text in, text out."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

from lightning_nlp.cross_entropy import summed_cross_entropy
from lightning_nlp.loading import hub_options, load_whole
from lightning_nlp.seq2seq.batch import BOS, EOS, PAD, UNK, Batch, Side, pair_up
from lightning_nlp.seq2seq.config import Seq2SeqConfig, known
from lightning_nlp.seq2seq.decoder import Decoder, DecoderState
from lightning_nlp.seq2seq.encoder import Encoder
from lightning_nlp.seq2seq.search import BEAM, Ends, Hypothesis, Search, beam_search, greedy_search

TARGET_TOKENIZER = "target_tokenizer"
ENDS = Ends(BOS, EOS, never=(PAD,))


class Translation(NamedTuple):
    """What was found for one text.

    Attributes:
        text: the translation.
        score: logarithm of its probability.
        normalised: that score made comparable between lengths, by which translations are ranked.
        source_tokens: what was read.
        tokens: what was written.
        attention: how much each token written looked at each token read, where that was asked for.
    """

    text: str
    score: float
    normalised: float
    source_tokens: list[str]
    tokens: list[str]
    attention: list[list[float]] | None = None


class Seq2SeqModel(PreTrainedModel):
    """Reads a sentence with a BiLSTM and writes another with an LSTM that attends to it.

    Args:
        config: its numbers, the sizes of both vocabularies among them.
    """

    config_class = Seq2SeqConfig

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__(config)
        self.target_vectors = nn.Embedding(known(config.target_vocab), config.dim, padding_idx=PAD)
        if not self.shares_vectors:
            self.own_source_vectors = nn.Embedding(known(config.source_vocab), config.dim, padding_idx=PAD)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        if config.tied:
            self.output_bias = nn.Parameter(torch.zeros(known(config.target_vocab)))
        else:
            self.output = nn.Linear(config.output_dim, known(config.target_vocab))
        self._tokenizers: tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast] | None = None
        self.post_init()

    @property
    def shares_vectors(self) -> bool:
        """Whether source and target have one table of vectors."""
        return bool(self.config.tied and self.config.joint)

    @property
    def source_vectors(self) -> nn.Embedding:
        """The vectors of source tokens."""
        return self.target_vectors if self.shares_vectors else self.own_source_vectors

    def _init_weights(self, module: nn.Module) -> None:
        """Vectors of length about 1, orthogonal recurrent weights (Saxe et al. 2014), Glorot's for all other."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
            with torch.no_grad():
                module.weight[PAD] = 0
        elif isinstance(module, nn.LSTM):
            for name, weight in module.named_parameters():
                if name.startswith("bias"):
                    nn.init.zeros_(weight)
                elif name.startswith("weight_hh"):
                    for gate in weight.chunk(4):
                        nn.init.orthogonal_(gate)
                else:
                    nn.init.xavier_uniform_(weight)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def use_counts(self, counts: Int[Tensor, "vocab"]) -> None:
        """Lets a new model begin with how often each target token is written, as biases (log frequencies).

        Otherwise attentional states learn it first: they saturate, and the loss stands still for hundreds of steps.

        Args:
            counts: of target tokens, ends among them; tokens that were never seen count as seen once.
        """
        bias = self.output_bias if self.config.tied else self.output.bias
        seen = counts.clamp(min=1).double()  # sums of counts overflow in float16
        bias.data.copy_((seen / seen.sum()).log())

    # -- tokenizers -------------------------------------------------------------------------------------------------

    @property
    def tokenizers(self) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
        """The tokenizers of source and target, one and the same where they are joint.

        Raises:
            ValueError: they are not known yet: the data or a checkpoint brings them.
        """
        if self._tokenizers is None:
            raise ValueError(
                "This translator has no tokenizers yet. Fit it with the sizes of its config left to the data, or load "
                "it from a checkpoint or an export folder."
            )
        return self._tokenizers

    @tokenizers.setter
    def tokenizers(self, pair: tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]) -> None:
        self._tokenizers = pair

    # -- tensors ----------------------------------------------------------------------------------------------------

    def start(self, batch: Batch) -> DecoderState:
        """Reads the source, and returns the state of the decoder before its first step."""
        states, last = self.encoder(self._embedded(batch.source, self.source_vectors), batch.source_lengths)
        return self.decoder.start(states, last, batch.source_lengths)

    def forward(self, batch: Batch, **unused: Any) -> BaseModelOutput:
        """Returns `last_hidden_state` [batch, target, output_dim], and the weights of attention as `attentions`."""
        states, weights = self.decoder(self._embedded(batch.read, self.target_vectors), self.start(batch))
        return BaseModelOutput(last_hidden_state=states, attentions=(weights,))

    def _embedded(
        self, tokens: Int[Tensor, "batch length"], vectors: nn.Embedding
    ) -> Float[Tensor, "batch length dim"]:
        found = vectors(tokens)
        if not (self.training and self.config.word_dropout):
            return found
        return found * (torch.rand(tokens.shape, device=tokens.device) >= self.config.word_dropout)[:, :, None]

    def logits(self, states: Float[Tensor, "... output_dim"]) -> Float[Tensor, "... vocab"]:
        """Returns the scores of all target tokens."""
        return linear(states, self.target_vectors.weight, self.output_bias) if self.config.tied else self.output(states)

    def loss(self, batch: Batch, smoothing: float = 0.0) -> Float[Tensor, ""]:
        """Returns the cross entropy of a batch's translations, summed over their tokens and ends.

        Args:
            batch: pairs of sentences.
            smoothing: share of the probability that is spread over all tokens (Szegedy et al. 2016, section 7).
        """
        is_token = batch.is_token()
        states = self(batch).last_hidden_state[is_token]  # what follows is computed for no padding
        return summed_cross_entropy(self.logits(states), batch.written[is_token], smoothing)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Returns the log-probabilities of what follows each hypothesis: the step function of the search."""
        states, state = self.decoder.step(self.target_vectors(tokens), state)
        return self.logits(states).float().log_softmax(2), state

    @torch.no_grad()
    def search(self, batch: Batch, settings: Search, n_best: int = 1) -> list[list[Hypothesis]]:
        """Looks for the best translations of each sentence of a batch."""
        state, longest = self.start(batch), settings.max_lengths(batch.source_lengths)
        if settings.beam == 1:
            return [[one] for one in greedy_search(self.step, state, longest, ENDS, settings)]  # type: ignore[arg-type]
        return beam_search(self.step, state, longest, ENDS, settings, n_best)  # type: ignore[arg-type]

    @torch.no_grad()
    def attention(self, batch: Batch) -> Float[Tensor, "batch target source"]:
        """Returns where the decoder looks while it writes these translations."""
        weights = self(batch).attentions[0]
        return weights.float()

    # -- text in, text out ------------------------------------------------------------------------------------------

    def translate(self, texts: Sequence[str], search: Search = BEAM, batch_tokens: int = 4000) -> list[str]:
        """Translates texts of any number and length, empty ones too.

        Args:
            texts: one sentence each.
            search: how translations are looked for.
            batch_tokens: tokens that are read together, padding among them.
        """
        return [best.text for best, *_ in self.translations(texts, search, batch_tokens=batch_tokens)]

    @torch.no_grad()
    def translations(
        self,
        texts: Sequence[str],
        search: Search = BEAM,
        n_best: int = 1,
        batch_tokens: int = 4000,
        attention: bool = False,
    ) -> list[list[Translation]]:
        """Returns the best translations of each text, the best first; of an empty text or white space an empty one.

        Args:
            texts: one sentence each.
            search: how translations are looked for.
            n_best: translations of each text at most.
            batch_tokens: tokens that are read together, padding among them.
            attention: whether to tell where each translation looked, too.

        Raises:
            ValueError: more translations are wanted than the beam holds.
        """
        search.check_n_best(n_best)
        texts = ["" if text.isspace() else text for text in texts]
        encoded = self.tokenizers[0].backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        side = Side.of([one.ids for one in encoded])
        found = [[Translation("", 0.0, 0.0, [], [], [] if attention else None)] for _ in texts]
        for numbers in by_length(side.lengths, batch_tokens):
            pieces = [[texts[number][begin:end] for begin, end in encoded[number].offsets] for number in numbers]
            source, lengths = (part.to(self.device) for part in side.padded(numbers))
            nothing = source.new_zeros(len(numbers), 1)
            batch = pair_up(source, lengths, nothing, torch.zeros_like(lengths))
            hypotheses = self.search(batch, search, n_best)
            for number, ones in zip(numbers, self._spelt(batch, hypotheses, pieces, attention)):
                found[number] = ones
        return found

    def _spelt(
        self, batch: Batch, hypotheses: list[list[Hypothesis]], pieces: list[list[str]], attention: bool
    ) -> list[list[Translation]]:
        """Turns ids into text; for an unknown token stands the one most looked at (Luong et al. 2015b)."""
        tokenizer = self.tokenizers[1]
        asked = [(row, one) for row, ones in enumerate(hypotheses) for one in ones if attention or UNK in one.tokens]
        looked = dict(zip((id(one) for _, one in asked), self._attention_of(batch, asked)))
        translations: list[list[Translation]] = []
        for of_text, ones in zip(pieces, hypotheses):
            translations.append([])
            for one in ones:
                tokens = tokenizer.convert_ids_to_tokens(one.tokens)
                weights = looked[id(one)].tolist() if id(one) in looked else None
                for place in [place for place, token in enumerate(one.tokens) if token == UNK]:
                    tokens[place] = of_text[int(looked[id(one)][place].argmax())]
                found = Translation(
                    spelt(tokenizer, tokens), one.score, one.normalised, of_text, tokens, weights if attention else None
                )
                translations[-1].append(found)
        return translations

    def _attention_of(self, batch: Batch, ones: list[tuple[int, Hypothesis]]) -> list[Float[Tensor, "target source"]]:
        """Returns where hypotheses, each with the number of its sentence, look: all their tokens are read at once."""
        if not ones:
            return []
        rows = torch.tensor([row for row, _ in ones], device=self.device)
        side = Side.of([one.tokens for _, one in ones])
        target, lengths = (part.to(self.device) for part in side.padded(range(len(ones))))
        sources = batch.source_lengths[rows]
        weights = self.attention(pair_up(batch.source[rows], sources, target, lengths)).cpu()
        return [of_one[:written, :read] for of_one, written, read in zip(weights, lengths.tolist(), sources.tolist())]

    # -- files ------------------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Writes config, weights and tokenizers; the options are those of transformers."""
        super().save_pretrained(save_directory, *args, **kwargs)
        source, target = self.tokenizers
        source.save_pretrained(save_directory)
        if target is not source:
            target.save_pretrained(Path(save_directory, TARGET_TOKENIZER))

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Loads what `save_pretrained` wrote, from a folder or the Hub; the options are those of transformers."""
        model, info = load_whole(super().from_pretrained, name, *args, **kwargs)
        place = {"subfolder": "", **hub_options(kwargs)}
        source = AutoTokenizer.from_pretrained(name, **place)
        target = source
        if not model.config.joint:
            place["subfolder"] = str(Path(place["subfolder"], TARGET_TOKENIZER))
            target = AutoTokenizer.from_pretrained(name, **place)
        model.tokenizers = (source, target)
        return (model, info) if info else model


def by_length(lengths: np.ndarray, batch_tokens: int) -> Iterator[list[int]]:
    """Yields sentences that are not empty, the longest first, in batches of so many tokens when padded."""
    batch: list[int] = []
    for number in np.argsort(-lengths, kind="stable").tolist():
        if not lengths[number]:
            continue
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def spelt(tokenizer: PreTrainedTokenizerFast, tokens: list[str]) -> str:
    """Joins tokens to text, as their tokenizer does."""
    decoder = tokenizer.backend_tokenizer.decoder
    return decoder.decode(tokens) if decoder else " ".join(tokens)
