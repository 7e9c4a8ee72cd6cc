"""Torch modules over compiled cells."""

from gatework.nn.recurrent import GRU, LSTM, RNN, Recurrent

__all__ = ["GRU", "LSTM", "RNN", "Recurrent"]
