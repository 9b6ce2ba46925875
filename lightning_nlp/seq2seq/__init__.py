"""Translation by an encoder and a decoder of LSTMs with attention."""

from typing import TYPE_CHECKING

from lightning_nlp.lazy import imported_on_use

if TYPE_CHECKING:
    from lightning_nlp.seq2seq.config import Seq2SeqConfig
    from lightning_nlp.seq2seq.data import Seq2SeqData
    from lightning_nlp.seq2seq.model import Seq2SeqModel
    from lightning_nlp.seq2seq.module import Seq2Seq

HOME = {
    "Seq2Seq": "module",
    "Seq2SeqConfig": "config",
    "Seq2SeqData": "data",
    "Seq2SeqModel": "model",
}

__all__ = ["Seq2Seq", "Seq2SeqConfig", "Seq2SeqData", "Seq2SeqModel"]

__getattr__ = imported_on_use(__name__, HOME)
