"""A bundled small English-French language with real grammar: training and test sentences without a download."""

from attento.synthetic.language import Anaphora, Example, draw, pronoun_agreement, realize, sentences, split

__all__ = ["Anaphora", "Example", "draw", "pronoun_agreement", "realize", "sentences", "split"]
