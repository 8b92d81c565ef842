"""Several processes that train one network, started by torchrun; or one process alone."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def open_group(cuda: bool) -> tuple[int, int]:
    """This process's rank and how many there are; joins the others where torchrun started it."""
    if "WORLD_SIZE" not in os.environ:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return dist.get_rank(), dist.get_world_size()


def close_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def total(value: Tensor) -> Tensor:
    """`value` summed over all processes; no gradient passes."""
    if dist.is_initialized():
        value = value.clone()
        dist.all_reduce(value)
    return value


def from_first(value: float, device: torch.device) -> float:
    """The first process's number, in all processes: they must not decide differently."""
    shared = torch.tensor(float(value), dtype=torch.float64, device=device)
    if dist.is_initialized():
        dist.broadcast(shared, 0)
    return float(shared)


class _Sum(torch.autograd.Function):
    """The sum over all processes; every process's gradient reaches every process's part."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return total(value)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0].contiguous())


class SharedBatchNorm(nn.BatchNorm2d):
    """Normalises by the whole batch's statistics where the batch is spread over processes.

    torch's own SyncBatchNorm needs a GPU. Same parameters and buffers as BatchNorm2d.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        wide = x.float()
        count = torch.full((1,), wide.numel() / wide.shape[1], device=x.device)
        sums = torch.cat([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3)), count])
        summed: Tensor = _Sum.apply(sums)  # type: ignore[no-untyped-call]
        one, two, count = torch.split(summed, [wide.shape[1], wide.shape[1], 1])
        mean = one / count
        variance = (two / count - mean.square()).clamp(min=0)
        with torch.no_grad():
            rate = self.momentum or 0.0
            for name, value in (("running_mean", mean),
                                ("running_var", variance * count / (count - 1))):
                self.get_buffer(name).lerp_(value, rate)
            self.get_buffer("num_batches_tracked").add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        offset = self.bias - mean * scale
        return torch.addcmul(offset[:, None, None], wide, scale[:, None, None]).to(x.dtype)


def share_batch_norms(network: nn.Module) -> None:
    """Turns every BatchNorm2d of `network` into a shared one, in place; its tensors stay."""
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
                shared.weight, shared.bias = child.weight, child.bias
                for buffer in ("running_mean", "running_var", "num_batches_tracked"):
                    setattr(shared, buffer, getattr(child, buffer))
                setattr(module, name, shared.train(child.training))

