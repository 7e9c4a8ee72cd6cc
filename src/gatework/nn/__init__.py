"""Torch modules over compiled cells."""

from gatework.nn.drop_in import GRU, LSTM, RNN
from gatework.nn.mlstm import MLSTM
from gatework.nn.pieces import truncated
from gatework.nn.recurrent import Recurrent

__all__ = ["GRU", "LSTM", "MLSTM", "RNN", "Recurrent", "truncated"]
