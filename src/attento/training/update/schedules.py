"""Learning rate as a function of the step, counted from 1."""

import math

from attento.training.config import ScheduleConfig


def learning_rate(schedule: ScheduleConfig, step: int, max_steps: int, d_model: int) -> float:
    """Compute the learning rate of one step.

    "paper": peak * d_model^-0.5 * min(step^-0.5, step * warmup^-1.5), where `peak` is a plain factor, 1 in the paper
    (Vaswani et al. 2017, section 5.3, eq. 3). "inverse_sqrt": linear up to `peak` at `warmup`, then
    peak * sqrt(warmup / step). "cosine": linear up to `peak`, then half a cosine down to nothing at `max_steps`
    (Loshchilov & Hutter 2017, eq. 5). Over the last `cooldown` steps any of them is multiplied by a straight line down
    to 1 / cooldown (Zhai et al. 2022, "Scaling vision transformers").
    """
    left = max_steps - step + 1
    cooling = min(1.0, max(0, left) / schedule.cooldown) if schedule.cooldown else 1.0
    return cooling * _before_cooldown(schedule, step, max_steps, d_model)


def _before_cooldown(schedule: ScheduleConfig, step: int, max_steps: int, d_model: int) -> float:
    warmup = schedule.warmup
    match schedule.name:
        case "paper":
            return schedule.peak * float(d_model**-0.5 * min(step**-0.5, step * warmup**-1.5))
        case "inverse_sqrt":
            return schedule.peak * min(step / warmup, math.sqrt(warmup / step))
        case "cosine":
            if step <= warmup:
                return schedule.peak * step / warmup
            done = min(1.0, (step - warmup) / max(1, max_steps - warmup))
            return schedule.peak * 0.5 * (1 + math.cos(math.pi * done))
