"""Image fitting: the colour of each pixel, judged by peak signal-to-noise ratio."""

import math

from core.tasks.base import Metric, Task

PSNR = Metric(
    name="psnr",
    label="Picture quality",
    unit=" dB",
    scale=1.0,
    decimals=1,
    higher_is_better=True,
    difference_unit="dB",
    meaning="How close the picture is to the original (peak signal-to-noise ratio); 6 dB more is half the error.",
    of=lambda mean, variance: -10 * math.log10(max(mean, 1e-12)),
)

IMAGE = Task(
    name="image",
    loss="mse_loss",
    metrics=(PSNR,),
    example="pixel",
    classes=False,
    goal="paints a picture, pixel by pixel",
    bounded=True,
)
