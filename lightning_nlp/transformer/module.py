"""Training of transformers: pretraining on text, finetuning on questions."""

import time
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jsonargparse import lazy_instance
from pytorch_lightning.cli import OptimizerCallable
from pytorch_lightning.utilities import rank_zero_warn
from torch.optim import AdamW
from transformers import PreTrainedTokenizerFast

from lightning_nlp.data.tokenizers import tokenizer_from_json, tokenizer_to_json
from lightning_nlp.training import Linear, PerToken, Schedule, make_plain, run_folder
from lightning_nlp.training.compilation import can_compile
from lightning_nlp.transformer.config import TransformerConfig, known
from lightning_nlp.transformer.data import FinetuningData, PretrainingData
from lightning_nlp.transformer.gpt2 import is_gpt2, to_gpt2
from lightning_nlp.transformer.metrics import Answered, Scores, most_common
from lightning_nlp.transformer.model import TransformerModel
from lightning_nlp.transformer.objectives import IGNORED, MASK_ID
from lightning_nlp.transformer.packing import Batch
from lightning_nlp.transformer.pictures import show_answers, show_attention
from lightning_nlp.transformer.pretrained import Pretrained, read_pretrained
from lightning_nlp.transformer.questions import Question

DROPOUTS = ("dropout", "attention_dropout")  # what finetuning may change of what was pretrained
DRAWN = 2  # questions whose attention is drawn


class Transformer(PerToken):
    """A transformer that foretells text (Radford et al. 2018) and answers questions from what it has read.

    Args:
        config: the model's numbers.
        optimizer: any of torch's, or `MuonAdamW`.
        scheduler: how the learning rate changes; null keeps it.
        pretrained: export folder or checkpoint whose weights, numbers and tokenizer training begins with.
        longest_answer: tokens of an answer, or of what follows a text, that are written at most; never more than half
            of the context.
        compile: whether training runs compiled, where there is a compiler.
        monitor: the score that chooses `best.ckpt`.
        monitor_mode: whether it should be small or large.
    """

    unit: ClassVar[str] = "tokens"
    prediction_suffix: ClassVar[str] = "tsv"

    model: TransformerModel

    def __init__(
        self,
        config: TransformerConfig,
        optimizer: OptimizerCallable = AdamW,
        scheduler: Schedule | None = lazy_instance(Linear),  # noqa: B008 - stateless, made when used
        pretrained: str | None = None,
        longest_answer: int = 32,
        compile: bool = True,
        monitor: str = "val/accuracy",
        monitor_mode: Literal["min", "max"] = "max",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        make_plain(self.hparams)
        self.config = copy(config)  # sizes are filled in here, and the caller's may serve another model
        self.optimizer, self.scheduler, self.pretrained = optimizer, scheduler, pretrained
        self.longest_answer, self.compiled = longest_answer, compile
        self.monitor, self.monitor_mode = monitor, monitor_mode
        self.common_answer = ""
        self.scores: dict[str, Scores] = {}

    @property
    def data(self) -> PretrainingData | FinetuningData:
        """The data module in use."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    # -- model ------------------------------------------------------------------------------------------------------

    def read_pretrained(self) -> Pretrained | None:
        """Reads what training begins with; null where that is nothing, or the command trains nothing."""
        return read_pretrained(self.pretrained) if self.pretrained and self.trainer.state.fn == "fit" else None

    def pretrained_tokenizer(self) -> PreTrainedTokenizerFast | None:
        """Returns the tokenizer of what training begins with."""
        pretrained = self.read_pretrained()
        return pretrained.tokenizer if pretrained else None

    def configure_model(self) -> None:
        """Builds the network; sizes that are not known yet are those of the data, or of what was pretrained."""
        if hasattr(self, "model"):
            return
        pretrained = self.read_pretrained()
        if pretrained:
            self._refuse_other_numbers(pretrained.config)
            self._warn_of_known_questions(pretrained.config.questions_held_back)
            self.config = pretrained.config
        elif self.config.vocab_size is None:
            self.config.vocab_size, self.config.mask_token_id = len(self.data.tokenizer), MASK_ID
        if self.trainer.state.fn == "fit" and self.data.trained_questions:
            before = self.config.questions_held_back
            self.config.questions_held_back = min(self.data.held_back, 1.0 if before is None else before)
        self.hparams["config"] = {name: getattr(self.config, name) for name in self.hparams["config"]}
        self.model = TransformerModel(self.config)
        if pretrained:
            self.model.load_state_dict(pretrained.weights)
        if self.trainer.state.fn == "fit":
            self.model.tokenizer = pretrained.tokenizer if pretrained else self.data.tokenizer
            self.common_answer = most_common([one.answer for one in self.data.trained_questions])
            if self.compiled and self.data.pack and can_compile():  # one shape
                for block in self.model.blocks if hasattr(self.model, "blocks") else []:
                    block.compile(dynamic=False)

    def _refuse_other_numbers(self, pretrained: TransformerConfig) -> None:
        plain = TransformerConfig()
        for name in self.hparams["config"]:
            given, theirs = getattr(self.config, name), getattr(pretrained, name)
            if given in (getattr(plain, name), theirs):
                continue
            if name in DROPOUTS:
                setattr(pretrained, name, given)
            else:
                raise ValueError(
                    f"model.config.{name} is {given}, but what was pretrained has {theirs}: leave it out, its numbers "
                    "come with its weights."
                )

    def _warn_of_known_questions(self, held_back: float | None) -> None:
        if held_back is not None and self.data.held_back > held_back:
            rank_zero_warn(
                f"model.pretrained was trained with questions that data.held_back {self.data.held_back:g} holds back: "
                f"val/accuracy will be too high. It held back {held_back:g}; give as much, or pretrain again."
            )

    def configure_optimizers(self) -> Any:
        """Calls what was given."""
        optimizer = self.optimizer(self.model.parameter_groups())
        return [optimizer], self.scheduler.configure(optimizer, self.trainer) if self.scheduler else []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the checkpoint stand alone."""
        checkpoint["tokenizer"] = tokenizer_to_json(self.model.tokenizer)
        checkpoint["common_answer"] = self.common_answer

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the pieces behind the ids."""
        self.model.tokenizer = tokenizer_from_json(checkpoint["tokenizer"])
        self.common_answer = checkpoint["common_answer"]

    def on_fit_start(self) -> None:
        """Refuses data that the model was not made for.

        Raises:
            ValueError: another tokenizer, a context that the model has no places for, or packed rows for a perceiver.
        """
        own = tokenizer_to_json(self.model.tokenizer)
        if own != tokenizer_to_json(self.data.tokenizer) or len(self.model.tokenizer) > known(self.config.vocab_size):
            raise ValueError(
                "The transformer's tokenizer is not that of the data. Go on with the data and the options that it was "
                "trained with, finetune by model.pretrained, or leave config.vocab_size to the data."
            )
        if self.data.context > self.config.context:
            raise ValueError(
                f"data.context is {self.data.context}, but model.config.context {self.config.context}: raise the one "
                "or lower the other."
            )
        if self.config.attention == "perceiver" and self.data.pack:
            raise ValueError("A perceiver reads one document a row: set data.pack to false.")

    def export(self, folder: Path) -> None:
        """Writes the model folder; a GPT-2 also as one of transformers' own, in `gpt2/`."""
        self.model.save_pretrained(folder)
        if is_gpt2(self.config):
            to_gpt2(self.model).save_pretrained(folder / "gpt2")
            self.model.tokenizer.save_pretrained(folder / "gpt2")

    # -- training ---------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Returns the loss summed over the predicted tokens of a batch, and the number of all."""
        predicted, tokens = int((batch.targets != IGNORED).sum()), int((batch.documents > 0).sum())
        self.log("train/padding", 100 * (1 - tokens / batch.tokens.numel()), batch_size=1)
        step = self.summed(self.model.summed_loss(*batch), predicted, tokens)
        return {**step, "flops": self.model.flops(tokens, predicted)}

    # -- scores -----------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores text, or answers questions."""
        self._score(batch, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores text, or answers questions."""
        self._score(batch, dataloader_idx)

    @torch.compiler.set_stance("force_eager")  # compiled for rows of training, not for every length of a text
    def _score(self, batch: list[Question] | tuple[Batch, int], loader: int) -> None:
        name = self.data.scored_splits[loader]
        if name not in self.scores:
            self.scores[name] = Scores(self.common_answer).to(self.device)
        if not batch:
            return  # a process without anything of a small set
        if isinstance(batch[0], Question):
            began = time.perf_counter()
            found = self.model.answer([one.question for one in batch], self._longest())
            seconds = time.perf_counter() - began
            self.scores[name].add_answers([Answered(*one, answer) for one, answer in zip(batch, found)], seconds)
        else:
            text, characters = batch
            loss = float(self.model.summed_loss(*text))
            self.scores[name].add_text(loss, int((text.targets != IGNORED).sum()), characters)

    def on_validation_epoch_end(self) -> None:
        """Logs the scores."""
        self._log_scores()

    def on_test_epoch_end(self) -> None:
        """Logs the scores of each test set."""
        self._log_scores()

    def _log_scores(self) -> None:
        for name in dict.fromkeys(self.data.scored_splits):  # on every rank, though one may have met none of a set
            of_set = self.scores.get(name) or Scores(self.common_answer).to(self.device)
            scores, answered = of_set.compute()
            for score, value in scores.items():
                self.log(f"{name}/{score}", value, prog_bar=name == "val" and score in ("accuracy", "loss"))
            if answered and not self.trainer.sanity_checking:
                show_answers(name, answered, run_folder(self.trainer), self.trainer.loggers)
        self.scores = {}

    def _longest(self) -> int:
        return min(self.longest_answer, self.config.context // 2)

    # -- use --------------------------------------------------------------------------------------------------------

    @torch.compiler.set_stance("force_eager")
    def on_fit_end(self) -> None:
        """Draws where the heads look, as those of the exported model do."""
        if self.trainer.is_global_zero and self.config.attention != "perceiver":
            texts = [one.question for one in self.data.held_questions[:DRAWN]] or ["The king of France is bald."]
            show_attention(self.model.eval(), texts, run_folder(self.trainer), self.trainer.loggers)

    @torch.no_grad()
    @torch.compiler.set_stance("force_eager")
    def predict_step(self, batch: list[tuple[int, str]], batch_idx: int) -> list[tuple[int, str]]:
        """Returns questions with answers, or prompts with what follows them."""
        first = [line.split("\t")[0].strip() for _, line in batch]
        written = self.model.answer if self.data.asks else self.model.complete
        found = written(first, self._longest())
        return [(place, f"{text}\t{' '.join(answer.split())}") for (place, _), text, answer in zip(batch, first, found)]
