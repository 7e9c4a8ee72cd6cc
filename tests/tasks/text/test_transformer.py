"""Features of tiny transformers in a folder: words from pieces, windows, causality, and folders that do not do."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from gatework.errors import ArtefactError, InputError
from gatework.nn import Backbone, detach
from gatework.say import recording
from gatework.tasks.text.network import TextNetwork, TwoWayNetwork, backbone, opened
from gatework.tasks.text.transformer import Transformer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "##s", "dog", "un", "##happ", "##y"]
WORDS = ["the", "cats", "unhappy", "dog", "zebra"]
ROWS = torch.tensor([[1, 2, 3, 4, 5, 1], [3, 2, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])  # of the table of pieces
LENGTHS = [6, 2, 0]
# The rows of a batch are padded to its longest, and sums then run in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def save(folder: Path, model, special: bool) -> Path:
    known = {piece: number for number, piece in enumerate(PIECES)}
    inner = tokenizers.Tokenizer(tokenizers.models.WordPiece(known, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    if special:
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]").save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(PIECES), max_position_embeddings=16, initializer_range=0.5, **sizes)
    return save(tmp_path_factory.mktemp("bert"), transformers.BertModel(config), True)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=len(PIECES), n_embd=16, n_layer=2, n_head=2, initializer_range=0.5)
    return save(tmp_path_factory.mktemp("gpt"), transformers.GPT2Model(config), False)


def table(transformer: Transformer) -> torch.Tensor:
    pieces = transformer.pieces(WORDS)
    return torch.cat([torch.zeros_like(pieces[:1]), pieces])


def test_words_become_pieces(bert: Path):
    assert Transformer(bert).pieces(WORDS).tolist() == [[5, 0, 0], [6, 8, 0], [10, 11, 12], [9, 0, 0], [2, 0, 0]]
    assert Transformer(bert).pieces([]).shape[0] == 0
    assert Transformer(bert).pieces(["un" + "happ" * 60]).shape == (1, 1)  # unknown as a whole


def test_a_word_is_the_mean_of_its_pieces(bert: Path):
    net = Transformer(bert).features()
    y, _ = net(table(Transformer(bert))[torch.tensor([[2, 3]])])
    model = transformers.BertModel.from_pretrained(bert).eval()
    read = model(input_ids=torch.tensor([[2, 5, 7, 9, 10, 11, 3]])).last_hidden_state[0]
    torch.testing.assert_close(y[0], torch.stack([read[1:3].mean(0), read[3:6].mean(0)]), **CLOSE)


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_a_batch_of_one_is_its_row_in_a_batch_of_many(kind: str, request: pytest.FixtureRequest):
    transformer = Transformer(request.getfixturevalue(kind))
    net, pieces = transformer.features(), table(transformer)
    whole, state = net(pieces[ROWS], LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone, own = net(pieces[ROWS[row : row + 1, :length]], [length])
        torch.testing.assert_close(whole[row, :length], alone[0], **CLOSE)
        assert whole[row, length:].abs().sum() == 0
        for a, b in zip(state, own, strict=True):
            assert torch.equal(a[0, row, len(a[0, row]) - length :], b[0, 0])


def test_long_texts_are_read_in_windows(bert: Path):
    transformer = Transformer(bert)
    net, pieces = transformer.features(), table(transformer)
    assert net.limit == 14  # [CLS] and [SEP] leave 12, of which 2 are for a word that ends in the next window
    row = torch.tensor([[3, 4, 4, 3, 1, 1, 3, 2, 2, 3, 1, 4, 5, 1]])  # pieces: 3 1 1 3 1 1 | 3 2 2 3 | 1 1 1 1
    y, _ = net(pieces[row])
    for start, stop in ((0, 6), (6, 10), (10, 14)):
        torch.testing.assert_close(y[:, start:stop], net(pieces[row[:, start:stop]])[0], **CLOSE)


def test_which_models_see_the_future_is_found_out_and_said(bert: Path, gpt: Path):
    with recording() as said:
        assert not Transformer(bert).features().causal
        assert Transformer(gpt).features(fine_tune=True).causal
    assert "frozen, reads both ways" in said[0] and "trained too, reads from left to right" in said[1]
    assert not Backbone(5, features=Transformer(bert).features()).causal
    assert Backbone(5, features=Transformer(gpt).features()).causal
    assert not Backbone(5, features=Transformer(gpt).features(), reverse=True).causal


def test_a_causal_model_carries_the_words_before(gpt: Path):
    transformer = Transformer(gpt)
    pieces, row = table(transformer), torch.randint(1, 6, (2, 20))
    net = Backbone(6, 8, hidden_size=8, features=transformer.features(), attention_over=1).eval()
    whole, _ = net(row, context=pieces[row])
    state, found = None, []
    for start, stop in ((0, 1), (1, 2), (2, 9), (9, 20)):  # within the 64 words that are carried
        y, state = net(row[:, start:stop], None, state, context=pieces[row[:, start:stop]])
        state = detach(state)
        found.append(y)
    torch.testing.assert_close(torch.cat(found, 1), whole, **CLOSE)


def test_a_frozen_model_is_not_in_the_weights_and_stays(bert: Path):
    transformer = Transformer(bert)
    net = Backbone(6, 8, hidden_size=8, features=transformer.features()).train()
    assert [name for name in net.state_dict() if "features" in name] == ["features.digest"]
    net(ROWS, LENGTHS, context=table(transformer)[ROWS])[0].sum().backward()
    model = net.features._frozen[0]
    assert not model.training and all(value.grad is None for value in model.parameters())
    assert next(net.double().features._frozen[0].parameters()).dtype == torch.float64


def test_a_tuned_model_learns_and_is_in_the_weights(bert: Path):
    transformer = Transformer(bert)
    net = Backbone(6, 8, hidden_size=8, features=transformer.features(fine_tune=True)).train()
    net(ROWS, LENGTHS, context=table(transformer)[ROWS])[0].sum().backward()
    weight = net.features.model.get_input_embeddings().weight
    assert weight.grad.abs().sum() > 0
    assert net.groups()[0] is net.features and any("features.model" in name for name in net.state_dict())


def test_a_folder_that_changed_is_refused(bert: Path, tmp_path: Path):
    weights = Transformer(bert).features().state_dict()
    folder = shutil.copytree(bert, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with pytest.raises(ArtefactError, match="not the one that the network was trained with"):
        Transformer(folder).features().load_state_dict(weights)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (None, "is no folder here.*Nothing is downloaded"),
        ("config.json", r"has no config\.json; expected a folder with"),
        ("model.safetensors", "has no weights in safetensors"),
    ],
)
def test_folders_that_hold_no_model_are_refused(bert: Path, tmp_path: Path, missing: str | None, words: str):
    folder = tmp_path / "copy"
    if missing:
        shutil.copytree(bert, folder)
        (folder / missing).unlink()
    with pytest.raises(InputError, match=words):
        Transformer(folder)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", "{", r"config\.json is not JSON"),
        ("tokenizer.json", "", r"tokenizer\.json is not JSON"),
        ("config.json", '{"model_type": "no-such-model"}', "the model in .* cannot be loaded"),
        ("model.safetensors", "nothing", "the model in .* cannot be loaded"),
        ("tokenizer.json", "[]", "the tokenizer in .* cannot be loaded"),
    ],
)
def test_damaged_files_are_named(bert: Path, tmp_path: Path, file: str, content: str, words: str):
    folder = shutil.copytree(bert, tmp_path / "copy")
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=words):
        Transformer(folder).features()


def test_weights_of_another_model_are_refused(bert: Path, gpt: Path, tmp_path: Path):
    folder = shutil.copytree(bert, tmp_path / "copy")
    shutil.copy(gpt / "model.safetensors", folder)
    with pytest.raises(InputError, match="has no weights for embeddings"):
        Transformer(folder).features()


def test_an_encoder_with_a_decoder_is_refused(bert: Path, tmp_path: Path):
    folder = shutil.copytree(bert, tmp_path / "t5")
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    transformers.T5Model(transformers.T5Config(vocab_size=len(PIECES), **sizes)).save_pretrained(folder)
    with pytest.raises(InputError, match="an encoder with a decoder"):
        Transformer(folder).features()


def test_without_the_package_it_says_how_to_get_it(bert: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match="pip install transformers"):
        Transformer(bert)


def test_settings_name_the_folder(bert: Path):
    settings = TwoWayNetwork(transformer=str(bert), embedding_size=8, hidden_size=8)
    net = backbone(settings, 6)
    assert net.features.width == 16 and not net.features.fine_tune and net.layers[0].input_size == 24
    assert backbone(TextNetwork(transformer=str(bert), fine_tune=True), 6).features.fine_tune
    with pytest.raises(InputError, match="no transformer is named"):
        opened(TextNetwork(fine_tune=True))
