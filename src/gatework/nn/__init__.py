"""Torch modules over compiled cells."""

from gatework.nn.backbone import Backbone
from gatework.nn.carried import detach, select
from gatework.nn.characters import CharacterFeatures, CharacterOptions, Spelling
from gatework.nn.conv import ConvRecurrent
from gatework.nn.conv_drop_in import ConvGRU1d, ConvGRU2d, ConvGRU3d, ConvLSTM1d, ConvLSTM2d, ConvLSTM3d
from gatework.nn.crf import CRF
from gatework.nn.drop_in import GRU, LSTM, RNN
from gatework.nn.dropout import LockedDropout
from gatework.nn.embedding import WordEmbedding
from gatework.nn.mlstm import MLSTM
from gatework.nn.pieces import truncated
from gatework.nn.pooling import Pooling
from gatework.nn.quantized import Quantized, quantize
from gatework.nn.recurrent import Recurrent
from gatework.nn.self_attention import SelfAttention
from gatework.nn.softmax import Softmax

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "MLSTM",
    "RNN",
    "Backbone",
    "CharacterFeatures",
    "CharacterOptions",
    "ConvGRU1d",
    "ConvGRU2d",
    "ConvGRU3d",
    "ConvLSTM1d",
    "ConvLSTM2d",
    "ConvLSTM3d",
    "ConvRecurrent",
    "LockedDropout",
    "Pooling",
    "Quantized",
    "Recurrent",
    "SelfAttention",
    "Softmax",
    "Spelling",
    "WordEmbedding",
    "detach",
    "quantize",
    "select",
    "truncated",
]
