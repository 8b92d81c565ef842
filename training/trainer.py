"""The training loop: one `Trainer` is one training, from its first step or from a saved state."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from models.build import build_network
from models.checkpoints import load_initial_weights, save_model
from models.network import OnlineNetwork
from models.weight_files import head_of
from training.augment import normalised
from training.auxiliary import loss_with_auxiliary, narrowed, widen
from training.data import Clip
from training.distributed import from_first, open_group, share_batch_norms, total
from training.frozen import FrozenFront, StillNorms
from training.loss import Losses
from training.made_by import commit
from training.plots import plot_curves
from training.progress import Average, Log, StateError, load_state, move, save_state
from training.recipe import Recipe, RecipeError, backward_names, card_of
from training.samples import Batch, Samples, batches
from training.validation import Scores, make_cases, scores, tally

log = logging.getLogger(__name__)

LOG_COLUMNS = ("step", "views", "loss", "frames", "sequences", "rate", "views_per_s")
VALIDATION_COLUMNS = ("step", "views", "top1", "top3", "alarms", "loss")
# May not change in mid-training:
FIXED = ("card", "auxiliary", "seed", "sequence", "loss", "optimiser")
STATE = ("step", "best", "bf16", "network", "average", "optimiser", "recipe")  # what it holds
TIMED_STEPS = 3


@dataclass
class Best:
    """The best validation so far, and how many came since."""

    top1: float = -1.0
    step: int = 0
    since: int = 0


class Trainer:
    """One process's part of a training into the folder `recipe.out`.

    It goes on from `state.pt` where there is one. Raises StateError, CheckpointError, RecipeError.
    """

    def __init__(self, recipe: Recipe, train: Sequence[Clip], held_out: Sequence[Clip]) -> None:
        self.recipe, self.card, self.out = recipe, card_of(recipe), Path(recipe.out)
        cuda = recipe.run.device == "cuda" or (recipe.run.device == "auto"
                                               and torch.cuda.is_available())
        if cuda and not torch.cuda.is_available():
            raise RecipeError("recipe: run: device is 'cuda', but PyTorch finds no NVIDIA GPU; "
                              "'auto' takes one where there is one")
        self.rank, self.world = open_group(cuda)
        if recipe.optimiser.batch < self.world:
            raise RecipeError(f"recipe: optimiser: batch is {recipe.optimiser.batch} for "
                              f"{self.world} processes; each needs at least one sequence")
        self.device = torch.device("cuda" if cuda else "cpu")
        if recipe.run.threads:
            torch.set_num_threads(recipe.run.threads)
        torch.manual_seed(recipe.seed)
        self.network = build_network(self.card)
        state = load_state(self.out / "state.pt")
        if state is None and recipe.initial:
            load_initial_weights(self.network, Path(recipe.initial), self.card.labels)
        self.initial: OnlineNetwork | None = None
        if recipe.optimiser.initial_share:
            if not recipe.initial:
                raise RecipeError("recipe: optimiser: initial_share needs weights under `initial:`")
            self.initial = build_network(self.card).to(self.device)
            load_initial_weights(self.initial, Path(recipe.initial), self.card.labels)
        widen(self.network, self.card, len(recipe.auxiliary))
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.world > 1:
            share_batch_norms(self.network)
        self.average = Average(self.network, recipe.optimiser.ema)
        _add_dropout(self.network, self.card.architecture, recipe.optimiser.dropout)
        self.optimiser = torch.optim.AdamW(_groups(self.network, self.card.architecture, recipe),
                                           betas=(0.9, 0.99))
        self.step, self.best, self.bf16 = 0, Best(), False
        self.front: FrozenFront | None = None
        if state is not None:
            self._take_up(state)
        wide = self.card.replace(labels=(*self.card.labels, *recipe.auxiliary))
        self.samples = Samples(train, wide, recipe.sequence, recipe.augment, recipe.seed,
                               backward_names=backward_names(recipe, self.card))
        self.cases = make_cases(held_out, self.card, recipe.sequence, recipe.run.validation_clips,
                                recipe.seed, rank=self.rank, world=self.world)
        if self.first:
            self.log = Log(self.out / "log.csv", LOG_COLUMNS, self.step)
            self.validations = Log(self.out / "validation.csv", VALIDATION_COLUMNS, self.step)

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def run(self, stop: Callable[[], bool] = lambda: False, most_steps: int | None = None) -> bool:
        """Trains until the recipe's end, until it stops getting better, until `stop()`, or for
        `most_steps`. True if nothing is left to do. The state is saved in any case."""
        run, end = self.recipe.run, self.recipe.steps
        until = end if most_steps is None else min(end, self.step + most_steps)
        feed = batches(self.samples, self.recipe.optimiser.batch, self.step, rank=self.rank,
                       world=self.world, workers=run.workers)
        model = self._wrapped()
        self._choose_precision()
        saved = mark = time.perf_counter()
        losses: list[Losses] = []
        bar = tqdm(total=end, initial=self.step, unit="step", disable=not self.first,
                   smoothing=0.05)
        while self.step < until and self.best.since < run.patience:
            if self.step == self._thaw_step():
                model = self._wrapped()
            losses.append(self._learn(model, next(feed)))
            self.step += 1
            bar.update()
            ended = self.step == end
            if self.step % run.log_every == 0 or ended:
                now = time.perf_counter()
                self._note(losses, now - mark, bar)
                losses, mark = [], now
            if self.step % run.validate_every == 0 or ended:
                self._validate()
            now = time.perf_counter()
            halt = from_first(stop(), self.device) > 0
            if halt or from_first(now - saved, self.device) > run.save_every_s:
                self._save()
                saved = now
            if halt:
                break
        feed.close()
        self._save()
        bar.close()
        return self.step >= end or self.best.since >= run.patience

    def _learn(self, model: nn.Module, batch: Batch) -> Losses:
        options = self.recipe.optimiser
        batch = Batch(*(getattr(batch, field.name).to(self.device, non_blocking=True)
                        for field in dataclasses.fields(Batch)))
        torch.manual_seed(self.recipe.seed + 1_000_003 * self.step + self.rank)  # of the dropout
        for group in self.optimiser.param_groups:
            group["lr"] = options.learning_rate * group["factor"] * self._rate()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self._forward(model, normalised(batch.pixels, self.card))
        losses = loss_with_auxiliary(logits.float(), batch, self.card, self.recipe.loss, total)
        self.optimiser.zero_grad()
        (losses.own * self.world).backward()  # type: ignore[no-untyped-call]  # DDP takes the mean of the gradients
        nn.utils.clip_grad_norm_(self.network.parameters(), options.clip_norm)
        self.optimiser.step()
        self.average.update(self.network, self.step)
        return losses

    def _rate(self) -> float:
        """The learning rate's share at this step: a warm-up, then a cosine."""
        options, end = self.recipe.optimiser, self.recipe.steps
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.step / end)
        warm = min(1.0, (self.step + 1) / max(options.warmup_steps, 1))
        return warm * (options.final_share + (1 - options.final_share) * cosine)

    def _thaw_step(self) -> int:
        return self.recipe.optimiser.frozen_views // self.recipe.optimiser.batch

    def _wrapped(self) -> nn.Module:
        """The network as it is to be trained now: frozen blocks keep weights and statistics."""
        blocks, self.front = self.recipe.optimiser.frozen_blocks, None
        if blocks and self.step < self._thaw_step():
            self.front = FrozenFront(self.network, blocks)
        self.network.train()
        body = self._body(self.network)
        if self.world == 1:
            return body
        return DistributedDataParallel(body, broadcast_buffers=False,
                                       find_unused_parameters=self.front is not None)

    def _body(self, network: OnlineNetwork) -> nn.Module:
        return StillNorms(network) if self.recipe.optimiser.still_norms else network

    def _forward(self, model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """Clips [N, T, 3, H, W] to logits [N, T, K]."""
        if self.front is None:
            return model(inputs)  # type: ignore[no-any-return]
        return model(self.front(inputs), self.front.blocks)  # type: ignore[no-any-return]

    def _choose_precision(self) -> None:
        """"auto" times both, once in a training: later steps must round as the first ones did."""
        wanted = self.recipe.run.precision
        if wanted != "auto":
            self.bf16 = wanted == "bf16"
        elif self.step == 0:
            seconds = [self._timed(bf16) for bf16 in (False, True)]
            self.bf16 = from_first(seconds[1] < seconds[0], self.device) > 0
            log.info("a step takes %.2f s in fp32, %.2f s in bf16: %s", *seconds,
                     "bf16" if self.bf16 else "fp32")

    def _timed(self, bf16: bool) -> float:
        """Seconds of the fastest of a few forward and backward passes of a copy."""
        trial, fastest = self._body(copy.deepcopy(self.network).train()), math.inf
        inputs = torch.rand(max(1, self.recipe.optimiser.batch // self.world),
                            self.recipe.sequence.frames, 3, *self.card.input_size,
                            device=self.device)
        for _ in range(TIMED_STEPS):
            started = time.perf_counter()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                loss = self._forward(trial, inputs).float().square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            fastest = min(fastest, time.perf_counter() - started)
        return fastest

    def _note(self, losses: list[Losses], seconds: float, bar: Any) -> None:
        if not self.first:
            return
        batch, mean = self.recipe.optimiser.batch, len(losses)
        self.log.add(step=self.step, views=self.step * batch,
                     loss=sum(one.total for one in losses) / mean,
                     frames=sum(one.frames for one in losses) / mean,
                     sequences=sum(one.sequences for one in losses) / mean,
                     rate=self._rate() * self.recipe.optimiser.learning_rate,
                     views_per_s=mean * batch / seconds)
        held_out = f"{self.best.top1:.3f}" if self.best.step else "not judged yet"
        bar.set_postfix_str(f"loss {self.log.rows[-1]['loss']}, held out {held_out}")

    def _result(self) -> OnlineNetwork:
        """The average, with the initial weights' share in it."""
        network = narrowed(self.average.network, self.card)
        if self.initial is not None:
            move(network, self.initial, self.recipe.optimiser.initial_share)
        return network

    def _validate(self) -> None:
        network = self._result()
        sums = tally(network, self.cases, self.card, self.bf16)
        found = scores(total(sums.to(self.device).float()))
        better = found.top1 > self.best.top1
        if better:
            self.best = Best(found.top1, self.step)
        else:
            self.best.since += 1
        if not self.first:
            return
        self.validations.add(step=self.step, views=self.step * self.recipe.optimiser.batch,
                             top1=found.top1, top3=found.top3, alarms=found.alarms,
                             loss=found.loss)
        self._publish(network, "last.safetensors", found)
        if better:
            self._publish(network, "best.safetensors", found)
        self._draw()

    def _publish(self, network: OnlineNetwork, name: str, found: Scores) -> None:
        """A network with its card: what the demo runs."""
        views = self.step * self.recipe.optimiser.batch
        code = f" of commit {commit()}" if commit() else ""
        told = f"training.train{code}, seed {self.recipe.seed}, {views} sequences seen"
        measured = {"held out in training": {**dataclasses.asdict(found), "how": (
            "windows that end with the gesture; chooses when to stop, so it flatters")}}
        provenance = ". ".join(part for part in (self.card.provenance.rstrip("."), told) if part)
        save_model(network,
                   self.card.replace(provenance=provenance,
                                     measured={**self.card.measured, **measured}),
                   self.out / name)

    def _draw(self) -> None:
        train, held = self.log, self.validations
        plot_curves(self.out / "curves.png", {
            "loss": {"training": (train.column("views"), train.column("loss")),
                     "held out": (held.column("views"), held.column("loss"))},
            "share right": {
                "training sequences": (train.column("views"), train.column("sequences")),
                "held out top-1": (held.column("views"), held.column("top1")),
                "held out top-3": (held.column("views"), held.column("top3")),
                "held out false alarms": (held.column("views"), held.column("alarms"))},
            "learning rate": {"of the body": (train.column("views"), train.column("rate"))},
        }, "sequences seen")

    def _save(self) -> None:
        if not self.first:
            return
        save_state(self.out / "state.pt", {
            "step": self.step, "best": dataclasses.asdict(self.best), "bf16": self.bf16,
            "network": self.network.state_dict(), "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(), "recipe": _fixed(self.recipe)})

    def _take_up(self, state: dict[str, Any]) -> None:
        if any(key not in state for key in STATE):
            raise StateError(f"{self.out / 'state.pt'} is no state of a training; name another "
                             "folder under `out:`, or delete the file to start anew")
        said = {"auxiliary": [], **json.loads(state["recipe"])}  # older states know of none
        said["optimiser"] = {"initial_share": 0.0, **said["optimiser"]}  # nor of this
        for key, value in said.items():
            if value != json.loads(_fixed(self.recipe))[key]:
                raise StateError(f"{self.out} holds a training with other settings under {key!r}; "
                                 "name another folder under `out:`, or set them back")
        self.step, self.best, self.bf16 = state["step"], Best(**state["best"]), state["bf16"]
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        log.info("going on from step %d in %s", self.step, self.out)


def _add_dropout(network: OnlineNetwork, architecture: str, share: float) -> None:
    """Before the last layer, and only here: it has no parameters and no place in the network."""
    def drop(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (nn.functional.dropout(args[0], share, network.training),)

    network.get_submodule(head_of(architecture)).register_forward_pre_hook(drop)


def _groups(network: OnlineNetwork, architecture: str, recipe: Recipe) -> list[dict[str, Any]]:
    """Weights decay, biases and batch norms do not, the fresh last layer learns faster."""
    head, options = head_of(architecture) + ".", recipe.optimiser
    parts: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        parts.setdefault((name.startswith(head), parameter.ndim > 1), []).append(parameter)
    return [{"params": params, "factor": options.head_factor if is_head else 1.0,
             "weight_decay": options.weight_decay if decays else 0.0}
            for (is_head, decays), params in parts.items()]


def _fixed(recipe: Recipe) -> str:
    return json.dumps({key: value for key, value in dataclasses.asdict(recipe).items()
                       if key in FIXED})
