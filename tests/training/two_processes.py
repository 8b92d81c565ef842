"""Run by torchrun from test_train_processes.py: a training, and batch norm against one process's.

two_processes.py RECIPE.yaml RESULT.json
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import torch
from torch import nn

from training.distributed import open_group, share_batch_norms
from training.train import main


def gradient_error(rank: int, world: int) -> float:
    """How far the gradients of two shared batch norms are from those of one process, relatively."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
                            nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
    alone = copy.deepcopy(network)
    images, factors = torch.randn(8, 3, 4, 4), torch.randn(8, 8, 4, 4)
    (alone(images) * factors).sum().backward()
    share_batch_norms(network)
    model = nn.parallel.DistributedDataParallel(network, broadcast_buffers=False)
    (model(images[rank::world]) * factors[rank::world]).sum().mul(world).backward()
    return max(float((p.grad - q.grad).norm() / q.grad.norm())
               for p, q in zip(network.parameters(), alone.parameters(), strict=True))


if __name__ == "__main__":
    torch.set_num_threads(1)
    own_rank, processes = open_group(cuda=False)
    error = gradient_error(own_rank, processes)
    if own_rank == 0:
        Path(sys.argv[2]).write_text(json.dumps({"error": error, "processes": processes}))
    sys.exit(main([sys.argv[1]]))
