"""The transformer as a `PreTrainedModel` that transformers' `generate` works with."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import AutoTokenizer, GenerationMixin, PreTrainedModel, PreTrainedTokenizerFast
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import cached_file

from lightning_nlp.cross_entropy import summed_cross_entropy
from lightning_nlp.loading import hub_options, load_whole
from lightning_nlp.transformer.attention import Attention, CrossAttention, Places, Synthesizer, look_back, rotations
from lightning_nlp.transformer.block import Block, FeedForward, Perceiver, new_norm
from lightning_nlp.transformer.config import TransformerConfig, known
from lightning_nlp.transformer.objectives import IGNORED, as_document, as_question

INIT_STD = 0.02  # Radford et al. 2019


class TransformerModel(PreTrainedModel, GenerationMixin):
    """Predicts each token from those before it.

    Args:
        config: its numbers, that of tokens among them.
    """

    config_class = TransformerConfig
    accepts_loss_kwargs = False  # transformers' Trainer: `loss` is a mean, whatever it accumulates

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.vectors = nn.Embedding(known(config.vocab_size), config.dim)
        if config.positions == "learned":
            self.position_vectors = nn.Embedding(config.context, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        if config.attention == "perceiver":
            self.perceiver = Perceiver(config)
        else:
            self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.last_norm = new_norm(config)
        if not config.tied:
            self.output = nn.Linear(config.dim, known(config.vocab_size), bias=False)
        self._tokenizer: PreTrainedTokenizerFast | None = None
        self.post_init()
        if config.zero_init:
            for name, weight in self.named_parameters():
                if "project_out" in name:
                    nn.init.zeros_(weight)

    def _init_weights(self, module: nn.Module) -> None:
        """As GPT-2: normal, projections back to the residual stream smaller with depth (Radford et al. 2019, 2.3)."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=INIT_STD)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Synthesizer):
            nn.init.normal_(module.to_places, std=INIT_STD)
            nn.init.zeros_(module.places_bias)
        elif isinstance(module, Perceiver):
            nn.init.normal_(module.latents, std=INIT_STD)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
            nn.init.ones_(module.weight)
            if isinstance(module, nn.LayerNorm) and module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, Attention | CrossAttention | FeedForward | Synthesizer):
            nn.init.normal_(module.project_out.weight, std=INIT_STD * (2 * self.config.layers) ** -0.5)

    # -- what transformers asks for ---------------------------------------------------------------------------------

    def get_input_embeddings(self) -> nn.Embedding:
        """Returns the token vectors."""
        return self.vectors

    def get_output_embeddings(self) -> nn.Module:
        """Returns what holds the output weights."""
        return self.vectors if self.config.tied else self.output

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """What turns text into tokens.

        Raises:
            ValueError: it is not known yet: the data or a checkpoint brings it.
        """
        if self._tokenizer is None:
            raise ValueError(
                "This transformer has no tokenizer yet. Fit it with config.vocab_size left to the data, or load it "
                "from a checkpoint or an export folder."
            )
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer

    # -- tensors ----------------------------------------------------------------------------------------------------

    def states(
        self,
        input_ids: Int[Tensor, "batch length"],
        attention_mask: Int[Tensor, "batch keys"] | None = None,
        position_ids: Int[Tensor, "batch length"] | None = None,
        past_key_values: Cache | None = None,
        with_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch length dim"], list[Tensor | None]]:
        """Returns the last state of each token, and where each block looked if that is wanted.

        Args:
            input_ids: tokens.
            attention_mask: number of the document that each token belongs to, 0 for padding: a token sees those of its
                own document only. One document a row is so the mask of 0 and 1 that transformers knows. Tokens
                whose keys are cached come first.
            position_ids: place of each token in its document; null computes them.
            past_key_values: keys and values of earlier tokens, which are added to.
            with_weights: whether weights are wanted.
        """
        length = input_ids.shape[1]
        earlier = past_key_values.get_seq_length() if past_key_values is not None else 0
        documents = attention_mask
        if documents is None:
            documents = input_ids.new_ones(len(input_ids), earlier + length)
        keys = places_in_documents(documents)
        own = keys[:, earlier:] if position_ids is None else position_ids
        rotation = None
        if self.config.positions == "rope":
            rotation = rotations(own, self.config.head_dim, self.config.rope_base)
        places = Places(look_back(documents, length), keys, documents > 0, rotation)
        states = self.vectors(input_ids)
        if self.config.positions == "learned":
            states = states + self.position_vectors(own)
        states = self.dropout(states)
        weights: list[Tensor | None] = []
        if self.config.attention == "perceiver":
            states, weights = self.perceiver(states, places, with_weights)
        else:
            for block in self.blocks:
                states, looked = block(states, places, past_key_values, with_weights)
                weights.append(looked)
        return self.last_norm(states), weights

    def logits(self, states: Float[Tensor, "... dim"]) -> Float[Tensor, "... vocab"]:
        """Returns the scores of all tokens."""
        return linear(states, self.vectors.weight if self.config.tied else self.output.weight)

    def forward(
        self,
        input_ids: Int[Tensor, "batch length"],
        attention_mask: Int[Tensor, "batch keys"] | None = None,
        position_ids: Int[Tensor, "batch length"] | None = None,
        past_key_values: Cache | None = None,
        labels: Int[Tensor, "batch length"] | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_attentions: bool = False,
        **unused: Any,
    ) -> CausalLMOutputWithPast:
        """Returns logits, and what else is asked for; as every causal language model of transformers.

        Args:
            input_ids: tokens.
            attention_mask: as `states`.
            position_ids: as `states`.
            past_key_values: as `states`.
            labels: the tokens again, of which each is to be predicted from those before it; -100 for those that are
                not: the mean cross entropy becomes `loss`.
            use_cache: whether keys and values are returned.
            logits_to_keep: number of the last tokens whose logits are wanted; 0 for all.
            output_attentions: whether weights of attention are wanted.
            unused: what transformers passes to models of other kinds.
        """
        if past_key_values is None and use_cache and self.config.use_cache:
            past_key_values = DynamicCache(config=self.config)
        states, weights = self.states(input_ids, attention_mask, position_ids, past_key_values, output_attentions)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.logits(states[:, kept])
        loss = None
        if labels is not None:
            targets = labels[:, 1:]
            wanted = targets != IGNORED
            loss = summed_cross_entropy(self.logits(states[:, :-1][wanted]), targets[wanted]) / wanted.sum()
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=past_key_values if use_cache else None,
            attentions=tuple(weights) if output_attentions else None,
        )

    def summed_loss(
        self,
        input_ids: Int[Tensor, "batch length"],
        targets: Int[Tensor, "batch length"],
        documents: Int[Tensor, "batch length"],
    ) -> Float[Tensor, ""]:
        """Returns the cross entropy of what follows each token, summed over the tokens that are to be predicted.

        Args:
            input_ids: tokens.
            targets: what follows each, -100 where that is not to be predicted.
            documents: as the attention mask of `states`.
        """
        states, _ = self.states(input_ids, documents)
        wanted = targets != IGNORED
        return summed_cross_entropy(self.logits(states[wanted]), targets[wanted])

    # -- text in, text out ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def complete(self, prompts: Sequence[str], max_new_tokens: int = 32, **options: Any) -> list[str]:
        """Continues texts.

        Args:
            prompts: beginnings.
            max_new_tokens: tokens of a continuation at most.
            options: of transformers' `generate`: `do_sample`, `temperature`, `top_k`, `top_p`, `num_beams` …
        """
        return self._continued([as_document(self.tokenizer, prompt) for prompt in prompts], max_new_tokens, options)

    @torch.no_grad()
    def answer(self, questions: Sequence[str], max_new_tokens: int = 32, together: int = 1000) -> list[str]:
        """Answers questions, as many at once as `together`.

        Args:
            questions: one each.
            max_new_tokens: tokens of an answer at most.
            together: questions in a batch.
        """
        prompts = [as_question(self.tokenizer, question) for question in questions]
        batches = [prompts[start : start + together] for start in range(0, len(prompts), together)]
        return [answer.strip() for batch in batches for answer in self._continued(batch, max_new_tokens, {})]

    def _continued(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, options: dict[str, Any]) -> list[str]:
        """Generates after prompts of any lengths, padded on the left so that all end together."""
        room = self.config.context - max_new_tokens
        if room < 1:
            raise ValueError(f"max_new_tokens is {max_new_tokens}, but the context has {self.config.context} tokens.")
        prompts = [prompt[-room:] or [self.config.bos_token_id] for prompt in prompts]
        longest = max(map(len, prompts), default=0)
        if not longest:
            return []
        pad = self.config.pad_token_id or 0
        ids = [[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        generated = self.generate(
            torch.tensor(ids, device=self.device),
            attention_mask=torch.tensor(mask, device=self.device),
            max_new_tokens=max_new_tokens,
            **{"do_sample": False, "use_cache": self.config.use_cache, **options},
        )
        return self.tokenizer.batch_decode(generated[:, longest:], skip_special_tokens=True)

    # -- files ------------------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Writes config, weights and tokenizer; the options are those of transformers."""
        super().save_pretrained(save_directory, *args, **kwargs)
        if self._tokenizer is not None:
            self._tokenizer.save_pretrained(save_directory)

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Loads what `save_pretrained` wrote, from a folder or the Hub; the options are those of transformers."""
        model, info = load_whole(super().from_pretrained, name, *args, **kwargs)
        place = hub_options(kwargs)
        if cached_file(name, "tokenizer.json", _raise_exceptions_for_missing_entries=False, **place):
            model.tokenizer = AutoTokenizer.from_pretrained(name, **place)
        return (model, info) if info else model

    # -- training ---------------------------------------------------------------------------------------------------

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Returns what an optimizer takes: matrices of the blocks, vectors of tokens and places, and all other.

        Weight decay is meant for products, so norms and biases have none (nanoGPT's habit too).
        """
        groups: dict[str, list[nn.Parameter]] = {"matrices": [], "vectors": [], "others": []}
        for name, weight in self.named_parameters():
            in_block = name.startswith(("blocks.", "perceiver."))
            is_matrix = in_block and weight.ndim == 2 and not name.endswith("latents")
            kind = "others" if weight.ndim < 2 else "matrices" if is_matrix else "vectors"
            groups[kind].append(weight)
        decay = {"others": {"weight_decay": 0.0}}
        return [{"params": weights, "kind": kind, **decay.get(kind, {})} for kind, weights in groups.items() if weights]

    def flops(self, tokens: int, predicted: int) -> int:
        """Returns the operations of a training step, forward and backward (Chowdhery et al. 2022, appendix B).

        Args:
            tokens: of documents.
            predicted: of them, those whose next token is scored.
        """
        matrices = next(group["params"] for group in self.parameter_groups() if group["kind"] == "matrices")
        attention = 12 * self.config.layers * self.config.dim * self.config.context
        of_token = 6 * sum(weight.numel() for weight in matrices) + attention
        return tokens * of_token + predicted * 6 * self.config.dim * known(self.config.vocab_size)


def places_in_documents(documents: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
    """Returns the place of each token in its document, from 0; documents lie together, each of another number."""
    place = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return place - (place * begins).cummax(dim=1).values
