"""Training of translators."""

import time
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Literal

from jsonargparse import lazy_instance
from pytorch_lightning.cli import OptimizerCallable
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Adam

from lightning_nlp.data.dictionary import look_up
from lightning_nlp.data.predict_input import STDIN
from lightning_nlp.data.tokenizers import tokenizer_from_json, tokenizer_to_json
from lightning_nlp.seq2seq.batch import Batch
from lightning_nlp.seq2seq.config import Seq2SeqConfig
from lightning_nlp.seq2seq.data import Seq2SeqData
from lightning_nlp.seq2seq.metrics import TranslationScores, signatures, text_scores
from lightning_nlp.seq2seq.model import Seq2SeqModel
from lightning_nlp.seq2seq.pictures import show_translations, translation_page
from lightning_nlp.seq2seq.search import BEAM, GREEDY, Search
from lightning_nlp.training import Linear, PerToken, Schedule, make_plain, run_folder

DRAWN_FROM = 200  # validation pairs that the page of translations chooses from

BleuTokenize = Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"]


class Seq2Seq(PerToken):
    """A translator: an LSTM reads, an LSTM with attention writes (Luong et al. 2015).

    Args:
        config: the model's numbers.
        optimizer: any of torch's.
        scheduler: how the learning rate changes; null keeps it.
        label_smoothing: share of the probability that training spreads over all tokens (Szegedy et al. 2016).
        search: how test and predict look for translations; validation is greedy.
        bleu_tokenize: how sacrebleu tells words: its `13a` for text with spaces; `zh`, `ja-mecab`, `ko-mecab` or `char`
            where translations have none.
        monitor: the score that chooses `best.ckpt`.
        monitor_mode: whether it should be small or large.
    """

    unit: ClassVar[str] = "target tokens"
    prediction_suffix: ClassVar[str] = "txt"
    prediction_extras: ClassVar[Sequence[str]] = ("scores.txt", "n_best.tsv")

    model: Seq2SeqModel

    def __init__(
        self,
        config: Seq2SeqConfig,
        optimizer: OptimizerCallable = Adam,
        scheduler: Schedule | None = lazy_instance(Linear),  # noqa: B008 - stateless, made when used
        label_smoothing: float = 0.1,
        search: Search = BEAM,
        bleu_tokenize: BleuTokenize = "13a",
        monitor: str = "val/bleu",
        monitor_mode: Literal["min", "max"] = "max",
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"model.label_smoothing is {label_smoothing}, expected a share in [0, 1).")
        self.save_hyperparameters(logger=False)
        make_plain(self.hparams)
        self.config = copy(config)  # sizes are filled in here, and the caller's may serve another model
        self.optimizer, self.scheduler = optimizer, scheduler
        self.label_smoothing, self.search, self.bleu_tokenize = label_smoothing, search, bleu_tokenize
        self.monitor, self.monitor_mode = monitor, monitor_mode
        self.dictionary: dict[str, str] = {}
        self.scores: dict[str, TranslationScores] = {}

    @property
    def data(self) -> Seq2SeqData:
        """The data module in use."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    # -- model ------------------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Builds the network; sizes that are not known yet are those of the data."""
        if hasattr(self, "model"):
            return
        fresh = self.config.source_vocab is None
        if fresh:
            source, target = self.data.tokenizers
            sizes = {"source_vocab": len(source), "target_vocab": len(target), "joint": self.data.joint}
            for name, size in sizes.items():
                setattr(self.config, name, size)
                self.hparams["config"][name] = size
        self.model = Seq2SeqModel(self.config)
        if fresh:
            self.model.tokenizers, self.dictionary = self.data.tokenizers, self.data.dictionary
            self.model.use_counts(self.data.target_counts())

    def configure_optimizers(self) -> Any:
        """Calls what was given."""
        optimizer = self.optimizer(self.parameters())
        return [optimizer], self.scheduler.configure(optimizer, self.trainer) if self.scheduler else []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the checkpoint stand alone."""
        checkpoint["tokenizers"] = [tokenizer_to_json(tokenizer) for tokenizer in self.model.tokenizers]
        checkpoint["dictionary"] = self.dictionary

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the pieces behind the ids."""
        if self._trainer is not None and self.trainer.state.fn == "fit":
            self._refuse_other_pieces(checkpoint["tokenizers"])
        source, target = map(tokenizer_from_json, checkpoint["tokenizers"])
        self.model.tokenizers = (source, source if self.config.joint else target)
        self.dictionary = checkpoint["dictionary"]

    def on_fit_start(self) -> None:
        """Refuses data whose ids would mean other pieces than the model's.

        Raises:
            ValueError: the model knows other tokenizers than the data.
        """
        self._refuse_other_pieces(list(map(tokenizer_to_json, self.model.tokenizers)))
        for logger in self.loggers:
            logger.log_hyperparams({"sacrebleu": signatures(self.bleu_tokenize)})

    def _refuse_other_pieces(self, tokenizers: Sequence[str]) -> None:
        if list(tokenizers) != list(map(tokenizer_to_json, self.data.tokenizers)):
            raise ValueError(
                "The translator's tokenizers are not those of the data. Go on with the bitext and the data options "
                "that it was trained with, or fit a new one."
            )

    def export(self, folder: Path) -> None:
        """Writes the model folder."""
        self.model.save_pretrained(folder)

    # -- training ---------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Batch, Tensor], batch_idx: int) -> dict[str, Any]:
        """Returns the loss summed over the tokens of a batch, and their number."""
        pairs, _ = batch
        tokens = int(pairs.is_token().sum())
        return self.summed(self.model.loss(pairs, self.label_smoothing), tokens, tokens)

    # -- scores -----------------------------------------------------------------------------------------------------

    def validation_step(self, batch: tuple[Batch, Tensor], batch_idx: int) -> None:
        """Translates greedily and scores the translations."""
        self._score("val", "validation", batch, GREEDY)

    def test_step(self, batch: tuple[Batch, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Translates and scores the translations of a test set."""
        name = self.data.test_splits()[dataloader_idx]
        self._score(name, name, batch, self.search)

    def _score(self, name: str, split: str, batch: tuple[Batch, Tensor], search: Search) -> None:
        pairs, numbers = batch
        sources, references = self.data.references[split]
        if name not in self.scores:
            of_set = TranslationScores(sources, references, self.bleu_tokenize)
            self.scores[name] = of_set.to(self.device)
        began = time.perf_counter()
        texts = self.model.translate([sources[number] for number in numbers.tolist()], search, self.data.scored_tokens)
        seconds = time.perf_counter() - began
        loss = self.model.loss(pairs)
        self.scores[name].add(numbers, texts, loss, int(pairs.is_token().sum()), seconds)

    def on_validation_epoch_end(self) -> None:
        """Logs the scores."""
        self._log_scores()

    def on_test_epoch_end(self) -> None:
        """Logs the scores of each test set, and those of simple methods beside them."""
        self._log_scores()

    def _log_scores(self) -> None:
        for name, of_set in self.scores.items():
            scores, scored = of_set.compute()
            if name != "val":
                baselines = {
                    "copy": scored.sources,
                    "dictionary": look_up(scored.sources, self.dictionary),
                }
                for baseline, texts in baselines.items():
                    scores[f"bleu_{baseline}"] = text_scores(texts, scored.references, self.bleu_tokenize)["bleu"]
            for score, value in scores.items():
                self.log(f"{name}/{score}", value, prog_bar=name == "val" and score in ("bleu", "loss"))
            if not self.trainer.sanity_checking:
                show_translations(name, scored, run_folder(self.trainer), self.trainer.loggers, self.bleu_tokenize)
        self.scores = {}

    # -- use --------------------------------------------------------------------------------------------------------

    def on_fit_end(self) -> None:
        """Draws translations of the validation set, and where the translator looked, as the exported one does."""
        if not self.trainer.is_global_zero or "validation" not in self.data.source.splits():
            return
        sources, references = (side[:DRAWN_FROM] for side in self.data.texts("validation"))
        translation_page(self.model.eval(), sources, references, self.search, run_folder(self.trainer))

    def on_predict_start(self) -> None:
        """Warns of lists that are nowhere written."""
        if self.data.n_best > 1 and self.data.predict_file == STDIN:
            rank_zero_warn("data.n_best: standard output has no place for lists; name a file to get them beside it.")

    def predict_step(self, batch: list[tuple[int, str]], batch_idx: int) -> list[tuple[int, str, str, str]]:
        """Returns the best translation of each line, its score, and a list of the best with theirs."""
        found = self.model.translations([text for _, text in batch], self.search, self.data.n_best)
        return [
            (
                place,
                one_line(ones[0].text),
                f"{ones[0].normalised:.6f}",
                "\n".join(f"{place + 1}\t{one.normalised:.6f}\t{one_line(one.text)}" for one in ones),
            )
            for (place, _), ones in zip(batch, found)
        ]


def one_line(text: str) -> str:
    """Returns a text without line ends and tabs, which would tear the files of predictions apart."""
    return " ".join(text.replace("\t", " ").splitlines())
