"""Training of skip-gram with negative sampling."""

from copy import copy
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor
from torch.optim import SGD, Adagrad, SparseAdam

from lightning_nlp.data.vectors import write_vectors
from lightning_nlp.report.figures import save_figure, scatter_labels
from lightning_nlp.report.tables import save_table
from lightning_nlp.training import Schedule, make_plain, run_folder
from lightning_nlp.training.compilation import can_compile
from lightning_nlp.word_vectors.config import SkipGramConfig
from lightning_nlp.word_vectors.data import SkipGramData, Text
from lightning_nlp.word_vectors.metrics import MeanLoss, word_pair_correlation
from lightning_nlp.word_vectors.model import SkipGramModel
from lightning_nlp.word_vectors.pictures import map_words, neighbour_rows, plane, probe_words
from lightning_nlp.word_vectors.sampling import subsample, window_pairs
from lightning_nlp.word_vectors.vocabulary import Vocabulary

SPARSE = (SGD, Adagrad, SparseAdam)


class SkipGram(LightningModule):
    """Skip-gram with negative sampling (Mikolov et al. 2013).

    Args:
        config: the model's numbers.
        optimizer: of sparse gradients, unless `config.sparse` is off.
        scheduler: how the learning rate changes; null keeps it.
        neighbours: words given for each word by predict.
        monitor: the score that chooses `best.ckpt`.
        monitor_mode: whether it should be small or large.
        compile: fuse the loss into one kernel; worth a minute of compilation on a corpus of millions of words.
    """

    unit = "words"
    prediction_suffix = "tsv"

    def __init__(
        self,
        config: SkipGramConfig,
        optimizer: OptimizerCallable = Adagrad,
        scheduler: Schedule | None = None,
        neighbours: int = 10,
        monitor: str = "val/loss",
        monitor_mode: Literal["min", "max"] = "min",
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        make_plain(self.hparams)
        self.config = copy(config)  # sizes are filled in here, and the caller's may serve another model
        self.optimizer, self.scheduler = optimizer, scheduler
        self.neighbours, self.compile_loss = neighbours, compile
        self.monitor, self.monitor_mode = monitor, monitor_mode
        self.losses: dict[str, MeanLoss] = {}

    @property
    def data(self) -> SkipGramData:
        """The data module in use."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    # -- model ------------------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Builds the network; a size that is not known yet is that of the data."""
        if hasattr(self, "model"):
            return
        words = None
        if self.config.vocab_size is None:
            words = self.data.vocabulary
            self.config.vocab_size = self.hparams["config"]["vocab_size"] = len(words.words)
        self.model = SkipGramModel(self.config)
        if words is not None:
            self.model.vocabulary = words
        if self.compile_loss and can_compile():
            self.model.pair_loss.compile(dynamic=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the checkpoint stand alone."""
        checkpoint["vocabulary"] = self.model.vocabulary.plain()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the words that the rows of the tables belong to."""
        self.model.vocabulary = Vocabulary(**checkpoint["vocabulary"])

    def on_fit_start(self) -> None:
        """Refuses data whose word ids would meet the rows of other words.

        Raises:
            ValueError: the model has no words, or others than the data.
        """
        if list(self.model.vocabulary.words) != list(self.data.vocabulary.words):
            raise ValueError(
                f"The model knows {len(self.model.vocabulary.words)} words, and they are not the "
                f"{len(self.data.vocabulary.words)} of the data. Go on with the text, min_count and max_size that it "
                "was trained with, or fit a new model."
            )

    def configure_optimizers(self) -> Any:
        """Calls what was given.

        Raises:
            ValueError: the gradients are sparse, and the optimizer or the trainer cannot deal with that.
        """
        optimizer = self.optimizer(self.parameters())
        if self.config.sparse and not isinstance(optimizer, SPARSE):
            raise ValueError(
                f"{type(optimizer).__name__} takes no sparse gradients: set model.config.sparse to false, or take "
                f"one of {', '.join(kind.__name__ for kind in SPARSE)}."
            )
        if self.config.sparse and self.trainer.gradient_clip_val:
            raise ValueError("trainer.gradient_clip_val: sparse gradients are not clipped; set config.sparse to false.")
        return [optimizer], self.scheduler.configure(optimizer, self.trainer) if self.scheduler else []

    def export(self, folder: Path) -> None:
        """Writes the model folder, and the vectors in the word2vec format, binary and text."""
        self.model.save_pretrained(folder)
        vectors = self.model.centre.weight.detach().float().cpu().numpy()
        for name, binary in (("vectors.bin", True), ("vectors.txt", False)):
            write_vectors(folder / name, self.model.vocabulary.words, vectors, binary)

    # -- training ---------------------------------------------------------------------------------------------------

    def pair_losses(self, batch: Text) -> Float[Tensor, "pairs"]:
        """Thins out frequent words, draws windows and noise, and returns the loss of each pair."""
        stays = subsample(batch.keep)
        tokens, sentence = batch.tokens[stays], batch.sentence[stays]
        centres, contexts = window_pairs(sentence, self.config.window)
        return self.model.loss(tokens[centres], tokens[contexts])

    def training_step(self, batch: Text, batch_idx: int) -> dict[str, Any]:
        """Returns the mean loss of the batch's pairs, and the words read for it."""
        losses = self.pair_losses(batch)
        loss = losses.sum() / max(1, len(losses))
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=max(1, len(losses)))
        return {"loss": loss, "units": len(batch.tokens)}

    # -- evaluation -------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Text, batch_idx: int) -> None:
        """Adds up the loss on held-out text."""
        self._add_loss("val", batch, batch_idx)

    def test_step(self, batch: Text, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Adds up the loss on a test set."""
        self._add_loss((self.data.test_splits() or ["test"])[dataloader_idx], batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Scores the vectors and shows them."""
        self._score("val")
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            self._show_neighbours()

    def on_test_epoch_end(self) -> None:
        """Scores the vectors."""
        self._score("test")

    def on_fit_end(self) -> None:
        """Shows the exported vectors: their neighbours and a map."""
        if not self.trainer.is_global_zero:
            return
        words = map_words(self.model, self._show_neighbours())
        if not words:
            return
        ids = torch.tensor([self.model.vocabulary.find(word) for word in words], device=self.device)
        figure = scatter_labels(plane(self.model.centre(ids)), words, "Words by direction, two principal axes")
        save_figure(figure, "map", run_folder(self.trainer), self.trainer.loggers)

    def _add_loss(self, name: str, batch: Text, batch_idx: int) -> None:
        if len(batch.tokens) == 0:
            return
        if name not in self.losses:
            self.losses[name] = MeanLoss().to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(batch_idx)  # the same windows and noise at every validation
            self.losses[name].update(self.pair_losses(batch))

    def _score(self, stage: str) -> None:
        for name, metric in self.losses.items():
            if (loss := metric.compute()) is not None:
                self.log(f"{name}/loss", loss, prog_bar=stage == "val")
        self.losses.clear()
        for name, gold in self.data.word_pairs(stage).items():
            correlation, coverage = word_pair_correlation(self.model.centre.weight, self.model.vocabulary, gold)
            self.log(f"{stage}/{name}", correlation, prog_bar=stage == "val")
            self.log(f"{stage}/{name}_coverage", coverage)

    def _show_neighbours(self) -> list[str]:
        probes = probe_words(self.model.vocabulary, self.data.probes)
        rows = neighbour_rows(self.model, probes)
        save_table(["word", "neighbours"], rows, "neighbours", run_folder(self.trainer), self.trainer.loggers)
        return probes

    def predict_step(self, batch: list[tuple[int, str]], batch_idx: int) -> list[tuple[int, str]]:
        """Returns for each word its neighbours, `word<TAB>neighbour<TAB>cosine` a line; an unknown word has none."""
        words = [word.strip() for _, word in batch]
        found = self.model.neighbours(words, self.neighbours)
        lines = [[f"{word}\t{near}\t{cosine:.4f}" for near, cosine in row] for word, row in zip(words, found)]
        texts = ["\n".join(rows or [f"{word}\t\t"]) for word, rows in zip(words, lines)]
        return [(place, text) for (place, _), text in zip(batch, texts)]
