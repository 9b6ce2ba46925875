"""The numbers of a dependency parser."""

from typing import Any, Literal

from transformers import PreTrainedConfig


class ParserConfig(PreTrainedConfig):
    """A dependency parser: what it reads of a word, how it reads a sentence, and how it builds the tree.

    Args:
        architecture: ffn scores transitions from the words around stack and buffer (Chen & Manning 2014); bilstm from
            the states of a BiLSTM at their places (Kiperwasser & Goldberg 2016); biaffine scores all arcs of a BiLSTM
            against each other (Dozat & Manning 2017).
        system: transitions of ffn and bilstm: arc-standard builds projective trees, swap all trees.
        features: places whose words ffn and bilstm look at: stack is three words of the stack and one of the buffer;
            children adds the last children of the two words on top, 8 words and 4 labels; full is stack, buffer and
            children of children, 18 words and 12 labels (Chen & Manning 2014, section 3.1).
        exploration: how often, in training on the CPU with a C++ compiler, a transition is what the parser takes for
            the best, in place of the oracle's, which then says what is best after the mistake (Goldberg & Nivre 2012).
        labelled: whether transitions choose labels too; false is the unlabelled parser of 36 features, words and tags.
        form_dim: numbers of a word's vector; 0 does without forms.
        character_dim: numbers read from a word's spelling; 0 does without.
        upos_dim: numbers of a universal part of speech as input; 0 does without.
        xpos_dim: numbers of the treebank's own tag as input; 0 does without.
        label_dim: numbers of an arc's label as input of transitions.
        predict_upos: predict universal parts of speech too, from the first layer of the BiLSTM; they are written back.
        predict_xpos: likewise the treebank's own tags, which tell the layers above more; they are not written back.
        hidden_dim: numbers of a state of the BiLSTM in one direction.
        layers: of the BiLSTM.
        scorer_dim: hidden units that transitions are scored by; of biaffine, numbers of a word as head or dependent.
        label_scorer_dim: of biaffine, numbers of a word as head or dependent of a labelled arc.
        members: of biaffine, parsers that learn side by side from first weights of their own; the mean of their
            probabilities decides (an ensemble; Che et al. 2018 train theirs one after the other).
        dropout: share of hidden units left out in training.
        input_dropout: chance of each kind of input of a word to be left out in training (Dozat & Manning 2017).
        word_dropout: a in the chance a / (a + count) of a form to be unknown in training (Kiperwasser & Goldberg 2016).
        form_count: number of forms; null takes it, and what follows, from the data.
        character_count: number of characters.
        upos_count: number of universal parts of speech.
        xpos_count: number of the treebank's own tags.
        label_count: number of labels.
        vector_count: number of words with a pretrained vector; 0 for none.
        vector_dim: numbers of a pretrained vector.
    """

    model_type = "lightning-nlp-parser"

    architecture: Literal["ffn", "bilstm", "biaffine"] = "ffn"
    system: Literal["arc-standard", "swap"] = "arc-standard"
    features: Literal["full", "children", "stack"] = "full"
    exploration: float = 0.0
    labelled: bool = True
    form_dim: int = 100
    character_dim: int = 0
    upos_dim: int = 50
    xpos_dim: int = 0
    label_dim: int = 50
    predict_upos: bool = False
    predict_xpos: bool = False
    hidden_dim: int = 300
    layers: int = 3
    scorer_dim: int = 200
    label_scorer_dim: int = 100
    members: int = 1
    dropout: float = 0.33
    input_dropout: float = 0.0
    word_dropout: float = 0.25
    form_count: int | None = None
    character_count: int | None = None
    upos_count: int | None = None
    xpos_count: int | None = None
    label_count: int | None = None
    vector_count: int | None = None
    vector_dim: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Refuses numbers that no parser can have."""
        super().__post_init__(**kwargs)
        known = {
            "architecture": ("ffn", "bilstm", "biaffine"),
            "system": ("arc-standard", "swap"),
            "features": ("full", "children", "stack"),
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise ValueError(f"config.{name} is {getattr(self, name)!r}, expected one of {', '.join(values)}.")
        if not 0 <= self.exploration <= 1:
            raise ValueError(f"config.exploration is {self.exploration}, expected a chance in [0, 1].")
        if not self.form_dim + self.character_dim + self.upos_dim + self.xpos_dim:
            raise ValueError("config: all of form_dim, character_dim, upos_dim and xpos_dim are 0, expected one input.")
        for tag in ("upos", "xpos"):
            if not getattr(self, f"predict_{tag}"):
                continue
            if self.architecture == "ffn":
                raise ValueError(
                    f"config.predict_{tag} needs a BiLSTM: set architecture to bilstm or biaffine, or give tags."
                )
            if getattr(self, f"{tag}_dim"):
                raise ValueError(
                    f"config.predict_{tag} with {tag}_dim above 0 would predict what it reads: set one of them."
                )
        for name, given in (("labelled false", not self.labelled), ("exploration", self.exploration)):
            if given and self.architecture == "biaffine":
                raise ValueError(f"config.{name} is for transitions: set architecture to ffn or bilstm.")
        if self.members < 1 or (self.members > 1 and self.architecture != "biaffine"):
            raise ValueError(f"config.members is {self.members}, expected 1, or more with architecture biaffine.")

    @property
    def predicted_tags(self) -> list[str]:
        """The kinds of tags that are predicted, `upos` and `xpos`."""
        return [tag for tag in ("upos", "xpos") if getattr(self, f"predict_{tag}")]

    @property
    def reads_tags(self) -> bool:
        """Whether the input must have parts of speech."""
        return bool(self.upos_dim or self.xpos_dim)


def known(size: int | None) -> int:
    """Returns a size that the data or a checkpoint must have brought by now.

    Raises:
        ValueError: it has not.
    """
    if size is None:
        raise ValueError("config: sizes are not known yet. Fit with a data module, or give form_count and its like.")
    return size
