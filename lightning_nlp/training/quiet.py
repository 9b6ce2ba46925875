"""Keeps back messages of the libraries that do not hold for this project, each for its reason."""

import logging
import warnings

DO_NOT_HOLD = [
    "You're resuming from a checkpoint that ended before the epoch ended",  # our samplers know their place
    "Checkpoint directory .* exists and is not empty",  # a resumed run goes on in its own folder
    "Sparse invariant checks are implicitly disabled",  # said by torch of its own Adagrad
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # said by torch of Lightning
    "Total length of `list` across ranks is zero",  # nothing to validate is a choice
    "It is recommended to use `self.log.*sync_dist=True",  # what we log at the end of an epoch is reduced already
    "The '.*_dataloader' does not have many workers",  # the batches are cut from prepared arrays
    "You're using the WeightAveraging callback with a model that overrides",  # no model here is built in shards
    "You're using the WeightAveraging callback, but loading a checkpoint outside",  # it holds the averaged weights
    r"Glyph \d+ .* missing from font",  # the picture shows a box, once for each letter is too often
    "Precision .* is not supported by the model summary",  # which says that it counts 32 bits
    "The number of training batches .* is smaller than the logging interval",  # small data, and Lightning's default
]
ADVERTISEMENT = "💡 Tip:"


def keep_back() -> None:
    """Installs the filters; calling it again changes nothing."""
    for message in DO_NOT_HOLD:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(is_no_advertisement)


def is_no_advertisement(record: logging.LogRecord) -> bool:
    """Passes everything but tips to buy something."""
    return not record.getMessage().startswith(ADVERTISEMENT)
