"""The four ids that stand for no text, the same in every vocabulary of the house."""

PAD_ID = 0
UNK_ID = 1
BOS_ID = 2
EOS_ID = 3
