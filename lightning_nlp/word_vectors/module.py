"""Training of skip-gram."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any, Literal

import torch
from jaxtyping import Float
from jsonargparse import lazy_instance
from pytorch_lightning.cli import OptimizerCallable
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import SGD, Adagrad, Optimizer, SparseAdam

from lightning_nlp.training import Linear, Plateau, Schedule, make_plain
from lightning_nlp.training.compilation import can_compile
from lightning_nlp.word_vectors.config import SkipGramConfig
from lightning_nlp.word_vectors.evaluation import EvaluatedVectors
from lightning_nlp.word_vectors.metrics import MeanLoss
from lightning_nlp.word_vectors.model import SkipGramModel
from lightning_nlp.word_vectors.optimizer import BlockSGD, merge_tables
from lightning_nlp.word_vectors.sampling import draw_reach, thinned, window_pairs
from lightning_nlp.word_vectors.text import Text

SPARSE = (SGD, Adagrad, SparseAdam)


class SkipGram(EvaluatedVectors):
    """Skip-gram with negative sampling (Mikolov et al. 2013).

    Args:
        config: the model's numbers.
        optimizer: BlockSGD updates the tables in place, compiled; any other has the gradients of sparse rows, or of
            whole tables where `config.sparse` is off.
        scheduler: how the learning rate changes; by default to nearly nothing with the words seen; null keeps it.
        neighbours: words given for each word by predict.
        merge_words: words of a process, whole batches, after which processes that train together bring their tables
            together, with BlockSGD.
        monitor: the score that chooses `best.ckpt`.
        monitor_mode: whether it should be small or large.
        compile: fuse the loss of other optimizers than BlockSGD into one kernel; worth a minute of compilation on a
            corpus of millions of words.
    """

    model: SkipGramModel

    def __init__(
        self,
        config: SkipGramConfig,
        optimizer: OptimizerCallable = BlockSGD,
        scheduler: Schedule | None = lazy_instance(Linear, final=0.004),  # noqa: B008 - stateless, made when used
        neighbours: int = 10,
        merge_words: int = 131_072,
        monitor: str = "val/loss",
        monitor_mode: Literal["min", "max"] = "min",
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        make_plain(self.hparams)
        self.config = copy(config)  # sizes are filled in here, and the caller's may serve another model
        self.optimizer, self.scheduler = optimizer, scheduler
        self.neighbours, self.merge_words, self.compile_loss = neighbours, merge_words, compile
        self.monitor, self.monitor_mode = monitor, monitor_mode
        self.losses: dict[str, MeanLoss] = {}

    # -- model ------------------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Builds the network; a size that is not known yet is that of the data."""
        if hasattr(self, "model"):
            return
        words = self.take_words()
        self.model = SkipGramModel(self.config)
        if words is not None:
            self.model.vocabulary = words

    def configure_optimizers(self) -> Any:
        """Calls what was given.

        Raises:
            ValueError: the optimizer, the objective and the trainer do not go together.
        """
        optimizer = self.optimizer(self.model.parameters())
        self.automatic_optimization = not isinstance(optimizer, BlockSGD)
        if isinstance(optimizer, BlockSGD):
            self._check_block_sgd()
            optimizer.prepare(self.config.window)
        elif self.config.sparse:
            self._check_sparse(optimizer)
        if self.compile_loss and self.automatic_optimization and can_compile():
            self.model.pair_loss.compile(dynamic=True)
        return [optimizer], self.scheduler.configure(optimizer, self.trainer) if self.scheduler else []

    def _check_block_sgd(self) -> None:
        if self.config.loss != "negative_sampling":
            raise ValueError(f"BlockSGD has no {self.config.loss} loss: take torch.optim.SGD or Adagrad.")
        if self.trainer.gradient_clip_val or self.trainer.accumulate_grad_batches > 1:
            raise ValueError(
                "BlockSGD steps block by block: trainer.gradient_clip_val and trainer.accumulate_grad_batches have no "
                "effect. Leave them out, or take torch.optim.SGD, Adagrad or SparseAdam."
            )
        if isinstance(self.scheduler, Plateau):
            raise ValueError("BlockSGD steps its schedule by words: take another than Plateau.")
        if self.trainer.precision in ("bf16-true", "16-true"):
            raise ValueError(
                f"BlockSGD needs tables in float32: trainer.precision {self.trainer.precision} is not for it."
            )
        if self.compile_loss:
            rank_zero_warn("model.compile has no effect with BlockSGD, which has a compiled kernel of its own.")

    def _check_sparse(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, SPARSE):
            raise ValueError(
                f"{type(optimizer).__name__} takes no sparse gradients: set model.config.sparse to false, or take "
                f"one of {', '.join(kind.__name__ for kind in SPARSE)}."
            )
        if self.config.loss == "softmax" and isinstance(optimizer, SparseAdam):
            raise ValueError("SparseAdam takes no dense gradients, and softmax moves all words: take SGD or Adagrad.")
        if self.trainer.gradient_clip_val:
            raise ValueError("trainer.gradient_clip_val: sparse gradients are not clipped; set config.sparse to false.")

    # -- training ---------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Remembers the tables that all processes begin with."""
        self.is_apart = False
        self.tables_together: list[Tensor] = []
        if self.trainer.world_size > 1 and not self.automatic_optimization:
            self.tables_together = [table.detach().clone() for table in self.model.parameters()]

    def training_step(self, batch: Text, batch_idx: int) -> dict[str, Any]:
        """Trains on the pairs of the batch; returns their mean loss where it is known, and the words read."""
        if not self.automatic_optimization:
            return self._step_in_place(batch, batch_idx)
        losses = self.pair_losses(batch)
        loss = losses.sum() / max(1, len(losses))
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=max(1, len(losses)))
        return {"loss": loss, "units": len(batch.tokens)}

    def pair_losses(self, batch: Text) -> Float[Tensor, "pairs"]:
        """Thins out frequent words, draws windows and noise, and returns the loss of each pair."""
        tokens, sentence = thinned(*batch)
        centres, contexts = window_pairs(sentence, draw_reach(len(tokens), self.config.window, tokens.device))
        return self.model.loss(tokens[centres], tokens[contexts])

    def _step_in_place(self, batch: Text, batch_idx: int) -> dict[str, Any]:
        optimizer: Any = self.optimizers()
        interval = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        is_shown = batch_idx == 0 or (interval > 0 and (self.trainer.global_step + 1) % interval == 0)
        numbers = {"window": self.config.window, "negatives": self.config.negatives}
        with one_thread():
            text = self.model.draw_blocks(*thinned(*batch), optimizer.noise)
            summed = optimizer.step(text=text, **numbers, with_loss=is_shown)
        for schedule in self.trainer.lr_scheduler_configs:
            schedule.scheduler.step()  # type: ignore[call-arg]
        self.is_apart = True
        if (batch_idx + 1) % max(1, self.merge_words // self.data.batch_tokens) == 0:  # the same for all ranks
            self.merge()
        found: dict[str, Any] = {"units": len(batch.tokens)}
        if summed is not None:
            loss, pairs = summed
            found["loss"] = torch.tensor(loss / max(1, pairs))
            self.log("train/loss", found["loss"], prog_bar=True, batch_size=max(1, pairs))
        return found

    def merge(self) -> None:
        """Brings the tables of all processes together, where they went apart."""
        if self.is_apart and self.tables_together:
            merge_tables([table.data for table in self.model.parameters()], self.tables_together)
        self.is_apart = False

    def on_validation_start(self) -> None:
        """Validates what all processes learnt."""
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.merge()

    def on_train_epoch_end(self) -> None:
        """Ends an epoch, also one cut short, with the same tables everywhere."""
        self.merge()

    # -- evaluation -------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Text, batch_idx: int) -> None:
        """Adds up the loss on held-out text."""
        self._add_loss("val", batch, batch_idx)

    def test_step(self, batch: Text, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Adds up the loss on a test set."""
        self._add_loss((self.data.test_splits() or ["test"])[dataloader_idx], batch, batch_idx)

    def _add_loss(self, name: str, batch: Text, batch_idx: int) -> None:
        if len(batch.tokens) == 0:
            return
        if name not in self.losses:
            self.losses[name] = MeanLoss().to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(batch_idx)  # the same windows and noise at every validation
            self.losses[name].update(self.pair_losses(batch))

    def score(self, stage: str) -> None:
        """Logs the mean losses, and what `EvaluatedVectors` scores."""
        for name, metric in self.losses.items():
            if (loss := metric.compute()) is not None:
                self.log(f"{name}/loss", loss, prog_bar=stage == "val")
        self.losses.clear()
        super().score(stage)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread: for work this small others cost more than they do, the more so on busy machines."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
