"""What every training of word vectors shares: scores, pictures, export and predictions, however the vectors arise."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule

from lightning_nlp.data.vectors import write_vectors
from lightning_nlp.report.figures import save_figure, scatter_labels
from lightning_nlp.report.tables import save_table
from lightning_nlp.training import run_folder
from lightning_nlp.word_vectors.analogies import AnalogyScores, analogy_scores
from lightning_nlp.word_vectors.data import SkipGramData
from lightning_nlp.word_vectors.model import WordVectorModel
from lightning_nlp.word_vectors.pictures import analogy_rows, map_words, neighbour_rows, plane, probe_words
from lightning_nlp.word_vectors.vocabulary import Vocabulary
from lightning_nlp.word_vectors.word_pairs import word_pair_correlation


class EvaluatedVectors(LightningModule):
    """A `WordVectorModel` in training; who trains it sets `config` and `neighbours`, and builds the model.

    Attributes:
        model: the vectors.
        config: their numbers; sizes are filled in.
        neighbours: words given for each word by predict.
    """

    unit: ClassVar[str] = "words"
    prediction_suffix: ClassVar[str] = "tsv"

    model: WordVectorModel
    config: Any
    neighbours: int

    @property
    def data(self) -> SkipGramData:
        """The data module in use."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    # -- words ------------------------------------------------------------------------------------------------------

    def take_words(self) -> Vocabulary | None:
        """Fills an empty `config.vocab_size` from the data; returns their words then, for the model to come."""
        if self.config.vocab_size is not None:
            return None
        words = self.data.vocabulary
        self.config.vocab_size = self.hparams["config"]["vocab_size"] = len(words.words)
        return words

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

    def export(self, folder: Path) -> None:
        """Writes the model folder, and the vectors in the word2vec format, binary and text."""
        self.model.save_pretrained(folder)
        vectors = self.model.centre.weight.detach().float().cpu().numpy()
        for name, binary in (("vectors.bin", True), ("vectors.txt", False)):
            write_vectors(folder / name, self.model.vocabulary.words, vectors, binary)

    # -- scores -----------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Scores held-out text, where a model can."""

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores a test set, where a model can."""

    def on_validation_epoch_end(self) -> None:
        """Scores the vectors and shows them."""
        self.score("val")
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            self._show_neighbours()

    def on_test_epoch_end(self) -> None:
        """Scores the vectors."""
        self.score("test")

    def score(self, stage: str) -> None:
        """Logs word pairs and analogies as `<stage>/…`."""
        for name, gold in self.data.word_pairs(stage).items():
            correlation, coverage = word_pair_correlation(self.model.centre.weight, self.model.vocabulary, gold)
            self.log(f"{stage}/{name}", correlation, prog_bar=stage == "val")
            self.log(f"{stage}/{name}_coverage", coverage)
        if (questions := self.data.word_analogies()) is not None and not self.trainer.sanity_checking:
            self._log_analogies(stage, analogy_scores(self.model.centre.weight, self.model.vocabulary, questions))

    def _log_analogies(self, stage: str, scores: AnalogyScores) -> None:
        overall = scores.overall
        self.log(f"{stage}/analogy", overall.accuracy, prog_bar=stage == "val")
        self.log(f"{stage}/analogy_coverage", overall.coverage)
        self.log(f"{stage}/analogy_of_all", overall.accuracy_of_all)
        columns = ["section", "accuracy", "coverage", "accuracy of all", "questions"]
        save_table(columns, analogy_rows(scores), "analogies", run_folder(self.trainer), self.trainer.loggers)

    # -- use --------------------------------------------------------------------------------------------------------

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
