"""Training of dependency parsers."""

import time
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Literal

from jsonargparse import lazy_instance
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import OptimizerCallable
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch.optim import Adam

from lightning_nlp.data.conllu import Block, sent_id
from lightning_nlp.parser.batch import Batch, Gold
from lightning_nlp.parser.config import ParserConfig
from lightning_nlp.parser.data import ParserData, sentence_and_tree, sentence_of
from lightning_nlp.parser.model import Parse, ParserModel
from lightning_nlp.parser.pictures import ParsedSentence, show_scores, tree_page
from lightning_nlp.parser.scoring import Scoring
from lightning_nlp.parser.transition_scorer import TransitionScorer
from lightning_nlp.parser.vocabulary import Sentence, Tree, Vocabulary, relation
from lightning_nlp.training import Linear, Schedule, make_plain, run_folder

DRAWN_FROM = 500  # validation sentences that the page of trees chooses from


class DependencyParser(LightningModule):
    """A dependency parser: transition-based (Chen & Manning 2014, Kiperwasser & Goldberg 2016) or biaffine.

    Args:
        config: the model's numbers.
        optimizer: any of torch's.
        scheduler: how the learning rate changes; null keeps it.
        monitor: the score that chooses `best.ckpt`.
        monitor_mode: whether it should be small or large.
    """

    unit: ClassVar[str] = "words"
    prediction_suffix: ClassVar[str] = "conllu"

    model: ParserModel

    def __init__(
        self,
        config: ParserConfig,
        optimizer: OptimizerCallable = Adam,
        scheduler: Schedule | None = lazy_instance(Linear),  # noqa: B008 - stateless, made when used
        monitor: str = "val/las",
        monitor_mode: Literal["min", "max"] = "max",
    ) -> None:
        super().__init__()
        if not config.labelled and monitor == "val/las":
            raise ValueError("An unlabelled parser has no LAS: set model.monitor to val/uas.")
        self.save_hyperparameters(logger=False)
        make_plain(self.hparams)
        self.config = copy(config)  # sizes are filled in here, and the caller's may serve another model
        self.optimizer, self.scheduler = optimizer, scheduler
        self.monitor, self.monitor_mode = monitor, monitor_mode
        self.scorings: dict[str, Scoring] = {}

    @property
    def data(self) -> ParserData:
        """The data module in use."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    # -- model ------------------------------------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Builds the network; sizes that are not known yet are those of the data."""
        if hasattr(self, "model"):
            return
        fresh = self.config.form_count is None
        if fresh:
            self._refuse_missing_inputs(self.data.vocabulary)
            self._take_sizes(self.data.vocabulary)
        self.model = ParserModel(self.config)
        if fresh:
            self.model.vocabulary = self.data.vocabulary
            if (table := self.data.vector_table()) is not None:
                for reader in self.model.readers:
                    reader.word.vectors.weight[1:] = table / table.norm(dim=1).mean()  # as long as the forms' own

    def _refuse_missing_inputs(self, names: Vocabulary) -> None:
        for tag in ("upos", "xpos"):
            for option, off in ((f"{tag}_dim", 0), (f"predict_{tag}", "false")):
                if getattr(self.config, option) and set(getattr(names, tag)) <= {"_"}:
                    raise ValueError(f"The training trees have no {tag.upper()}: set model.config.{option} to {off}.")
        if names.vectors and not self.config.form_dim:
            raise ValueError("data.vectors are added to vectors of forms: give model.config.form_dim above 0.")

    def _take_sizes(self, names: Vocabulary) -> None:
        table = self.data.vector_table()
        sizes = {
            "form_count": len(names.forms) + 2,
            "character_count": len(names.characters) + 4,
            "upos_count": len(names.upos) + 2,
            "xpos_count": len(names.xpos) + 2,
            "label_count": len(names.labels),
            "vector_count": len(names.vectors),
            "vector_dim": 0 if table is None else table.shape[1],
        }
        for name, size in sizes.items():
            setattr(self.config, name, size)
            self.hparams["config"][name] = size

    def configure_optimizers(self) -> Any:
        """Calls what was given."""
        optimizer = self.optimizer([weight for weight in self.parameters() if weight.requires_grad])
        return [optimizer], self.scheduler.configure(optimizer, self.trainer) if self.scheduler else []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the checkpoint stand alone."""
        checkpoint["vocabulary"] = self.model.vocabulary.plain()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes the names behind the ids."""
        names = Vocabulary(**checkpoint["vocabulary"])
        if self._trainer is not None and self.trainer.state.fn == "fit":
            self._refuse_other_names(names)
        self.model.vocabulary = names

    def on_fit_start(self) -> None:
        """Refuses data whose ids would mean other names than the model's.

        Raises:
            ValueError: the model knows other names than the data.
        """
        self._refuse_other_names(self.model.vocabulary)
        scorer = self.model.scorer
        explores = isinstance(scorer, TransitionScorer) and scorer.can_explore(self.device)
        if self.config.exploration and not explores:
            rank_zero_warn(
                "model.config.exploration works on the CPU alone, with a C++ compiler: training keeps to the oracle's "
                "way here."
            )
        crossing, trees = self.data.crossing()
        if crossing and self.config.architecture != "biaffine" and self.config.system == "arc-standard":
            rank_zero_info(
                f"{crossing} of {trees} training trees have crossing arcs, which arc-standard cannot build: it learns "
                "them with these arcs lifted. model.config.system swap learns them as they are."
            )

    def _refuse_other_names(self, names: Vocabulary) -> None:
        if names.plain() != self.data.vocabulary.plain():
            raise ValueError(
                "The parser's words, tags or labels are not those of the data. Go on with the treebank and the vectors "
                "that it was trained with, or fit a new one."
            )

    def export(self, folder: Path) -> None:
        """Writes the model folder."""
        self.model.save_pretrained(folder)

    # -- training and scores ----------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Batch, Gold], batch_idx: int) -> dict[str, Any]:
        """Returns the loss on the trees of a batch, and the words read."""
        sentences, gold = batch
        loss = self.model.loss(sentences, gold)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(sentences.lengths))
        return {"loss": loss, "units": int(sentences.lengths.sum())}

    def validation_step(self, batch: tuple[Batch, Gold], batch_idx: int) -> None:
        """Scores trees."""
        self._score("val", *batch)

    def test_step(self, batch: tuple[Batch, Gold], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Scores trees of a test set."""
        self._score(self.data.test_splits()[dataloader_idx], *batch)

    def _score(self, name: str, batch: Batch, gold: Gold) -> None:
        began = time.perf_counter()
        encoded = self.model.encode(batch)
        found, upos = self.model.decide(batch, encoded)
        seconds = time.perf_counter() - began
        loss = self.model.loss(batch, gold, encoded)
        self.log(f"{name}/loss", loss, batch_size=int(batch.lengths.sum()), sync_dist=True, add_dataloader_idx=False)
        if name not in self.scorings:
            names, tags = self.model.vocabulary, self.config.predict_upos
            self.scorings[name] = Scoring(names, tags, with_baselines=name != "val").to(self.device)
        self.scorings[name].add(batch, gold, found, upos, seconds)

    def on_validation_epoch_end(self) -> None:
        """Logs the scores."""
        self._log_scores()

    def on_test_epoch_end(self) -> None:
        """Logs the scores of each test set."""
        self._log_scores()

    def _log_scores(self) -> None:
        for name, scoring in self.scorings.items():
            for score, value in scoring.compute().items():
                self.log(f"{name}/{score}", value, prog_bar=name == "val" and score in ("uas", "las"))
            for rate, value in scoring.rates().items():
                self.log(f"{name}/{rate}", value, sync_dist=True, reduce_fx="sum")
            if not self.trainer.sanity_checking:
                show_scores(name, scoring.trees, run_folder(self.trainer), self.trainer.loggers)
        self.scorings = {}

    # -- use --------------------------------------------------------------------------------------------------------

    def on_fit_end(self) -> None:
        """Draws trees of the validation set as the exported parser finds them."""
        if not self.trainer.is_global_zero or "validation" not in self.data.source.splits():
            return
        blocks = self.data.blocks("validation")[:DRAWN_FROM]
        read = [sentence_and_tree(block) for block in blocks]
        parses = self.model.eval().parse([sentence for sentence, _ in read])
        sentences = [
            parsed_sentence(*known, parse, sent_id(block)) for known, parse, block in zip(read, parses, blocks)
        ]
        tree_page(run_folder(self.trainer) / "trees.html", "Trees of the validation set", sentences)

    def predict_step(self, batch: list[tuple[int, Block]], batch_idx: int) -> list[tuple[int, str]]:
        """Returns each sentence block with the tree that was found, and tags where they are predicted."""
        sentences = [sentence_of(block) for _, block in batch]
        parses = self.model.parse(sentences, name_of=lambda number: name_of(*batch[number - 1]))
        return [
            (place, block.with_columns(parse.heads, parse.labels, parse.upos) + "\n")
            for (place, block), parse in zip(batch, parses)
        ]


def name_of(place: int, block: Block) -> str:
    """Returns what errors call a sentence of the input: its number there, and its `sent_id` where it has one."""
    known = sent_id(str(block))
    return f"sentence {place + 1}" + (f", sent_id {known}" if known else "")


def parsed_sentence(sentence: Sentence, gold: Tree, parse: Parse, name: str | None) -> ParsedSentence:
    """Puts what was found beside what is right, relations without their subtypes."""
    return ParsedSentence(
        words=sentence.forms,
        heads=parse.heads,
        relations=[relation(label) for label in parse.labels],
        gold_heads=gold.heads,
        gold_relations=[relation(label) for label in gold.labels],
        sent_id=name,
        tags=sentence.upos,
    )
