"""Training by counting: co-occurrence counts gathered batch by batch, factorised at the end of the epoch."""

from copy import copy
from typing import Any, Literal

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from scipy.sparse import csr_array
from torch.optim import SGD

from lightning_nlp.data.module import global_seed
from lightning_nlp.data.samplers import position
from lightning_nlp.training import make_plain
from lightning_nlp.word_vectors.config import CooccurrenceConfig
from lightning_nlp.word_vectors.counts import CooccurrenceCounts, factorise, transformed
from lightning_nlp.word_vectors.evaluation import EvaluatedVectors
from lightning_nlp.word_vectors.model import CooccurrenceModel
from lightning_nlp.word_vectors.sampling import thinned
from lightning_nlp.word_vectors.text import Text


class CooccurrenceVectors(EvaluatedVectors):
    """Window counts, positive PMI and a truncated SVD (Levy, Goldberg & Dagan 2015).

    One epoch is enough; a second counts the text again, after another draw of subsampling.

    Args:
        config: the model's numbers.
        neighbours: words given for each word by predict.
        monitor: the score that chooses `best.ckpt`, where it is logged.
        monitor_mode: whether it should be small or large.
    """

    model: CooccurrenceModel

    def __init__(
        self,
        config: CooccurrenceConfig,
        neighbours: int = 10,
        monitor: str = "val/pairs",
        monitor_mode: Literal["min", "max"] = "max",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        make_plain(self.hparams)
        self.config = copy(config)
        self.neighbours = neighbours
        self.monitor, self.monitor_mode = monitor, monitor_mode
        self.automatic_optimization = False

    def configure_model(self) -> None:
        """Builds the table; a size that is not known yet is that of the data."""
        if hasattr(self, "model"):
            return
        words = self.take_words()
        self.model = CooccurrenceModel(self.config)
        if words is not None:
            self.model.vocabulary = words

    def configure_optimizers(self) -> SGD:
        """Returns what counts the one step of an epoch, and changes nothing."""
        return SGD(self.model.parameters(), lr=0.0)

    def on_train_start(self) -> None:
        """Begins to count.

        Raises:
            ValueError: a fit that was stopped: the counts so far are not in its checkpoint.
        """
        if position(self.trainer) != (0, 0):
            raise ValueError("Counts are not kept in checkpoints: start the fit anew, without --resume or --ckpt_path.")
        self._begin()

    def _begin(self) -> None:
        self.counts = CooccurrenceCounts(len(self.model.vocabulary.words), self.config.window, self.config.weighting)

    def on_train_epoch_end(self) -> None:
        """Refuses an epoch that was cut short: its vectors would be those it began with.

        Raises:
            ValueError: some of the text was not counted.
        """
        if not self.trainer.is_last_batch:
            raise ValueError("Counts need all of the text: leave trainer.max_time and other early ends out.")

    def training_step(self, batch: Text, batch_idx: int) -> dict[str, Any]:
        """Counts the pairs of the batch; after the last one, factorises the counts of all processes."""
        self.counts.add(*thinned(*batch))
        if self.trainer.is_last_batch:
            self._gather()
            self._factorise()
            optimizer: Any = self.optimizers()
            optimizer.step()
        return {"units": len(batch.tokens)}

    def _gather(self) -> None:
        """Moves the counts of the other processes to rank 0."""
        if self.trainer.world_size == 1:
            return
        parts: list[csr_array] = [None] * self.trainer.world_size if self.trainer.is_global_zero else []
        torch.distributed.gather_object(self.counts.triangle(), parts or None)
        for part in parts[1:]:
            self.counts.add_triangle(part)
        if not self.trainer.is_global_zero:
            self._begin()

    @torch.no_grad()
    def _factorise(self) -> None:
        """Makes vectors of the counts: rank 0 does, and the others receive them."""
        if self.trainer.is_global_zero:
            matrix = self.counts.matrix()
            rank_zero_info(f"Factorising {matrix.nnz:,} counts of {matrix.shape[0]:,} words.")
            config = self.config
            matrix = transformed(matrix, config.transform, config.smoothing, config.shift)
            vectors = factorise(matrix, config.dim, config.eigenvalue_weight, global_seed())
            self.model.centre.weight.copy_(torch.from_numpy(vectors))
        if self.trainer.world_size > 1:
            torch.distributed.broadcast(self.model.centre.weight.data, src=0)
