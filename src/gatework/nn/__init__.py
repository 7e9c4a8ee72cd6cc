"""Torch modules over compiled cells."""

from gatework.nn.conv import ConvRecurrent
from gatework.nn.conv_drop_in import ConvGRU1d, ConvGRU2d, ConvGRU3d, ConvLSTM1d, ConvLSTM2d, ConvLSTM3d
from gatework.nn.drop_in import GRU, LSTM, RNN
from gatework.nn.mlstm import MLSTM
from gatework.nn.pieces import truncated
from gatework.nn.quantized import Quantized, quantize
from gatework.nn.recurrent import Recurrent

__all__ = [
    "GRU",
    "LSTM",
    "MLSTM",
    "RNN",
    "ConvGRU1d",
    "ConvGRU2d",
    "ConvGRU3d",
    "ConvLSTM1d",
    "ConvLSTM2d",
    "ConvLSTM3d",
    "ConvRecurrent",
    "Quantized",
    "Recurrent",
    "quantize",
    "truncated",
]
