"""Tiny models of other people's formats, with random weights and a tokenizer, saved by their own library."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    T5Config,
    T5ForConditionalGeneration,
)

TEXTS = (
    "der kleine Hund schläft im Garten",
    "eine Katze sitzt auf dem alten Dach",
    "zwei Kinder spielen am Fluss mit einem Ball",
    "the small dog sleeps in the garden",
    "a cat is sitting on the old roof",
    "two children play by the river with a ball",
)
SENTENCES = ("der Hund schläft", "zwei Katzen sitzen im Garten und eine spielt mit dem Ball", "am Fluss")


def train_pieces(path: Path, size: int, texts: tuple[str, ...] = TEXTS, **ids: int) -> list[str]:
    """Learn a sentencepiece model; return its pieces."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 3),
        model_prefix=str(path.with_suffix("")),
        vocab_size=size,
        model_type="unigram",
        hard_vocab_limit=False,
        minloglevel=2,
        **ids,
    )
    path.with_suffix(".model").rename(path)
    path.with_suffix(".vocab").unlink()
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [processor.id_to_piece(number) for number in range(processor.vocab_size())]


def spread(model: torch.nn.Module) -> None:
    """Draw all weights anew, so large that no two logits are nearly the same and no bias or gain is 0 or 1."""
    generator = torch.Generator().manual_seed(11)
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue  # a table that is computed
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            if parameter.dim() == 1:
                parameter.add_(0.3 * noise)
            else:
                parameter.copy_(noise * (1.5 if parameter.size(0) > 40 else 0.3))


def drawn(shape: Sequence[int]) -> torch.Tensor:
    """Return the same normally distributed numbers each time."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(5))


def _save(model: Any, folder: Path) -> Any:
    spread(model)
    model.eval().save_pretrained(folder)
    return model


def marian(folder: Path, **settings: Any) -> Any:
    """Save a Marian model: two sentencepiece models, and numbers for their pieces that skip some."""
    folder.mkdir()
    source = train_pieces(folder / "source.spm", 61, TEXTS[:3])
    target = train_pieces(folder / "target.spm", 53, TEXTS[3:])
    # Their own pieces for begin and end of sentence are not those of the model's numbers; two pieces have none.
    texts = sorted({*source[3:], *target[3:]} - {source[-1], target[-1]})
    numbers = {piece: number for number, piece in enumerate(["</s>", "<unk>", *texts, ">>fra<<", "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(numbers), encoding="utf-8")
    languages = {"source_lang": "de", "target_lang": "en", "tokenizer_class": "MarianTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(languages), encoding="utf-8")
    pad = numbers["<pad>"]
    config = MarianConfig(
        vocab_size=len(numbers),
        **dict(d_model=12, encoder_layers=2, decoder_layers=3, encoder_ffn_dim=23, decoder_ffn_dim=23)
        | dict(encoder_attention_heads=3, decoder_attention_heads=3, max_position_embeddings=97)
        | dict(activation_function="swish", scale_embedding=True)
        | dict(pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, forced_eos_token_id=None)
        | settings,
    )
    model = MarianMTModel(config)
    model.final_logits_bias.copy_(drawn(model.final_logits_bias.shape))
    # What nobody trained is not to be predicted; theirs says it in the settings of the search.
    model.final_logits_bias[0, pad] = -1e4
    return _save(model, folder)


def bart(folder: Path, **settings: Any) -> Any:
    """Save a BART model with a byte-level vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=307,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BartConfig(
        vocab_size=tokenizer.get_vocab_size(),
        **dict(d_model=12, encoder_layers=2, decoder_layers=3, encoder_ffn_dim=23, decoder_ffn_dim=23)
        | dict(encoder_attention_heads=3, decoder_attention_heads=3, max_position_embeddings=97)
        | dict(forced_eos_token_id=None)
        | settings,
    )
    model = BartForConditionalGeneration(config)
    model.final_logits_bias.copy_(drawn(model.final_logits_bias.shape))
    return _save(model, folder)


def t5(folder: Path, *, pieces: bool = False, **settings: Any) -> Any:
    """Save a T5 model of the first kind, with its tokenizer as `tokenizer.json` or as a sentencepiece model."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir()
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    names = train_pieces(folder / "spiece.model", 83, **ids)
    rows = len(names)
    if pieces:
        rows += 100
    else:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
        tokenizer = Tokenizer(
            models.Unigram([(name, processor.get_score(number)) for number, name in enumerate(names)], unk_id=2)
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "spiece.model").unlink()
    config = T5Config(
        # Filled up to a round number of rows, as theirs are.
        vocab_size=-(-rows // 128) * 128,
        **dict(d_model=12, d_kv=5, d_ff=23, num_layers=2, num_heads=3)
        | dict(relative_attention_num_buckets=8, relative_attention_max_distance=13, decoder_start_token_id=0)
        | settings,
    )
    model = T5ForConditionalGeneration(config)
    if model.config.scale_decoder_outputs:
        # With logits so near each other, the shortest output would always be the best.
        model.decoder.final_layer_norm.weight.data.fill_(5.0)
    return _save(model, folder)


def t5_gated(folder: Path) -> Any:
    """Save a T5 model of the second kind: gates, and an output matrix of its own."""
    model = t5(folder, pieces=True, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    model.lm_head.weight = torch.nn.Parameter(drawn(model.lm_head.weight.shape))
    model.save_pretrained(folder)
    return model


TRANSLATORS: dict[str, Callable[[Path], Any]] = {"marian": marian, "bart": bart, "t5": t5, "t5-gated": t5_gated}


def largest_difference(theirs: Any, folder: Path, run: Path) -> float:
    """Import a model; return how far a logit of ours is from theirs at most, on random padded rows."""
    from attento.engines.torch import TorchEngine
    from attento.interop.families import find_family
    from attento.interop.hub_folder import HubFolder
    from attento.interop.importing import import_model

    import_model(folder, run)
    config = HubFolder(folder).config
    renumbering = find_family(config.get("model_type")).vocabulary(folder, config).renumbering
    order, model = torch.tensor(renumbering.order), TorchEngine.load(run, "cpu").model.eval()
    source, target = torch.randint(4, len(order), (2, 3, 19), generator=torch.Generator().manual_seed(7))
    target[:, 0] = 2
    mask = torch.arange(19) < torch.tensor([19, 11, 2])[:, None]
    with torch.no_grad():
        ours, _ = model.decode(target, model.start(model.encode(source, mask)))
        logits = theirs(order[source], attention_mask=mask.long(), decoder_input_ids=order[target]).logits[..., order]
    predicted = [i for i in range(len(order)) if i not in renumbering.silent]
    return float((ours - logits)[..., predicted].abs().max())
