"""Writes the files of this folder with PyTorch 2: what torch.save makes of usual and odd checkpoints.

python3 make_pickles.py; tests/reference/pickle_test.cpp states the contents once more.
"""
import collections
import os
import pathlib

import torch

folder = pathlib.Path(__file__).parent


class Command:
    """What a hostile file would carry; loading it with pickle would run the command."""

    def __reduce__(self):
        return os.system, ("echo this file ran a command",)


def main():
    count = torch.arange(24, dtype=torch.float32)
    usual = torch.nn.Linear(3, 2)
    with torch.no_grad():
        usual.weight.copy_(count[:6].reshape(2, 3))
        usual.bias.copy_(count[6:8])
    torch.save(usual.state_dict(), folder / "usual.bin")

    matrix = count.reshape(4, 6)
    odd = collections.OrderedDict(
        whole=matrix,
        transposed=matrix.t(),
        window=matrix[1:3, 2:5],
        last_row=matrix[3],
        broadcast=torch.tensor([7.0, 8.0]).reshape(2, 1).expand(2, 3),
        parameter=torch.nn.Parameter(torch.tensor([1.5])),
        empty=torch.zeros(0, 5),
        scalar=torch.tensor(2.5),
        double=torch.tensor([1.0, -2.0], dtype=torch.float64),
        half=torch.tensor([1.0, -2.0], dtype=torch.float16),
        bfloat=torch.tensor([1.0, -2.0], dtype=torch.bfloat16),
        long=torch.tensor([1, -(2**40)]),
        int=torch.tensor([1, -2], dtype=torch.int32),
        short=torch.tensor([1, -2], dtype=torch.int16),
        char=torch.tensor([1, -2], dtype=torch.int8),
        byte=torch.tensor([1, 200], dtype=torch.uint8),
        bool=torch.tensor([True, False]))
    odd["nested"] = {"list": [torch.tensor([3.0]), (torch.tensor([4.0]),)], 5: torch.tensor([5.0])}
    torch.save({"epoch": 3, "rate": 0.1, "seed": 2**62, "note": "\u00fc", "nothing": None, "flags": [True, False],
                "state_dict": odd}, folder / "odd.bin")

    torch.save(usual.state_dict(), folder / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"weight": torch.zeros(1), "command": Command()}, folder / "hostile.bin")
    torch.save({"weight": torch.zeros(1), "shape": torch.Size([1])}, folder / "size.bin")


main()
