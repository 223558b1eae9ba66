"""Training: a family, data and a recipe become a run.

training.py     train: the whole of it, from checks to the run on disk
loop.py         Training: epochs, batches, what is watched on the way
step.py         train_step and the loss of a step; optimizer.py: AdamW and the learning rate
checks.py       refusals before anything is trained; warm_start.py: somebody's trained weights as a start
checkpoint.py   an interrupted training on disk; result.py: the run that a training ends with
"""

from core.train.training import train

__all__ = ["train"]
